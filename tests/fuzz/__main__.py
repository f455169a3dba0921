"""Coverage-guided fuzzing of everything that parses a file, by Atheris (libFuzzer).

    python -m tests.fuzz --target subtitles --runs 20000
    python -m tests.fuzz --target subtitles --case FILE     # one case again, without Atheris

libFuzzer mutates files, beginning with the sound ones of the target and those kept in tests/data/fuzz/TARGET/. Each is
a case, and the seed of another one, which hypothesis draws. Whatever is found goes to --findings, a file for each kind;
--keep puts the shortest case of each kind of outcome that no kept file has already into a folder. Exit status: 0, 1 if
something was found. Atheris is none of the dependencies: pip install atheris.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ["TQDM_DISABLE"] = "1"

KEPT = Path(__file__).parents[1] / "data" / "fuzz"
MOST_KEPT = 4096  # bytes of a case that --keep takes
MOST_DRAWN = 8192  # bytes from which hypothesis draws one
ROOM = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


class Session:
    """The cases of one target: what came of each kind, with the shortest case."""

    def __init__(self, name: str) -> None:
        import torch

        from tests.fuzz.targets import TARGETS

        torch.set_num_threads(1)
        if name not in TARGETS:
            sys.exit(f"--target {name}: choose one of {', '.join(sorted(TARGETS))}")
        self.name, self.target = name, TARGETS[name]
        self.counts: Counter[tuple[str, str]] = Counter()
        self.shortest: dict[tuple[str, str], tuple[bytes, str]] = {}
        for content in self.known():  # what is loaded, built or cached at the first time counts for no case
            self.run(content)
        self.counts.clear()
        self.shortest = {key: found for key, found in self.shortest.items() if key[0] != "wrong"}

    def known(self) -> list[bytes]:
        kept = (path for path in sorted((KEPT / self.name).glob("*")) if path.is_file())
        return [*self.target.seeds(), *(path.read_bytes() for path in kept)]

    def run(self, content: bytes) -> tuple[str, str]:
        from tests.fuzz.judge import judge, kind

        with TemporaryDirectory(dir=ROOM) as folder:
            path = Path(folder) / self.target.name
            path.write_bytes(content)
            outcome, words = judge(self.target.read, path)
        key = outcome, kind(words)
        self.counts[key] += 1
        if key not in self.shortest or len(content) < len(self.shortest[key][0]):
            self.shortest[key] = content, words
        return outcome, words

    def save(self, folder: Path, only: Callable[[str, bytes], bool]) -> None:
        for (outcome, _), (content, _) in self.shortest.items():
            if only(outcome, content):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / hashlib.sha256(content).hexdigest()[:12]).write_bytes(content)

    def report(self, seconds: float) -> int:
        """Prints what came of the cases; gives the exit status."""
        totals = Counter(dict.fromkeys(("value", "refused", "wrong"), 0))
        for (outcome, _), count in self.counts.items():
            totals[outcome] += count
        kinds = sum(outcome == "refused" for outcome, _ in self.counts)
        print(
            f"{self.name}: {self.counts.total()} cases in {seconds:.0f} s: {totals['value']} values, "
            f"{totals['refused']} refused in {kinds} ways, {totals['wrong']} wrong",
            flush=True,
        )
        for key, count in self.counts.most_common():
            if key[0] == "wrong":
                print(f"  {count} x {self.shortest[key][1]}", flush=True)
        return int(totals["wrong"] > 0)


def main() -> int:
    """Runs the command; returns its exit status, unless libFuzzer ends the process itself."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description="Fuzz one target.")
    parser.add_argument("--target", required=True, help="name of a function of tests/fuzz/")
    parser.add_argument("--runs", type=int, default=20_000, help="cases (20000)")
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer (1)")
    parser.add_argument("--case", type=Path, help="a file: this case alone")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="where what is wrong goes (findings/)")
    parser.add_argument("--keep", type=Path, help="folder for the shortest case of each outcome that is not kept yet")
    args = parser.parse_args()
    if args.case:
        outcome, words = Session(args.target).run(args.case.read_bytes())
        print(outcome, words)
        return int(outcome == "wrong")
    try:
        import atheris
    except ImportError:
        sys.exit("fuzzing needs Atheris: pip install atheris")
    with atheris.instrument_imports(include=["core", "datasets", "models", "opts", "main", "tools", "zipfile", "html"]):
        session = Session(args.target)
    _fuzz(atheris, session, args)
    return 0


def _fuzz(atheris, session: Session, args: argparse.Namespace) -> None:
    from hypothesis import HealthCheck, given, settings

    from tests.fuzz.judge import limited_memory

    old = set(session.shortest)

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(session.target.cases)
    def drawn(content: bytes) -> None:
        session.run(content)

    began = time.monotonic()

    def one(data: bytes) -> None:
        session.run(data)
        drawn.hypothesis.fuzz_one_input(random.Random(zlib.crc32(data)).randbytes(MOST_DRAWN))
        if session.counts.total() >= args.runs:
            status = session.report(time.monotonic() - began)
            session.save(args.findings / session.name, lambda outcome, content: outcome == "wrong")
            for key in old:
                session.shortest.pop(key)
            if args.keep:
                session.save(args.keep / session.name, lambda _, content: len(content) <= MOST_KEPT)
            os._exit(status)  # libFuzzer would go on

    with TemporaryDirectory() as corpus, limited_memory():
        for number, content in enumerate(session.known()):
            Path(corpus, f"{number}").write_bytes(content)
        options = f"-seed={args.seed} -max_len=65536 -len_control=0 -timeout=60 -rss_limit_mb=0 -verbosity=0"
        atheris.Setup([sys.argv[0], corpus, *options.split()], one)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
