"""From the flags to a model with its weights, to how a step is taken and to what pre-training does."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from timm.utils import ModelEmaV3

from core import checkpoint, device, distributed, experiment
from core.engine import StepSettings
from core.pretraining import PretrainSettings, finetune_losses, pretrain_losses
from core.trainer import Phase
from datasets.video_batch import VideoBatch
from models.build import ModelSizes, PretrainingSizes, add_pretraining, build_model, streams_of
from models.layers import set_layers
from models.mart import MART
from models.mbt import MBT
from models.pretrained import find_default, load_audio_weights, load_text_encoder, load_visual_weights
from models.text import TextEncoder, embedded_weights
from models.weight_files import WeightError

log = logging.getLogger(__name__)

PRETRAINED_MODELS = Path(__file__).parents[1] / "pretrained_models"


class ModelError(ValueError):
    """Sizes that contradict each other."""


def new_model(
    flags: argparse.Namespace,
    n_classes: int,
    stored: dict[str, Any] | None = None,
    text: TextEncoder | None = None,
) -> MART | MBT:
    """The model that the flags ask for, MART or the baseline without a pre-training; of the parts that `stored` has.

    text: what reads its words, if there is one already.
    """
    try:
        text = text or read_text_encoder(flags)
        model: MART | MBT = build_model(sizes_of(ModelSizes, flags, n_classes=n_classes), text)
        if flags.pretrain_epochs:
            model = add_pretraining(model, text, sizes_of(PretrainingSizes, flags))
            if stored and stored.get("first_step"):  # of fine-tuning, behind the steps of pre-training
                model.end_pretraining()
        set_layers(model, flags.recompute, flags.compile)
        return model
    except WeightError:
        raise
    except ValueError as error:
        raise ModelError(f"sizes of the model: {error}") from None


def read_text_encoder(flags: argparse.Namespace) -> TextEncoder | None:
    """What reads the words, where the flags need it."""
    if not flags.pretrain_epochs and "t" not in flags.modalities:
        return None
    text = load_text_encoder(embedded_weights() if flags.text_weights == "small" else flags.text_weights)
    log.info("%s", text.loaded)
    return text


def recogniser(model: MART | MBT) -> MBT:
    """The part that scores a video."""
    return model.mbt if isinstance(model, MART) else model


def stored_recogniser(flags: argparse.Namespace, stored: dict[str, Any]) -> MBT:
    """The part of a checkpoint's model that scores a video, with the averaged weights. Raises CheckpointError."""
    part = "mbt." if flags.pretrain_epochs else ""
    flags.pretrain_epochs = 0  # what scores needs no more
    weights = {name.removeprefix(part): value for name, value in stored["ema"].items() if name.startswith(part)}
    for name in {"visual", "audio"} & set(streams_of(flags.modalities)):
        n_layers = sum(key.startswith(f"{name}.blocks.") and key.endswith(".norm1.weight") for key in weights)
        if n_layers != flags.depth:
            raise checkpoint.CheckpointError(f"{flags.checkpoint}: has {n_layers} layers, --depth says {flags.depth}")
    text = read_text_encoder(flags)  # which is frozen, so that its weights are not in the file
    try:
        with torch.device("meta"):  # where sizes cost nothing: a file may claim any, and its weights have others
            model = new_model(flags, len(stored["classes"]), text=text)
    except (RuntimeError, TypeError) as error:
        raise ModelError(f"sizes of the model: {str(error).splitlines()[0]}") from None
    checkpoint.check_weights(model, weights, flags.checkpoint)
    whole = set() if text is None else set(text.modules())
    for module in model.modules():
        if module not in whole:
            module.to_empty(device="cpu", recurse=False)
    checkpoint.load_weights(model, weights, flags.checkpoint)
    return model


def averaged(model: MART | MBT, decay: float) -> ModelEmaV3:
    """The teacher: an exponential moving average of the weights. Frozen text weights are shared, not copied twice."""
    ema = ModelEmaV3(model, decay=decay, use_warmup=True)
    for name, module in model.named_modules():
        if isinstance(module, TextEncoder):
            ema.module.set_submodule(name, module)
    return ema


def divide(flags: argparse.Namespace, model: MART | MBT, ema: ModelEmaV3) -> None:
    """With --fsdp, divide the weights of the model and of its teacher among the processes."""
    if flags.fsdp:
        from core import sharding  # takes seconds

        sharding.shard(model, teacher=False)
        sharding.shard(ema.module, teacher=True)
        ema.foreach = False  # which would not take divided and whole tensors together


