"""A whole run: text in, model file out.

Owns the order of everything around the loop: prepare, train, save, sample, finish. Yields events; prints nothing.
"""

from __future__ import annotations

import importlib.util
import math
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

import charlm
from charlm import checkpoint
from charlm.adapt.gradient_rms import factor
from charlm.checkpoint import Checkpoint, TrainingRecord
from charlm.config import SamplingConfig
from charlm.corpora.registry import notices
from charlm.errors import OutputError, TrainingError, UsageError
from charlm.inference.context import StaticModel, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Sampler
from charlm.model.lm import to_tensors
from charlm.tensor_shapes import parameter_count
from charlm.training import plot, run_state, runtime_tuning
from charlm.training.awake_clock import AwakeClock
from charlm.training.base_selection import AUTO, NONE, find_base
from charlm.training.events import Ended, Evaluated, Event, Planned, Sampled, Saved, SaveFailed
from charlm.training.loop import Trainer
from charlm.training.matching import TrainedMatcher, train_matching
from charlm.training.precision import pick_device
from charlm.training.prepare import Request, RunPlan, make_trainer, prepare, restore
from charlm.training.process_group import ProcessGroup, local_part
from charlm.training.run_dir import RunDir
from charlm.training.run_state import Snapshot
from charlm.training.torchrun_env import TorchrunEnv

__all__ = ["Request", "Run", "RunWriter"]

SAMPLE_CHARS = 240
MATCHING_SHARE = 0.1  # of the budget, at most, for training the matcher
MATCHING_SPEED = 2.5  # least characters that the matcher reads in the time of one of the model
_REASONS = {
    "budget": "its budget is spent",
    "epochs": "it has read its text as often as planned",
    "patience": "it had stopped improving",
}


