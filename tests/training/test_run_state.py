"""A resumed run equals an uninterrupted one, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from charlm.cells import CELLS
from charlm.errors import CheckpointError, TrainingError
from charlm.model.lm import Dropout
from charlm.training import run_state
from charlm.training.events import Evaluated, Event, Stepped
from charlm.training.loop import Trainer
from charlm.training.run_state import Snapshot

from .conftest import MakeTrainer, Ticking

EVERYTHING = Dropout(input=0.1, hidden=0.2, output=0.1, weight=0.3)


def run(trainer: Trainer, until: int) -> list[Event]:
    """The events up to and with step `until`, or all."""
    events: list[Event] = []
    for event in trainer.run():
        events.append(event)
        if isinstance(event, Stepped) and event.step == until:
            break
    return events


def assert_same(one: Snapshot, other: Snapshot) -> None:
    assert one.numbers == other.numbers
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, other.tensors[name]), name


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "budget", [{"steps": 20}, {"epochs": 0.35}, {"minutes": 0.02}], ids=["steps", "epochs", "minutes"]
)
def test_resumed_run_is_exact(make_trainer: MakeTrainer, tmp_path: Path, cell: str, budget: dict[str, Any]) -> None:
    whole = make_trainer(cell=cell, dropout=EVERYTHING, **budget)
    expected = run(whole, until=10**9)

    clock = Ticking()
    first = make_trainer(cell=cell, dropout=EVERYTHING, clock=clock, **budget)
    before = run(first, until=10)
    run_state.save(first.snapshot(), tmp_path / "resume.safetensors")
    del first
    torch.manual_seed(12345)  # a new process may draw before it restores
    second = make_trainer(cell=cell, dropout=EVERYTHING, clock=clock, seed=1, **budget)
    torch.randn(100)
    second.restore(run_state.load(tmp_path / "resume.safetensors"))
    # A new process reads its clock once to start from; the time between the two is not the run's.
    clock.now -= clock.tick
    after = run(second, until=10**9)

    assert_same(whole.snapshot(), second.snapshot())
    steps = [event for event in expected if isinstance(event, Stepped)]
    resumed = [event for event in [*before, *after] if isinstance(event, Stepped)]
    assert [(e.step, e.loss, e.train, e.learning_rate, e.gradient_norm, e.epoch, e.seconds) for e in steps] == [
        (e.step, e.loss, e.train, e.learning_rate, e.gradient_norm, e.epoch, e.seconds) for e in resumed
    ]
    assert [e.validation for e in expected if isinstance(e, Evaluated)] == [
        e.validation for e in [*before, *after] if isinstance(e, Evaluated)
    ]
    assert whole.progress.reason == "budget"


def test_resume_across_epochs_is_exact(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    whole = make_trainer(steps=150, dropout=EVERYTHING)
    run(whole, until=10**9)
    assert whole.lanes.epochs > 2
    last: Trainer | None = None
    for stop in (10, 61, 100, 10**9):
        if last is not None:
            run_state.save(last.snapshot(), tmp_path / "r.safetensors")
        trainer = make_trainer(steps=150, dropout=EVERYTHING)
        if last is not None:
            trainer.restore(run_state.load(tmp_path / "r.safetensors"))
        run(trainer, until=stop)
        last = trainer
    assert last is not None
    one, other = whole.snapshot(), last.snapshot()
    one.numbers["progress"]["seconds"] = other.numbers["progress"]["seconds"] = 0  # the clocks differ
    assert_same(one, other)


def test_snapshot_is_not_changed_by_later_steps(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(steps=20)
    events = trainer.run()
    for _ in range(5):
        next(events)
    snapshot = trainer.snapshot()
    kept = {name: tensor.clone() for name, tensor in snapshot.tensors.items()}
    for _ in events:
        pass
    assert all(torch.equal(kept[name], tensor) for name, tensor in snapshot.tensors.items())


def test_missing_or_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resume.safetensors"
    with pytest.raises(TrainingError, match="nothing to resume"):
        run_state.load(path)
    for damage in (b"", b"\0" * 7, b"hello, this is text", (10**12).to_bytes(8, "little") + b"{}"):
        path.write_bytes(damage)
        with pytest.raises(CheckpointError, match="damaged"):
            run_state.load(path)
