"""Files of tensors that are made to take all memory, or to run code, whatever they are wrapped in."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.checkpoint import CheckpointError, load_checkpoint
from models.archives import check_archive, fault_of_kinds, fault_of_sizes
from models.weight_files import WeightError, read_weights
from tests.fuzz.judge import judge


class Payload:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple:
        return (Path("pwned").write_text, ("pwned",))


def bytes_of(content: object, **options: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def zipped(content: bytes, method: int = zipfile.ZIP_STORED, name: str = "archive/data.pkl") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
    return file.getvalue()


def tar_of(**contents: bytes) -> bytes:
    """PyTorch's format before 0.1.10."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def scripted() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()


EVIL = {"format": 1, "x": Payload()}
CODE: dict[str, Callable[[], bytes]] = {
    "a checkpoint": lambda: bytes_of(EVIL),
    "the format before zip": lambda: bytes_of(EVIL, _use_new_zipfile_serialization=False),
    "the format before that": lambda: tar_of(
        sys_info=pickle.dumps({}), pickle=pickle.dumps(EVIL), storages=pickle.dumps(0), tensors=pickle.dumps(0)
    ),
    "a mere pickle": lambda: pickle.dumps(EVIL),
    "a checkpoint in an archive": lambda: zipped(bytes_of(EVIL)),
    "a checkpoint in a tensor": lambda: bytes_of(
        {"format": 1, "x": torch.frombuffer(bytearray(bytes_of(EVIL)), dtype=torch.uint8)}
    ),
    "code for the constants": lambda: zipped(pickle.dumps(EVIL), name="archive/constants.pkl"),
    "a program of TorchScript": scripted,
    "a reduction by an allowed name": lambda: zipped(b"cbuiltins\nbytearray\n(I1099511627776\ntR."),
    "a name of another module": lambda: zipped(b"cposix\nsystem\n(S'touch pwned'\ntR."),
    "a name with dots": lambda: zipped(b"\x80\x04\x8c\x05torch\x8c\x10hub.os.system.__\x93\x8c\x0btouch pwned\x85R."),
}


@pytest.mark.parametrize("kind", CODE)
@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.bin"])
def test_no_code_is_run_whatever_it_comes_in(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(CODE[kind]())
    for read in (load_checkpoint, read_weights):
        outcome, words = judge(read, tmp_path / name)
        assert outcome == "refused" or kind == "a checkpoint in a tensor", words
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_code_would_have_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.load(io.BytesIO(CODE["a checkpoint"]()), weights_only=False)
    assert (tmp_path / "pwned").exists()


def compressed() -> bytes:
    """A tensor of a gigabyte in a megabyte."""
    source = zipfile.ZipFile(io.BytesIO(bytes_of({"format": 1, "x": torch.zeros(2)})))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for info in source.infolist():
            with archive.open(info.filename, "w") as member:
                for _ in range(1280 if "/data/" in info.filename else 1):
                    member.write(bytes(2**20) if "/data/" in info.filename else source.read(info))
    return file.getvalue()


def overlapping() -> bytes:
    """A thousand members that are the same megabyte."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data/0", bytes(2**20))
        (first,) = archive.filelist
        for number in range(1, 1000):
            again = zipfile.ZipInfo(f"archive/data/{number}")
            again.file_size = again.compress_size = first.file_size
            again.CRC, again.header_offset = first.CRC, first.header_offset
            archive.filelist.append(again)
    return file.getvalue()


@pytest.mark.parametrize(("make", "fault"), [(compressed, "are compressed"), (overlapping, "lie over each other")])
def test_an_archive_takes_no_more_memory_than_it_has_bytes(make, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(make())
    assert path.stat().st_size < 3 * 2**20
    for read in (load_checkpoint, read_weights):
        outcome, words = judge(read, path)
        assert (outcome, fault in words) == ("refused", True), words


def test_what_pytorch_writes_is_let_pass(tmp_path: Path) -> None:
    torch.save({"format": 1, "x": torch.arange(10.0), "y": torch.zeros(3, 3)}, tmp_path / "a.pt")
    check_archive(tmp_path / "a.pt")
    assert load_checkpoint(tmp_path / "a.pt")["x"].sum() == 45


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("x", torch.zeros(3), None),
        ("x", torch.zeros(3, dtype=torch.int64), None),
        ("x", 3.0, "x is no plain tensor"),
        ("x", torch.zeros(3).to_sparse(), "x is no plain tensor"),
        ("x", torch.zeros(3, dtype=torch.complex64), "x is no plain tensor"),
        ("x", torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8), "x is no plain tensor"),
        ("x", torch.zeros(3, device="meta"), "x has no values"),
        (3, torch.zeros(3), "a name of a tensor is 3"),
        ("a\nb", torch.zeros(3), r"a name of a tensor is 'a\nb'"),
        ("x" * 999, torch.zeros(3), "a name of a tensor is 'xxx"),
    ],
)
def test_kinds_of_tensors(name: object, value: object, fault: str | None) -> None:
    found = fault_of_kinds([(name, value)])
    assert found == fault or (fault and found and found.startswith(fault))


def test_tensors_that_claim_more_than_they_have() -> None:
    real = torch.zeros(10)
    assert fault_of_sizes({"a": real, "b": real, "c": real.reshape(2, 5)}) is None, "tied weights"
    assert fault_of_sizes({"a": torch.zeros(1).expand(10**6, 10**6)}) == (
        "its tensors claim 4,000,000,000,000 bytes and have 4"
    )
    assert "claim 400,000 bytes" in fault_of_sizes({f"{number}": real for number in range(10_000)})


def test_errors_are_one_line_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(zipped(b"\x80\x02]q\x00(K\x01K\x02e."))
    with pytest.raises(CheckpointError, match=rf"^{path}: not a checkpoint of this program"):
        load_checkpoint(path)
    with pytest.raises(WeightError, match=rf"^{path}: holds no table of tensors"):
        read_weights(path)
