"""Time while the process is stopped does not count against a budget."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from charlm.config import DataConfig
from charlm.training.awake_clock import AwakeClock
from charlm.training.events import Stepped
from charlm.training.run import Request, Run

from ..conftest import HARBOUR
from .conftest import Ticking

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGCONT"), reason="this system has no job control")


def stop(ticking: Ticking, seconds: float) -> None:
    """Let time pass as it does while the process is stopped."""
    ticking.now += seconds
    os.kill(os.getpid(), signal.SIGCONT)


def test_clock_leaves_out_stops_while_it_watches() -> None:
    ticking = Ticking(tick=1)
    clock = AwakeClock(ticking)
    with clock.watching():
        assert clock() == 2
        stop(ticking, 1000)
        assert [clock(), clock()] == [2, 3]
    stop(ticking, 1000)
    assert clock() == 1004
    assert signal.getsignal(signal.SIGCONT) == signal.SIG_DFL


def test_stopped_run_goes_on_with_its_budget(tmp_path: Path) -> None:
    ticking = Ticking()
    overrides = {"hidden": 16, "layers": 1, "lanes": 4, "chunk": 10, "precision": "fp32", "minutes": 0.05}
    request = Request(DataConfig((str(HARBOUR),)), str(tmp_path / "m"), {**overrides, "max_epochs": 99, "patience": 0})
    steps = []
    for event in Run(request, clock=ticking).events():
        if isinstance(event, Stepped):
            steps.append(event)
            if event.step == 3:
                stop(ticking, 1000)
    assert len(steps) > 50
    assert all(later.seconds - earlier.seconds < 1 for earlier, later in pairwise(steps))
    assert steps[-1].seconds == pytest.approx(3, abs=0.1)
