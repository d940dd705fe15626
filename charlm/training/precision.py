"""Measures the speed of each precision, and picks the device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from charlm.cells import CELLS
from charlm.errors import UsageError
from charlm.model import kernels

# A processor without bf16 instructions refuses some kernels and emulates others a thousand times slower than fp32. So
# the measurement begins with shapes that take milliseconds even then, and drops a precision that is far too slow.
_SHAPES = ((2, 4, 32), (8, 16, 128), (64, 32, 256))  # steps, lanes, hidden
MAX_SLOWDOWN = 20.0  # compared with fp32; slower precisions are emulated, or slow to set up
_MIN_PASSES = 3  # the first one sets up
_MAX_PASS_SECONDS = 0.25  # slower passes are not repeated


class StepTimes(NamedTuple):
    """Speed of a layer's training step on this machine."""

    precision: str  # the faster of "fp32" and "bf16"
    speed: float  # multiply-adds a second


def measure(device: torch.device, cell: str, precision: str, seconds: float = 0.0) -> StepTimes:
    """Time a layer's training step; return the fastest precision and its speed.

    Only `precision` is measured, unless it is "auto". More `seconds` help, because single passes are noisy; 0 takes the
    fewest. Raises UsageError if the device does not support the precision.
    """
    candidates = ["fp32", "bf16"] if precision == "auto" else [precision]
    for shape in _SHAPES:
        repeat = seconds if shape == _SHAPES[-1] else 0.0
        times = {name: _time_step(device, cell, name, *shape, repeat) for name in candidates}
        candidates = [name for name in candidates if times[name] < MAX_SLOWDOWN * min(times.values())]
    best = min(candidates, key=lambda name: times[name], default=None)
    if best is None:
        raise UsageError(f"this machine has no {precision} arithmetic", "leave --precision out")
    steps, lanes, hidden = _SHAPES[-1]
    multiply_adds = 3 * steps * lanes * len(CELLS[cell].GATES) * hidden * 2 * hidden
    return StepTimes(best, multiply_adds / times[best])


def _time_step(
    device: torch.device, cell: str, precision: str, steps: int, lanes: int, hidden: int, seconds: float
) -> float:
    """Return the seconds of the fastest pass, infinity if there is no kernel; repeat for `seconds`."""
    with torch.random.fork_rng(devices=[]):
        shapes = CELLS[cell].shapes(hidden, hidden)
        weights = {name: torch.randn(shape, device=device, requires_grad=True) for name, shape in shapes.items()}
        x = torch.randn(steps, lanes, hidden, device=device, requires_grad=True)
        state = tuple(torch.zeros(lanes, hidden, device=device) for _ in CELLS[cell].state_fields)

        def step() -> None:
            with autocast(device, precision):
                output, _ = kernels.CELLS[cell](x, state, weights)
            torch.autograd.backward(output.float().sum())

        try:
            return fastest(step, device, seconds, _MIN_PASSES)
        except RuntimeError:
            return math.inf


def fastest(step: Callable[[], object], device: torch.device, seconds: float, min_passes: int = 1) -> float:
    """Return the seconds of the fastest pass of those that fit into `seconds`; slow ones are not repeated."""
    best, passes, until = math.inf, 0, time.perf_counter() + seconds
    while passes < min_passes or time.perf_counter() < until:
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        elapsed = time.perf_counter() - start
        best, passes = min(best, elapsed), passes + 1
        if elapsed > max(seconds, _MAX_PASS_SECONDS):
            break
    return best


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context for a model of that precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """Return a device of `charlm.config.DEVICES`, "auto" for the best one; raise UsageError if there is none.

    Each process of this machine gets a graphics card of its own, by its local rank.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, is_available in available.items() if is_available)
    if not available[name]:
        raise UsageError(f"there is no {name} device here", "leave --device out, or use --device cpu")
    if name != "cuda":
        return torch.device(name)
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"there are {torch.cuda.device_count()} graphics cards here, but {local_rank + 1} processes or more",
            "lower torchrun's --nproc-per-node, or use --device cpu",
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
