"""Training and evaluation on batches of noise: it learns, accumulates exactly and stops when it must."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, fields, replace

import pytest
import torch
from timm.utils import ModelEmaV3

from core.engine import EmptySplitError, StepSettings, TrainState, train_one_epoch
from core.evaluation import ScoreError, all_metrics, predict_split
from core.findings import Begun, NonFiniteLossError
from core.losses import classification_losses
from core.optimizer import OptimizerSettings, build_optimizer, build_schedule
from datasets.annotations import AnnotatedSegment
from datasets.benchmarks import BENCHMARKS
from datasets.video_batch import VideoBatch
from models.build import build_model
from tests import tiny

VE8 = BENCHMARKS["ve8"]


def settings(**changes: object) -> StepSettings:
    defaults = {"device": torch.device("cpu"), "precision": torch.float32, "polarity": torch.tensor(VE8.polarity)}
    return StepSettings(**(defaults | changes))


def new_state(learning_rate: float = 1e-3, total_steps: int = 100) -> TrainState:
    torch.manual_seed(0)
    model = build_model(tiny.SIZES)
    state = TrainState(model, ModelEmaV3(model, decay=0.9, use_warmup=True))
    state.begin_phase(model, OptimizerSettings(learning_rate, 0.0, 2), total_steps)
    return state


def epoch(state: TrainState, batches: list[VideoBatch], **changes: object) -> tuple[dict, list[str], list[dict]]:
    steps: list[dict] = []
    chosen = settings(**changes)

    def compute(batch: VideoBatch) -> dict[str, torch.Tensor]:
        with chosen.autocast():
            output = state.model(batch.media(), batch.present())
        return classification_losses(output, batch.labels, chosen.polarity, chosen.lambda_0)

    means, left_out = train_one_epoch(
        state,
        batches,
        chosen,
        objective=compute,
        n_batches=len(batches),
        on_step=lambda _, values: steps.append(values),
    )
    return means, left_out, steps


def epoch_until(state: TrainState, batches: list[VideoBatch], stop: Callable[[], bool]) -> object:
    """An epoch that is stopped."""

    def compute(batch: VideoBatch) -> dict[str, torch.Tensor]:
        output = state.model(batch.media(), batch.present())
        return classification_losses(output, batch.labels, torch.tensor(VE8.polarity), 0.5)

    return train_one_epoch(
        state, batches, settings(), objective=compute, n_batches=len(batches), on_step=lambda *_: None, stop=stop
    )


def weights(state: TrainState) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in state.model.parameters()])


def test_one_batch_is_learnt_by_heart() -> None:
    state, data = new_state(5e-3, 250), [tiny.batch(8)]
    first = epoch(state, data)[0]["loss"]
    for _ in range(249):
        last = epoch(state, data)[0]["loss"]
    assert first > 3.5 and last < 0.01
    scored = predict_split(state.ema.module, data, settings(), n_batches=1, name="test")
    assert all_metrics(scored, VE8.classes, VE8.polarity)["acc_e"] == 1.0


def test_accumulated_batches_are_one_batch() -> None:
    whole, parts = new_state(), new_state()
    for state in (whole, parts):  # Adam divides by the gradient's size, which turns rounding into whole steps
        state.optimizer = torch.optim.SGD(state.model.parameters(), lr=0.1, fused=True)
        state.schedule = build_schedule(state.optimizer, 100, 0)
    data = tiny.batch(8)
    pieces = [_part(data, 0, 3), _part(data, 3, 6), _part(data, 6, 8)]
    for _ in range(3):
        epoch(whole, [data])
        epoch(parts, pieces, accu_step=3)
    assert whole.step == parts.step == 3
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-4, atol=1e-6)


def _part(batch: VideoBatch, start: int, stop: int) -> VideoBatch:
    values = {field.name: getattr(batch, field.name) for field in fields(batch) if field.name != "skipped"}
    return replace(batch, **{name: value[start:stop] for name, value in values.items()})


def test_an_incomplete_group_is_a_step_too() -> None:
    state = new_state()
    epoch(state, [tiny.batch(2, seed) for seed in range(3)], accu_step=2)
    assert state.step == 2 and state.epoch == 1


def test_gradients_are_clipped_and_reported_unclipped() -> None:
    *_, steps = epoch(new_state(), [tiny.batch(4)], clip_grad=1e-9)
    *_, unclipped = epoch(new_state(), [tiny.batch(4)], clip_grad=0.0)
    assert steps[0]["gradient_norm"] == pytest.approx(unclipped[0]["gradient_norm"])
    assert steps[0]["gradient_norm"] > 0.1


def test_learning_rate_rises_then_falls_to_zero() -> None:
    state = new_state(learning_rate=1e-3, total_steps=10)
    rates = [values["learning_rate"] for _ in range(10) for values in epoch(state, [tiny.batch(2)])[2]]
    assert rates[0] == pytest.approx(5e-4) and max(rates) == rates[1] == pytest.approx(1e-3)
    assert rates[1:] == sorted(rates[1:], reverse=True) and 0 < rates[-1] < 1e-4


def test_norms_biases_tokens_and_positions_do_not_decay() -> None:
    optimizer = build_optimizer(new_state().model, OptimizerSettings(1e-3, 0.04, 2))
    named = {id(parameter): name for name, parameter in new_state().model.named_parameters()}
    assert len(named) == sum(len(group["params"]) for group in optimizer.param_groups)
    decayed = [p for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]]
    assert decayed and all(p.ndim > 1 and p.shape[0] != 1 for p in decayed), "tables and tokens are (1, n, D)"


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_it_stops_before_a_step_that_is_not_a_number(where: str) -> None:
    state = new_state()
    before = weights(state)
    data = tiny.batch(2, seed=7)
    if where == "loss":
        data.fbank[1] = float("nan")
    else:
        next(state.model.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    message = rf"step 1: the {where} is not finite on class/video 7\.0, class/video 7\.1 \(loss .*_norm (nan|inf)"
    with pytest.raises(NonFiniteLossError, match=message):
        epoch(state, [data])
    torch.testing.assert_close(weights(state), before, rtol=0, atol=0)


def test_a_loss_that_is_no_number_changes_nothing_even_where_its_gradient_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a constant part of it overflows."""
    state = new_state()
    before = weights(state)

    plain = classification_losses

    def losses(*arguments: object) -> dict[str, torch.Tensor]:
        found = plain(*arguments)
        return found | {"loss": found["loss"] + float("inf")}

    monkeypatch.setattr(sys.modules[__name__], "classification_losses", losses)
    with pytest.raises(NonFiniteLossError, match="step 1: the loss is not finite"):
        epoch(state, [tiny.batch(2, seed=7)])
    torch.testing.assert_close(weights(state), before, rtol=0, atol=0)


