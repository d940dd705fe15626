"""Cost of a training step of each cell, compared with the LSTM: `python -m tests.benchmarks.cells`.

The models are those of `charlm compare`: two layers with 900,000 parameters, 32 lanes of 64 characters. They take
turns, so that all run under the same load, and the fastest step of each counts. On a busy machine the comparison is
valid, the speed is not.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.nn import functional as F

from charlm.cells import CELLS
from charlm.insight.compare import find_config
from charlm.insight.comparison_config import ComparisonConfig
from charlm.model.lm import CharLM
from charlm.training import runtime_tuning
from charlm.training.precision import autocast

CHARACTERS = 65  # of tinyshakespeare


def main() -> None:
    """Print a line per cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    arguments = parser.parse_args()
    runtime_tuning.keep_freed_memory()
    plan = ComparisonConfig(("-",), tuple(CELLS), steps=1)
    models = {cell: CharLM(find_config(cell, plan, CHARACTERS)) for cell in CELLS}
    ids = torch.randint(0, CHARACTERS, (plan.chunk, plan.lanes))
    fastest = dict.fromkeys(models, float("inf"))
    for _ in range(arguments.turns):
        for cell, model in models.items():
            begun = time.perf_counter()
            with autocast(torch.device("cpu"), arguments.precision):
                logits, _ = model(ids, model.start(plan.lanes))
            loss = F.cross_entropy(logits.float().flatten(0, 1), ids.flatten())
            loss.backward()  # type: ignore[no-untyped-call]  # torch's
            fastest[cell] = min(fastest[cell], time.perf_counter() - begun)
    for cell, seconds in fastest.items():
        print(f"{cell:15} {ids.numel() / seconds:8,.0f} chars/s  {fastest['lstm'] / seconds:.2f} of the LSTM's")


if __name__ == "__main__":
    main()
