"""Models with random weights and dialogues of every format, for tests, their helper processes and benchmarks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from charlm.checkpoint import Checkpoint, Tensors
from charlm.config import ModelConfig
from charlm.inference.engine import Engine
from charlm.inference.state import Array, State
from charlm.tensor_shapes import Shapes, matching_shapes, pointer_shapes, statistic_shapes, tensor_shapes
from charlm.text.dialogue import Dialogue
from charlm.text.vocabulary import Vocabulary

CHARACTERS = "\n !,.:?abcdefghijklmnopqrstuvwxyzAB"

DIALOGUES = {
    "plain": Dialogue(),
    "lines": Dialogue("lines"),
    "transcript": Dialogue("transcript", ("Anna", "Bob")),
    "play": Dialogue("play", ("ANNA", "BOB", "BABA")),
}


def random_checkpoint(
    seed: int = 0, *, characters: str = CHARACTERS, has_bytes: bool = False, scale: float = 0.3, **shape: object
) -> Checkpoint:
    """Return a model with random weights: `random_checkpoint(cell="gru", layers=3, characters="abc")`."""
    vocabulary = Vocabulary(characters, has_bytes=has_bytes)
    defaults = {"embedding": 16, "hidden": 16, "layers": 2}
    config = ModelConfig(vocabulary=len(vocabulary), **{**defaults, **shape})  # type: ignore[arg-type]
    rng = np.random.default_rng(seed)
    tensors = {name: rng.normal(0, scale, shape).astype(np.float32) for name, shape in tensor_shapes(config).items()}
    return Checkpoint(config, vocabulary, tensors)


def random_matching(seed: int = 0) -> Tensors:
    """Return random vectors for a matcher, as a model file stores them."""
    return _random_halves(matching_shapes(), 0.1, seed)


def random_pointer(config: ModelConfig, seed: int = 0) -> Tensors:
    """Return random weights for a pointer, as a model file stores them. It copies about as often as it does not."""
    return _random_halves(pointer_shapes(config), 0.5, seed)


def _random_halves(shapes: Shapes, scale: float, seed: int) -> Tensors:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, scale, shape).astype(np.float16).astype(np.float32) for name, shape in shapes.items()}


def parrot_checkpoint(text: str, dialogue: Dialogue | None = None) -> Checkpoint:
    """A model that writes after each character one of those that follow it in a text.

    The first character follows the last one, and each character that is not in the text. A new line can be spelled.
    """
    characters = "".join(dict.fromkeys(text + "\n"))
    size = len(characters)
    follows = np.full((size, size), -30.0, dtype=np.float32)  # (V, V): the next one, this one
    for this, following in zip(text, text[1:] + text[0], strict=True):
        follows[characters.index(following), characters.index(this)] = 0
    if "\n" not in text:
        follows[0, size - 1] = 0
    config = ModelConfig(size, "rnn", embedding=size, hidden=size, layers=1, residual=False, norm=False)
    identity = np.eye(size, dtype=np.float32)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in tensor_shapes(config).items()}
    tensors |= {"embedding": identity, "layers.0.w_x": 10 * identity, "output.w": follows}
    return Checkpoint(config, Vocabulary(characters, has_bytes=False), tensors, dialogue=dialogue or Dialogue())


@cache
def learning_engine(*, has_bytes: bool = False) -> Engine:
    """A random model with a pointer and with gradient statistics, so that it need not estimate them."""
    made = random_checkpoint(has_bytes=has_bytes)
    sizes = {name: np.full(shape, 1e-6, np.float32) for name, shape in statistic_shapes(made.config).items()}
    return Engine(replace(made, statistics=sizes, pointer=random_pointer(made.config)))


@cache
def random_engine(seed: int = 0, *, scale: float = 0.3, has_bytes: bool = False, cell: str = "lstm") -> Engine:
    """The engine of `random_checkpoint`."""
    return Engine(random_checkpoint(seed, scale=scale, has_bytes=has_bytes, cell=cell))


class CountingEngine(Engine):
    """Counts the ids that it reads."""

    read_ids = 0  # in all streams

    def _read(self, state: State, ids: Array, *, last_only: bool = False) -> tuple[State, Array]:
        self.read_ids += len(ids)
        return super()._read(state, ids, last_only=last_only)