def test_scores_that_are_no_numbers_are_not_evaluated() -> None:
    state, data = new_state(), tiny.batch(2, seed=7)
    data.fbank[1] = float("nan")
    with pytest.raises(ScoreError, match=r"1 of 2 test videos are not numbers, the first class/video 7\.1; try"):
        predict_split(state.model, [data], settings(), n_batches=1, name="test")


def test_only_the_batch_without_a_finite_loss_is_named() -> None:
    good, bad = tiny.batch(2, seed=1), tiny.batch(2, seed=2)
    bad.fbank[:] = float("inf")
    with pytest.raises(NonFiniteLossError) as caught:
        epoch(new_state(), [good, bad], accu_step=2)
    assert "video 2.0, class/video 2.1" in str(caught.value) and "video 1." not in str(caught.value)
    assert "--resume --skip_nonfinite 1" in str(caught.value)


def test_as_many_steps_as_are_allowed_are_reported_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    state, good, bad = new_state(), tiny.batch(2, seed=1), tiny.batch(2, seed=2)
    bad.fbank[:] = float("nan")
    means, _, steps = epoch(state, [good, bad, good, bad], skip_nonfinite=2, log_every=2)
    assert [line.partition(":")[0] for line in caplog.messages] == ["step 2", "step 4"]
    assert "2 of 2 that --skip_nonfinite allows" in caplog.messages[1]
    assert state.step == 4 and len(steps) == 2 and math.isfinite(means["loss"])
    assert means["loss"] == pytest.approx((steps[0]["loss"] + steps[1]["loss"]) / 2)
    assert all(bool(value.isfinite().all()) for value in state.ema.module.state_dict().values())
    assert state.begun.nonfinite == 2, "which the next epoch goes on from"
    with pytest.raises(NonFiniteLossError, match="--skip_nonfinite 3"):
        epoch(state, [bad], skip_nonfinite=2)


