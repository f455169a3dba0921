"""Downloads the published weights from the Hugging Face hub into pretrained_models/<name>/ and checks their hashes.

    python tools/get_pretrained.py [visual|audio|text|all]

A file gets its final name once it has the hash that the hub records. SOURCE.txt says of which commit the files are and
holds their SHA-256: a later run checks them without network, and mends them from the same commit. A transfer that broke
off is taken up where it ended, by the hub's client within a run and from `.part-<name>/` in the next one.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HTTPError
from huggingface_hub.file_download import http_get  # hf_hub_download cannot go on with what another run began
from huggingface_hub.utils import build_hf_headers, logging

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.weight_source import SOURCE, WeightSource, hashes, read_source, write_source
from tools._batch import PART, command, exclusive

TOOL = "get_pretrained"
HUB = "https://huggingface.co"
OUT = Path("pretrained_models")
CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that the hub has
TIMEOUT = 20.0  # seconds until the hub counts as out of reach


@dataclass(frozen=True)
class Published:
    """A model on the hub: config.json, one of WEIGHTS, and `others` where there are any."""

    name: str
    repository: str
    megabytes: int
    others: tuple[str, ...] = ("preprocessor_config.json",)


TOKENIZER = ("vocab.txt", "tokenizer.json", "tokenizer_config.json")
MODELS = {
    "visual": Published("videomae-base", "MCG-NJU/videomae-base", 377),
    "audio": Published("ast-finetuned-audioset-10-10-0.4593", "MIT/ast-finetuned-audioset-10-10-0.4593", 346),
    "text": Published("bert-base-uncased", "google-bert/bert-base-uncased", 440, TOKENIZER),
}


@dataclass(frozen=True)
class HubFile:
    """What the hub records of a file: bytes, and the SHA-256 of a large file or the git blob's SHA-1 of a small one."""

    name: str
    size: int
    hash: str

    def is_at(self, path: Path) -> bool:
        return self.hash in hashes(path)


class DownloadError(Exception):
    """One line: which file, what is wrong, what to do."""


