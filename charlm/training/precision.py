"""What this machine is quick at, found by a short measurement."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import torch

from charlm.cells import CELLS
from charlm.errors import UsageError
from charlm.model import kernels

# A processor without bf16 instructions refuses some kernels and emulates others a thousand times slower than fp32, so
# the measurement feels its way up from shapes that even then take milliseconds, and gives up at the first that says no.
_SHAPES = ((2, 4, 32), (8, 16, 128), (64, 32, 256))  # steps, lanes, hidden
_HOPELESS = 20.0  # times slower than fp32, even where the first call is slow to set itself up
_PASSES = 3  # at least: the first sets things up
_SLOW = 0.25  # seconds; whatever takes so long is not repeated


class StepTimes(NamedTuple):
    """What a training step of a layer reaches here."""

    precision: str  # "fp32" or "bf16", whichever is quicker
    speed: float  # multiply-adds a second at that precision


def measure(device: torch.device, cell: str, precision: str, seconds: float = 0.0) -> StepTimes:
    """Time a layer's forward and backward pass.

    Args:
        device: where.
        cell: which.
        precision: "fp32" or "bf16" to measure only that, "auto" to find the quicker.
        seconds: how long to go on with each, since a machine may look slow by chance; 0 for as few passes as will do.

    Returns:
        The precision to train with and the speed that it reaches.

    Raises:
        UsageError: the precision asked for does not exist here.
    """
    candidates = ["fp32", "bf16"] if precision == "auto" else [precision]
    for shape in _SHAPES:
        goes_on = seconds if shape == _SHAPES[-1] else 0.0
        times = {name: _time_step(device, cell, name, *shape, goes_on) for name in candidates}
        candidates = [name for name in candidates if times[name] < _HOPELESS * min(times.values())]
    best = min(candidates, key=lambda name: times[name], default=None)
    if best is None:
        raise UsageError(f"this machine has no {precision} arithmetic", "leave --precision out")
    steps, lanes, hidden = _SHAPES[-1]
    multiply_adds = 3 * steps * lanes * len(CELLS[cell].GATES) * hidden * 2 * hidden
    return StepTimes(best, multiply_adds / times[best])


def _time_step(
    device: torch.device, cell: str, precision: str, steps: int, lanes: int, hidden: int, seconds: float
) -> float:
    """The quickest of the passes that so many seconds allow, in seconds. Infinity if there is no such kernel."""
    with torch.random.fork_rng(devices=[]):
        shapes = CELLS[cell].shapes(hidden, hidden)
        weights = {name: torch.randn(shape, device=device, requires_grad=True) for name, shape in shapes.items()}
        x = torch.randn(steps, lanes, hidden, device=device, requires_grad=True)
        state = tuple(torch.zeros(lanes, hidden, device=device) for _ in CELLS[cell].state_fields)
        quickest, passes, until = math.inf, 0, time.perf_counter() + seconds
        while passes < _PASSES or time.perf_counter() < until:
            start = time.perf_counter()
            try:
                with autocast(device, precision):
                    output, _ = kernels.CELLS[cell](x, state, weights)
                torch.autograd.backward(output.float().sum())
            except RuntimeError:
                return math.inf
            if device.type == "cuda":
                torch.cuda.synchronize()
            elapsed = time.perf_counter() - start
            quickest, passes = min(quickest, elapsed), passes + 1
            if elapsed > _SLOW:
                break
        return quickest


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a model of that precision runs."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of that name; for "auto" the best that is there.

    Args:
        name: one of `charlm.config.DEVICES`.
        local_rank: which of several processes on this machine asks; each gets a graphics card of its own.

    Raises:
        UsageError: it is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, is_there in there.items() if is_there)
    if not there[name]:
        raise UsageError(f"there is no {name} device here", "leave --device out, or say --device cpu")
    if name != "cuda":
        return torch.device(name)
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"there are {torch.cuda.device_count()} graphics cards here, but process {local_rank + 1} wants one too",
            "torchrun --nproc-per-node at most as many, or --device cpu",
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
