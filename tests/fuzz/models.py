"""Targets: checkpoints of runs, and weight files and folders of other programs."""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path

import torch
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import Tensor, nn

import main
import opts
from core.assembly import new_model
from core.page.video import video_page
from core.prediction_files import as_json as prediction_as_json
from core.stored_run import load_run
from datasets.benchmarks import BENCHMARKS
from models.ast import AudioSpectrogramTransformer
from models.pretrained import load_audio_weights, load_text_encoder, load_visual_weights
from models.vit import VideoViT
from models.weight_files import WeightError, read_weights
from tests import tiny
from tests.fuzz.files import as_json, changed, patched
from tests.fuzz.target import made, target
from tests.videos import grey, write_video

SIZES = {
    "embed_dim": 4, "depth": 1, "num_heads": 1, "fusion_depth": 1, "n_bottleneck": 1, "patch_size": 4, "sample_size": 8,
    "snippet_duration": 2, "audio_frames": 20, "pretrain_epochs": 0, "precision": "fp32", "val_len": 2,
}  # fmt: skip
_ZIP = {b"PK\1\2": 46, b"PK\3\4": 30, b"PK\5\6": 22}


@functools.cache
def _run() -> dict:
    """What a training run of the smallest model keeps."""
    flags = opts.parse(tiny.arguments(**SIZES))
    ve8 = BENCHMARKS["ve8"]
    content = {"format": 1, "ema": new_model(flags, 8).state_dict(), "epoch": 3, "flags": opts.to_stored(flags)}
    return content | {"classes": list(ve8.classes), "polarity": list(ve8.polarity), "segment_seconds": 0.25}


def _saved(content: object, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _predict(path: Path) -> None:
    """Everything that --predict makes of a checkpoint."""
    stored = load_run(path)
    flags = opts.parse(["--predict", "x", "--checkpoint", str(path)], stored["flags"])
    assert (
        flags.n_threads <= 1024 and str(flags.sound_cache) in ("None", "none") and str(flags.result_path) == "results"
    )
    predict = main.open_predictor(flags, stored)
    video = path.with_name("v.mp4")
    video.write_bytes(_video())
    found, thumbnails = predict(video, None)
    json.dumps(prediction_as_json(found), allow_nan=False)
    page = video_page(found, dict(enumerate(thumbnails)), "v.mp4")
    assert all(f"<{name}>" not in page for name in ("b0", "b1")), "names of classes are text, not HTML"


@functools.cache
def _video() -> bytes:
    return made(lambda path: write_video(path, grey([10, 60, 110, 160, 210], 32, 48)), "v.mp4")


_FILES = st.sampled_from((
    _saved({"format": 1, "x": torch.zeros(2).to_sparse()}), _saved([1]), _saved({"format": torch.zeros(3)}),
    _saved({"format": 1}), _saved({"format": 1}, zipped=False),
))  # fmt: skip


@target(
    "last.pt",
    lambda: [_saved(_run()), _saved({"format": 1, "x": torch.arange(4)})],
    _FILES,
    patched(lambda: [_saved({"format": 1, "x": torch.arange(4)})], _ZIP),
)
def checkpoint(path: Path) -> None:
    _predict(path)


def _stories() -> list[dict]:
    _video()  # made once, before anything is judged
    return [{**{name: value for name, value in _run().items() if name not in ("format", "ema")}, "odd": {}}]


ODD = {
    "absent": lambda value: None,
    "text": lambda value: "x",
    "one number": lambda value: value.sum(),
    "no values": lambda value: value.to("meta"),
    "sparse": lambda value: value.to_sparse(),
    "complex": lambda value: value.to(torch.complex64),
    "whole": lambda value: value.to(torch.int64),
    "half": lambda value: value.half(),
    "not a number": lambda value: value * float("nan"),
    "repeated": lambda value: torch.zeros(()).expand(value.shape),
    "vast": lambda value: torch.zeros(1).expand(2**30, 2**10),
}
_NAMES = sorted(_run()["ema"])
_ODD = st.dictionaries(st.sampled_from(_NAMES), st.sampled_from(sorted(ODD)), max_size=2)


@st.composite
def _changed_runs(draw: st.DrawFn) -> bytes:
    story = draw(changed(_stories) | st.just(_stories()[0]))
    return as_json(story | {"odd": draw(_ODD)})


@target("run.json", lambda: [as_json(_stories()[0])], _changed_runs())
def run(path: Path) -> None:
    """A checkpoint with the values that a JSON document tells, and `odd` kinds of weights."""
    try:
        story = json.loads(path.read_bytes())
        odd = story.pop("odd", {})
        weights = {name: ODD[odd[name]](value) if name in odd else value for name, value in _run()["ema"].items()}
    except (ValueError, RecursionError, TypeError, AttributeError, KeyError):
        raise WeightError("no story") from None
    story.setdefault("format", 1)
    story.setdefault("ema", {name: value for name, value in weights.items() if value is not None})
    path.with_name("last.pt").write_bytes(_saved(story))
    _predict(path.with_name("last.pt"))


def _vit() -> VideoViT:
    return VideoViT(8, 2, 4, embed_dim=4, depth=1, num_heads=1)


def _ast() -> AudioSpectrogramTransformer:
    return AudioSpectrogramTransformer(20, embed_dim=4, depth=1, num_heads=1)


def _named(model: nn.Module, prefix: str, parts: tuple[str, ...]) -> dict[str, Tensor]:
    """The weights of an encoder under the names of its authors' files."""
    kept = {name: value for name, value in model.state_dict().items() if name.startswith(parts)}
    return {prefix + name.replace("patch_embed.", "patch_embed.proj."): value for name, value in kept.items()}


@functools.cache
def _visual() -> dict[str, Tensor]:
    return _named(_vit(), "encoder.", ("patch_embed", "blocks", "norm."))


@functools.cache
def _audio() -> dict[str, Tensor]:
    return _named(_ast(), "v.", ("patch_embed", "cls", "dist", "pos", "blocks", "norm."))


def _load(source: Path) -> None:
    """What any source may be: each encoder takes its own."""
    read_weights(source)
    faults = []
    for load in (
        lambda: load_visual_weights(_vit(), source),
        lambda: load_audio_weights(_ast(), source),
        lambda: load_text_encoder(source).loaded,
    ):
        try:
            assert str(load()).isprintable()
        except WeightError as error:
            faults.append(error)
    if len(faults) == 3:
        raise faults[0]


@target(
    "w.pth",
    lambda: [_saved({"model": _visual()}), _saved(_visual(), zipped=False), _saved({"module": {"x": torch.zeros(2)}})],
    patched(lambda: [_saved({"module": {"x": torch.zeros(2)}})], _ZIP),
)
def weight_file(path: Path) -> None:
    _load(path)


@st.composite
def _headers(draw: st.DrawFn) -> bytes:
    header = draw(
        changed(lambda: [{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"x": "y"}}])
    )
    text = as_json(header)
    return draw(st.sampled_from((len(text), 0, 2**63, 2**32))).to_bytes(8, "little") + text + bytes(8)


