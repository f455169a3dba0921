"""The published sizes fit an ordinary machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STEP = """
import resource, sys, torch
import opts
from core.assembly import averaged, choose_weights, new_model, pretrain_settings, step_settings
from core.engine import StepSettings, TrainState, train_one_epoch
from core.optimizer import OptimizerSettings
from core.pretraining import pretrain_losses
from datasets.benchmarks import BENCHMARKS
from tools._benchmark_noise import noise_batch

flags = opts.parse("--preset base --batch_size 1 --accu_step 1 --precision bf16 --device cpu".split())
benchmark = BENCHMARKS["ve8"]
choose_weights(flags)
model = new_model(flags, 8)
settings = step_settings(flags, benchmark.polarity)
method = pretrain_settings(flags, settings)
ema = averaged(model, flags.ema_decay)
state = TrainState(model, ema)
state.begin_phase(model, OptimizerSettings(1e-4, 0.04, 0), 10)
batch = noise_batch(flags, 8)

def compute(batch):
    with settings.autocast():
        return pretrain_losses(model, ema.module, batch, method, 0.5)

train_one_epoch(state, [batch], settings, objective=compute, n_batches=1, on_step=lambda *_: None)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak // 1024 if sys.platform == "linux" else peak // 2**20)
"""


def test_a_pretraining_step_of_the_published_size_needs_less_than_9_gb() -> None:
    """One video of 12 segments, forwards, backwards, optimiser and averaged weights, on a CPU in bfloat16."""
    done = subprocess.run(
        [sys.executable, "-c", STEP], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 9_000, "MB"
