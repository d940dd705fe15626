"""A whole run: text in, model file out.

Owns the order in which things happen around the loop: read, plan, build, train, save, sample, finish. Yields events,
never prints. The loop knows no files, the folder knows no torch; this is where they meet.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import charlm
from charlm import checkpoint, registry
from charlm.adapt.gradient_rms import factor
from charlm.cells import CELLS
from charlm.checkpoint import Checkpoint, TrainingRecord
from charlm.config import DataConfig, ModelConfig, SamplingConfig, TrainConfig
from charlm.errors import OutputError, TrainingError, UsageError
from charlm.inference.context import StaticModel, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Sampler
from charlm.model.lm import CharLM, Dropout, load_tensors, to_tensors
from charlm.tensor_shapes import parameter_count
from charlm.text.batching import Lanes
from charlm.text.dataset import Corpus, open_corpus, read_corpus
from charlm.text.format_detection import FormatDetector
from charlm.text.vocabulary import BYTES, Vocabulary
from charlm.training import plot, run_state, runtime_tuning
from charlm.training.autoconfig import DEFAULT_MINUTES, Machine, plan
from charlm.training.dialogue_choice import DialogueChoice, choose
from charlm.training.events import (
    Ended,
    Evaluated,
    Event,
    Planned,
    Sampled,
    Saved,
    SaveFailed,
)
from charlm.training.loop import Trainer
from charlm.training.precision import measure, pick_device
from charlm.training.process_group import ProcessGroup
from charlm.training.run_dir import RunDir
from charlm.training.torchrun_env import TorchrunEnv

SAMPLE_CHARS = 240


@dataclass(frozen=True)
class Request:
    """The options of a new run."""

    data: DataConfig
    output: str | None = None  # the model's name or path; None takes the first input's name
    overrides: Mapping[str, Any] = field(default_factory=dict)  # fields of `ModelConfig` and `TrainConfig`, and dropout
    base: str | None = None  # the model to fine-tune
    force: bool = False  # overwrite a model of the same name


class Run:
    """A run, new or resumed: iterate over `events()`.

    Under torchrun each process makes one, with the same arguments. Rank 0 reads the text, makes the plan, samples and
    writes; all train and validate. What begins anew after one of them died goes on from the last save.

    Args:
        request: what a new run is to do; None if `resumed` is given.
        resumed: the name of a run to go on with.
        save_every: seconds between saves; every evaluation saves too.
        sample_every: seconds between texts shown while training; None for one an evaluation.
        tensorboard: write TensorBoard events into the run's folder.
        clock: seconds.
        launch: which of several processes this one is; None asks the environment.

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
        launch: TorchrunEnv | None = None,
    ) -> None:
        assert (request is None) != (resumed is None)
        if request is not None and not request.data.paths:
            raise UsageError("there is no text to train on", "charlm train FILE")
        self._save_every = save_every
        self._sample_every = sample_every
        self._clock = clock
        self._stop = False
        self._trainer: Trainer | None = None
        self._config: dict[str, Any] | None = None
        self._base: Checkpoint | None = None
        self._speech = DialogueChoice()
        self._writer: Any = None
        self._launch = launch or TorchrunEnv.of()
        self._ranks = ProcessGroup()
        if resumed is not None:
            self.folder = RunDir.named(resumed)
            self._take_up()
        else:
            assert request is not None
            self._request = request
            self.folder = RunDir.named(request.output or _default_name(request.data.paths[0]))
        self._make_writer = _tensorboard_writer() if tensorboard else None

    def request_stop(self) -> None:
        """End after the step under way, saved; may be called from a signal handler or another thread."""
        self._stop = True
        if self._trainer is not None:
            self._trainer.request_stop()

    def events(self) -> Iterator[Event]:
        """Do it, and tell.

        Raises:
            CharlmError: the text, an option or the disk does not allow it, or the training cannot be saved from
                exploding.
        """
        device = pick_device(self._request.overrides.get("device") or "auto", self._launch.local_rank)
        self._ranks = ProcessGroup(self._launch, device)
        try:
            with self._ranks.together():
                yield from self._events(device)
        finally:
            self._ranks.leave()
            if self._writer is not None:
                self._writer.close()

    def _events(self, device: torch.device) -> Iterator[Event]:
        # Only rank 0 looks, since what stands in the folder changes as soon as it begins.
        is_ours = self.folder.is_signed(self._launch.identity)
        is_ours, can_go_on = self._ranks.share([is_ours, is_ours and self.folder.can_go_on])
        if can_go_on:
            self._take_up()
            if run_state.load(self.folder.resume_file).numbers["progress"]["reason"]:
                yield self._ended()  # who died had nothing left to do
                return
        corpus = yield from self._read(is_ours)
        runtime_tuning.keep_memory()
        trainer, planned = self._build(corpus, device)
        self._trainer = trainer
        if self._stop:
            trainer.request_stop()
        if self._ranks.is_first:
            self.folder.sign(self._launch.identity)
        if planned.resumed_at is None:
            self._save(trainer, corpus, planned, is_best=True)
        if self._make_writer is not None and self._ranks.is_first:
            self._writer = self._make_writer(str(self.folder.path / "tensorboard"))
        yield planned
        yield from self._train(trainer, corpus, planned)
        self._finish(trainer, corpus, planned)
        yield self._ended()

    def _take_up(self) -> None:
        """Do as the run in the folder was asked to."""
        self._config = self.folder.read_config()
        request = self._config["request"]
        self._request = Request(**{**request, "data": DataConfig.from_dict(request["data"])})
        ranks = self._config.get("ranks", 1)
        if ranks != self._launch.size:
            raise TrainingError(
                f"{self.folder.name} was begun with {_processes(ranks)} and goes on only with as many, but here "
                f"{'is' if self._launch.size == 1 else 'are'} {self._launch.size}",
                f"torchrun --nproc-per-node {ranks} -m charlm train --resume {self.folder.name}"
                if ranks > 1
                else f"charlm train --resume {self.folder.name}",
            )

    def _read(self, is_ours: bool) -> Generator[Event, None, Corpus]:
        if not self._ranks.is_first:
            return open_corpus(self.folder.path, self._ranks.share())
        request, data = self._request, self._request.data
        listener = FormatDetector(data.format)
        base = checkpoint.load(registry.find_model(request.base)) if request.base else None
        if self._config is None:
            self.folder.claim(force=request.force or is_ours)
            self.folder.sign(self._launch.identity)
        reader = read_corpus(
            data.paths,
            self.folder.path,
            encoding=data.encoding,
            pattern=data.pattern,
            min_count=data.min_count,
            val_fraction=data.val_fraction,
            val_file=data.val_file,
            base=base.vocabulary if base else None,
            detector=listener if self._config is None else None,
        )
        self._base = base
        while True:
            if self._stop:
                raise KeyboardInterrupt  # there is no step to finish and nothing to save yet
            try:
                yield next(reader)
            except StopIteration as done:
                corpus: Corpus = done.value
                self._speech = choose(listener.heard(), data.format, base.dialogue if base else None)
                self._ranks.share(corpus.key)
                return corpus

    def _build(self, corpus: Corpus, device: torch.device) -> tuple[Trainer, Planned]:
        """Plan a new run and keep the plan, or take up an old one's."""
        overrides = dict(self._request.overrides)
        if threads := overrides.get("threads"):
            torch.set_num_threads(threads)
        if self._config is None:
            model_config, train_config = self._plan(corpus, overrides, device)
            snapshot = None
        else:
            if self._config["corpus"] != corpus.key:
                raise TrainingError(
                    f"the text has changed since {self.folder.name} was begun, so the run cannot go on with it",
                    f"put it back, or train further on the new text with --from {self.folder.name}",
                )
            model_config = ModelConfig.from_dict(self._config["model"])
            train_config = TrainConfig.from_dict(self._config["train"])
            self._speech = DialogueChoice.from_dict(self._config["dialogue"])
            snapshot = run_state.load(self.folder.resume_file)
            if reason := snapshot.numbers["progress"]["reason"]:
                raise TrainingError(
                    f"{self.folder.name} is finished ({_REASONS[reason]})",
                    f"train it further with --from {self.folder.name} and another name",
                )
        torch.manual_seed(train_config.seed)
        model = self._make_model(model_config, train_config, corpus).to(device)
        ranks = self._ranks
        lanes = Lanes(corpus.train, train_config.lanes, train_config.chunk, train_config.seed, ranks.rank, ranks.size)
        if not ranks.is_first:
            torch.manual_seed((train_config.seed + ranks.rank) % (1 << 63))  # the same weights, but dropout of its own
        trainer = Trainer(model, lanes, corpus.validation, corpus.vocabulary.begins, train_config, self._clock, ranks)
        if snapshot is not None:
            trainer.restore(ranks.own(snapshot))
            self.folder.rewind(trainer.step)
        elif ranks.is_first:
            self._keep_config(model_config, train_config, corpus)
        return trainer, Planned(
            name=self.folder.name,
            path=str(self.folder.model),
            model=model_config,
            train=train_config,
            parameters=parameter_count(model_config),
            train_characters=len(corpus.train),
            validation_characters=len(corpus.validation),
            characters=len(corpus.vocabulary.characters),
            has_bytes=corpus.vocabulary.has_bytes,
            skipped=corpus.skipped,
            dialogue=self._speech.dialogue,
            dialogue_chosen_by=self._speech.chosen_by,
            dialogue_detected=self._speech.detected,
            precision=train_config.precision,
            device=str(device),
            threads=torch.get_num_threads(),
            resumed_at=trainer.step if snapshot is not None else None,
            ranks=ranks.size,
        )

    def _plan(self, corpus: Corpus, overrides: dict[str, Any], device: torch.device) -> tuple[ModelConfig, TrainConfig]:
        cell = self._base.config.cell if self._base else overrides.get("cell") or "lstm"
        if cell not in CELLS:
            ModelConfig(vocabulary=2, cell=cell)  # says so
        base = self._base.config if self._base else None
        if not self._ranks.is_first:
            shape, training = self._ranks.share()
            return ModelConfig.from_dict(shape), TrainConfig.from_dict(training)
        minutes = (
            0.0 if overrides.get("steps") or overrides.get("epochs") else overrides.get("minutes") or DEFAULT_MINUTES
        )
        measured = measure(device, cell, overrides.get("precision") or "auto", seconds=min(0.5, 0.5 * minutes))
        machine = Machine(measured.speed * self._ranks.size, self._ranks.size)
        model, train = plan(len(corpus.train), len(corpus.vocabulary), overrides, machine, base)
        train = replace(train, precision=measured.precision, device=device.type)
        self._ranks.share([model.to_dict(), train.to_dict()])
        return model, train

    def _make_model(self, config: ModelConfig, train: TrainConfig, corpus: Corpus) -> CharLM:
        dropout = Dropout(train.dropout_input, train.dropout_hidden, train.dropout_output, train.weight_drop)
        model = CharLM(config, dropout)
        model.set_frequencies(corpus.counts)
        if self._base is not None:
            load_tensors(model, _extend(self._base, corpus.vocabulary, to_tensors(model.state_dict())))
        return model

    def _keep_config(self, model: ModelConfig, train: TrainConfig, corpus: Corpus) -> None:
        # Absolute, so that a resume may be asked for from another folder.
        data = self._request.data
        paths = [(self.folder.path / "stdin.txt" if path == "-" else Path(path)).absolute() for path in data.paths]
        val_file = data.val_file and str(Path(data.val_file).absolute())
        data = replace(data, paths=tuple(map(str, paths)), val_file=val_file)
        document = {
            "request": asdict(replace(self._request, data=data)),
            "model": model.to_dict(),
            "train": train.to_dict(),
            "corpus": corpus.key,
        }
        self.folder.write_config({**document, "dialogue": self._speech.to_dict(), "ranks": self._ranks.size})

    def _train(self, trainer: Trainer, corpus: Corpus, planned: Planned) -> Iterator[Event]:
        sampled = self._clock()
        saved = trainer.numbers.seconds
        for event in trainer.run():
            yield event
            evaluated = event if isinstance(event, Evaluated) else None
            text = None
            is_due = self._sample_every is not None and self._clock() - sampled >= self._sample_every
            if self._ranks.is_first and (evaluated or is_due):
                text = self._sample(trainer, corpus)
                yield Sampled(trainer.step, text)
                sampled = self._clock()
            # The trainer's seconds, on which all ranks agree, since all have a part in what is saved.
            if evaluated or trainer.numbers.seconds - saved >= self._save_every:
                yield self._try_to_save(trainer, corpus, planned, evaluated, text)
                saved = trainer.numbers.seconds

    def _save(self, trainer: Trainer, corpus: Corpus, planned: Planned, *, is_best: bool) -> None:
        """Write the whole run, and the model if its best weights are new."""
        whole = self._ranks.gather(trainer.snapshot())
        if not self._ranks.is_first:
            return
        if is_best:
            self._save_model(trainer, corpus, planned)
        run_state.save(whole, self.folder.resume_file)

    def _try_to_save(
        self, trainer: Trainer, corpus: Corpus, planned: Planned, evaluated: Evaluated | None, text: str | None
    ) -> Event:
        # A full disk must not end a run that may find room at the next save.
        try:
            if evaluated is not None and self._ranks.is_first:
                self._to_tensorboard(evaluated)
                self.folder.add_row(asdict(evaluated))
                self.folder.add_sample(evaluated.step, text or "")
            self._save(trainer, corpus, planned, is_best=evaluated is not None and evaluated.improved)
        except OutputError as error:
            return SaveFailed(trainer.step, error.message)
        return Saved(trainer.step, str(self.folder.resume_file))

    def _finish(self, trainer: Trainer, corpus: Corpus, planned: Planned) -> None:
        validation = trainer.evaluate_best() if trainer.numbers.reason else None
        whole = self._ranks.gather(trainer.snapshot())
        if self._ranks.is_first:
            if validation is not None:
                self.folder.add_row(self._last_row(trainer, validation, len(corpus.validation) - 1))
                self._save_model(trainer, corpus, planned, validation, len(corpus.validation) - 1)
            run_state.save(whole, self.folder.resume_file)
            if plot.has_matplotlib() and len(self.folder.rows) > 1:
                plot.draw_loss(self.folder.rows, self.folder.plot_file, f"{self.folder.name}: loss")
        self._ranks.wait()

    def _ended(self) -> Ended:
        """How the run in the folder has ended."""
        progress = run_state.load(self.folder.resume_file).numbers["progress"]
        record = checkpoint.read_card(self.folder.model).record
        return Ended(
            reason=progress["reason"] or "interrupted",
            step=progress["step"],
            path=str(self.folder.model),
            bytes=self.folder.model.stat().st_size,
            validation=record.validation if progress["reason"] else None,
            record=record,
        )

    def _last_row(self, trainer: Trainer, validation: float, characters: int) -> dict[str, Any]:
        last = dict(self.folder.rows[-1])
        return last | {
            "seconds": trainer.numbers.seconds,
            "validation": validation,
            "validation_characters": characters,
        }

    def _save_model(
        self,
        trainer: Trainer,
        corpus: Corpus,
        planned: Planned,
        validation: float | None = None,
        validation_characters: int | None = None,
    ) -> None:
        now = trainer.numbers
        measured = validation if validation is not None else now.best if now.evaluations else None
        record = TrainingRecord(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            sources=[asdict(source) for source in corpus.sources],
            train_characters=len(corpus.train),
            validation_characters=validation_characters or min(trainer.config.val_chars, len(corpus.validation) - 1),
            characters_seen=now.characters,
            steps=now.step,
            epochs=trainer.epochs,
            seconds=round(now.seconds, 3),
            validation=measured,
            base=self._request.base,
            settings=trainer.config.to_dict(),
            precision=planned.precision,
            device=planned.device,
            threads=planned.threads,
            versions={"charlm": charlm.__version__, "torch": torch.__version__, "python": platform.python_version()},
        )
        tensors = to_tensors(trainer.best_weights)
        squares = trainer.gradient_squares()
        characters = planned.ranks * trainer.config.lanes * trainer.config.chunk  # a step's
        sizes = None if squares is None else factor(squares, characters)
        model = Checkpoint(planned.model, corpus.vocabulary, tensors, record, planned.dialogue, sizes)
        checkpoint.save(model, self.folder.model)

    def _sample(self, trainer: Trainer, corpus: Corpus) -> str:
        """What the model writes now; its random numbers are its own, so that training is as it would be without."""
        weights = to_tensors(trainer.model.state_dict())
        if not all(np.isfinite(tensor).all() for tensor in weights.values()):
            return ""
        engine = Engine(Checkpoint(trainer.model.config, corpus.vocabulary, weights))
        context, _ = read_prompt(StaticModel(engine), "")
        sampler = Sampler.seeded(engine, SamplingConfig(seed=trainer.step))
        pieces = Generation(context, sampler, max_chars=SAMPLE_CHARS)
        return "".join([piece.text for piece in pieces])

    def _to_tensorboard(self, event: Evaluated) -> None:
        if self._writer is None:
            return
        for name in ("train", "validation", "learning_rate", "gradient_norm", "characters_per_second"):
            if (value := getattr(event, name)) is not None:
                self._writer.add_scalar(name, value, event.step)
        self._writer.flush()