class Run:
    """A run, new or resumed: iterate over `events()`.

    Under torchrun every process makes one, with the same arguments. Rank 0 reads the text, plans, samples and writes;
    all ranks train and validate. When torchrun restarts the processes, the run resumes from its last save.

    Args:
        request: what a new run does; None if `resumed` is given.
        resumed: the name of a run to resume.
        save_every: seconds between saves; every evaluation saves too.
        sample_every: seconds between displayed samples; None for one at each evaluation.
        tensorboard: write TensorBoard events into the run's folder.
        clock: seconds. A stop of the process does not count.
        env: the rank of this process; None asks the environment.

    Raises:
        CharlmError: the run cannot start.
    """

    def __init__(
        self,
        request: Request | None = None,
        *,
        resumed: str | None = None,
        save_every: float = 30.0,
        sample_every: float | None = None,
        tensorboard: bool = False,
        clock: Callable[[], float] = time.monotonic,
        env: TorchrunEnv | None = None,
    ) -> None:
        if request is not None and not request.data.paths:
            raise UsageError("there is no text to train on", "charlm train FILE")
        self._env = env or TorchrunEnv.of()
        self._config: dict[str, Any] | None = None
        if request is None:
            assert resumed is not None
            self.run_dir = RunDir.named(resumed)
            self._config = self._read_config()
            self._request = Request.from_dict(self._config["request"])
        else:
            self.run_dir = RunDir.named(request.output_name)
            self._request = request
        self._save_every = save_every
        self._sample_every = sample_every
        self._clock = AwakeClock(clock)
        self._make_tensorboard = _import_tensorboard() if tensorboard else None
        self._stop = False
        self._trainer: Trainer | None = None

    def request_stop(self) -> None:
        """End the run after the current step, saved; may be called from a signal handler or another thread."""
        self._stop = True
        if self._trainer is not None:
            self._trainer.request_stop()

    def events(self) -> Iterator[Event]:
        """Train, and yield what happens; raise CharlmError if text, options or disk do not allow it, or it diverges."""
        device = pick_device(self._request.overrides.get("device") or "auto", self._env.local_rank)
        group = ProcessGroup(self._env, device)
        try:
            with group.translate_peer_errors(), self._clock.watching():
                for event in self._events(group, device):
                    yield event
                    if self._stop and self._trainer is None:
                        raise KeyboardInterrupt  # there is no step to finish and nothing to save yet
        finally:
            group.close()

    def _events(self, group: ProcessGroup, device: torch.device) -> Iterator[Event]:
        run_dir, owner = self.run_dir, self._env.identity
        # Only rank 0 looks, because it changes the folder next.
        is_owned = run_dir.is_owned_by(owner)
        is_owned, can_resume = group.broadcast([is_owned, is_owned and run_dir.can_resume])
        request, config = self._request, self._config
        if can_resume:
            config = self._read_config()
            request = Request.from_dict(config["request"])
        snapshot = None if config is None else run_state.load(run_dir.resume_file)
        if snapshot is not None and (reason := snapshot.numbers["progress"]["reason"]):
            if can_resume:
                yield _ended(run_dir, snapshot)  # torchrun restarted a process that exited after its last step
                return
            raise TrainingError(
                f"{run_dir.name} is finished ({_REASONS[reason]})",
                f"train it further with --from {run_dir.reference} and another name",
            )
        if config is None:
            is_named = request.base not in (AUTO, NONE)
            named = find_base(request.base) if is_named and group.is_first else None
            if group.is_first:
                run_dir.create(force=request.force or is_owned)
                run_dir.write_owner(owner)
            plan = yield from prepare(request, run_dir, group, device, self._clock, named=named)
        else:
            plan = yield from restore(config, run_dir, group)
        runtime_tuning.keep_freed_memory()
        trainer = self._trainer = make_trainer(plan, group, device, self._clock)
        if self._stop:
            trainer.request_stop()
        writer = RunWriter(run_dir, plan, trainer, self._make_tensorboard) if group.is_first else None
        if snapshot is not None:
            trainer.restore(local_part(snapshot, group.rank))
            run_dir.truncate(trainer.step)
        if writer is not None and snapshot is None:
            writer.train_matching(self._clock, lambda: self._stop)
        elif writer is not None:
            writer.restore_matching()
        state = group.gather(trainer.snapshot())
        if writer is not None:
            run_dir.write_owner(owner)
            if snapshot is None:
                run_dir.write_config(plan.to_dict(run_dir, group.size))
                writer.save_model()
                run_state.save(state, run_dir.resume_file)
        yield _planned(run_dir, plan, trainer, group.size, trainer.step if snapshot is not None else None)
        yield from self._train(trainer, group, writer)
        validation = trainer.evaluate_best() if trainer.progress.reason else None
        state = group.gather(trainer.snapshot())
        if writer is not None:
            writer.finish(validation, state)
        group.wait()
        yield _ended(run_dir, state)

    def _read_config(self) -> dict[str, Any]:
        config, name = self.run_dir.read_config(), self.run_dir.reference
        if config["ranks"] != self._env.size:
            command, started_with = "charlm train", "one process"
            if config["ranks"] > 1:
                started_with = f"{config['ranks']} processes"
                command = f"torchrun --nproc-per-node {config['ranks']} -m charlm train"
            raise TrainingError(
                f"{self.run_dir.name} was started with {started_with} and resumes only with as many, "
                f"but here {'is' if self._env.size == 1 else 'are'} {self._env.size}",
                f"{command} --resume {name}",
            )
        return config

    def _train(self, trainer: Trainer, group: ProcessGroup, writer: RunWriter | None) -> Iterator[Event]:
        sampled = self._clock()
        saved = trainer.progress.seconds
        for event in trainer.run():
            yield event
            evaluated = event if isinstance(event, Evaluated) else None
            is_sample_due = self._sample_every is not None and self._clock() - sampled >= self._sample_every
            sample = ""
            if writer is not None and (evaluated is not None or is_sample_due):
                sample = writer.sample()
                yield Sampled(trainer.step, sample)
                sampled = self._clock()
            # By the trainer's seconds, which are the same on all ranks: all take part in a save.
            if evaluated is not None or trainer.progress.seconds - saved >= self._save_every:
                state = group.gather(trainer.snapshot())
                try:
                    if writer is not None and evaluated is not None:
                        writer.add_evaluation(evaluated, sample)
                    if writer is not None:
                        run_state.save(state, self.run_dir.resume_file)
                    yield Saved(trainer.step, str(self.run_dir.resume_file))
                except OutputError as error:  # a full disk may have room at the next save
                    yield SaveFailed(trainer.step, error.message)
                saved = trainer.progress.seconds


