"""`charlm bench`: measures this machine, and charlm's speed on it."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

import charlm
from charlm import checkpoint
from charlm.checkpoint import Checkpoint
from charlm.cli.command import charlm_command
from charlm.cli.common import json_option
from charlm.cli.output import print_json, print_table
from charlm.config import ModelConfig, SamplingConfig
from charlm.errors import UsageError
from charlm.inference.context import StaticModel, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Sampler
from charlm.tensor_shapes import tensor_shapes
from charlm.text.vocabulary import Vocabulary
from charlm.training import require_torch, runtime_tuning
from charlm.training.events import Ended, Event, Planned, Stepped

SAMPLED_CHARS = 1000  # in each repetition
REPETITIONS = 3
BANDWIDTH_BYTES = 1 << 28  # far larger than any cache


@charlm_command(
    ("charlm bench", "peaks, training, sampling and start-up times of this machine"),
    ("charlm bench --json", "the same as one JSON document"),
    ("charlm bench --learn novel.txt --minutes 1,4", "the loss that each budget reaches on a text"),
)
@click.option("--seconds", default=8.0, help="Time to train with each of the two shapes.")
@click.option("--learn", metavar="FILE", help="Train on this text from scratch instead, and report the loss reached.")
@click.option("--minutes", default="1,4", metavar="M,M", help="Budgets for --learn.")
@click.option("--seed", default=1, help="For --learn.")
@json_option
def command(seconds: float, learn: str | None, minutes: str, seed: int, as_json: bool) -> None:
    """Measure this machine, and charlm on it.

    Stop other programs first: a third busy thread slows down two threads on two cores badly.
    """
    if not 0 < seconds < math.inf:
        raise UsageError(f"seconds is {seconds:g}, but must be above 0")
    require_torch()
    if learn is not None:
        report: dict[str, Any] = {"learn": list(_learn(learn, _budgets(minutes), seed))}
    else:
        # Sampling first, before torch starts threads.
        memory = _memory()
        sampling = [_sampling(hidden, memory["bytes_per_second"]) for hidden in (256, 512)]
        report = {"memory": memory, "sampling": sampling, "start": measure_starts(), **_training(seconds)}
    if as_json:
        print_json(report)
    else:
        print_table("<><", _rows(report) if learn is None else _learn_rows(report))


def _budgets(minutes: str) -> list[float]:
    try:
        budgets = [float(one) for one in minutes.split(",")]
    except ValueError:
        budgets = [0.0]
    if not all(0 < one < math.inf for one in budgets):
        raise UsageError(f"--minutes is {minutes!r}, but must be numbers above 0", "--minutes 1,4")
    return budgets


def _learn(path: str, budgets: list[float], seed: int) -> Iterator[dict[str, float | None]]:
    runtime_tuning.set_spin_count()
    for minutes in budgets:
        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            steps = _Steps()
            trained = charlm.train(
                path, base="none", output=Path(folder, "m"), minutes=minutes, seed=seed, on_event=steps
            )
            yield {
                "minutes": minutes,
                "validation": trained.validation,
                "steps": trained.record.steps,
                "characters": trained.record.characters_seen,
                "seconds": time.monotonic() - started,
                "steps_share": steps.share,
            }


class _Steps:
    """Measures the share of a run's time that training steps take; called with its events."""

    def __init__(self) -> None:
        self._steps = self._all = 0.0  # seconds
        self._last: float | None = None  # None before the plan

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if self._last is not None and not isinstance(event, Ended):  # the end validates the whole text
            self._all += now - self._last
            self._steps += (now - self._last) * isinstance(event, Stepped)
        if self._last is not None or isinstance(event, Planned):
            self._last = now

    @property
    def share(self) -> float:
        """Share of the time from the plan to the last save."""
        return self._steps / self._all


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _memory() -> dict[str, float]:
    """Measure how fast one thread reads memory, with the product of a large matrix and a vector."""
    matrix = np.ones((BANDWIDTH_BYTES // 4 // 4096, 4096), dtype=np.float32)
    vector = np.ones(4096, dtype=np.float32)
    fastest = min(_timed(lambda: matrix @ vector) for _ in range(REPETITIONS))
    return {"bytes_per_second": matrix.nbytes / fastest}


def _random_model(hidden: int) -> Checkpoint:
    vocabulary = Vocabulary([chr(0x20 + k) for k in range(64)] + ["\n"], has_bytes=False)
    config = ModelConfig(vocabulary=len(vocabulary), hidden=hidden, embedding=hidden)
    rng = np.random.default_rng(0)
    shapes = tensor_shapes(config).items()
    tensors = {name: rng.normal(0, hidden**-0.5, shape).astype(np.float32) for name, shape in shapes}
    return Checkpoint(config, vocabulary, tensors)


def _sampling(hidden: int, bandwidth: float) -> dict[str, float]:
    model = _random_model(hidden)
    engine = Engine(model)
    context, _ = read_prompt(StaticModel(engine), "")
    sampler = partial(Sampler.seeded, engine, SamplingConfig(temperature=0.8, top_p=0.95, seed=1))
    seconds = statistics.median(
        _timed(lambda: list(Generation(context, sampler(), max_chars=SAMPLED_CHARS))) for _ in range(REPETITIONS)
    )
    # The first layer's product with its input is a look-up in a table.
    names = [one for one in model.tensors if one.endswith((".w_h", ".w_x", "output.w")) and one != "layers.0.w_x"]
    speed, read = SAMPLED_CHARS / seconds, sum(model.tensors[name].nbytes for name in names)
    return {"hidden": hidden, "chars_per_second": speed, "bytes_per_char": read, "share": speed * read / bandwidth}


def measure_starts() -> dict[str, float]:
    """Return the median time to start a command, or to import torch, in seconds by name."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "m.safetensors")
        checkpoint.save(_random_model(256), model)
        commands = {
            "help": ["-m", "charlm", "--help"],
            "sample": ["-m", "charlm", "sample", str(model), "-n", "1"],
            "torch": ["-c", "import torch"],
        }
        return {name: statistics.median(_start(words) for _ in range(3)) for name, words in commands.items()}


def _start(words: list[str]) -> float:
    return _timed(lambda: subprocess.run([sys.executable, *words], capture_output=True, check=True))


def _training(seconds: float) -> dict[str, object]:
    runtime_tuning.set_spin_count()
    from charlm.training import speed
    from charlm.training.precision import pick_device

    device = pick_device("auto")
    peaks = speed.product_flops(device)
    speeds = [speed.training(device, hidden, lanes, seconds) for hidden, lanes in speed.SHAPES]
    rows = [asdict(one) | {"share": one.flops / peaks[one.precision]} for one in speeds]
    return {"device": str(device), "products": peaks, "training": rows}


def _learn_rows(report: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for row in report["learn"]:
        yield (
            f"{row['minutes']:g} minutes",
            f"{row['validation']:.4f} nats/char ({row['validation'] / math.log(2):.4f} bits)",
            f"{row['characters']:,} characters read, {row['steps_share']:.1%} of the time in training steps, "
            f"{row['seconds']:.0f} s in all",
        )


def _rows(report: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, flops in report["products"].items():
        yield "matrix products", f"{flops / 1e9:,.0f} GFLOP/s", f"{name} on {report['device']}"
    yield "memory, one thread", f"{report['memory']['bytes_per_second'] / 1e9:,.1f} GB/s", ""
    for row in report["training"]:
        speed, share = f"{row['characters_per_second']:,.0f} chars/s", f"{row['share']:.0%} of the products' peak"
        yield f"training 2x{row['hidden']}, {row['lanes']} lanes", speed, f"{row['precision']}, {share}"
    for row in report["sampling"]:
        cached = ", so its weights stay in the cache" * (row["share"] > 1)
        speed = f"{row['chars_per_second']:,.0f} chars/s"
        yield f"sampling 2x{row['hidden']}", speed, f"{row['share']:.0%} of what memory allows{cached}"
    names = {"help": "charlm --help", "sample": "charlm sample -n 1", "torch": "import torch"}
    for name, seconds in report["start"].items():
        yield names[name], f"{seconds:.2f} s", ""