@target("w.safetensors", lambda: [save(_visual()), save({"a": torch.zeros(2)})], _headers())
def safetensors(path: Path) -> None:
    _load(path)


def _folders() -> list[dict]:
    bert = {"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    layer = {
        "attention.self.query": [4, 4], "attention.self.key": [4, 4], "attention.self.value": [4, 4],
        "attention.output.dense": [4, 4], "attention.output.LayerNorm": [4], "intermediate.dense": [8, 4],
        "output.dense": [4, 8], "output.LayerNorm": [4],
    }  # fmt: skip
    tables = {
        f"embeddings.{name}_embeddings.weight": [n, 4] for name, n in (("word", 9), ("position", 16), ("token_type", 2))
    }
    tensors = tables | {"embeddings.LayerNorm.weight": [4], "embeddings.LayerNorm.bias": [4]}
    tensors |= {f"encoder.layer.0.{name}.weight": shape for name, shape in layer.items()}
    tensors |= {f"encoder.layer.0.{name}.bias": shape[:1] for name, shape in layer.items()}
    visual = {"model_type": "videomae", "image_size": 8, "num_frames": 2, "patch_size": 4, "num_attention_heads": 1}
    inputs = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    sound = {"num_mel_bins": 128, "max_length": 20, "patch_size": 16, "frequency_stride": 10, "time_stride": 10}
    pictures, sounds = ({name: list(value.shape) for name, value in part().items()} for part in (_visual, _audio))
    return [
        {"config": bert | {"model_type": "bert", "hidden_act": "gelu"}, "inputs": {}, "tensors": tensors},
        {"config": visual | {"layer_norm_eps": 1e-6}, "inputs": inputs, "tensors": pictures},
        {"config": sound, "inputs": {"mean": -4.3, "std": 4.6}, "tensors": sounds},
    ]


@target("folder.json", lambda: [as_json(document) for document in _folders()], changed(_folders).map(as_json))
def weight_folder(path: Path) -> None:
    """A Hugging Face folder with these two files and tensors of these shapes."""
    folder = path.with_name("folder")
    folder.mkdir()
    try:
        story = json.loads(path.read_bytes())
        shapes = {name: shape for name, shape in story["tensors"].items() if isinstance(shape, list)}
        save_file(
            {name: torch.ones([max(0, min(int(n), 128)) for n in shape[:5]]) for name, shape in shapes.items()},
            folder / "model.safetensors",
        )
        (folder / "config.json").write_bytes(as_json(story["config"]))
        (folder / "preprocessor_config.json").write_bytes(as_json(story["inputs"]))
    except (ValueError, RecursionError, TypeError, AttributeError, KeyError, OverflowError):
        raise WeightError("no story") from None
    _load(folder)
