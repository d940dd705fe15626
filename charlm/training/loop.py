"""The truncated-BPTT loop.

Owns the order of a step: read a chunk, run the model from the carried state, compute the loss, backpropagate, clip,
step, carry the state on. Yields events; prints nothing and touches no file. Between two events a `Snapshot` saves and
restores everything that the run depends on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.config import TrainConfig
from charlm.errors import TrainingError
from charlm.model.lm import CharLM, ModelState, detach
from charlm.text.batching import AnyIds, Lanes, Position, read_once
from charlm.training.events import Evaluated, Event, Measurement, RolledBack, Stepped
from charlm.training.optimizer import AdamW
from charlm.training.precision import autocast
from charlm.training.process_group import ProcessGroup
from charlm.training.run_state import Snapshot

MAX_RECOVERIES = 3
SMOOTHING = 0.98  # decay of the displayed training loss, per step
SPEED_STEPS = 50  # over which the displayed speed is measured
EVALUATION_LANES, EVALUATION_CHUNK = 32, 128
MIN_TRAINED_PER_EVALUATED = 4  # seconds of training for each second of evaluation, if a budget is in minutes
TRAINED_PER_VALIDATED = 8  # characters trained on for each that the best weights are measured on at the end


def learning_rate(share: float, config: TrainConfig) -> float:
    """Return the rate after a share of the budget: linear warm-up, then a half cosine (Loshchilov and Hutter 2017)."""
    share = min(max(share, 0.0), 1.0)
    rising = min(1.0, (share + 1e-3) / (config.warmup + 1e-3))
    falling = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * share))
    return config.learning_rate * rising * falling


@dataclass
class Progress:
    """Numbers that change from step to step; a resume needs them."""

    step: int = 0
    characters: int = 0
    seconds: float = 0.0
    evaluations: int = 0  # done so far
    without_best: int = 0  # evaluations since the last best
    best: float = math.inf
    best_step: int = 0
    train: float | None = None
    gradient_norm: float = 0.0
    rate_scale: float = 1.0
    recoveries: int = 0
    reason: str = ""  # why the run is over: "budget", "epochs" or "patience"; empty while it can continue


class Trainer:
    """A run in progress.

    Args:
        model: on its device.
        lanes: the training text.
        validation: ids to validate on, (M,).
        begins: True for ids that begin a character, (V,); see `Vocabulary.begins`.
        config: its precision must not be "auto".
        clock: seconds, for budgets in minutes.
        group: the processes that train this model, each with lanes of its own; None for this one alone.
    """

    def __init__(
        self,
        model: CharLM,
        lanes: Lanes,
        validation: AnyIds,
        begins: NDArray[np.bool_],
        config: TrainConfig,
        clock: Callable[[], float] = time.monotonic,
        group: ProcessGroup | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.device = model.embedding.device
        self.lanes = lanes
        self.validation = validation
        self._begins = begins
        self._clock = clock
        self._group = group or ProcessGroup()
        self._forward = self._group.wrap(model)
        self.progress = Progress()
        self._state: ModelState = model.start(lanes.lanes)
        decay = 0.0 if config.decay_to_base else config.weight_decay
        self._optimizer = AdamW(model, config.beta1, config.beta2, decay)
        # The weights are the same on all ranks by now.
        matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
        self._decayed = [(weight, weight.detach().clone()) for weight in matrices] if config.decay_to_base else []
        self.best_weights = _copy(model.state_dict())  # of the best evaluation so far; at first the initial ones
        self._stop = False  # requested in this process
        self._stops_now = False  # requested in any rank; the same in all
        self._last_good: Snapshot | None = None
        self._first_loss: float | None = None  # since the start or the resume; nats per character
        self._rates: list[tuple[float, int]] = []  # seconds and characters of the last steps
        self._no_evaluation_before = 0.0  # seconds; evaluations must not use up a short budget

    def request_stop(self) -> None:
        """End the run after the current step; may be called from a signal handler or another thread."""
        self._stop = True

    @property
    def step(self) -> int:
        return self.progress.step

    @property
    def step_characters(self) -> int:
        """Number of characters that all ranks read in one step."""
        return self._group.size * self.config.lanes * self.config.chunk

    def run(self) -> Iterator[Event]:
        """Train until the budget is spent, the text is read often enough, patience ends, or `request_stop` is called.

        `progress.reason` has the reason afterwards; it is empty after `request_stop`. Raises TrainingError if the loss
        diverges too often.
        """
        started = self._clock() - self.progress.seconds
        self._last_good = self.snapshot()
        while not self.progress.reason:
            self._synchronise(started)
            share = self._budget_share()
            may_evaluate = share >= 1 or self.progress.seconds >= self._no_evaluation_before
            is_due = may_evaluate and self._is_evaluation_due(share)
            if is_due:
                begun = self.progress.seconds
                yield self._evaluate(share, started)
                self._last_good = self.snapshot()
                self._synchronise(started)
                if self.config.minutes is not None:
                    cost = self.progress.seconds - begun  # with the sample, and saving
                    self._no_evaluation_before = self.progress.seconds + MIN_TRAINED_PER_EVALUATED * cost
            # A run that was killed after its last evaluation resumes without a reason, and with no evaluation due.
            if share >= 1:
                self.progress.reason = self._spent
            elif self.config.patience and self.progress.without_best >= self.config.patience:
                self.progress.reason = "patience"
            elif is_due:
                continue
            elif self._stops_now:
                return
            else:
                rate = learning_rate(share, self.config) * self.progress.rate_scale
                loss = self._synchronise(started, self._step(rate))
                yield self._recover(loss) if self._has_diverged(loss) else self._stepped(loss, rate)

    def _synchronise(self, started: float, loss: float = 0.0) -> float:
        """Update time and stop request, and return the loss, all equal on all ranks: rank 0's time, the mean loss."""
        seconds, stop = self._clock() - started, float(self._stop)
        if self._group.size > 1:
            mine = seconds if self._group.is_first else 0.0
            seconds, stop, loss = self._group.sum(mine, stop, loss / self._group.size)
        self.progress.seconds, self._stops_now = seconds, stop > 0
        return loss

    def _budget_share(self) -> float:
        config = self.config
        if config.minutes is not None:
            read = self.lanes.epochs / config.max_epochs if config.max_epochs else 0.0
            return min(1.0, max(read, self.progress.seconds / (60 * config.minutes)))
        if config.epochs is not None:
            return min(1.0, self.lanes.epochs / config.epochs)
        assert config.steps is not None
        return min(1.0, self.progress.step / config.steps)

    @property
    def _spent(self) -> str:
        """The reason of a run whose share of the budget is 1."""
        minutes = self.config.minutes
        return "epochs" if minutes is not None and self.progress.seconds < 60 * minutes else "budget"

    def _is_evaluation_due(self, share: float) -> bool:
        return share >= (self.progress.evaluations + 1) / self.config.evaluations

    def _step(self, rate: float) -> float:
        """Train on one chunk and return its loss."""
        chunk = next(self.lanes)
        if chunk.starts or not self.config.carry:
            self._state = self.model.start(self.lanes.lanes)
        self.model.train()
        x, y = (torch.from_numpy(ids).to(self.device) for ids in (chunk.x, chunk.y))
        with autocast(self.device, self.config.precision):
            logits, state = self._forward(x, self._state)
        loss = F.cross_entropy(logits.float().flatten(0, 1), y.flatten())
        self.model.zero_grad()
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        if math.isfinite(norm):
            self._decay_to_base(min(1.0, rate * self.config.weight_decay))
            self._optimizer.step(rate)
        self._state = detach(state)
        self.progress.step += 1
        self.progress.characters += y.numel() * self._group.size
        self.progress.gradient_norm = float(norm)
        return loss.item() if math.isfinite(norm) else math.nan

    @torch.no_grad()
    def _decay_to_base(self, share: float) -> None:
        """Move the matrices a share of the way back to the base: L2-SP (Li et al. 2018), decoupled as in AdamW."""
        for weight, base in self._decayed:
            weight.lerp_(base, share)

    def _stepped(self, loss: float, rate: float) -> Stepped:
        now = self.progress
        now.train = loss if now.train is None else SMOOTHING * now.train + (1 - SMOOTHING) * loss
        self._rates = [*self._rates[-SPEED_STEPS:], (now.seconds, now.characters)]
        (first, before), (last, after) = self._rates[0], self._rates[-1]
        speed = (after - before) / max(last - first, 1e-9)
        return Stepped(**vars(self._measurement(self._budget_share(), rate, speed)), loss=loss)

    def _measurement(self, share: float, rate: float, speed: float) -> Measurement:
        now = self.progress
        return Measurement(
            now.step, self.lanes.epochs, now.characters, now.seconds, share, now.train, rate, now.gradient_norm, speed
        )

    def _evaluate(self, share: float, started: float) -> Evaluated:
        now = self.progress
        loss, characters = evaluate(
            self.model, self.validation, self._begins, self.config.precision, self.config.val_chars, self._group
        )
        now.evaluations += 1
        while now.evaluations < self.config.evaluations and self._is_evaluation_due(share):
            now.evaluations += 1  # several were due in one step
        improved = loss < now.best
        now.without_best = 0 if improved else now.without_best + 1
        if improved:
            now.best, now.best_step = loss, now.step
            self.best_weights = _copy(self.model.state_dict())
        self._synchronise(started)
        self._rates = []
        rate, speed = learning_rate(share, self.config) * now.rate_scale, now.characters / max(now.seconds, 1e-9)
        measured = vars(self._measurement(share, rate, speed))
        return Evaluated(
            **measured, validation=loss, validation_characters=characters, best=now.best, improved=improved
        )

    def evaluate_best(self) -> tuple[float, int]:
        """Return the best weights' loss in nats per character, in full precision, and the number of scored characters.

        Of a long validation text only a part is read, so that this takes a few per cent of the training time.
        """
        current = _copy(self.model.state_dict())
        self.model.load_state_dict(self.best_weights)
        limit = max(self.config.val_chars, self.progress.characters // TRAINED_PER_VALIDATED)
        result = evaluate(self.model, self.validation, self._begins, "fp32", limit, self._group)
        self.model.load_state_dict(current)
        return result

    def gradient_squares(self) -> dict[str, NDArray[np.float32]] | None:
        """Return AdamW's estimate of each weight's mean squared gradient; None before the first step.

        A step's gradient is the mean over lanes x chunk characters.
        """
        squares = {}
        for name, moments in self._optimizer.state.items():
            correction = 1 - self.config.beta2 ** float(moments["step"])  # Kingma and Ba (2015)
            squares[name] = (moments["exp_avg_sq"].float() / correction).cpu().numpy()
        return squares or None

    def _has_diverged(self, loss: float) -> bool:
        # More than twice the loss of a uniform guess, or of the first step: a base may begin far above a guess.
        if self._first_loss is None and math.isfinite(loss):
            self._first_loss = loss
        usual = max(math.log(self.model.config.vocabulary), self._first_loss or 0.0)
        return not math.isfinite(loss) or loss > 2 * usual + 1

    def _recover(self, loss: float) -> RolledBack:
        assert self._last_good is not None
        attempt, seconds, scale = self.progress.recoveries + 1, self.progress.seconds, self.progress.rate_scale / 2
        if attempt > MAX_RECOVERIES:
            raise TrainingError(
                f"the loss diverged {attempt} times, each time at half the rate, the last time at step {self.step}",
                f"the best model is saved; train again with --learning-rate {self.config.learning_rate / 16:.1g}",
            )
        self.restore(self._last_good)
        # Time is not restored with the weights.
        self.progress.recoveries, self.progress.seconds, self.progress.rate_scale = attempt, seconds, scale
        return RolledBack(self.progress.step, loss, scale, attempt)

    def snapshot(self) -> Snapshot:
        """Return everything that the run depends on."""
        tensors = _copy(self.model.state_dict(), "model.") | _copy(self.best_weights, "best.")
        for name, moments in self._optimizer.state.items():
            tensors |= _copy(moments, f"optimizer.{name}.")
        for number, layer in enumerate(self._state):
            tensors |= _copy({str(part): value for part, value in enumerate(layer)}, f"state.{number}.")
        tensors["rng.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        numbers = {"progress": asdict(self.progress), "position": asdict(self.lanes.position)}
        return Snapshot(tensors, numbers)

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot of this process or another."""
        tensors = {name: tensor.to(self.device) for name, tensor in snapshot.tensors.items() if name[:4] != "rng."}
        self.model.load_state_dict(_part(tensors, "model."))
        self.best_weights = _copy(_part(tensors, "best."))
        names = [name for name, _ in self.model.named_parameters()]
        moments = {name: _copy(_part(tensors, f"optimizer.{name}.")) for name in names}
        self._optimizer.state = {name: own for name, own in moments.items() if own}
        layers = [sorted(_part(tensors, f"state.{layer}.").items()) for layer in range(self.model.config.layers)]
        self._state = tuple(tuple(value for _, value in layer) for layer in layers)
        torch.set_rng_state(snapshot.tensors["rng.cpu"])
        if "rng.cuda" in snapshot.tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(snapshot.tensors["rng.cuda"], self.device)
        self.progress = Progress(**snapshot.numbers["progress"])
        self.lanes.position = Position(**snapshot.numbers["position"])


def _copy(tensors: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: tensor.clone() for name, tensor in tensors.items()}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def evaluate(
    model: CharLM,
    ids: AnyIds,
    begins: NDArray[np.bool_],
    precision: str,
    limit: int | None = None,
    group: ProcessGroup | None = None,
) -> tuple[float, int]:
    """Return the mean loss over a text, nats/char, and the number of scored characters; the state is carried.

    Model, its carried state and the RNG are unchanged. About `limit` characters are read, spread over the text, or all.
    The processes of a group share the work, and all get the result; other arguments as for `Trainer`.
    """
    group = group or ProcessGroup()
    was_training = model.training
    model.eval()
    device = model.embedding.device
    total, count = 0.0, 0
    state: ModelState | None = None
    reader = read_once(ids, EVALUATION_LANES, EVALUATION_CHUNK, limit=limit, rank=group.rank, ranks=group.size)
    for segment in reader:
        lanes = segment.x.shape[1]
        state = model.start(lanes) if state is None else state
        if segment.starts.any():
            keep = torch.from_numpy(~segment.starts).to(device)[:, None]
            state = tuple(tuple(part * keep for part in layer) for layer in state)
        with autocast(device, precision):
            logits, state = model(torch.from_numpy(segment.x).to(device), state)
        y = torch.from_numpy(segment.y).to(device)
        losses = F.cross_entropy(logits.float().flatten(0, 1), y.flatten(), reduction="none").cpu().numpy()
        scored = segment.scored.reshape(-1)
        total += float(losses[scored].astype(np.float64).sum())
        count += int(begins[segment.y[segment.scored]].sum())
    model.train(was_training)
    total, characters = group.sum(total, count)
    return total / characters, int(characters)
