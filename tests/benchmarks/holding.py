"""Brackets in Python text that a model writes while the memory of one unit is clamped.

    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.holding MODEL LAYER:INDEX VALUE ...

Draws 50 texts of 400 characters at temperature 0.8, from the same beginning, without a clamp and with each value.
"""

from __future__ import annotations

import argparse

import charlm
from charlm.config import SamplingConfig
from charlm.inference.context import Context
from charlm.inference.engine import Engine
from charlm.inference.generate import generate_batch

BEGINNING = "\n\ndef total(prices):\n    "
PIECES, CHARACTERS = 50, 400


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("unit", help="LAYER:INDEX")
    parser.add_argument("values", type=float, nargs="+")
    arguments = parser.parse_args()
    model = charlm.load(arguments.model)
    layer, index = map(int, arguments.unit.split(":"))
    print(f"{'held at':>8}  opened  closed")
    for value in (None, *arguments.values):
        engine = Engine(model.checkpoint).with_clamps({} if value is None else {(layer, index): value})
        context = Context(*engine.prefill(engine.start(), model.vocabulary.encode(BEGINNING)))
        params = SamplingConfig(seed=1, temperature=0.8)
        drawn = generate_batch(context, engine, params, PIECES, max_chars=CHARACTERS)
        text = "".join(one.text for one in drawn)
        opened, closed = (sum(map(text.count, brackets)) for brackets in ("([{", ")]}"))
        print(f"{'free' if value is None else value:>8}  {opened:6}  {closed:6}")


if __name__ == "__main__":
    main()
