"""Chooses the model that a new run starts from: a bundled base, or random weights.

Every base reads the beginning of some windows of the training text, in NumPy, and the best one reads them whole. Its
loss is compared with that of n-grams of the same text, which estimates training from scratch. The sample is bounded:
the choice takes under a second for a text of any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charlm import checkpoint, registry
from charlm.checkpoint import Checkpoint
from charlm.config import ModelConfig
from charlm.corpora import catalogue
from charlm.errors import TrainingError
from charlm.files import SUFFIX
from charlm.inference.context import encode_lossy, unknown_mask
from charlm.inference.engine import Engine
from charlm.inference.sampling import log_softmax
from charlm.text.dataset import SpooledText
from charlm.text.vocabulary import code_points

AUTO, NONE = "auto", "none"  # values of --from that name no model

WINDOWS = 16  # of the text, read side by side
WINDOW = 128  # characters
WARMUP = 32  # of each window, read but not scored
PROBE, PROBE_WARMUP = 24, 8  # of each window, for all bases; only the best one reads it whole
NGRAM_CHARS = 6000  # before each window, which the n-grams learn from
NGRAM_ORDER = 6
MIN_STRETCH = 6 * WINDOW  # of the text, for each window

# A base may cost this much more before training than n-grams of the text, because it learns the text in training.
MAX_EXCESS = 1.0  # nats per character


@dataclass(frozen=True)
class Start:
    """The weights that a run starts from, and the reason. Losses are in nats per character."""

    base: str | None = None  # name of the model; None for random weights
    path: str = ""  # of its file
    fingerprint: str = ""
    chosen_by: str = "user"  # "user" or "text"
    loss: float | None = None  # of the base before training; None if it was not measured
    scratch: float | None = None  # estimate for training from scratch
    conflict: str = ""  # the option that fits no base
    has_seen_text: bool = False  # the base was trained on one of the files
    seconds: float = 0.0  # spent choosing


def is_good_start(loss: float, scratch: float) -> bool:
    """Return whether a base serves a text better than random weights.

    Args:
        loss: of the base on the text before training.
        scratch: `ngram_loss` of the text.
    """
    return loss - scratch < MAX_EXCESS


class Base(NamedTuple):
    """A model to start from."""

    name: str  # without its folder
    path: Path
    checkpoint: Checkpoint

    def start(self, text: SpooledText) -> Start:
        """Return the start of a run on a text."""
        has_seen_text = any(source.sha256 in self._files for source in text.sources)
        path = str(self.path.absolute())
        return Start(self.name, path, self.checkpoint.fingerprint, has_seen_text=has_seen_text)

    @property
    def _files(self) -> set[str]:
        """The sha256 of the files that it was trained on; of a bundled model also those that its corpus is made of."""
        trained_on = self.checkpoint.record.sources
        files = {source["sha256"] for source in trained_on}
        if self.path.resolve().parent == registry.bundled_folder().resolve():
            recipes = catalogue.built_in()
            names = {Path(source["name"]).stem for source in trained_on} & recipes.keys()
            files |= {source.sha256 for name in names for source in recipes[name].sources}
        return files


def find_base(name: str) -> Base:
    """Return the base of that name or path.

    Raises:
        CharlmError: there is no such model, or its file is damaged.
    """
    path = registry.find_model(name)
    return Base(path.stem, path, checkpoint.load(path))


def select(
    text: SpooledText, train_share: float, overrides: Mapping[str, Any], names: Sequence[str] = registry.BASES
) -> tuple[Start, Base | None]:
    """Choose the base for a text.

    Args:
        text: the whole text of the run.
        train_share: share of the text, from its start, that trains.
        overrides: settings that the user has set; a base must have the same shape.
        names: of the bundled models to choose from; missing ones are skipped.
    """
    paths = [registry.bundled_folder() / f"{name}{SUFFIX}" for name in names]
    conflicts = {path: conflict(checkpoint.read_header(path).config, overrides) for path in paths if path.is_file()}
    candidates = {path.stem: Base(path.stem, path, checkpoint.load(path)) for path in conflicts if not conflicts[path]}
    if not candidates:
        return Start(chosen_by="text", conflict=next(iter(conflicts.values()), "")), None
    pieces = sample(text, train_share)
    best, loss = best_base(candidates, pieces)
    scratch = ngram_loss(pieces)
    if not is_good_start(loss, scratch):
        return Start(chosen_by="text", loss=loss, scratch=scratch), None
    base = candidates[best]
    return replace(base.start(text), chosen_by="text", loss=loss, scratch=scratch), base


def conflict(base: ModelConfig, overrides: Mapping[str, Any]) -> str:
    """Return the first option that asks for another shape than the base's; empty if there is none."""
    for name, own in base.to_dict().items():
        value = overrides.get(name)
        if value is not None and value != own:
            return f"--{'' if value else 'no-'}{name}" if isinstance(value, bool) else f"--{name} {value}"
    return ""


