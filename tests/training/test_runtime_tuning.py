"""How the process waits and keeps memory while it trains."""

from __future__ import annotations

import os
import platform
import resource

import numpy as np
import pytest

from charlm.training import runtime_tuning


@pytest.mark.parametrize(
    ("idle", "spin"),
    [(1.0, runtime_tuning.SPIN_IDLE), (0.5, runtime_tuning.SPIN_BUSY), (0.0, runtime_tuning.SPIN_BUSY)],
)
def test_threads_spin_long_only_on_an_idle_machine(monkeypatch: pytest.MonkeyPatch, idle: float, spin: int) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr(runtime_tuning, "_idle_share", lambda: idle)
    runtime_tuning.wait_well()
    assert os.environ["GOMP_SPINCOUNT"] == str(spin)


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_what_the_environment_says_stands(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for other in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "7")
    runtime_tuning.wait_well()
    assert {one: os.environ.get(one) for one in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if one in os.environ} == {
        name: "7"
    }


def test_a_machine_that_cannot_be_asked_counts_as_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 <= runtime_tuning._idle_share() <= 1

    def nothing() -> list[int]:
        raise FileNotFoundError

    monkeypatch.setattr(runtime_tuning, "_ticks", nothing)
    assert runtime_tuning._idle_share() == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc's")
def test_large_memory_that_was_freed_is_used_again_without_new_pages() -> None:
    runtime_tuning.keep_memory()
    size = 1 << 24  # far above what is kept by itself

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        np.ones(size, dtype=np.uint8)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults()
    assert faults() < size // 4096 // 4
