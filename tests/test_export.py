"""Exported files against the model they were made from, and every wrong start."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import opts
from core import checkpoint
from core.assembly import new_model, stored_recogniser
from models.mbt import MBT
from tests import tiny
from tests.test_modalities import words_batch
from tools import export

SHAPES = ((1, 1), (1, 5), (3, 1), (4, 2))  # videos and segments; 2 and 3 were traced
HAS_ONNX = all(map(importlib.util.find_spec, ("onnx", "onnxscript")))
CLASSES = ["Anger", "Anticipation", "Disgust", "Fear", "Joy", "Sadness", "Surprise", "Trust"]

ELSEWHERE = """
import sys, torch
program = torch.export.load(sys.argv[1]).module()
with torch.no_grad():
    results = [program(*pair) for pair in torch.load(sys.argv[2])]
foreign = {"core", "models", "datasets", "tools", "timm", "transformers"} & set(sys.modules)
assert not foreign, foreign
torch.save(results, sys.argv[3])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a run with pre-training that was compiled, as far as an export reads it."""
    torch.manual_seed(0)
    flags = opts.parse(tiny.arguments(compile=True))
    path = tmp_path_factory.mktemp("trained") / "last.pt"
    weights = checkpoint.trained_weights(new_model(flags, len(CLASSES)))
    content = {"ema": weights, "flags": opts.to_stored(flags), "classes": CLASSES, "epoch": 3}
    checkpoint.save_checkpoint(path, content | {"segment_seconds": 2.5})
    return path


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """mart.pt2 and, where it can be made, mart.onnx."""
    target = tmp_path_factory.mktemp("exported") / "mart.pt2"
    also = ["--onnx", str(target.with_suffix(".onnx"))] if HAS_ONNX else []
    assert export.main(["--checkpoint", str(trained), "--out", str(target), *also]) == 0
    assert len(list(target.parent.iterdir())) == 1 + HAS_ONNX
    return target


@pytest.fixture(scope="module")
def model(trained: Path) -> MBT:
    stored = checkpoint.load_checkpoint(trained)
    return stored_recogniser(opts.parse(["--no-compile"], stored["flags"]), stored).eval()


def pairs() -> list[tuple[Tensor, Tensor]]:
    batches = [tiny.batch(n_videos, seed, n_segments) for seed, (n_videos, n_segments) in enumerate(SHAPES)]
    return [(batch.frames, batch.fbank) for batch in batches]


@torch.no_grad()
def compare(found: list[dict[str, Tensor]], model: MBT, tolerance: float) -> None:
    for (frames, fbank), results in zip(pairs(), found, strict=True):
        output = model({"visual": (frames,), "audio": (fbank,)})
        distribution = output.segment_scores.flatten(1).softmax(dim=1).reshape(output.segment_scores.shape)
        expected = {
            "segment_scores": output.segment_scores,
            "video_scores": output.video_scores,
            "distribution": distribution,
            "probabilities": output.video_scores.softmax(dim=1),
        }
        assert list(results) == list(expected)
        for name, values in expected.items():
            torch.testing.assert_close(results[name], values, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def test_a_process_with_nothing_but_torch_scores_as_the_model(exported: Path, model: MBT, tmp_path: Path) -> None:
    torch.save(pairs(), tmp_path / "inputs")
    words = [str(exported), str(tmp_path / "inputs"), str(tmp_path / "outputs")]
    subprocess.run([sys.executable, "-I", "-c", ELSEWHERE, *words], cwd=tmp_path, check=True)
    compare(torch.load(tmp_path / "outputs"), model, 1e-6)


def check_metadata(text: str, trained: Path) -> None:
    metadata = json.loads(text)
    assert metadata["classes"] == CLASSES and metadata["polarity"] == [-1, 1, -1, -1, 1, -1, 1, 1]
    assert metadata["sizes"] == {"T": 4, "H": 32, "W": 32, "F": 50, "L": 8, "C": 8}
    assert metadata["segment_seconds"] == 2.5
    sha256 = hashlib.sha256(trained.read_bytes()).hexdigest()
    assert metadata["checkpoint"] == {"file": "last.pt", "sha256": sha256, "epoch": 3}
    assert list(metadata["outputs"]) == list(export.OUTPUTS) and "0.5 s" in metadata["inputs"]["fbank"]


def test_what_a_user_has_to_know_travels_inside(exported: Path, trained: Path) -> None:
    extra = {"metadata.json": ""}
    torch.export.load(exported, extra_files=extra)
    check_metadata(extra["metadata.json"], trained)


def test_wrong_shapes_are_refused(exported: Path) -> None:
    program = torch.export.load(exported).module()
    frames, fbank = pairs()[0]
    for wrong in ((frames[:, :, :, :1], fbank), (frames, fbank.repeat(2, 1, 1, 1)), (frames, fbank[..., :64])):
        with pytest.raises(AssertionError, match="Guard failed"):
            program(*wrong)


@pytest.mark.skipif(not HAS_ONNX, reason="onnx or onnxscript is not installed")
def test_onnx_runtime_scores_as_the_model(exported: Path, trained: Path, model: MBT) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(exported.with_suffix(".onnx"), providers=["CPUExecutionProvider"])
    assert [(entry.name, entry.type, entry.shape[:2]) for entry in session.get_inputs()] == [
        ("frames", "tensor(uint8)", ["B", "S"]),
        ("fbank", "tensor(float)", ["B", "S"]),
    ]
    names = [entry.name for entry in session.get_outputs()]
    found = [session.run(None, {"frames": frames.numpy(), "fbank": fbank.numpy()}) for frames, fbank in pairs()]
    compare([dict(zip(names, map(torch.from_numpy, values), strict=True)) for values in found], model, 1e-5)
    check_metadata(session.get_modelmeta().custom_metadata_map["metadata.json"], trained)


def test_a_file_is_replaced_only_when_asked(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "trace", lambda *_: None)
    monkeypatch.setattr(torch.export, "save", lambda _, path, **__: path.write_text("new"))
    target = tmp_path / "mart.pt2"
    target.write_text("old")
    (tmp_path / ".part-4194999-mart.pt2").write_text("of a killed run")
    words = ["--checkpoint", str(trained), "--out", str(target)]
    assert export.main(words) == 2 and target.read_text() == "old"
    assert "--overwrite" in capsys.readouterr().err
    assert export.main([*words, "--overwrite"]) == 0 and target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupted_export_leaves_nothing(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: object, path: Path, **__: object) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "trace", lambda *_: None)
    monkeypatch.setattr(torch.export, "save", full)
    assert export.main(["--checkpoint", str(trained), "--out", str(tmp_path / "mart.pt2")]) == 2
    assert "No space left" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def other_sizes(path: Path, trained: Path) -> None:
    stored = checkpoint.load_checkpoint(trained)
    checkpoint.save_checkpoint(path, stored | {"flags": stored["flags"] | {"embed_dim": 48}})


def impossible_sizes(path: Path, trained: Path) -> None:
    stored = checkpoint.load_checkpoint(trained)
    checkpoint.save_checkpoint(path, stored | {"flags": stored["flags"] | {"num_heads": 5}})


WRONG_CHECKPOINTS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "missing": (lambda path, _: None, "no such checkpoint"),
    "text": (lambda path, _: path.write_text("hello"), "no PyTorch file"),
    "cut off": (lambda path, whole: path.write_bytes(whole.read_bytes()[:5000]), "cut off"),
    "runs code": (lambda path, _: torch.save({"format": 1, "ema": print}, path), "was not opened"),
    "another program's": (lambda path, _: torch.save({"weights": {}}, path), "not a checkpoint of this program"),
    "other sizes": (other_sizes, "weights of another model"),
    "impossible sizes": (impossible_sizes, "num_heads 5"),
}


@pytest.mark.parametrize("name", WRONG_CHECKPOINTS)
def test_a_wrong_checkpoint_costs_one_line(
    name: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, expected = WRONG_CHECKPOINTS[name]
    make(tmp_path / "wrong.pt", trained)
    assert export.main(["--checkpoint", str(tmp_path / "wrong.pt"), "--out", str(tmp_path / "mart.pt2")]) == 2
    message = capsys.readouterr().err
    assert message.startswith("export: ") and message.count("\n") == 1 and expected in message
    assert not (tmp_path / "mart.pt2").exists()


def test_wrong_targets_cost_one_line(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*words: str) -> str:
        assert export.main(["--checkpoint", str(trained), *words]) == 2
        message = capsys.readouterr().err
        assert message.startswith("export: ") and message.count("\n") == 1
        return message

    target = str(tmp_path / "mart.pt2")
    assert "is a folder" in refused("--out", str(tmp_path))
    assert "given twice" in refused("--out", target, "--onnx", target)
    assert "given twice" in refused("--out", str(trained), "--overwrite")
    monkeypatch.setattr(export, "MOST_ONNX_BYTES", 1000)
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    assert "pip install onnx onnxscript onnxruntime" in refused("--out", target, "--onnx", f"{target}.onnx")
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: name)
    assert "leave out --onnx" in refused("--out", target, "--onnx", f"{target}.onnx")
    monkeypatch.setattr(export, "trace", lambda *_: None)
    monkeypatch.setattr(torch.export, "save", lambda _, path, **__: path.write_text("x"))
    assert "cannot be written" in refused("--out", str(tmp_path / "no" / "mart.pt2"))


@torch.no_grad()
@pytest.mark.parametrize("modalities", ["a", "avt"])
def test_other_modalities_are_exported_with_inputs_of_their_own(modalities: str) -> None:
    flags = opts.parse(tiny.arguments(modalities=modalities, pretrain_epochs=0))
    model = new_model(flags, 8).eval()
    program = export.trace(model, flags).module()
    names = export.input_names(model)
    assert names == (["fbank"] if modalities == "a" else ["frames", "fbank", "token_ids", "token_mask"])
    for n_videos in (1, 3):
        batch = words_batch(n_videos)
        found = program(*(getattr(batch, name) for name in names))
        torch.testing.assert_close(found["video_scores"], model(batch.media()).video_scores, rtol=1e-4, atol=1e-5)
