"""Steps per second of one stream, one thread: charlm's engine and onnxruntime.

python tests/benchmarks/onnx_speed.py MODEL
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

import charlm
from charlm.inference.engine import Engine
from charlm.onnx_export import write_onnx

STEPS, REPEATS = 500, 5


def main(name: str) -> None:
    import onnxruntime

    checkpoint = charlm.load(name).checkpoint
    engine, options = Engine(checkpoint), onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(checkpoint, path := Path(folder) / "model.onnx")
        session = onnxruntime.InferenceSession(str(path), options)

    def run_engine() -> None:
        state = engine.start()
        for _ in range(STEPS):
            state, _ = engine.step(state, 3)

    def run_onnx() -> None:
        state = np.zeros((1, session.get_inputs()[1].shape[1]), np.float32)
        for _ in range(STEPS):
            _, state = session.run(None, {"ids": np.array([3]), "state": state})

    runs: dict[str, Callable[[], None]] = {"engine": run_engine, "onnxruntime": run_onnx}
    speeds: dict[str, list[float]] = {runner: [] for runner in runs}
    for _ in range(REPEATS):
        for runner, run in runs.items():
            begun = time.perf_counter()
            run()
            speeds[runner].append(STEPS / (time.perf_counter() - begun))
    for runner, each in speeds.items():
        print(f"{runner:<12} {np.median(each):,.0f} steps/s")


if __name__ == "__main__":
    main(sys.argv[1])
