"""Training speed of this machine, compared with its fastest matrix products, for `charlm bench`.

Whole steps of the training loop are timed, with dropout, norm, clipping and optimizer. A multiply-add is two flops.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from charlm.config import ModelConfig, TrainConfig
from charlm.model.lm import CharLM, Dropout
from charlm.tensor_shapes import tensor_shapes
from charlm.text.batching import Lanes
from charlm.training import runtime_tuning
from charlm.training.events import Stepped
from charlm.training.loop import Trainer
from charlm.training.precision import MAX_SLOWDOWN, fastest, measure

SHAPES = ((256, 32), (512, 64))  # hidden, lanes
CHUNK, VOCABULARY, DROPOUT = 64, 65, 0.1
PRODUCT_SIZES = (32, 128, 512, 2048)
_PRODUCT_SECONDS = 1.5  # for the last size
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class TrainingSpeed:
    """Speed of training steps."""

    hidden: int
    lanes: int
    precision: str
    characters_per_second: float
    flops: float  # a second, of the matrix products alone


def product_flops(device: torch.device) -> dict[str, float]:
    """Return the highest flops per second of each precision that the machine supports.

    A processor without bf16 emulates it so slowly that a large product takes minutes, so the first ones are small.
    """
    flops, candidates = {}, list(_TYPES)
    for size in PRODUCT_SIZES:
        repeat = _PRODUCT_SECONDS if size == PRODUCT_SIZES[-1] else 0.05
        seconds = {}
        for name in candidates:
            one, two = (torch.randn(size, size, device=device).to(_TYPES[name]) for _ in range(2))
            seconds[name] = fastest(partial(torch.mm, one, two), device, repeat)
        candidates = [name for name in candidates if seconds[name] < MAX_SLOWDOWN * seconds["fp32"]]
        flops = {name: 2 * size**3 / seconds[name] for name in candidates}
    return flops


def training(device: torch.device, hidden: int, lanes: int, seconds: float) -> TrainingSpeed:
    """Time training steps of a model of two layers on noise."""
    runtime_tuning.keep_freed_memory()
    precision = measure(device, "lstm", "auto").precision
    config = ModelConfig(vocabulary=VOCABULARY, hidden=hidden, embedding=hidden, layers=2)
    settings = TrainConfig(minutes=60, lanes=lanes, chunk=CHUNK, precision=precision, device=device.type, evaluations=1)
    ids = np.random.default_rng(0).integers(0, VOCABULARY, 400_000).astype(np.uint8)
    model = CharLM(config, Dropout(hidden=DROPOUT, output=DROPOUT)).to(device)  # as the plan has it
    everything = np.ones(VOCABULARY, dtype=np.bool_)
    trainer = Trainer(model, Lanes(ids, lanes, CHUNK, 1), ids[:1000], everything, settings)
    times, before = [], 0.0
    for event in trainer.run():
        assert isinstance(event, Stepped)
        times.append(event.seconds - before)
        before = event.seconds
        if before > seconds and len(times) > 3:
            break
    speed = lanes * CHUNK / statistics.median(times[2:])  # the first two set up
    # Forward, and twice as much backward: of inputs and of weights. The embedding is a look-up.
    weights = sum(
        np.prod(shape) for name, shape in tensor_shapes(config).items() if name.endswith((".w_x", ".w_h", "output.w"))
    )
    return TrainingSpeed(hidden, lanes, precision, speed, float(3 * 2 * weights * speed))