class RunWriter:
    """Writes the model, metrics, samples and pictures of a run. Only rank 0 has one."""

    def __init__(
        self, run_dir: RunDir, plan: RunPlan, trainer: Trainer, make_tensorboard: Callable[[str], Any] | None = None
    ) -> None:
        self._run_dir = run_dir
        self._plan = plan
        self._trainer = trainer
        self._tensorboard = make_tensorboard and make_tensorboard(str(run_dir.path / "tensorboard"))
        self._matcher: TrainedMatcher | None = None

    def train_matching(self, clock: Callable[[], float], is_cancelled: Callable[[], bool]) -> None:
        """Train the matcher within a share of the run's budget, and count the time as the run's.

        A text with too few turns leaves the base's matcher as it is.
        """
        trainer, corpus, choice, base = self._trainer, self._plan.corpus, self._plan.dialogue, self._plan.base
        if not choice.dialogue.has_turns:
            return
        if base is not None:
            self._matcher = TrainedMatcher.of(base)
        config, started = trainer.config, clock()
        seconds = MATCHING_SHARE * 60 * (config.minutes or math.inf)
        planned = (config.epochs or math.inf) * len(corpus.train)
        if config.steps is not None:
            planned = config.steps * trainer.step_characters
        trained = choice.chosen_by != "base" and train_matching(
            corpus.train,
            corpus.vocabulary,
            choice.dialogue,
            config.seed,
            max_chars=MATCHING_SHARE * MATCHING_SPEED * planned,
            base=self._matcher,
            time_share=lambda: 1.0 if is_cancelled() else (clock() - started) / seconds,
        )
        if trained:
            self._matcher = trained
        trainer.progress.seconds += clock() - started

    def restore_matching(self) -> None:
        """Load the matcher of a resumed run."""
        if self._run_dir.model.exists():
            self._matcher = TrainedMatcher.of(checkpoint.load(self._run_dir.model))

    def save_model(self, validation: tuple[float, int] | None = None) -> None:
        """Write the model file with the best weights; `validation` as `Trainer.evaluate_best` returns it."""
        trainer, corpus, progress = self._trainer, self._plan.corpus, self._trainer.progress
        best = progress.best if progress.evaluations else None
        loss, scored = validation or (best, min(trainer.config.val_chars, len(corpus.validation) - 1))
        authors = [notice for source in corpus.sources for notice in notices(source.sha256)]
        base_authors = self._plan.base.record.notices if self._plan.base is not None else []
        record = TrainingRecord(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            sources=[asdict(source) for source in corpus.sources],
            notices=list(dict.fromkeys((*authors, *base_authors))),
            train_characters=len(corpus.train),
            validation_characters=scored,
            characters_seen=progress.characters,
            steps=progress.step,
            epochs=trainer.lanes.epochs,
            seconds=round(progress.seconds, 3),
            validation=loss,
            base=self._plan.start.base,
            base_fingerprint=self._plan.start.fingerprint,
            settings=trainer.config.to_dict(),
            matching_pairs=self._matcher.pairs if self._matcher else 0,
            matching_statements=self._matcher.statements if self._matcher else 0,
            precision=trainer.config.precision,
            device=str(trainer.device),
            threads=torch.get_num_threads(),
            versions={"charlm": charlm.__version__, "torch": torch.__version__, "python": platform.python_version()},
        )
        squares = trainer.gradient_squares()
        statistics = None if squares is None else factor(squares, trainer.step_characters)
        dialogue = self._plan.dialogue.dialogue
        model = Checkpoint(
            self._plan.model,
            corpus.vocabulary,
            to_tensors(trainer.best_weights),
            record,
            dialogue,
            statistics,
            self._matcher.tensors if self._matcher else None,
        )
        checkpoint.save(model, self._run_dir.model)

    def add_evaluation(self, event: Evaluated, sample: str) -> None:
        """Write an evaluation's metrics and sample, and the model if its weights are the best so far."""
        if self._tensorboard:
            for name in ("train", "validation", "learning_rate", "gradient_norm", "characters_per_second"):
                if (value := getattr(event, name)) is not None:
                    self._tensorboard.add_scalar(name, value, event.step)
            self._tensorboard.flush()
        self._run_dir.add_row(asdict(event))
        self._run_dir.add_sample(event.step, sample)
        if event.improved:
            self.save_model()

    def sample(self) -> str:
        """Return a text of the current weights; its random numbers do not touch the training's."""
        weights = to_tensors(self._trainer.model.state_dict())
        if not all(np.isfinite(tensor).all() for tensor in weights.values()):
            return ""
        engine = Engine(Checkpoint(self._plan.model, self._plan.corpus.vocabulary, weights))
        context, _ = read_prompt(StaticModel(engine), "")
        sampler = Sampler.seeded(engine, SamplingConfig(seed=self._trainer.step))
        return "".join([piece.text for piece in Generation(context, sampler, max_chars=SAMPLE_CHARS)])

    def finish(self, validation: tuple[float, int] | None, state: Snapshot) -> None:
        """Write the last files of a run; `validation` as for `save_model`, None for a run that was stopped."""
        if validation is not None:
            row = {"seconds": self._trainer.progress.seconds, "validation": validation[0]}
            row["validation_characters"] = validation[1]
            self._run_dir.add_row(self._run_dir.rows[-1] | row)
            self.save_model(validation)
        run_state.save(state, self._run_dir.resume_file)
        if importlib.util.find_spec("matplotlib") and len(self._run_dir.rows) > 1:
            plot.draw_loss(self._run_dir.rows, self._run_dir.plot_file, f"{self._run_dir.name}: loss")
        if self._tensorboard:
            self._tensorboard.close()


