"""The Python interface: `charlm.load` and `charlm.train`.

A thin layer over the same reading method and generation loop that the command line uses. Importing it imports NumPy;
only `train` imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlm import checkpoint
from charlm.adapt.dynamic_eval import learn
from charlm.adapt.learner import Learner
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.learning import default_dials, usual_learn_rate
from charlm.checkpoint import Checkpoint, TrainingRecord
from charlm.config import DataConfig, LearnConfig, ModelConfig, SamplingConfig, TrainConfig
from charlm.errors import UsageError
from charlm.inference.context import Context, StaticModel, never, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.generate import Completion, Generation, Sampler, generate_batch, with_alternatives
from charlm.inference.scoring import LineScore, LineScorer, TextScore, score_text
from charlm.registry import find_model

if TYPE_CHECKING:
    from charlm.insight.look import Look
    from charlm.training.events import Event


class Model:
    """A trained model, ready to use.

    A `Context` is what the model has read: a value that never changes. Keep a reference to save it, and use it again to
    go back.
    """

    def __init__(self, loaded: Checkpoint, name: str = "") -> None:
        self.name = name
        self.checkpoint = loaded
        self.config = loaded.config
        self.vocabulary = loaded.vocabulary
        self.dialogue = loaded.dialogue
        self.record = loaded.record

    @cached_property
    def _model(self) -> StaticModel:
        return StaticModel(Engine(self.checkpoint))

    def start(self) -> Context:
        """Return the context before anything was read."""
        return self._model.start()

    def read(self, context: Context, text: str) -> Context:
        """Return the context after a text; raise CorpusError if the model does not know a character."""
        return self._model.read(context, self.vocabulary.encode(text))

    def stream(
        self,
        prompt: str = "",
        *,
        context: Context | None = None,
        max_chars: int | None = 400,
        stop: str | Sequence[str] = (),
        cancel: Callable[[], bool] = never,
        alternatives: int = 0,
        params: SamplingConfig | None = None,
        **sampling: object,
    ) -> Generation:
        """Continue a prompt, piece by piece.

        Args:
            prompt: text that comes first; characters that the model does not know are replaced.
            context: the prompt follows it; None starts a new text.
            max_chars: length of the text; None never ends.
            stop: a string, or several, that end the text and are not shown.
            cancel: called before every character; true ends the text.
            alternatives: how many likeliest characters each piece names.
            params: settings of the sampler.
            **sampling: fields of `SamplingConfig`, changing `params`.

        Raises:
            UsageError: a value out of range.
        """
        begun, recent = self._begin(prompt, context)
        return Generation(
            begun,
            Sampler.seeded(self._model.base, (params or SamplingConfig()).changed(**sampling)),
            max_chars=max_chars,
            stops=_stops(stop),
            cancel=cancel,
            alternatives=alternatives,
            recent=recent,
        )

    def generate(self, prompt: str = "", **options: Any) -> str:
        """Return the whole text of `stream`."""
        return "".join([piece.text for piece in self.stream(prompt, **options)])

    def generate_many(
        self,
        prompt: str = "",
        count: int = 4,
        *,
        context: Context | None = None,
        max_chars: int = 400,
        stop: str | Sequence[str] = (),
        alternatives: int = 0,
        params: SamplingConfig | None = None,
        **sampling: object,
    ) -> list[Completion]:
        """Return several texts after one prompt, made as one batch; text k has the seed of the first plus k.

        `count` is the number of texts; `stream` describes the other arguments.
        """
        begun, recent = self._begin(prompt, context)
        engine, settings = self._model.base, (params or SamplingConfig()).changed(**sampling)
        made = generate_batch(begun, engine, settings, count, max_chars=max_chars, stops=_stops(stop), recent=recent)
        pieces = [with_alternatives(engine, begun, one.pieces, alternatives) for one in made]
        return [replace(one, pieces=tuple(named)) for one, named in zip(made, pieces, strict=True)]

    def _begin(self, prompt: str, context: Context | None) -> tuple[Context, Sequence[int]]:
        if context is not None and not prompt:
            return context, ()
        begun, ids = read_prompt(self._model, prompt, context)
        return begun, ids.tolist()

    def chat(
        self,
        *,
        you: str | None = None,
        bot: str | None = None,
        seed: int | None = None,
        learn: bool | float | None = None,
        **dials: object,
    ) -> Conversation:
        """Start a conversation, which is only in memory.

        Args:
            you: your name, where the model's text names its speakers; None takes a frequent one.
            bot: name of the model.
            seed: gives the same replies again.
            learn: whether the model learns from your messages, or at which rate; None takes
                `charlm.chat.learning.default_dials`. The model itself does not change.
            **dials: fields of `charlm.config.ChatConfig`.

        Raises:
            UsageError: a name or a setting is invalid.
        """
        default = default_dials(self._model.base.checkpoint)
        if learn is None or isinstance(learn, bool):
            usual = default.learn if learn is None else usual_learn_rate(self._model.base.vocabulary)
            learn = usual if learn is not False else 0.0
        settings = default.changed(**dials, learn=learn)
        data = ConversationData.start(self.dialogue, you, bot, settings, seed)
        return Conversation(self._model.base, data)

    def learner(self, **settings: object) -> Learner:
        """Return a learner that starts from this model, see `charlm.adapt.learner`. The model itself does not change.

            learner = model.learner()
            context, nats, base_nats = learner.read(learner.start(), "Some text, learned as it is read.")
            adapted = learner.checkpoint(context)

        Args:
            **settings: fields of `LearnConfig`.

        Raises:
            UsageError: an unknown setting, or a value out of range.
        """
        return Learner(self._model.base, LearnConfig().changed(**settings))

    def eval(self, text: str, lanes: int = 1, *, dynamic: bool = False, **settings: object) -> TextScore:
        """Return how well the model predicts a text.

        Args:
            text: at least two characters; the first is read but not predicted.
            lanes: stretches that are read at once, for speed; see `charlm.inference.scoring.score_text`.
            dynamic: learn while reading; each character is predicted before it is learned.
            **settings: fields of `LearnConfig`, with `dynamic`.

        Raises:
            CorpusError: the text is too short.
            UsageError: settings that exclude each other, or a value out of range.
        """
        if dynamic and lanes != 1:
            raise UsageError("a model that learns reads one character after the other", "leave lanes out")
        if settings and not dynamic:
            raise UsageError(f"unknown option: {', '.join(settings)}", "add dynamic=True if it is about learning")
        if dynamic:
            return learn(self.learner(**settings), text).learning
        *_, last = score_text(self._model.base, text, lanes)
        return last

    def score(self, text: str) -> Iterator[LineScore]:
        """Yield the surprisal of every line, given the lines before it."""
        scorer = LineScorer.static(self._model.base)
        # Not splitlines: it also splits at form feeds and U+2028.
        for line in text.removesuffix("\n").split("\n") if text else ():
            yield scorer.push(line)

    def look(self, text: str, alternatives: int = 5) -> Look:
        """Return a look at a text of at least one character, with as many likely characters at each place."""
        from charlm.insight.look import look  # only here: drawing takes longer to import than the model

        return look(self._model.base, text, alternatives)


def load(name: str | Path) -> Model:
    """Load a model by its path, or by a name that `charlm models` lists.

    Raises NotFoundError if there is none, CheckpointError if the file is not a model, or damaged.
    """
    path = find_model(str(name))
    return Model(checkpoint.load(path), path.stem)


@dataclass(frozen=True)
class Trained:
    """The result of `train`."""

    path: Path  # of the model file
    reason: str  # why it ended: "budget", "epochs", "patience" or "interrupted"
    validation: float | None  # nats/char of the weights in the file, over all validation text; None if interrupted
    record: TrainingRecord

    def load(self) -> Model:
        return load(self.path)

    def _repr_svg_(self) -> str | None:
        """Return the loss curve; None if matplotlib was not there to draw it."""
        from charlm.training.run_dir import RunDir

        file = RunDir(self.path).plot_file
        return file.read_text(encoding="utf-8") if file.is_file() else None


def train(
    paths: str | Path | Sequence[str | Path] = (),
    *,
    output: str | Path | None = None,
    resume: str | Path | None = None,
    base: str | Path = "auto",
    force: bool = False,
    on_event: Callable[[Event], None] | None = None,
    **settings: object,
) -> Trained:
    """Train a model, as `charlm train` does.

        charlm.train("novel.txt", minutes=5, hidden=256)

    Args:
        paths: files, folders and names of built corpora; empty with `resume`.
        output: the model's name or path; None takes the first input's name.
        resume: the name of a run to resume.
        base: a model to start from; "auto" chooses a bundled one or none by the text, "none" starts from scratch.
        force: overwrite a model of the same name.
        on_event: called with every event of `charlm.training.events`.
        **settings: fields of `DataConfig`, `ModelConfig` and `TrainConfig`, and `dropout` for all three places. What is
            left out is planned from text and budget.

    Raises:
        CharlmError: the text, an option or the disk does not allow it.
    """
    from charlm.corpora import registry
    from charlm.training import require_torch

    require_torch()
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
        run = Run(Request(data, _as_text(output), overrides, str(base), force))
    for event in run.events():
        if on_event is not None:
            on_event(event)
    assert isinstance(event, Ended)  # the last one
    return Trained(Path(event.path), event.reason, event.validation, event.record)


def _as_text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _stops(stop: str | Sequence[str]) -> Sequence[str]:
    return [stop] if isinstance(stop, str) else stop