def _processes(number: int) -> str:
    return "one process" if number == 1 else f"{number} processes"


_REASONS = {"budget": "its budget is spent", "patience": "it had stopped getting better"}


def _default_name(path: str) -> str:
    name = "model" if path == "-" else Path(path).absolute().name
    return name.split(".")[0] or "model"


def _tensorboard_writer() -> Callable[[str], Any]:
    """What makes a writer in a folder."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "--tensorboard needs tensorboard, which is not installed", "pip install 'charlm[tensorboard]'"
        ) from error
    writer: Callable[[str], Any] = SummaryWriter
    return writer


def _extend(base: Checkpoint, vocabulary: Vocabulary, fresh: checkpoint.Tensors) -> checkpoint.Tensors:
    """The base's weights for a larger vocabulary: known ids keep their rows, new ones have the fresh model's."""
    old = base.vocabulary
    pairs = [(index, int(vocabulary.encode(character)[0])) for index, character in enumerate(old.characters)]
    if old.has_bytes:
        pairs += [(len(old.characters) + byte, len(vocabulary.characters) + byte) for byte in range(BYTES)]
    source, target = np.array(pairs).T
    tensors = dict(base.tensors)
    for name in ("embedding", "output.w", "output.b"):
        if name in fresh:
            tensors[name] = fresh[name].copy()
            tensors[name][target] = base.tensors[name][source]
    return tensors
