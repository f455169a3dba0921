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


def config(tmp_path: Path, text: str) -> list[str]:
    """The words that make a config of this text."""
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    return ["--config", str(path)]


def test_a_config_is_over_the_preset_and_under_the_command_line(tmp_path: Path) -> None:
    text = 'preset = "base"\nembed_dim = 24\nlearning_rate = 1\nskip_bad = true\ncompile = false\nroot_path = "d é"\n'
    words = config(tmp_path, text)
    flags = opts.parse([*words, "--embed_dim", "48", "--compile"])
    assert (flags.preset, flags.depth, flags.embed_dim, flags.root_path) == ("base", 12, 48, Path("d é"))
    assert (flags.learning_rate, flags.skip_bad, flags.compile) == (1.0, True, True)
    assert isinstance(flags.learning_rate, float)
    other = opts.parse([*words, "--preset", "demo"])
    assert (other.preset, other.depth, other.embed_dim) == ("demo", opts.PRESETS["demo"]["depth"], 24)


def test_a_config_says_what_the_same_words_say(tmp_path: Path) -> None:
    """Of every flag that a config may hold, with its default and with another value."""
    known = {key: value for key, value in vars(opts.parse([])).items() if key not in opts.COMMAND_FLAGS}
    given = {key: value for key, value in known.items() if value is not None} | {"seed": 7, "verify": "none"}
    lines = [f"{key} = {json.dumps(str(value) if isinstance(value, Path) else value)}" for key, value in given.items()]
    flags = vars(opts.parse(config(tmp_path, "\n".join(lines))))
    assert {key: flags[key] for key in known} == known | {"seed": 7, "verify": "none"}


def test_a_stored_run_keeps_the_flags_of_its_config_and_not_the_file(tmp_path: Path) -> None:
    words = config(tmp_path, 'preset = "base"\nseed = 3\nunlabelled = true\n')
    stored = json.loads(json.dumps(opts.to_stored(opts.parse(words))))
    assert stored["config"] == words[1] and stored["seed"] == 3
    again = opts.parse([], stored)
    assert (again.seed, again.embed_dim, again.unlabelled, again.config) == (3, 768, True, None)
    opts.check_same_run(opts.parse(words, stored), stored)
    words = config(tmp_path, "seed = 4\nunlabelled = false\n")
    with pytest.raises(opts.UsageError, match=r"--seed 4 \(was 3\), --unlabelled False \(was True\)"):
        opts.check_same_run(opts.parse(words, stored), stored)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no_such_flag = 1", "no_such_flag is no flag"),
        ("eval = true", "eval is no flag"),
        ('config = "other.toml"', "config is no flag"),
        ("port = 80", "port is no flag"),
        ("[training]\nseed = 1", "training is no flag"),
        ("batch_size = 0", "--batch_size: '0' is not a whole number above 0"),
        ("batch_size = 4.5", "--batch_size: '4.5' is not a whole number"),
        ('batch_size = "4"', "batch_size = '4': a number without quotation marks"),
        ("batch_size = true", "batch_size = True: a number or text"),
        ("batch_size = [4]", "--batch_size: '[4]' is not a whole number"),
        ("learning_rate = nan", "--learning_rate: 'nan' is not a number above 0"),
        ("dataset = 8", "dataset = 8: text in quotation marks"),
        ('dataset = ["ve8"]', "dataset = ['ve8']: text in quotation marks"),
        ('skip_bad = "yes"', "skip_bad = 'yes': true or false"),
        ("skip_bad = 1", "skip_bad = 1: true or false"),
        ('masking = "none at all"', "--masking: invalid choice: 'none at all'"),
        ('preset = "none"', "--preset: invalid choice: 'none'"),
        ("seed 1", "no TOML"),
        ("seed = 1\nseed = 2", "no TOML"),
    ],
)
def test_a_wrong_config_costs_one_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = config(tmp_path, text)
    with pytest.raises(SystemExit) as exit_:
        opts.parse(words)
    message = capsys.readouterr().err
    assert exit_.value.code == 2 and message.count("\n") == 1
    assert message.startswith(f"error: {words[1]}: ") and said in message


def test_a_config_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "latin.toml").write_bytes(b"dataset = '\xe9'")
    for path, said in (
        (Path("/dev/zero"), "is no file"),
        (tmp_path / "none.toml", "No such file"), (tmp_path, "directory"), (tmp_path / "latin.toml", "utf-8"),
    ):  # fmt: skip
        with pytest.raises(SystemExit) as exit_:
            opts.parse(["--config", str(path)])
        message = capsys.readouterr().err
        assert exit_.value.code == 2 and message.count("\n") == 1
        assert message.startswith(f"error: {path}: ") and said in message
