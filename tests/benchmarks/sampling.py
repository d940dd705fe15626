"""Speed of sampling, compared with the matrix products that every engine needs.

    python -m tests.benchmarks.sampling [MODEL ...]

Without a model it measures two with random weights: 2x256 and 2x512, layer norm, residual, 65 characters. Run it on a
quiet machine. Every figure is a median.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from charlm import checkpoint
from charlm.checkpoint import Checkpoint
from charlm.config import SamplingConfig
from charlm.inference.context import StaticModel, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Sampler, generate_batch
from charlm.inference.scoring import score_text
from charlm.registry import find_model
from tests.chat.models import random_checkpoint

RUNS = 7
CHARS = 4000
STREAMS = 64
PARAMS = SamplingConfig(temperature=0.8, top_p=0.95, seed=1)


def main(names: list[str]) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [find_model(name) for name in names] or [_random_model(Path(folder), hidden) for hidden in (256, 512)]
        for path in paths:
            loaded = checkpoint.load(path)
            config = loaded.config
            print(f"{path.stem}: {config.cell} {config.layers}x{config.hidden}, {config.vocabulary} ids")
            _measure(Engine(loaded), loaded)
            print(f"  process start to first character       {_first_character(path):8.3f} s (median of 10)")


def _random_model(folder: Path, hidden: int) -> Path:
    characters = "".join(map(chr, range(0x20, 0x60))) + "\n"
    made = random_checkpoint(characters=characters, scale=1 / hidden**0.5, hidden=hidden, embedding=hidden)
    path = folder / f"random-2x{hidden}.safetensors"
    checkpoint.save(made, path)
    return path


def _measure(engine: Engine, loaded: Checkpoint) -> None:
    context, _ = read_prompt(StaticModel(engine), "")

    def stream() -> None:
        for _ in Generation(context, Sampler.seeded(engine, PARAMS), max_chars=CHARS):
            pass

    def batch() -> None:
        generate_batch(context, engine, PARAMS, STREAMS, max_chars=200)

    products = _bare_products(loaded)
    text = engine.vocabulary.decode(np.random.default_rng(1).integers(0, len(engine.vocabulary.characters), 20_000))

    def read() -> None:
        for _ in score_text(engine, text):
            pass

    # In turn, so that a slow phase of the machine affects all of them.
    seconds: dict[str, list[float]] = {"stream": [], "bare": [], "batch": [], "read": []}
    for _ in range(RUNS):
        for name, work in (
            ("stream", stream),
            ("bare", lambda: _repeat(products, CHARS)),
            ("batch", batch),
            ("read", read),
        ):
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    one = statistics.median(seconds["stream"]) / CHARS
    bare = statistics.median(seconds["bare"]) / CHARS
    ratio = statistics.median(s / b for s, b in zip(seconds["stream"], seconds["bare"], strict=True))
    many = STREAMS * 200 / statistics.median(seconds["batch"])
    print(f"  one stream, temperature 0.8, top-p 0.95 {1 / one:8,.0f} chars/s ({one * 1e6:.0f} us)")
    print(
        f"  the bare matrix-vector products         {1 / bare:8,.0f} chars/s ({bare * 1e6:.0f} us); ratio {ratio:.2f}"
    )
    print(f"  {STREAMS} streams as a batch                  {many:8,.0f} chars/s, {many * one:.1f} times one stream")
    print(f"  reading, one lane                       {20_000 / statistics.median(seconds['read']):8,.0f} chars/s")


def _bare_products(loaded: Checkpoint) -> list[Callable[[], object]]:
    """Return the products of one step: of each recurrent matrix, each input matrix but the first, and the output."""
    rng = np.random.default_rng(0)
    names = [name for name in loaded.tensors if name.endswith((".w_h", ".w_x")) and name != "layers.0.w_x"]
    matrices = [loaded.tensors[name] for name in names]
    matrices.append(loaded.tensors["embedding" if loaded.config.tied else "output.w"])
    pairs = [(matrix, rng.normal(size=matrix.shape[1]).astype(np.float32)) for matrix in matrices]
    return [lambda matrix=matrix, vector=vector: matrix @ vector for matrix, vector in pairs]  # type: ignore[misc]


def _repeat(works: list[Callable[[], object]], times: int) -> None:
    for _ in range(times):
        for work in works:
            work()


def _first_character(path: Path) -> float:
    """Return the seconds from the start of a process to the first byte on its standard output."""
    times = []
    for _ in range(10):
        start = time.perf_counter()
        command = [sys.executable, "-m", "charlm", "sample", str(path), "-n", "1", "--seed", "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main(sys.argv[1:])
