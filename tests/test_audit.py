""".ci/audit says what is known of the locked packages, or why it is not known, and fails no run."""

from __future__ import annotations

import json
import os
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit"
SOUND = {"name": "a", "version": "1", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "Dependency not found"}
UNSOUND = {"name": "c", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.1", "3"]}, {"id": "PYSEC-2"}]}


@pytest.fixture
def audit() -> ModuleType:
    loader = SourceFileLoader("audit", str(SCRIPT))
    module = module_from_spec(spec_from_loader("audit", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stub that writes what it was called with to a file, and answers as its own file says."""
    path = tmp_path / "uv"
    path.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/called\n. {tmp_path}/answer\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return path


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        ({"dependencies": [SOUND, SOUND]}, ["2 packages asked about: 0 advisories"]),
        ({"dependencies": [SOUND, UNKNOWN]}, ["1 packages asked about, 1 more not known to it: 0 advisories"]),
        ({"dependencies": [UNKNOWN] * 3}, ["not made: the registry of advisories cannot be reached (3 packages)"]),
        (
            {"dependencies": [SOUND, UNSOUND]},
            [
                "2 packages asked about: 2 advisories",
                "c 2: PYSEC-1, mended in 2.1, 3",
                "c 2: PYSEC-2, mended in nothing yet",
            ],
        ),
        (
            {"error": 1},
            ["not made: pip-audit cannot be had, or cannot reach the registry of advisories (it says nothing)"],
        ),
    ],
)
def test_what_it_says(
    answer: dict, lines: list[str], audit: ModuleType, uv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uv.with_name("answer").write_text(f"echo '{json.dumps(answer)}'; exit 1\n")
    audit.main()
    assert capsys.readouterr().out.splitlines() == [f"audit: {line}" for line in lines]
    called = uv.with_name("called").read_text()
    assert called.startswith("tool run --from pip-audit==") and "--requirement requirements-test.lock" in called


def test_nothing_that_goes_wrong_fails_it(
    audit: ModuleType, uv: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "SECONDS", 0.5)
    for answer, line in (
        ("exec sleep 60", "not made: no answer within 0.5 s"),
        ("echo 'no route to host' >&2; exit 1", "(no route to host)"),
        ("kill -9 $$", "(it says nothing)"),
    ):
        uv.with_name("answer").write_text(f"{answer}\n")
        audit.main()
        assert line in capsys.readouterr().out
    uv.unlink()
    monkeypatch.setattr(audit, "PROJECT", uv.parent)
    audit.main()
    assert capsys.readouterr().out == "audit: not made: there is no uv; run `sh run.sh setup`\n"


def test_the_run_goes_on_after_it() -> None:
    text = SCRIPT.with_name("run").read_text()
    assert ".ci/audit || echo" in text and text.index(".ci/audit") < text.index("sh run.sh test")
    assert os.access(SCRIPT, os.X_OK)