def choose_weights(flags: argparse.Namespace) -> None:
    """Where no weights are asked for: the published ones if they are there, or a notice that they are not."""
    for kind, otherwise in (("visual", "random"), ("audio", "random"), ("text", "small")):
        name = f"{kind}_weights"
        if getattr(flags, name) is None:
            found = find_default(kind, PRETRAINED_MODELS)
            setattr(flags, name, str(found or otherwise))
            if found is None and (kind[0] in flags.modalities or (kind == "text" and flags.pretrain_epochs)):
                log.warning("no %s weights in pretrained_models/ (see its README): --%s %s", kind, name, otherwise)


def load_encoders(model: MBT, flags: argparse.Namespace) -> None:
    """Pre-trained weights of both encoders, where a new run starts from them. Raises WeightError."""
    for name, source, load in (
        ("visual", flags.visual_weights, load_visual_weights),
        ("audio", flags.audio_weights, load_audio_weights),
    ):
        if name in model.streams and source != "random":
            log.info("%s", load(model.encoder(name), source))


def sizes_of(sizes: type, flags: argparse.Namespace, **known: int) -> Any:
    """A dataclass of sizes, filled from the flags of the same names."""
    names = {field.name for field in dataclasses.fields(sizes)} - set(known)
    return sizes(**known, **{name: getattr(flags, name) for name in names})


def step_settings(flags: argparse.Namespace, polarity: Sequence[int]) -> StepSettings:
    """Device and number format, chosen here once and logged with the reason, and the order of the channels."""
    chosen = device.choose_device(flags.device)
    if flags.compile:
        device.check_compiler(chosen)
    precision, reason = device.choose_precision(flags.precision, chosen)
    log.info("device %s, matrix products in %s: %s", device.describe_device(chosen), precision, reason)
    log.info("channels first: the only convolutions cut patches, which takes longer with channels last")
    return StepSettings(
        device=chosen,
        precision=precision,
        polarity=torch.tensor(polarity, device=chosen),
        lambda_0=flags.lambda_0,
        accu_step=flags.accu_step,
        clip_grad=flags.clip_grad,
        log_every=flags.log_every,
        skip_nonfinite=flags.skip_nonfinite,
        seed=flags.seed,
    )


def pretrain_settings(flags: argparse.Namespace, settings: StepSettings) -> PretrainSettings:
    """What the flags say of the pre-training."""
    return PretrainSettings(
        polarity=settings.polarity,
        lambda_0=flags.lambda_0,
        verify=flags.verify,
        threshold=flags.degree_threshold,
        mix=flags.cue_mix,
        label_share=flags.label_share,
        teacher_temperature=flags.teacher_temperature,
        contrast_temperature=flags.contrast_temperature,
        masking=flags.masking,
        mask_ratio=(flags.mask_start, flags.mask_end),
        distribution=flags.target == "distribution",
        unlabelled=flags.unlabelled,
        streams=streams_of(flags.modalities),
        modality_dropout=flags.modality_dropout,
        weights=(flags.weight_cls, flags.weight_tacl, flags.weight_ted, flags.weight_patch),
    )


def phases_of(
    flags: argparse.Namespace,
    model: MART | MBT,
    ema: MART | MBT,
    method: PretrainSettings,
    views: Callable[[float], dict[str, Figure]] | None,
    accuracy: Callable[[], float] | None,
) -> list[Phase]:
    """Pre-training, where the flags ask for one, and fine-tuning. `accuracy` is that of held-out videos."""

    def pretrain(batch: VideoBatch, progress: float) -> dict[str, torch.Tensor]:
        with distributed.whole(ema):
            return pretrain_losses(model, ema, batch, method, progress)

    def finetune(batch: VideoBatch, progress: float) -> dict[str, torch.Tensor]:
        with distributed.whole(ema) if flags.finetune_ted else nullcontext():
            return finetune_losses(model, ema, batch, method, flags.finetune_ted)

    def end_pretraining() -> None:
        for each in (model, ema):
            if isinstance(each, MART):
                each.end_pretraining()

    # no decoder works, or no head
    partial = flags.masking == "none" or (flags.unlabelled and not method.distribution)
    first = Phase("pre-training", 0, flags.pretrain_epochs, model, pretrain, partial, experiment.PRETRAINED, show=views)
    n_epochs = flags.pretrain_epochs + flags.n_epochs
    second = Phase(
        "fine-tuning", first.end, n_epochs, recogniser(model), finetune,
        accuracy=accuracy, patience=flags.patience, prepare=end_pretraining,
    )  # fmt: skip
    return [first, second] if flags.pretrain_epochs else [second]