def _planned(run_dir: RunDir, plan: RunPlan, trainer: Trainer, ranks: int, resumed_at: int | None) -> Planned:
    corpus, train = plan.corpus, plan.train
    return Planned(
        name=run_dir.name,
        path=str(run_dir.model),
        model=plan.model,
        train=train,
        start=plan.start,
        parameters=parameter_count(plan.model),
        train_characters=len(corpus.train),
        validation_characters=len(corpus.validation),
        characters=len(corpus.vocabulary.characters),
        has_bytes=corpus.vocabulary.has_bytes,
        skipped=corpus.skipped,
        unreadable=corpus.unreadable,
        exports=corpus.exports,
        dialogue=plan.dialogue.dialogue,
        dialogue_chosen_by=plan.dialogue.chosen_by,
        dialogue_detected=plan.dialogue.detected,
        precision=train.precision,
        device=str(trainer.device),
        threads=torch.get_num_threads(),
        resumed_at=resumed_at,
        ranks=ranks,
    )


def _ended(run_dir: RunDir, snapshot: Snapshot) -> Ended:
    progress = snapshot.numbers["progress"]
    record = checkpoint.read_header(run_dir.model).record
    return Ended(
        reason=progress["reason"] or "interrupted",
        step=progress["step"],
        path=str(run_dir.model),
        bytes=run_dir.model.stat().st_size,
        validation=record.validation if progress["reason"] else None,
        record=record,
    )


def _import_tensorboard() -> Callable[[str], Any]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "--tensorboard needs tensorboard, which is not installed", "pip install 'charlm[tensorboard]'"
        ) from error
    writer: Callable[[str], Any] = SummaryWriter
    return writer
