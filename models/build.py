"""From sizes to a model: the one place where the encoders and their fusion are put together."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from models.ast import AudioSpectrogramTransformer
from models.mart import MART
from models.mbt import MBT, STREAMS
from models.text import TextEncoder, TextStream
from models.vit import VideoViT


@dataclass(frozen=True)
class ModelSizes:
    """Everything that decides a parameter's shape in the baseline. Defaults are the published sizes."""

    n_classes: int
    sample_size: int = 112  # pixels
    snippet_duration: int = 16  # frames of a clip
    audio_frames: int = 100  # of 10 ms
    patch_size: int = 16  # pixels
    audio_stride: int = 10  # mel bins and spectrogram frames
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    fusion_depth: int = 4
    n_bottleneck: int = 32
    temporal_pool: str = "max"
    modalities: str = "av"  # first letters of the streams


def build_model(sizes: ModelSizes, text: TextEncoder | None = None) -> MBT:
    """Encoders, fusion and heads of these sizes with random weights. Raises ValueError where sizes contradict.

    text: the encoder of the subtitles, where they are a stream.
    """
    width = {"embed_dim": sizes.embed_dim, "depth": sizes.depth, "num_heads": sizes.num_heads}
    if sizes.embed_dim % sizes.num_heads:
        raise ValueError(f"embed_dim {sizes.embed_dim} is not a multiple of num_heads {sizes.num_heads}")
    encoders: dict[str, nn.Module] = {}
    if "visual" in streams_of(sizes.modalities):
        encoders["visual"] = VideoViT(sizes.sample_size, sizes.snippet_duration, sizes.patch_size, **width)
    if "audio" in streams_of(sizes.modalities):
        encoders["audio"] = AudioSpectrogramTransformer(sizes.audio_frames, stride=sizes.audio_stride, **width)
    if "text" in streams_of(sizes.modalities):
        encoders["text"] = TextStream(text, sizes.embed_dim, sizes.fusion_depth, sizes.num_heads)
    return MBT(encoders, sizes.n_classes, sizes.fusion_depth, sizes.n_bottleneck, sizes.temporal_pool)


def streams_of(modalities: str) -> tuple[str, ...]:
    """The streams of which these are the first letters."""
    return tuple(name for name in STREAMS if name[0] in modalities)


@dataclass(frozen=True)
class PretrainingSizes:
    """What pre-training adds to the baseline. Defaults are the published sizes."""

    common_dim: int = 256  # of words and of what they gather
    decoder_dim: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    target: str = "distribution"
    mask_at: str = "encoder"


def add_pretraining(mbt: MBT, text: TextEncoder, sizes: PretrainingSizes) -> MART:
    """The baseline with words, attention and decoders. Raises ValueError where sizes contradict."""
    if sizes.decoder_dim % sizes.decoder_heads:
        raise ValueError(f"decoder_dim {sizes.decoder_dim} is not a multiple of decoder_heads {sizes.decoder_heads}")
    return MART(
        mbt,
        text,
        num_heads=mbt.encoder(mbt.streams[0]).blocks[-1].attn.num_heads,
        common_dim=sizes.common_dim,
        decoder=(sizes.decoder_dim, sizes.decoder_depth, sizes.decoder_heads),
        target="hog" if sizes.target == "hog" else "pixel",
        mask_at=sizes.mask_at,
    )


def count_parameters(module: nn.Module) -> dict[str, int]:
    """Parameters of each part: the module's children by name, its own parameters by theirs."""
    parts = {name: sum(p.numel() for p in child.parameters()) for name, child in module.named_children()}
    return parts | {name: p.numel() for name, p in module.named_parameters(recurse=False)}