class NoConnection(DownloadError):
    """The hub itself is out of reach."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 1 for a failed download, 2 for bad arguments."""
    parser = argparse.ArgumentParser(prog=f"{TOOL}.py", description="Download published weights and check them.")
    parser.add_argument("model", nargs="?", choices=(*MODELS, "all"), default="all", help="whose (default: all)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"the models' folders come here (default: {OUT})")
    parser.add_argument("--endpoint", help=f"a mirror of the hub (default: $HF_ENDPOINT, or else {HUB})")
    args = parser.parse_args(argv)
    if not re.fullmatch(r"https?://[\w.-]+(:\d+)?(/\S*)?", args.endpoint or HUB):
        parser.error(f"--endpoint: {args.endpoint!r} is no address like {HUB}")
    return command(TOOL, lambda: _get_all(args))


def _get_all(args: argparse.Namespace) -> int:
    logging.set_verbosity_error()  # no warning for every try of a transfer that breaks off
    api = HfApi(endpoint=args.endpoint and args.endpoint.rstrip("/"))
    keys = list(MODELS) if args.model == "all" else [args.model]
    failed = False
    with exclusive(args.out):
        todo = [key for key in keys if not _is_there(key, args.out / MODELS[key].name)]
        for number, key in enumerate(todo):
            try:
                _get(api, key, args.out / MODELS[key].name)
            except NoConnection as error:
                print(_by_hand(error, todo[number:], args.out), file=sys.stderr)
                return 1
            except DownloadError as error:
                failed = True
                print(f"FAILED {key}: {error}", file=sys.stderr)
    return int(failed)


def _by_hand(error: NoConnection, keys: Sequence[str], out: Path) -> str:
    lines = [f"{TOOL}: {error}. What to do by hand, on a machine that has a connection:"]
    for key, model in ((key, MODELS[key]) for key in keys):
        files = ", ".join((CONFIG, *model.others, " or else ".join(WEIGHTS)))
        lines.append(f"  {key}: from {HUB}/{model.repository}/tree/main (about {model.megabytes} MB)")
        lines.append(f"    into {out / model.name}/: {files}, as far as there are any")
    lines.append(f"Or run {TOOL}.py there and copy its folders: with their {SOURCE} they can be checked here.")
    return "\n".join(lines)


def _is_there(key: str, folder: Path) -> bool:
    """Whether the folder holds all that its SOURCE.txt says, sound; then says so."""
    source = _read_source(MODELS[key], folder)
    is_whole = CONFIG in source.recorded and not source.recorded.keys().isdisjoint(WEIGHTS)
    if not is_whole or any(sha256 not in hashes(folder / name) for name, sha256 in source.recorded.items()):
        return False
    print(f"{TOOL}: {key}: {folder} is there and sound: {len(source.recorded)} files, commit {source.commit}")
    return True


def _get(api: HfApi, key: str, folder: Path) -> None:
    """Fetches what the folder lacks. Raises DownloadError; what has arrived by then stays in `.part-<name>/`."""
    model = MODELS[key]
    commit, files = _look_up(api, model.repository, _read_source(model, folder).commit or "main")
    weights = [files[name] for name in WEIGHTS if name in files]
    if CONFIG not in files or not weights:
        raise DownloadError(f"{model.repository} has no {WEIGHTS[0] if CONFIG in files else CONFIG} at commit {commit}")
    wanted = [files[name] for name in (CONFIG, *model.others) if name in files]
    wanted.append(next((file for file in weights if file.is_at(folder / file.name)), weights[0]))
    todo = [file for file in wanted if not file.is_at(folder / file.name)]

    stage = folder.resolve().with_name(f"{PART}{folder.name}")  # where renaming works even if the folder is a link
    parts = [stage / f"{file.hash[:16]}-{file.name}" for file in todo]
    try:
        stage.mkdir(exist_ok=True)
        for file, part in zip(todo, parts, strict=True):
            _fetch(hf_hub_url(model.repository, file.name, revision=commit, endpoint=api.endpoint), file, part)
        folder.mkdir(exist_ok=True)
        for file, part in zip(todo, parts, strict=True):
            if (folder / file.name).exists():
                print(f"{TOOL}: {key}: {folder / file.name} is not what the hub has; replaced", file=sys.stderr)
            part.replace(folder / file.name)
        recorded = {file.name: hashes(folder / file.name)[0] for file in wanted}
        write_source(stage / SOURCE, WeightSource(model.repository, commit, recorded))
        (stage / SOURCE).replace(folder / SOURCE)
    except OSError as error:
        raise DownloadError(f"{error.filename or stage}: {error.strerror or error}") from None
    finally:
        if stage.is_dir() and not any(path.stat().st_size for path in parts if path.exists()):
            shutil.rmtree(stage)
    print(
        f"{TOOL}: {key}: {model.repository} at commit {commit} -> {folder}: {len(todo)} fetched,"
        f" {len(wanted) - len(todo)} already there, {sum(file.size for file in wanted) / 1e6:.0f} MB"
    )


def _look_up(api: HfApi, repository: str, revision: str) -> tuple[str, dict[str, HubFile]]:
    """The commit that `revision` is, and those of its files of which the hub records a hash."""
    try:
        info = api.model_info(repository, revision=revision, files_metadata=True, timeout=TIMEOUT)
    except HfHubHTTPError as error:
        raise _refusal(error, f"{repository} ({revision})") from None
    except (HTTPError, OSError) as error:
        raise NoConnection(f"no connection to {api.endpoint} ({_reason(error)})") from None
    except (ValueError, KeyError, TypeError):
        raise NoConnection(f"no connection to the hub: {api.endpoint} answers, but not as the hub does") from None
    files = {}
    for sibling in info.siblings or ():
        size, recorded = (lfs.size, lfs.sha256) if (lfs := sibling.lfs) else (sibling.size, sibling.blob_id)
        if size is not None and recorded:
            files[sibling.rfilename] = HubFile(sibling.rfilename, size, recorded)
    if not info.sha or (info.siblings and not files):
        raise DownloadError(f"{api.endpoint} tells no commit or no hashes of {repository}; use --endpoint {HUB}")
    return info.sha, files


def _fetch(url: str, file: HubFile, part: Path) -> None:
    """Makes `part` the whole file, going on from what it holds. Raises DownloadError, and OSError of the disk."""
    if part.exists() and part.stat().st_size > file.size:
        part.unlink()
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}  # a range of a compressed file is of other bytes
    with part.open("ab") as sink:
        had = part.stat().st_size
        lacking = file.size - had - shutil.disk_usage(part.parent).free
        if lacking > 0:
            raise DownloadError(f"no space for {file.name}: {lacking:,} bytes more are needed in {part.parent}")
        try:
            http_get(url, sink, resume_size=had, headers=headers, expected_size=file.size, displayed_filename=file.name)
        except HfHubHTTPError as error:
            if error.response.status_code != 416:  # there the server's file is shorter than `part`
                raise _refusal(error, file.name) from None
        except HTTPError as error:
            arrived = f"after {sink.tell():,} of {file.size:,} bytes ({_reason(error)})"
            raise DownloadError(f"{file.name} broke off {arrived}; run it again to go on") from None
        except OSError as error:
            if error.errno is not None:  # the other one is of a wrong length
                raise
    if not file.is_at(part):
        shutil.rmtree(part.parent)
        raise DownloadError(f"{file.name} has not the hash that the hub records, {file.hash}: removed; run it again")


def _refusal(error: HfHubHTTPError, what: str) -> DownloadError:
    status, address = error.response.status_code, error.response.url
    reason = {
        401: "refused: removed or made private, or a wrong $HF_TOKEN (unset it)",
        403: "refused: for some users only; log in with `hf auth login`",
        404: f"not found: renamed or removed (look on {HUB}), or the commit of {SOURCE} is gone (remove that file)",
    }.get(status, "the hub cannot answer now; run it again later")
    return DownloadError(f"{what}: {reason}; status {status} of {address}")


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0]}"


def _read_source(model: Published, folder: Path) -> WeightSource:
    """What SOURCE.txt says of this model; nothing of another one's."""
    source = read_source(folder)
    return source if source.repository == model.repository else WeightSource()


if __name__ == "__main__":
    sys.exit(main())