def load_base(start: Start) -> Checkpoint | None:
    """Return the base of a run that is resumed; None for a run from scratch.

    Raises:
        CharlmError: its file is missing, damaged or has changed.
    """
    if start.base is None:
        return None
    base = checkpoint.load(Path(start.path))
    if base.fingerprint != start.fingerprint:
        raise TrainingError(
            f"{start.path} has changed since the run started from it, so the run cannot be resumed",
            "restore the file, or begin a new run",
        )
    return base


def sample(text: SpooledText, train_share: float) -> list[str]:
    """Return pieces of equal length, spread over the training text: each is a window and the text before it."""
    characters = int(text.counts.sum() * train_share)
    number = min(WINDOWS, max(1, characters // MIN_STRETCH))
    length = min(NGRAM_CHARS + WINDOW, characters // number)
    pieces = [text.piece(train_share * index / number, length) for index in range(number)]
    shortest = min(map(len, pieces))
    return [piece[:shortest] for piece in pieces]


def _window(piece: str) -> int:
    """Return the index where the window of a piece begins."""
    return len(piece) - min(WINDOW, len(piece) // 2)


def best_base(candidates: Mapping[str, Base], pieces: Sequence[str]) -> tuple[str, float]:
    """Return the name of the base with the lowest loss on the windows, and that loss."""
    engines = {name: Engine(base.checkpoint) for name, base in candidates.items()}
    windows = [piece[_window(piece) :] for piece in pieces]
    probes = [window[:PROBE] for window in windows]
    best = min(engines, key=lambda name: loss_before_training(engines[name], probes, PROBE_WARMUP))
    return best, loss_before_training(engines[best], windows, WARMUP)


def loss_before_training(engine: Engine, windows: Sequence[str], warmup: int) -> float:
    """Return a model's loss on windows. A character that it cannot encode costs a guess among all that it can."""
    vocabulary = engine.vocabulary
    encoded = [encode_lossy(vocabulary, window) for window in windows]
    steps = min(map(len, encoded))  # characters in bytes make some longer
    ids = np.stack([one[:steps] for one in encoded], axis=1)  # (T, B)
    _, logits = engine.forward(engine.start(len(windows)), ids[:-1])
    warmup = min(warmup, steps // 2)
    answers = ids[warmup + 1 :]
    nats = -log_softmax(logits[warmup:])[(*np.indices(answers.shape), answers)]
    unknown = np.mean([unknown_mask(vocabulary, window).mean() for window in windows])
    return float(nats.sum() / vocabulary.begins[answers].sum() + unknown * np.log(len(vocabulary)))


def ngram_loss(pieces: Sequence[str], order: int = NGRAM_ORDER) -> float:
    """Return the loss on the windows, in nats per character, of n-grams learned from the text before each.

    They are interpolated after Witten and Bell (1991): a context with N characters, T of them different, gives
    T / (N + T) of its probability to the next shorter context.
    """
    _, ids = np.unique(np.concatenate([code_points(piece) for piece in pieces]), return_inverse=True)
    places = np.concatenate([np.arange(len(piece)) >= _window(piece) for piece in pieces])  # of the windows
    learned = ~places
    probability = np.full(places.sum(), 1 / (ids.max() + 1))
    context = np.zeros(len(ids), dtype=np.int64)  # a hash of the characters before each place
    for length in range(order):
        _, first, event = np.unique(context * 1_000_003 + ids, return_index=True, return_inverse=True)
        _, context_ids = np.unique(context, return_inverse=True)
        seen = np.bincount(event, learned)
        total = np.bincount(context_ids, learned)[context_ids[places]]
        different = np.bincount(context_ids[first], seen > 0)[context_ids[places]]
        mixed = (seen[event[places]] + different * probability) / np.maximum(total + different, 1)
        probability = np.where(total > 0, mixed, probability)
        context = context * 1_000_003 + np.roll(ids, length + 1) + 1
    return float(-np.log(probability).mean())
