"""The training loop: carried state, evaluation, end and recovery."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from charlm.errors import TrainingError
from charlm.model.lm import CharLM, Dropout
from charlm.training.events import Evaluated, RolledBack, Stepped
from charlm.training.loop import MAX_RECOVERIES, evaluate, learning_rate

from .conftest import EVERY_ID, VOCABULARY, MakeTrainer


def alternating(period: int, length: int) -> np.ndarray:
    """Repeat: a bit, as 0 or 1; `period` steps that count up; the same bit, as 2 or 3."""
    rng = np.random.default_rng(1)
    parts = []
    for _ in range(length // (period + 2)):
        which = int(rng.integers(2))
        parts.append(np.array([which, *[4 + step for step in range(period)], 2 + which]))
    return np.concatenate(parts).astype(np.uint8)


@pytest.mark.slow
def test_state_carries_over_chunks(make_trainer: MakeTrainer) -> None:
    # Chunks have four steps, so no chunk holds both the bit and its repetition.
    period = 5
    ids = alternating(period, 18_000)
    # Without noise, weight decay only slows the learning down.
    settings = {"ids": ids, "lanes": 8, "chunk": 4, "steps": 2500, "learning_rate": 5e-3, "weight_decay": 0.01}
    shape = {"layers": 1, "hidden": 64, "embedding": 32}
    losses = {}
    for carry in (True, False):
        trainer = make_trainer(carry=carry, shape=shape, **settings)
        for _ in trainer.run():
            pass
        model = trainer.model.eval()
        losses[carry] = _loss_of_answers(model, ids[-2000:], chunk=4, carry=carry)
    assert losses[True] < 0.3  # usually below 0.1
    assert losses[False] > 0.6  # a guess costs ln 2 = 0.69


def _loss_of_answers(model: CharLM, ids: np.ndarray, chunk: int, *, carry: bool) -> float:
    """Return the mean loss of the repeated bits, read in chunks as in training."""
    x = torch.from_numpy(ids.astype(np.int64))[:, None]
    total, count = 0.0, 0
    state = model.start(1)
    with torch.no_grad():
        for first in range(0, len(x) - 1, chunk):
            if not carry:
                state = model.start(1)
            part = x[first : first + chunk + 1]
            logits, state = model(part[:-1], state)
            answers = (part[1:] == 2) | (part[1:] == 3)
            if answers.any():
                nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), part[1:].flatten(), reduction="none")
                total += float(nats[answers.flatten()].sum())
                count += int(answers.sum())
    return total / count


def test_state_is_zeroed_only_at_starts_of_lanes(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(steps=130)
    seen = []
    forward = trainer.model.forward

    def spy(ids: torch.Tensor, state: tuple[tuple[torch.Tensor, ...], ...]) -> object:
        if trainer.model.training:
            seen.append(all(not part.any() for layer in state for part in layer))
            assert not any(part.requires_grad for layer in state for part in layer)
        return forward(ids, state)

    monkeypatch.setattr(trainer.model, "forward", spy)
    for _ in trainer.run():
        pass
    chunks = trainer.lanes.chunks
    assert [step for step, zero in enumerate(seen) if zero] == list(range(0, 130, chunks))


def test_validation_does_not_change_training(make_trainer: MakeTrainer) -> None:
    losses, weights = [], []
    for count in (30, 1):
        trainer = make_trainer(steps=30, evaluations=count, dropout=Dropout(0.1, 0.1, 0.1, 0.1))
        losses.append([event.loss for event in trainer.run() if isinstance(event, Stepped)])
        weights.append(list(trainer.model.parameters()))
    assert losses[0] == losses[1]
    assert all(torch.equal(often, once) for often, once in zip(*weights, strict=True))


@pytest.mark.parametrize("limit", [None, 200])
def test_evaluation_in_lanes_agrees_with_one_lane(make_trainer: MakeTrainer, limit: int | None) -> None:
    trainer = make_trainer(steps=1)
    ids = np.random.default_rng(3).integers(0, VOCABULARY, 9000).astype(np.uint8)
    loss, count = evaluate(trainer.model, ids, EVERY_ID, "fp32", limit=limit)
    if limit is not None:
        assert limit <= count < limit + 64
        return
    x = torch.from_numpy(ids.astype(np.int64))[:, None]
    with torch.no_grad():
        logits, _ = trainer.model.eval()(x[:-1], trainer.model.start(1))
    exact = torch.nn.functional.cross_entropy(logits.flatten(0, 1), x[1:].flatten()).item()
    assert count == len(ids) - 1
    assert loss == pytest.approx(exact, abs=1e-4)


def test_evaluate_counts_characters_in_bytes_once(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(steps=1)
    ids = np.random.default_rng(3).integers(0, VOCABULARY, 2000).astype(np.uint8)
    half = np.arange(VOCABULARY) < VOCABULARY // 2
    loss, count = evaluate(trainer.model, ids, EVERY_ID, "fp32")
    loss_of_half, count_of_half = evaluate(trainer.model, ids, half, "fp32")
    assert count_of_half == half[ids[1:]].sum()
    assert loss * count == pytest.approx(loss_of_half * count_of_half)


def test_evaluation_of_best_weights_is_shorter_than_the_training(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(steps=2, val_chars=1000)
    list(trainer.run())
    trainer.validation = np.zeros(400_000, np.uint8)
    _, characters = trainer.evaluate_best()
    assert 0 < characters < 20_000


def test_best_weights_are_kept_apart(make_trainer: MakeTrainer) -> None:
    # Short noise is memorised, so the validation loss rises; weight decay would hinder that.
    noise = np.random.default_rng(0).integers(0, VOCABULARY, 1000).astype(np.uint8)
    settings = {"learning_rate": 2e-2, "final_rate": 1.0, "weight_decay": 0.0}
    trainer = make_trainer(ids=noise, steps=400, evaluations=20, **settings)
    evaluated = [event for event in trainer.run() if isinstance(event, Evaluated)]
    assert evaluated[-1].validation > evaluated[-1].best + 0.02
    assert trainer.evaluate_best()[0] == pytest.approx(min(event.validation for event in evaluated), abs=1e-5)
    now, _ = evaluate(trainer.model, trainer.validation, EVERY_ID, "fp32")
    assert now == pytest.approx(evaluated[-1].validation, abs=1e-5)  # the weights in training are as they were


def test_patience_ends_a_run_without_a_new_best(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(steps=2000, evaluations=100, patience=4, learning_rate=2e-2, final_rate=1.0)
    evaluated = [event for event in trainer.run() if isinstance(event, Evaluated)]
    assert trainer.progress.reason == "patience"
    assert [event.improved for event in evaluated[-5:]] == [True, False, False, False, False]


def test_evaluations_are_spread_evenly(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(steps=40, evaluations=8)
    assert [event.step for event in trainer.run() if isinstance(event, Evaluated)] == [5, 10, 15, 20, 25, 30, 35, 40]


def test_stop_request_ends_after_the_step(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(steps=20)
    for event in trainer.run():
        if isinstance(event, Stepped) and event.step == 7:
            trainer.request_stop()
    assert (trainer.step, trainer.progress.reason) == (7, "")


def test_divergence_rolls_back_and_halves_the_rate(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(steps=40, evaluations=4)
    events = []
    for event in trainer.run():
        events.append(event)
        if isinstance(event, Stepped) and event.step == 24 and trainer.progress.recoveries == 0:
            with torch.no_grad():
                trainer.model.embedding.fill_(math.nan)
    recovered = [event for event in events if isinstance(event, RolledBack)]
    assert [(event.step, event.rate_scale, event.attempt) for event in recovered] == [(20, 0.5, 1)]
    assert trainer.progress.reason == "budget"
    assert all(torch.isfinite(parameter).all() for parameter in trainer.model.parameters())
    rates = {event.step: event.learning_rate for event in events if isinstance(event, Stepped)}
    whole = make_trainer(steps=40, evaluations=4)
    usual = {event.step: event.learning_rate for event in whole.run() if isinstance(event, Stepped)}
    assert rates[30] == pytest.approx(usual[30] / 2)


def test_divergence_after_three_recoveries_is_an_error(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(steps=200)

    def run() -> None:
        for event in trainer.run():
            if isinstance(event, Stepped | RolledBack):
                trainer.model.embedding.data.fill_(math.nan)

    with pytest.raises(TrainingError, match="diverged") as error:
        run()
    assert "--learning-rate" in (error.value.hint or "")
    assert trainer.progress.recoveries == MAX_RECOVERIES


def test_base_that_predicts_the_text_badly_does_not_diverge(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(steps=40)
    with torch.no_grad():
        trainer.model.output.b.copy_(40 * torch.randn_like(trainer.model.output.b))
    losses = [event.loss for event in trainer.run() if isinstance(event, Stepped)]
    assert losses[0] > 2 * math.log(trainer.model.config.vocabulary) + 1
    assert losses[-1] < losses[0]
    assert trainer.progress.recoveries == 0


def test_decay_to_base_pulls_the_matrices_to_the_first_weights(make_trainer: MakeTrainer) -> None:
    def distances(**settings: object) -> dict[str, float]:
        trainer = make_trainer(steps=30, learning_rate=1e-2, **settings)
        first = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
        for _ in trainer.run():
            pass
        return {name: float((weight - first[name]).norm()) for name, weight in trainer.model.state_dict().items()}

    free, weak, strong = (distances(decay_to_base=True, weight_decay=decay) for decay in (0.0, 1.0, 10.0))
    for name in ("embedding", "layers.0.w_x", "layers.1.w_h", "output.w"):
        assert strong[name] < weak[name] < free[name]
    assert distances(weight_decay=0.0) == free


def test_run_ends_after_the_planned_epochs(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer(minutes=60, max_epochs=2)
    events = list(trainer.run())
    assert trainer.progress.reason == "epochs"
    assert 2 <= trainer.lanes.epochs < 2.1
    last = [event for event in events if isinstance(event, Stepped)][-1]
    assert last.learning_rate == pytest.approx(learning_rate(1.0, trainer.config), rel=0.3)
    assert sum(isinstance(event, Evaluated) for event in events) == trainer.config.evaluations
    short = make_trainer(minutes=0.002, max_epochs=100)
    for _ in short.run():
        pass
    assert short.progress.reason == "budget"


def test_slow_evaluations_leave_most_of_the_budget_to_training(make_trainer: MakeTrainer) -> None:
    seconds = 0.0
    trainer = make_trainer(minutes=1, evaluations=20, clock=lambda: seconds)
    steps = evaluations = 0
    for event in trainer.run():
        steps += isinstance(event, Stepped)
        evaluations += isinstance(event, Evaluated)
        seconds += 3.5 if isinstance(event, Evaluated) else 0.1
    assert trainer.progress.reason == "budget"
    assert 3 <= evaluations <= 5
    assert steps > 420
