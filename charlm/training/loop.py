"""The one truncated-BPTT loop.

Owns the order of a step: read a chunk, go forward from the carried state, measure, go back, clip, step, carry the state
on. Reports what happens by yielding events, never prints and never touches a file; between two events everything that
the run depends on can be taken as a `Snapshot` and put back.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from charlm.config import TrainConfig
from charlm.errors import TrainingError
from charlm.model.lm import CharLM, ModelState, detach
from charlm.text.batching import AnyIds, Lanes, Position, read_once
from charlm.training.events import Evaluated, Event, RolledBack, Stepped
from charlm.training.precision import autocast
from charlm.training.process_group import ProcessGroup
from charlm.training.schedule import learning_rate
from charlm.training.snapshot import Snapshot

MAX_RECOVERIES = 3
SMOOTHING = 0.98  # of the training loss that is shown, per step
EVALUATION_LANES, EVALUATION_CHUNK = 32, 128


@dataclass
class _Progress:
    """The numbers that change from step to step and that a resume needs."""

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
    reason: str = ""  # why the run is over


class Trainer:
    """A run in progress.

    Args:
        model: what is trained, on its device.
        lanes: the training text.
        validation: ids to validate on, (M,).
        begins: which ids begin a character, (V,); see `Vocabulary.begins`.
        config: how; its precision is no longer "auto".
        clock: seconds, for budgets in minutes.
        ranks: the processes that train this model, each with lanes of its own; None for this one alone.
    """

    def __init__(
        self,
        model: CharLM,
        lanes: Lanes,
        validation: AnyIds,
        begins: NDArray[np.bool_],
        config: TrainConfig,
        clock: Callable[[], float] = time.monotonic,
        ranks: ProcessGroup | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.device = model.embedding.device
        self._lanes = lanes
        self._validation = validation
        self._begins = begins
        self._clock = clock
        self._ranks = ranks or ProcessGroup()
        self._forward = self._ranks.wrap(model)
        self._now = _Progress()
        self._state: ModelState = model.start(lanes.lanes)
        self._optimizer = _make_optimizer(model, config)
        self._best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        self._stop = False  # asked for here, perhaps while a step is under way
        self._is_stopping = False  # agreed on by all ranks
        self._last_good: Snapshot | None = None
        self._rates: list[tuple[float, int]] = []  # seconds and characters of the last steps, for the speed shown

    def request_stop(self) -> None:
        """End the run after the step under way; may be called from a signal handler or another thread."""
        self._stop = True

    @property
    def step(self) -> int:
        """Steps done."""
        return self._now.step

    @property
    def numbers(self) -> _Progress:
        """Where the run stands; not to be changed."""
        return self._now

    @property
    def epochs(self) -> float:
        """Epochs read."""
        return self._lanes.epochs

    @property
    def best_weights(self) -> dict[str, Tensor]:
        """The weights of the best evaluation so far; before the first, those of the start."""
        return self._best

    def run(self) -> Iterator[Event]:
        """Train until the budget is spent, patience ends, or `request_stop` is called.

        Afterwards `numbers.reason` says which: "budget", "patience", or nothing for a stop that a resume goes on from.

        Raises:
            TrainingError: the loss exploded more often than can be recovered from.
        """
        started = self._clock() - self._now.seconds
        self._last_good = self.snapshot()
        while not self._now.reason:
            self._agree(started)
            progress = self._progress()
            if self._is_evaluation_due(progress):
                yield self._evaluate(progress, started)
                self._last_good = self.snapshot()
                self._now.reason = self._end(progress)
                continue
            # A process that died between its last evaluation and its end is resumed here.
            self._now.reason = self._end(progress)
            if self._now.reason or self._is_stopping:
                return
            rate = learning_rate(progress, self.config) * self._now.rate_scale
            loss = self._agree(started, self._step(rate))
            if self._has_exploded(loss):
                yield self._recover(loss)
                continue
            yield self._stepped(loss, rate)

    def _agree(self, started: float, loss: float = 0.0) -> float:
        """Take the time; on several ranks it is rank 0's, a wish to stop is everybody's, and the loss is the mean."""
        seconds, stop = self._clock() - started, float(self._stop)
        if self._ranks.size > 1:
            mine = seconds if self._ranks.is_first else 0.0
            seconds, stop, loss = self._ranks.sum(mine, stop, loss / self._ranks.size)
        self._now.seconds, self._is_stopping = seconds, stop > 0
        return loss

    def _progress(self) -> float:
        config = self.config
        if config.minutes is not None:
            return min(1.0, self._now.seconds / (60 * config.minutes))
        if config.epochs is not None:
            return min(1.0, self._lanes.epochs / config.epochs)
        assert config.steps is not None
        return min(1.0, self._now.step / config.steps)

    def _end(self, progress: float) -> str:
        """Return why the run is over; "" if it is not."""
        if progress >= 1:
            return "budget"
        return "patience" if self.config.patience and self._now.without_best >= self.config.patience else ""

    def _is_evaluation_due(self, progress: float) -> bool:
        return progress >= (self._now.evaluations + 1) / self.config.evaluations

    def _step(self, rate: float) -> float:
        """Read one chunk, change the weights; the chunk's loss."""
        chunk = next(self._lanes)
        if chunk.starts or not self.config.carry:
            self._state = self.model.start(self._lanes.lanes)
        self.model.train()
        x, y = (torch.from_numpy(ids).to(self.device) for ids in (chunk.x, chunk.y))
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with autocast(self.device, self.config.precision):
            logits, state = self._forward(x, self._state)
        loss = F.cross_entropy(logits.float().flatten(0, 1), y.flatten())
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        if math.isfinite(norm):
            self._optimizer.step()
        self._state = detach(state)
        self._now.step += 1
        self._now.characters += y.numel() * self._ranks.size
        self._now.gradient_norm = float(norm)
        return loss.item() if math.isfinite(norm) else math.nan

    def _stepped(self, loss: float, rate: float) -> Stepped:
        now = self._now
        now.train = loss if now.train is None else SMOOTHING * now.train + (1 - SMOOTHING) * loss
        self._rates = [*self._rates[-50:], (now.seconds, now.characters)]
        return Stepped(
            step=now.step,
            epoch=self._lanes.epochs,
            characters=now.characters,
            seconds=now.seconds,
            progress=self._progress(),
            loss=loss,
            train=now.train,
            learning_rate=rate,
            gradient_norm=now.gradient_norm,
            characters_per_second=self._speed(),
        )

    def _speed(self) -> float:
        if len(self._rates) < 2:
            return 0.0
        (first, before), (last, after) = self._rates[0], self._rates[-1]
        return (after - before) / max(last - first, 1e-9)

    def _evaluate(self, progress: float, started: float) -> Evaluated:
        now = self._now
        loss, characters = evaluate(
            self.model, self._validation, self._begins, self.config.precision, self.config.val_chars, self._ranks
        )
        now.evaluations += 1
        while now.evaluations < self.config.evaluations and self._is_evaluation_due(progress):
            now.evaluations += 1  # several fell due during one step
        improved = loss < now.best
        now.without_best = 0 if improved else now.without_best + 1
        if improved:
            now.best, now.best_step = loss, now.step
            self._best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self._agree(started)
        self._rates = []
        return Evaluated(
            step=now.step,
            epoch=self._lanes.epochs,
            characters=now.characters,
            seconds=now.seconds,
            progress=progress,
            train=now.train,
            validation=loss,
            validation_characters=characters,
            best=now.best,
            improved=improved,
            learning_rate=learning_rate(progress, self.config) * now.rate_scale,
            gradient_norm=now.gradient_norm,
            characters_per_second=now.characters / max(now.seconds, 1e-9),
        )

    def evaluate_best(self) -> float:
        """The loss of the best weights over the whole validation text, in full precision; nats per character."""
        now = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self._best)
        loss, _ = evaluate(self.model, self._validation, self._begins, "fp32", ranks=self._ranks)
        self.model.load_state_dict(now)
        return loss

    def gradient_squares(self) -> dict[str, NDArray[np.float32]] | None:
        """The mean square of every weight's gradient over the last steps, as the optimizer knows it.

        A step's gradient is that of the mean over lanes x chunk characters. None before the first step.
        """
        squares = {}
        for name, parameter in self.model.named_parameters():
            moments = self._optimizer.state.get(parameter)
            if not moments:
                return None
            seen = 1 - self.config.beta2 ** float(moments["step"])  # the moments begin at zero: Kingma and Ba (2015)
            squares[name] = (moments["exp_avg_sq"].float() / seen).cpu().numpy()
        return squares

    def _has_exploded(self, loss: float) -> bool:
        # Twice what guessing blindly would cost is no mere hard passage.
        return not math.isfinite(loss) or loss > 2 * math.log(self.model.config.vocabulary) + 1

    def _recover(self, loss: float) -> RolledBack:
        assert self._last_good is not None
        attempt, seconds, scale = self._now.recoveries + 1, self._now.seconds, self._now.rate_scale / 2
        if attempt > MAX_RECOVERIES:
            raise TrainingError(
                f"the loss exploded at step {self._now.step}, {attempt} times in all, each time at half the rate",
                f"the best model so far is kept; train again with --learning-rate {self.config.learning_rate / 16:.1g}",
            )
        self.restore(self._last_good)
        # Time does not go back with the weights.
        self._now.recoveries, self._now.seconds, self._now.rate_scale = attempt, seconds, scale
        return RolledBack(self._now.step, loss, scale, attempt)

    def snapshot(self) -> Snapshot:
        """Take everything that the run depends on."""
        tensors = {f"model.{name}": tensor.clone() for name, tensor in self.model.state_dict().items()}
        tensors |= {f"best.{name}": tensor.clone() for name, tensor in self._best.items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = value.clone()
        for number, layer in enumerate(self._state):
            for part, value in enumerate(layer):
                tensors[f"state.{number}.{part}"] = value.clone()
        tensors["rng.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        numbers = {"progress": asdict(self._now), "position": asdict(self._lanes.position)}
        return Snapshot(tensors, numbers)

    def restore(self, snapshot: Snapshot) -> None:
        """Put back what `snapshot` took, here or in another process."""
        tensors = {name: tensor.to(self.device) for name, tensor in snapshot.tensors.items() if name[:4] != "rng."}
        self.model.load_state_dict(_part(tensors, "model."))
        self._best = {name: tensor.clone() for name, tensor in _part(tensors, "best.").items()}
        for name, parameter in self.model.named_parameters():
            state = _part(tensors, f"optimizer.{name}.")
            # AdamW counts its steps on the processor, wherever the weights are.
            self._optimizer.state[parameter] = {
                key: value.clone() if key != "step" or self.device.type == "cuda" else value.cpu().clone()
                for key, value in state.items()
            }
            if not state:
                del self._optimizer.state[parameter]
        layers = [sorted(_part(tensors, f"state.{layer}.").items()) for layer in range(self.model.config.layers)]
        self._state = tuple(tuple(value for _, value in layer) for layer in layers)
        torch.set_rng_state(snapshot.tensors["rng.cpu"])
        if "rng.cuda" in snapshot.tensors and self.device.type == "cuda":
            torch.cuda.set_rng_state(snapshot.tensors["rng.cuda"], self.device)
        self._now = _Progress(**snapshot.numbers["progress"])
        self._lanes.position = Position(**snapshot.numbers["position"])


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _make_optimizer(model: CharLM, config: TrainConfig) -> torch.optim.AdamW:
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    fused = model.embedding.device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=fused)


@torch.no_grad()
def evaluate(
    model: CharLM,
    ids: AnyIds,
    begins: NDArray[np.bool_],
    precision: str,
    limit: int | None = None,
    ranks: ProcessGroup | None = None,
) -> tuple[float, int]:
    """The mean loss over a text, its state carried through; model, training state and random numbers stay as they are.

    Args:
        model: on its device.
        ids: the text, (N,).
        begins: which ids begin a character, (V,).
        precision: "fp32" or "bf16".
        limit: read about so many characters, spread over the text; None reads all.
        ranks: the processes that share the work; all of them get the result.

    Returns:
        Nats per character, and how many characters were scored.
    """
    ranks = ranks or ProcessGroup()
    was_training = model.training
    model.eval()
    device = model.embedding.device
    total, count = 0.0, 0
    state: ModelState | None = None
    reader = read_once(ids, EVALUATION_LANES, EVALUATION_CHUNK, limit=limit, rank=ranks.rank, ranks=ranks.size)
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
    total, characters = ranks.sum(total, count)
    return total / characters, int(characters)
