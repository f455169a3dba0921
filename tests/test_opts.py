"""Flags: presets, stored runs, one-line errors, and every one of them documented."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import opts


def test_presets_are_defaults_and_the_command_line_wins() -> None:
    assert opts.parse(["--preset", "base"]).embed_dim == 768
    assert opts.parse([]).embed_dim == opts.PRESETS["demo"]["embed_dim"]
    assert opts.parse(["--preset", "demo", "--embed_dim", "32"]).embed_dim == 32


@pytest.mark.parametrize("preset", opts.PRESETS)
def test_a_preset_names_flags_that_exist(preset: str) -> None:
    assert set(opts.PRESETS[preset]) <= set(vars(opts.parse([])))


def test_released_names_are_kept() -> None:
    released = (
        "root_path video_path audio_path srt_path annotation_path result_path expr_name batch_size accu_step seq_len "
        "val_len snippet_duration sample_size learning_rate weight_decay lambda_0 n_epochs n_threads device seed debug"
    )
    assert set(released.split()) <= set(vars(opts.parse([])))


def test_every_flag_has_a_help_text() -> None:
    actions = opts.build_parser({})._actions
    assert [a.dest for a in actions if not a.help] == []


def test_stored_flags_become_the_defaults() -> None:
    stored = json.loads(json.dumps(opts.to_stored(opts.parse(["--root_path", "/d", "--seed", "3", "--eval"]))))
    again = opts.parse(["--val_len", "4"], stored | {"flag_of_an_older_version": 1})
    assert (again.seed, again.root_path, again.val_len, again.eval) == (3, Path("/d"), 4, False)


def test_what_one_prediction_asks_for_is_not_stored() -> None:
    words = ["--predict", "a.mp4", "--csv", "a", "--out", "o", "--srt", "s", "--text", "--speech_model", "m", "--embed"]
    words += ["--segment_seconds", "3", "--report", "--port", "1", "--json", "j", "--checkpoint", "c"]
    assert vars(opts.parse([], opts.to_stored(opts.parse(words)))) == vars(opts.parse([]))


def test_a_continued_run_keeps_what_decides_its_weights() -> None:
    stored = opts.to_stored(opts.parse(["--seed", "3"]))
    opts.check_same_run(opts.parse(["--n_threads", "0", "--device", "cpu"], stored), stored)
    with pytest.raises(opts.UsageError, match=r"--seed 4 \(was 3\)"):
        opts.check_same_run(opts.parse(["--seed", "4"], stored), stored)


@pytest.mark.parametrize(
    "words",
    [
        ["--batch_size", "0"],
        ["--batch_size", "x"],
        ["--ema_decay", "2"],
        ["--learning_rate", "nan"],
        ["--preset", "none"],
        ["--no_such_flag"],
        ["--seed"],
    ],
)
def test_wrong_flags_cost_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        opts.parse(words)
    message = capsys.readouterr().err
    assert exit_.value.code == 2 and message.count("\n") == 1 and words[0].strip("-") in message


def test_the_readme_lists_every_flag_and_no_other() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("## Flags") : readme.index("\n## ", readme.index("## Flags") + 5)]
    listed = set(re.findall(r"`--(\w+)", table))
    assert listed == set(vars(opts.parse([])))