class Stopping:
    """Asks to stop behind the `count`-th group of batches."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def draws(state: TrainState, batches: list[VideoBatch], **flags: object) -> list[float]:
    """What the objective draws, batch by batch."""
    found = []

    def compute(batch: VideoBatch) -> dict[str, torch.Tensor]:
        found.append(torch.rand(()).item())
        output = state.model(batch.media(), batch.present())
        return classification_losses(output, batch.labels, torch.tensor(VE8.polarity), 0.5)

    chosen = settings(accu_step=2, seed=flags.pop("seed", 0))
    train_one_epoch(state, batches, chosen, objective=compute, n_batches=8, on_step=lambda *_: None, **flags)
    return found


def test_what_a_batch_draws_depends_on_its_number_alone() -> None:
    batches = [tiny.batch(1, seed) for seed in range(8)]
    whole = draws(new_state(), batches)
    assert len(set(whole)) == 8
    state = new_state()
    torch.rand(5)
    assert draws(state, batches, stop=Stopping(2)) == whole[:4]
    assert state.epoch == 0 and state.begun.batches == 4
    assert draws(state, batches[4:]) == whole[4:] and (state.epoch, state.begun.batches) == (1, 0)
    assert draws(state, batches) != whole != draws(new_state(), batches, seed=1)


def test_an_epoch_in_two_parts_has_the_means_of_one() -> None:
    batches = [tiny.batch(2, seed) for seed in range(5)]
    nothing = replace(tiny.batch(0), skipped=["a.mp3: broken"])
    whole, parts = new_state(), new_state()
    expected, left_out, _ = epoch(whole, [nothing, *batches, nothing])
    assert epoch_until(parts, [nothing, *batches], Stopping(4)) is None
    assert (parts.step, parts.begun.batches, parts.begun.videos) == (3, 4, 6)
    parts.begun = Begun(**asdict(parts.begun))  # as a checkpoint holds it
    means, lines, _ = epoch(parts, [*batches[3:], nothing])
    assert {n: v for n, v in means.items() if n not in ("videos_per_second", "waiting")} == {
        n: v for n, v in expected.items() if n not in ("videos_per_second", "waiting")
    }
    assert lines == left_out == ["a.mp3: broken"] * 2
    assert torch.equal(weights(parts), weights(whole))


def test_a_stop_behind_the_last_step_leaves_the_end_of_the_epoch() -> None:
    state = new_state()
    assert epoch_until(state, [tiny.batch(2)] * 2, Stopping(2)) is None
    assert (state.epoch, state.begun.batches) == (0, 2)
    means, _, steps = epoch(state, [])
    assert state.epoch == 1 and steps == [] and means["loss"] > 0


def test_left_out_videos_are_reported_and_an_empty_batch_is_no_step() -> None:
    state = new_state()
    nothing = replace(tiny.batch(0), skipped=["a.mp3: broken"])
    _, left_out, steps = epoch(state, [nothing, tiny.batch(2)])
    assert left_out == ["a.mp3: broken"] and state.step == len(steps) == 1
    with pytest.raises(EmptySplitError):
        predict_split(state.model, [nothing], settings(), n_batches=1, name="test")


def test_an_epoch_of_nothing_says_so() -> None:
    with pytest.raises(EmptySplitError, match="not one"):
        epoch(new_state(), [replace(tiny.batch(0), skipped=["a.mp3: broken"])])


def test_bf16_and_float32_agree_roughly() -> None:
    full = epoch(new_state(), [tiny.batch(4)])[0]["loss"]
    half = epoch(new_state(), [tiny.batch(4)], precision=torch.bfloat16)[0]["loss"]
    assert half == pytest.approx(full, rel=0.05) and half != full


def test_evaluation_does_not_depend_on_the_batch_size() -> None:
    model, data = new_state().model, tiny.batch(6)
    together = predict_split(model, [data], settings(), n_batches=1, name="test")
    apart = predict_split(model, [_part(data, i, i + 1) for i in range(6)], settings(), n_batches=6, name="test")
    torch.testing.assert_close(torch.tensor(apart.scores), torch.tensor(together.scores), rtol=1e-4, atol=1e-5)
    assert apart.keys == together.keys and apart.loss == pytest.approx(together.loss, rel=1e-5)
    assert together.temporal.sum(axis=(1, 2)) == pytest.approx(1.0)


def test_temporal_metrics_come_with_a_course() -> None:
    data = tiny.batch(2)
    model = new_state().model
    plain = predict_split(model, [data], settings(), n_batches=1, name="test")
    assert "temporal" not in all_metrics(plain, VE8.classes, VE8.polarity)
    data.truth[0, 0, 4] = 1.0
    data.courses[0] = (AnnotatedSegment(0.0, 2.0, "Joy"),)
    measured = all_metrics(
        predict_split(model, [data], settings(), n_batches=1, name="test"), VE8.classes, VE8.polarity
    )["temporal"]
    assert measured["kl"] == pytest.approx(measured["kl_degree"] + measured["kl_emotion"])
    assert 0 <= measured["map"] <= 1 and "map@0.10" in measured
