"""Where the files of a folder of published weights come from, as tools/get_pretrained.py writes it into SOURCE.txt."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = "SOURCE.txt"


@dataclass(frozen=True)
class WeightSource:
    """repository, commit: of the hub. recorded: SHA-256 of each file by its name."""

    repository: str = ""
    commit: str = ""
    recorded: dict[str, str] = field(default_factory=dict)


def read_source(folder: Path) -> WeightSource:
    """What SOURCE.txt says, nothing where it is missing or damaged."""
    try:
        lines = (folder / SOURCE).read_text(encoding="utf-8").splitlines()
        repository, commit = (line.split(": ")[1] for line in lines[:2])
        recorded = {name: sha256 for sha256, name in (line.split("  ") for line in lines[2:])}
    except (OSError, ValueError, IndexError):
        return WeightSource()
    is_sound = commit.isalnum() and all(Path(name).name == name for name in recorded)
    return WeightSource(repository, commit, recorded) if is_sound else WeightSource()


def write_source(path: Path, source: WeightSource) -> None:
    """The file that `read_source` reads, which `sha256sum -c` reads as well. Raises OSError."""
    lines = [f"# repository: {source.repository}", f"# commit: {source.commit}"]
    lines += [f"{sha256}  {name}" for name, sha256 in source.recorded.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def hashes(path: Path) -> tuple[str, ...]:
    """SHA-256 of a file, and the SHA-1 by which git knows it; nothing where there is none."""
    if not path.is_file():
        return ()
    sha256 = hashlib.sha256()
    git = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            git.update(block)
    return sha256.hexdigest(), git.hexdigest()
