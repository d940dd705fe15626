"""What several processes cost: how long the mean of the gradients takes, and the plot of docs/scaling.md.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.scaling [MULTIPLY_ADDS_A_SECOND]

Without a figure it measures what a training step reaches, for which the machine should be quiet. Two
processes on this machine average buffers of the size of a model's gradients over gloo, by the loopback.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import distributed

from charlm.config import ModelConfig
from charlm.tensor_shapes import parameter_count
from charlm.training.precision import measure

HIDDEN = (128, 256, 512, 1024)
LANES, CHUNK, VOCABULARY, TURNS = 32, 64, 96, 5
NETWORKS = {"1 Gbit/s": 1.25e8, "10 Gbit/s": 1.25e9, "100 Gbit/s": 1.25e10}
PICTURE = Path(__file__).parent.parent.parent / "docs" / "images" / "scaling.svg"


def main(said: list[str]) -> None:
    """Measure, print, draw."""
    speed = float(said[0]) if said else measure(torch.device("cpu"), "lstm", "auto").speed
    print(f"a training step of a layer: {speed / 1e9:.1f}e9 multiply-adds a second")
    sizes = {hidden: parameters(hidden) for hidden in HIDDEN}
    for hidden, seconds in all_reduces(sizes).items():
        size = 4 * sizes[hidden]
        work = step_seconds(hidden, speed)
        print(f"2x{hidden}: {size / 1e6:6.1f} MB, averaged in {seconds * 1e3:7.1f} ms; a step's own work {work:.3f} s")
    draw(sizes, speed)


def parameters(hidden: int) -> int:
    """Of a model of two layers."""
    return parameter_count(ModelConfig(vocabulary=VOCABULARY, hidden=hidden, embedding=hidden, layers=2))


def step_seconds(hidden: int, speed: float) -> float:
    """What a step takes one process: forward and twice back."""
    return 3 * LANES * CHUNK * (2 * 8 * hidden**2 + VOCABULARY * hidden) / speed


def all_reduces(sizes: dict[int, int]) -> dict[int, float]:
    """The median seconds in which two processes average so many floats."""
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        results = context.SimpleQueue()
        workers = [context.Process(target=_rank, args=(rank, folder, sizes, results)) for rank in range(2)]
        for worker in workers:
            worker.start()
        found: dict[int, float] = results.get()
        for worker in workers:
            worker.join()
    return found


def _rank(
    rank: int, folder: str, sizes: dict[int, int], results: multiprocessing.SimpleQueue[dict[int, float]]
) -> None:
    store = distributed.FileStore(f"{folder}/store", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    found = {}
    for hidden, size in sizes.items():
        gradients, times = torch.zeros(size), []
        for _ in range(TURNS):
            distributed.barrier()
            start = time.perf_counter()
            distributed.all_reduce(gradients)
            times.append(time.perf_counter() - start)
        found[hidden] = statistics.median(times)
    if rank == 0:
        results.put(found)
    distributed.destroy_process_group()


def draw(sizes: dict[int, int], speed: float) -> None:
    """The share of a step that is work, against the number of processes, if nothing is sent while others compute."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    ranks = [1, 2, 4, 8, 16, 32, 64]
    for name, style in zip(NETWORKS, (":", "--", "-"), strict=True):
        for hidden, colour in ((256, "#0072b2"), (1024, "#d55e00")):
            # A ring sends and receives 2 (R - 1) / R times the gradients.
            sent = [2 * (number - 1) / number * 4 * sizes[hidden] / NETWORKS[name] for number in ranks]
            work = step_seconds(hidden, speed)
            axes.plot(ranks, [work / (work + one) for one in sent], style, color=colour, label=f"2x{hidden}, {name}")
    axes.set(xlabel="processes, a machine each", ylabel="share of a step that is work", xscale="log", ylim=(0, 1.02))
    axes.set_xticks(ranks, [str(number) for number in ranks])
    axes.legend(frameon=False)
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:])
