"""tools/get_pretrained.py, against a server in this process that answers as the hub does."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import huggingface_hub
import numpy as np
import pytest

from tools import get_pretrained
from tools.get_pretrained import MODELS, main

OLD, NEW = "a" * 40, "b" * 40
VIDEOMAE = MODELS["visual"].repository
WEIGHTS = np.random.default_rng(0).bytes(300_000)
VISUAL = {"config.json": b'{"depth": 12}', "preprocessor_config.json": b"{}", "model.safetensors": WEIGHTS}


def described(name: str, content: bytes) -> dict[str, object]:
    """The hub's record of a file; of weights, which are in LFS, the git blob is only a pointer."""
    lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    is_large = name.startswith(("model", "pytorch"))
    return {"rfilename": name, "size": len(content), **({"lfs": lfs} if is_large else {"blobId": blob})}


class Hub(ThreadingHTTPServer):
    """{repository: {commit: {file: content}}}, the newest commit last, and the `requests` that came in.

    Faults: `served` stands in for the contents of files; `ends` are the bytes of the weights at which the connections
    for them break, one after the other; `status` is the answer to everything.

    `run` runs the tool on the folder `all`; `folder` is that of the visual weights, `out` and `err` what was printed.
    """

    daemon_threads = True

    def __init__(self, parent: Path, capsys: pytest.CaptureFixture[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.repositories = {model.repository: {OLD: {**VISUAL, "README.md": b"#"}} for model in MODELS.values()}
        self.requests, self.served, self.ends, self.status = [], {}, [], 200
        self.all, self.folder, self.capsys = parent / "all", parent / "all" / "videomae-base", capsys

    def run(self, model: str = "visual") -> int:
        status = main([model, "--out", str(self.all), "--endpoint", self.endpoint + "/"])
        self.out, self.err = self.capsys.readouterr()
        return status

    def downloads(self) -> list[str]:
        return [line.removeprefix("/content/") for line in self.requests if line.startswith("/content/")]

    def has(self, expected: dict[str, bytes]) -> bool:
        """The folder holds these files and SOURCE.txt, and no partial file is left anywhere."""
        there = {path.name: path.read_bytes() for path in self.folder.iterdir() if path.name != "SOURCE.txt"}
        return there == expected and (self.folder / "SOURCE.txt").is_file() and not list(self.all.glob(".*"))


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        hub = self.server
        hub.requests.append(f"{self.path} {self.headers.get('Range', '')}".strip())
        if hub.status != 200:
            self.answer(hub.status, b"<html>")
        elif found := re.fullmatch(r"/api/models/(.+)/revision/(\w+)\?blobs=true", self.path):
            commits = hub.repositories.get(found[1], {"": {}})
            commit = list(commits)[-1] if found[2] == "main" else found[2]
            siblings = [described(*file) for file in commits.get(commit, {}).items()]
            record = json.dumps({"id": found[1], "sha": commit, "siblings": siblings}).encode()
            self.answer(200 if siblings else 404, record)
        elif "/resolve/" in self.path:  # to another address, as the hub does with large files
            self.answer(302, b"", {"Location": f"{hub.address}/content{self.path.replace('/resolve/', '/')}"})
        elif found := re.fullmatch(r"/content/(.+)/(\w+)/(.+)", self.path):
            content = hub.served.get(found[3], hub.repositories[found[1]][found[2]][found[3]])
            start = int(self.headers.get("Range", "bytes=0-")[6:-1])
            end = hub.ends.pop(0) if hub.ends and found[3] == "model.safetensors" else len(content)
            headers = {"Content-Length": f"{len(content) - start}", "Content-Range": f"bytes {start}-/{len(content)}"}
            status = 200 if not start else 206 if start < len(content) else 416
            self.answer(status, content[start:end], headers if status < 400 else {})
        else:
            self.answer(200, b"<html>")

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for header in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Hub]:
    """Connections to this machine only, blocks small enough to break within, and no waiting before another try."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple[str, int]) -> None:
        assert address[0] == "127.0.0.1", f"a test reaches for {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr(huggingface_hub.file_download, "time", Mock())
    huggingface_hub.close_session()  # its client knows the proxies of before
    with Hub(tmp_path, capsys) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()
    huggingface_hub.close_session()


def test_downloads_once(hub, monkeypatch):
    monkeypatch.setenv("TQDM_POSITION", "-1")  # or the hub's client draws its bars on terminals only
    hub.repositories[MODELS["text"].repository] = {NEW: {**VISUAL, "vocab.txt": b"[PAD]", "tokenizer.json": b"{}"}}
    assert hub.run("all") == 0
    assert hub.has(VISUAL)
    sums = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in VISUAL.items()]
    sums = [f"# repository: {VIDEOMAE}\n# commit: {OLD}\n", *sums]
    assert (hub.folder / "SOURCE.txt").read_text() == "".join(sums)
    assert f"visual: {VIDEOMAE} at commit {OLD} -> {hub.folder}: 3 fetched, 0 already there" in hub.out
    assert re.search(r"model\.safetensors: 100%.*300k/300k", hub.err)
    text = {path.name for path in (hub.all / "bert-base-uncased").iterdir()}
    assert text == {"config.json", "vocab.txt", "tokenizer.json", "model.safetensors", "SOURCE.txt"}
    assert (hub.all / "ast-finetuned-audioset-10-10-0.4593" / "model.safetensors").read_bytes() == WEIGHTS

    hub.requests.clear()
    assert hub.run("all") == 0
    assert hub.requests == [] and hub.out.count("is there and sound") == 3


def test_checks_what_was_put_there_by_hand_and_mends_it_from_the_same_commit(hub):
    hub.folder.mkdir(parents=True)
    for name, content in VISUAL.items():
        (hub.folder / name).write_bytes(content)
    assert hub.run() == 0
    assert "0 fetched, 3 already there" in hub.out and hub.downloads() == []

    new = hub.repositories[VIDEOMAE][NEW] = {"config.json": b"{}", "pytorch_model.bin": WEIGHTS}
    (hub.folder / "model.safetensors").write_bytes(WEIGHTS[:-1])
    assert hub.run() == 0
    assert hub.has(VISUAL) and hub.downloads() == [f"{VIDEOMAE}/{OLD}/model.safetensors"]
    assert "model.safetensors is not what the hub has; replaced" in hub.err

    shutil.rmtree(hub.folder)
    assert hub.run() == 0
    assert hub.has(new) and NEW in hub.out
    hub.repositories[VIDEOMAE][NEW] = {**new, "model.safetensors": WEIGHTS[::-1]}
    (hub.folder / "SOURCE.txt").unlink()
    assert hub.run() == 0
    assert hub.has(new)  # these weights are as good


def test_goes_on_after_a_break(hub):
    hub.ends = [120_000, 210_000]
    assert hub.run() == 0
    assert hub.has(VISUAL)
    assert [line.partition(" ")[2] for line in hub.downloads()] == ["", "", "", "bytes=120000-", "bytes=210000-"]


def test_goes_on_in_the_next_run(hub, monkeypatch):
    hub.ends = [120_000] * 6  # all tries of a run
    assert hub.run() == 1
    assert re.fullmatch(r"FAILED visual: model\S+ broke off after 120,000 of 300,000 bytes .*; run it .*\n", hub.err)
    assert not hub.folder.exists()
    with monkeypatch.context() as patch:
        patch.setattr(get_pretrained, "http_get", Mock(side_effect=KeyboardInterrupt))
        assert hub.run() == 130
    hub.requests.clear()
    assert hub.run() == 0
    assert hub.has(VISUAL) and hub.downloads() == [f"{VIDEOMAE}/{OLD}/model.safetensors bytes=120000-"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_wrong_file_is_refused(hub, name):
    for content in (VISUAL[name][:-1] + b"?", VISUAL[name][:-1], VISUAL[name] + b"?"):
        hub.served = {name: content}
        assert hub.run() == 1
        assert re.fullmatch(rf"FAILED visual: {name} has not the hash that the hub records, .*: removed.*\n", hub.err)
        assert list(hub.all.iterdir()) == []


def test_a_wrong_rest_of_a_file_is_refused(hub):
    for content in (WEIGHTS[::-1], WEIGHTS[:100_000]):  # the latter has no such rest
        hub.served, hub.ends = {}, [120_000] * 6
        assert hub.run() == 1 and "broke off" in hub.err
        hub.served, hub.ends = {"model.safetensors": content}, []
        assert hub.run() == 1 and "has not the hash" in hub.err
        assert list(hub.all.iterdir()) == []


def test_without_network(hub, monkeypatch):
    assert hub.run() == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        hub.endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert hub.run() == 0
    assert hub.run("all") == 1
    assert hub.err.startswith(f"get_pretrained: no connection to {hub.endpoint} (ConnectError:")
    assert "visual" not in hub.err  # which is there
    for model in (MODELS["audio"], MODELS["text"]):
        assert f"from https://huggingface.co/{model.repository}/tree/main (about {model.megabytes} MB)" in hub.err
        assert f"into {hub.all / model.name}/: config.json, {model.others[0]}" in hub.err
    assert list(hub.all.iterdir()) == [hub.folder]
    hub.endpoint = hub.address + "/login"
    assert hub.run("audio") == 1 and "answers, but not as the hub does" in hub.err
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert hub.run("audio") == 1 and "HF_HUB_OFFLINE" in hub.err


def test_what_the_hub_may_refuse(hub):
    reasons = {401: "refused", 403: "refused", 404: "not found: renamed", 503: "the hub cannot"}
    for hub.status, reason in reasons.items():
        assert hub.run() == 1
        assert re.fullmatch(rf"FAILED visual: {VIDEOMAE} \(main\): {reason}.*; status {hub.status} of .*\n", hub.err)
    hub.status = 200
    hub.repositories = {MODELS["audio"].repository: {OLD: {"config.json": b"{}"}}}
    assert hub.run("all") == 1
    assert hub.err.count("not found") == 2 and f"has no model.safetensors at commit {OLD}" in hub.err
    assert list(hub.all.iterdir()) == []


def test_no_space_and_bad_arguments(hub, monkeypatch):
    monkeypatch.setattr(get_pretrained, "http_get", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    assert hub.run() == 1 and re.fullmatch(r"FAILED visual: .*: No space left on device\n", hub.err)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=3))
    assert hub.run() == 1 and "no space for config.json: 10 bytes more are needed in" in hub.err
    assert list(hub.all.iterdir()) == []
    (hub.all / "file").touch()
    assert main(["--out", str(hub.all / "file")]) == 2
    for arguments in (["video"], ["--endpoint", "huggingface.co"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
