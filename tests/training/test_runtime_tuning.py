"""Settings of the process: spinning threads and freed memory."""

from __future__ import annotations

import os
import platform
import resource
from pathlib import Path

import numpy as np
import pytest

from charlm.training import runtime_tuning


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("idle", "spin"),
    [(1.0, runtime_tuning.SPIN_IDLE), (0.5, runtime_tuning.SPIN_BUSY), (0.0, runtime_tuning.SPIN_BUSY)],
)
def test_threads_spin_long_only_on_an_idle_machine(idle: float, spin: int) -> None:
    runtime_tuning.set_spin_count(lambda: idle)
    assert os.environ.pop("GOMP_SPINCOUNT") == str(spin)


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_spin_count_set_by_the_user_wins(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7")
    runtime_tuning.set_spin_count(lambda: 1.0)
    values = {key: os.environ.get(key) for key in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if key in os.environ}
    assert values == {name: "7"}


def test_idle_share_without_proc_counts_as_busy(tmp_path: Path) -> None:
    assert 0 <= runtime_tuning.idle_share() <= 1
    assert runtime_tuning.idle_share(tmp_path / "missing") == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's")
def test_freed_memory_is_reused_without_new_pages() -> None:
    runtime_tuning.keep_freed_memory()
    size = 1 << 24  # far above what glibc keeps by default

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(size, dtype=np.uint8)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    assert faults() < size // 4096 // 4
