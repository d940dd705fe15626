"""Training speed of this machine, compared with its fastest matrix products, for `charlm bench`.

Whole steps of the training loop are timed, with dropout, norm, clipping and optimizer. A multiply-add is two flops.
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
_PRODUCT_SIZES = (32, 128, 512, 2048)
_PRODUCT_SECONDS = 1.5  # for the last size
_MAX_SLOWDOWN = 20.0  # compared with fp32; slower precisions are emulated
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class ProductSpeed:
    """Speed of matrix products."""

    precision: str
    flops: float  # a second


@dataclass(frozen=True)
class TrainingSpeed:
    """Speed of training steps."""

    hidden: int
    lanes: int
    precision: str
    characters_per_second: float
    flops: float  # a second, of the matrix products alone


def products(device: torch.device) -> list[ProductSpeed]:
    """Return the highest speed of each precision that the machine supports.

    A processor without bf16 emulates it so slowly that a large product takes minutes, so the first ones are small.
    """
    found, candidates = {}, list(_TYPES)
    for size in _PRODUCT_SIZES:
        seconds = {name: _time_product(device, _TYPES[name], size) for name in candidates}
        candidates = [name for name in candidates if seconds[name] < _MAX_SLOWDOWN * seconds["fp32"]]
        found = {name: 2 * size**3 / seconds[name] for name in candidates}
    return [ProductSpeed(name, flops) for name, flops in found.items()]


def _time_product(device: torch.device, dtype: torch.dtype, size: int) -> float:
    one, two = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    fastest, until = float("inf"), time.perf_counter() + (_PRODUCT_SECONDS if size == _PRODUCT_SIZES[-1] else 0.05)
    while True:
        start = time.perf_counter()
        torch.mm(one, two)
        if device.type == "cuda":
            torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - start)
        if time.perf_counter() > until:
            return fastest


def trainings(device: torch.device, seconds: float) -> Iterator[TrainingSpeed]:
    """Time training steps of each of `SHAPES`, for about `seconds` each."""
    for hidden, lanes in SHAPES:
        yield training(device, hidden, lanes, seconds)


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
