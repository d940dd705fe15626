"""The Python interface: `charlm.load` and `charlm.train`.

A thin layer over the same engine and generation loop that the command line uses. Importing it costs NumPy; torch is
imported by `train` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlm import checkpoint
from charlm.adapt.dynamic_eval import learn
from charlm.adapt.learner import Learner
from charlm.chat.conversation import Conversation
from charlm.chat.learning import default_rate
from charlm.checkpoint import Checkpoint, TrainingRecord
from charlm.config import ChatConfig, DataConfig, LearnConfig, ModelConfig, SamplingConfig, TrainConfig
from charlm.errors import UsageError
from charlm.inference.context import StaticModel, never, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.generate import Completion, Generation, Sampler, generate_batch
from charlm.inference.scoring import LineScore, LineScorer, TextScore, score_text
from charlm.inference.state import Array, Ids, State
from charlm.registry import find_model
from charlm.text.dialogue import Dialogue
from charlm.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from charlm.training.events import Event


class Model:
    """A trained model, ready to use.

    Args:
        loaded: the model in memory.
        name: what it is called.
    """

    def __init__(self, loaded: Checkpoint, name: str = "") -> None:
        self.name = name
        self._checkpoint = loaded

    @cached_property
    def engine(self) -> Engine:
        """The model that runs, for everything that this class does not offer."""
        return Engine(self._checkpoint)

    @property
    def config(self) -> ModelConfig:
        """The shape."""
        return self._checkpoint.config

    @property
    def vocabulary(self) -> Vocabulary:
        """Characters and ids."""
        return self._checkpoint.vocabulary

    @property
    def dialogue(self) -> Dialogue:
        """How its text writes turns."""
        return self._checkpoint.dialogue

    @property
    def record(self) -> TrainingRecord:
        """How it was trained."""
        return self._checkpoint.record

    def start(self) -> State:
        """The state before anything was read."""
        return self.engine.start()

    def step(self, state: State, index: int) -> tuple[State, Array]:
        """Read one id; the state after it and the logits of what comes next, (V,)."""
        return self.engine.step(state, index)

    def feed(self, state: State, text: str | Ids) -> tuple[State, Array]:
        """Read a text or ids; the state after it and the logits of what comes next, (V,).

        Raises:
            CorpusError: a character that the model cannot spell.
        """
        ids = self.vocabulary.encode(text) if isinstance(text, str) else text
        if not len(ids):
            raise UsageError("there is nothing to read")
        return self.engine.prefill(state, ids)

    def stream(
        self,
        prompt: str = "",
        *,
        max_chars: int | None = 400,
        stop: str | Sequence[str] = (),
        cancel: Callable[[], bool] = never,
        alternatives: int = 0,
        params: SamplingConfig | None = None,
        **sampling: Any,
    ) -> Generation:
        """Write on from a prompt, piece by piece.

        Args:
            prompt: what was written so far; characters that the model cannot spell are replaced.
            max_chars: where to end; None goes on for ever.
            stop: a string, or several, that end the text and are not shown.
            cancel: asked before every character; true ends the text.
            alternatives: how many likeliest characters each piece names.
            params: how to draw.
            **sampling: fields of `SamplingConfig`, changing `params`.

        Raises:
            UsageError: a value out of range.
        """
        context, ids = read_prompt(StaticModel(self.engine), prompt)
        return Generation(
            context,
            Sampler.seeded(self.engine, (params or SamplingConfig()).changed(**sampling)),
            max_chars=max_chars,
            stops=_stops(stop),
            cancel=cancel,
            alternatives=alternatives,
            recent=ids.tolist(),
        )

    def generate(self, prompt: str = "", **options: Any) -> str:
        """The text that `stream` writes, whole."""
        return "".join([piece.text for piece in self.stream(prompt, **options)])

    def generate_many(
        self,
        prompt: str = "",
        count: int = 4,
        *,
        max_chars: int = 400,
        stop: str | Sequence[str] = (),
        params: SamplingConfig | None = None,
        **sampling: Any,
    ) -> list[Completion]:
        """Several texts from one prompt, as one batch; text k has the seed of the first plus k.

        Args:
            prompt: as in `stream`, as are the others.
            count: how many.
            max_chars: where each ends at the latest.
            stop: what ends a text.
            params: how to draw.
            **sampling: fields of `SamplingConfig`, changing `params`.
        """
        context, ids = read_prompt(StaticModel(self.engine), prompt)
        return generate_batch(
            context,
            self.engine,
            (params or SamplingConfig()).changed(**sampling),
            count,
            max_chars=max_chars,
            stops=_stops(stop),
            recent=ids.tolist(),
        )

    def chat(
        self,
        *,
        you: str | None = None,
        bot: str | None = None,
        seed: int | None = None,
        learn: bool | float | None = None,
        **dials: Any,
    ) -> Conversation:
        """Begin a conversation, which is kept in memory only.

        Args:
            you: who you are, where the model's text names its speakers; None takes a frequent one.
            bot: who the model is.
            seed: makes the same replies again.
            learn: whether the model learns from what you say, or at which rate; None does where that pays, see
                `charlm.chat.learning.default_rate`. The model itself stays as it is.
            **dials: fields of `charlm.config.ChatConfig`.

        Raises:
            UsageError: a name or a dial that cannot be.
        """
        if learn is None or isinstance(learn, bool):
            usual = default_rate(self.dialogue) if learn is None else LearnConfig().rate
            learn = usual if learn is not False else 0.0
        turned = ChatConfig().changed(**dials, learn=learn)
        return Conversation(self.engine, self.dialogue, you=you, bot=bot, dials=turned, seed=seed)

    def learner(self, **settings: Any) -> Learner:
        """The model as one that learns from what it reads, see `charlm.adapt.learner`. It stays as it is itself.

            learner = model.learner()
            memory, nats, base_nats = learner.read(learner.start(), "Some text, learned as it is read.")
            engine = learner.engine(memory)

        Args:
            **settings: fields of `LearnConfig`.

        Raises:
            UsageError: an unknown one, or a value out of range.
        """
        return Learner(self.engine, LearnConfig().changed(**settings))

    def eval(self, text: str, lanes: int = 1, *, dynamic: bool = False, **settings: Any) -> TextScore:
        """How well the model predicts a text.

        Args:
            text: at least two characters; the first is read but not predicted.
            lanes: so many stretches are read at once, for speed; see `charlm.inference.scoring.score_text`.
            dynamic: learn as it reads; each character is predicted before anything is learned from it.
            **settings: fields of `LearnConfig`, with `dynamic`.

        Raises:
            CorpusError: the text is too short.
            UsageError: settings that do not go together, or a value out of range.
        """
        if dynamic and lanes != 1:
            raise UsageError("a model that learns reads one character after the other", "leave lanes out")
        if settings and not dynamic:
            raise UsageError(f"unknown option: {', '.join(settings)}", "say dynamic=True too, if it is about learning")
        if dynamic:
            return learn(self.learner(**settings), text).learning
        *_, last = score_text(self.engine, text, lanes)
        return last

    def score(self, text: str) -> Iterator[LineScore]:
        """The surprise of every line, given the lines before it."""
        scorer = LineScorer.static(self.engine)
        # Not splitlines, for which form feeds and U+2028 end a line too.
        for line in text.removesuffix("\n").split("\n") if text else ():
            yield scorer.push(line)


def load(name: str | Path) -> Model:
    """Load a model.

    Args:
        name: a path, or a name that `charlm models` lists.

    Raises:
        NotFoundError: there is none, with near names.
        CheckpointError: the file is not a model's, or damaged.
    """
    path = find_model(str(name))
    return Model(checkpoint.load(path), path.stem)


@dataclass(frozen=True)
class Trained:
    """What `train` leaves.

    Attributes:
        path: the model file.
        reason: why it ended: "budget", "patience" or "interrupted".
        validation: nats per character over all validation text, of the weights in the file; None if interrupted.
        record: how it was trained.
    """

    path: Path
    reason: str
    validation: float | None
    record: TrainingRecord

    def load(self) -> Model:
        """The model."""
        return load(self.path)


def train(
    paths: str | Path | Sequence[str | Path] = (),
    *,
    output: str | Path | None = None,
    resume: str | Path | None = None,
    base: str | Path | None = None,
    force: bool = False,
    on_event: Callable[[Event], None] | None = None,
    **settings: Any,
) -> Trained:
    """Train a model, as `charlm train` does.

        charlm.train("novel.txt", minutes=5, hidden=256)

    Args:
        paths: files, folders and names of built corpora; empty with `resume`.
        output: the model's name or path; None takes the first input's name.
        resume: the name of a run to resume.
        base: a model to fine-tune.
        force: overwrite a model of the same name.
        on_event: called with every event of `charlm.training.events`.
        **settings: fields of `DataConfig`, `ModelConfig` and `TrainConfig`, and `dropout` for all three places. What is
            left out is planned from text and budget.

    Raises:
        CharlmError: the text, an option or the disk does not allow it.
    """
    from charlm.corpora import registry
    from charlm.training.events import Ended
    from charlm.training.run import Request, Run

    text_names = {one.name for one in fields(DataConfig)} - {"paths"}
    known = {one.name for one in (*fields(ModelConfig), *fields(TrainConfig))} - {"vocabulary"} | {"dropout"}
    if unknown := sorted(settings.keys() - known - text_names):
        raise UsageError(f"unknown training option: {', '.join(unknown)}")
    if resume is not None:
        if paths or settings:
            raise UsageError("a resumed run keeps its text and settings", "leave them out")
        run = Run(resumed=str(resume))
    else:
        names = tuple(map(str, [paths] if isinstance(paths, str | Path) else paths))
        text: dict[str, Any] = {name: settings[name] for name in settings.keys() & text_names}
        if "val_file" in text:
            text["val_file"] = _as_text(text["val_file"])
        data = registry.with_corpora(DataConfig(names, **text))
        overrides = {name: value for name, value in settings.items() if name in known}
        run = Run(Request(data, _as_text(output), overrides, _as_text(base), force))
    ended: Ended | None = None
    for event in run.events():
        if on_event is not None:
            on_event(event)
        if isinstance(event, Ended):
            ended = event
    assert ended is not None
    return Trained(Path(ended.path), ended.reason, ended.validation, ended.record)


def _as_text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _stops(stop: str | Sequence[str]) -> Sequence[str]:
    return [stop] if isinstance(stop, str) else stop
