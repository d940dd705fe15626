"""How quickly this machine trains, against the products of matrices that no training can do without.

Owns the measurement behind `charlm bench`; whole steps of the one training loop are timed, with dropout, norm, clipping
and optimizer. Speeds of products count a multiplication and an addition as two.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from charlm.config import ModelConfig, TrainConfig
from charlm.model.lm import CharLM, Dropout
from charlm.tensor_shapes import tensor_shapes
from charlm.text.batching import Lanes
from charlm.training import runtime_tuning
from charlm.training.events import Stepped
from charlm.training.loop import Trainer
from charlm.training.precision import measure

SHAPES = ((256, 32), (512, 64))  # hidden, lanes
CHUNK, VOCABULARY, DROPOUT = 64, 65, 0.1
_SIZES = (32, 128, 512, 2048)  # of the products, feeling the way up
_HOPELESS = 20.0  # times slower than fp32: emulated
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class ProductSpeed:
    """What a product of two matrices reaches."""

    precision: str
    flops: float  # a second


@dataclass(frozen=True)
class TrainingSpeed:
    """What whole training steps reach."""

    hidden: int
    lanes: int
    precision: str
    characters_per_second: float
    flops: float  # a second, of the products alone


def products(device: torch.device) -> list[ProductSpeed]:
    """The best of each precision that this machine truly has.

    A processor without bf16 emulates it so slowly that a large product takes minutes, so the first are tiny.
    """
    found, there = {}, list(_TYPES)
    for size in _SIZES:
        seconds = {name: _time_product(device, _TYPES[name], size) for name in there}
        there = [name for name in there if seconds[name] < _HOPELESS * seconds["fp32"]]
        found = {name: 2 * size**3 / seconds[name] for name in there}
    return [ProductSpeed(name, flops) for name, flops in found.items()]


def _time_product(device: torch.device, dtype: torch.dtype, size: int) -> float:
    one, two = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    quickest, until = float("inf"), time.perf_counter() + (1.5 if size == _SIZES[-1] else 0.05)
    while True:
        start = time.perf_counter()
        torch.mm(one, two)
        if device.type == "cuda":
            torch.cuda.synchronize()
        quickest = min(quickest, time.perf_counter() - start)
        if time.perf_counter() > until:
            return quickest


def trainings(device: torch.device, seconds: float) -> Iterator[TrainingSpeed]:
    """Time whole steps of each of `SHAPES`, for about so many seconds each."""
    for hidden, lanes in SHAPES:
        yield training(device, hidden, lanes, seconds)


def training(device: torch.device, hidden: int, lanes: int, seconds: float) -> TrainingSpeed:
    """Time whole steps of a model of two layers on noise."""
    runtime_tuning.keep_freed_memory()
    precision = measure(device, "lstm", "auto").precision
    config = ModelConfig(vocabulary=VOCABULARY, hidden=hidden, embedding=hidden, layers=2)
    settings = TrainConfig(minutes=60, lanes=lanes, chunk=CHUNK, precision=precision, device=device.type, evaluations=1)
    ids = np.random.default_rng(0).integers(0, VOCABULARY, 400_000).astype(np.uint8)
    model = CharLM(config, Dropout(hidden=DROPOUT, output=DROPOUT)).to(device)  # where the plan has it
    everything = np.ones(VOCABULARY, dtype=np.bool_)
    trainer = Trainer(model, Lanes(ids, lanes, CHUNK, 1), ids[:1000], everything, settings)
    times, before = [], 0.0
    for event in trainer.run():
        assert isinstance(event, Stepped)
        times.append(event.seconds - before)
        before = event.seconds
        if before > seconds and len(times) > 3:
            break
    speed = lanes * CHUNK / statistics.median(times[2:])  # the first two set things up
    # Forward, and twice as much back: of inputs and of weights. The embedding is looked up.
    weights = sum(
        np.prod(shape) for name, shape in tensor_shapes(config).items() if name.endswith((".w_x", ".w_h", "output.w"))
    )
    return TrainingSpeed(hidden, lanes, precision, speed, float(3 * 2 * weights * speed))
