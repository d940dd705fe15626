"""Trains the matcher of a text with turns: each reply is the positive of its context, the rest of the batch negatives.

`charlm train` trains one for every text with turns. This command trains one again and writes it into a model file:

    python -m charlm.training.matching MODEL TEXT...
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy, embedding_bag, normalize

from charlm.checkpoint import Tensors, load, save
from charlm.errors import CharlmError, CorpusError
from charlm.inference.context import encode_lossy
from charlm.inference.matching import CONTEXT_TURNS, context_features, features
from charlm.tensor_shapes import matching_shapes
from charlm.text.batching import AnyIds
from charlm.text.conversations import conversations_in
from charlm.text.dialogue import Dialogue
from charlm.text.vocabulary import Vocabulary

BATCH: Final = 128  # pairs; the replies of the others are negatives
LEARNING_RATE: Final = 0.01  # falls to zero
COSINE_SCALE: Final = 12.0  # of the cosines before the softmax
INIT_STD: Final = 0.1
MIN_PAIRS: Final = 3_000  # with fewer, one pass does not suffice and a second one overfits
STRETCH_CHARS: Final = 65_536  # of a contiguous part of the text
SHUFFLED_STRETCHES: Final = 8  # in memory at once; their pairs are shuffled

Features = tuple[list[int], list[float]]  # buckets and their weights


class TrainedMatcher(NamedTuple):
    """A matcher's vectors, and the number of pairs of a context and its reply that it was trained on."""

    tensors: Tensors
    pairs: int


def train_matching(
    ids: AnyIds,
    vocabulary: Vocabulary,
    dialogue: Dialogue,
    seed: int,
    *,
    max_chars: float = math.inf,
    base: Tensors | None = None,
    time_share: Callable[[], float] = lambda: 0.0,
    min_pairs: int = MIN_PAIRS,
) -> TrainedMatcher | None:
    """Train on the turns of a text, each at most once. Return None if there are too few.

    Args:
        ids: the text.
        vocabulary: of the ids.
        dialogue: a format with turns.
        seed: of the initial vectors and the order.
        max_chars: number of characters to read, in stretches from the whole text.
        base: vectors to begin with; by default random ones.
        time_share: returns the spent share of the time budget; 1 ends the training.
        min_pairs: least number of replies.
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    tables = {
        name: (torch.from_numpy(base[name].copy()) if base else INIT_STD * torch.randn(shape, generator=generator))
        for name, shape in matching_shapes().items()
    }
    for table in tables.values():
        table.requires_grad_()
    optimizer = torch.optim.Adam(tables.values(), lr=LEARNING_RATE)
    starts = rng.permutation(np.arange(0, len(ids), STRETCH_CHARS))
    starts = starts[: math.ceil(min(max_chars, len(ids)) / STRETCH_CHARS)].tolist()
    pairs = 0
    for read_share, batch in _batches(ids, starts, vocabulary, dialogue, rng):
        share = max(read_share, time_share())
        if share >= 1:
            break
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - share)
        contexts = _encode(tables["matching.context"], [context for context, _ in batch])
        replies = _encode(tables["matching.reply"], [reply for _, reply in batch])
        loss = cross_entropy(COSINE_SCALE * contexts @ replies.T, torch.arange(len(batch)))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        pairs += len(batch)
    if pairs < min_pairs:
        return None
    return TrainedMatcher({name: table.detach().half().float().numpy() for name, table in tables.items()}, pairs)


def _batches(
    ids: AnyIds, starts: Sequence[int], vocabulary: Vocabulary, dialogue: Dialogue, rng: np.random.Generator
) -> Iterator[tuple[float, list[tuple[Features, Features]]]]:
    """Yield the share of the stretches that was read, and a batch of features of contexts and replies."""
    pairs: list[tuple[Features, Features]] = []
    for number in range(0, len(starts), SHUFFLED_STRETCHES):
        chosen = starts[number : number + SHUFFLED_STRETCHES]
        for start in chosen:
            pairs += _pairs(vocabulary.decode(ids[start : start + STRETCH_CHARS].tolist()), dialogue)
        pairs = [pairs[place] for place in rng.permutation(len(pairs))]
        batches = len(pairs) // BATCH
        for batch in range(batches):
            yield (number + len(chosen) * batch / batches) / len(starts), pairs[batch * BATCH : (batch + 1) * BATCH]
        pairs = pairs[batches * BATCH :]


def _pairs(text: str, dialogue: Dialogue) -> Iterator[tuple[Features, Features]]:
    complete = text[text.find(dialogue.closing) : text.rfind(dialogue.closing)]
    for turns in conversations_in(complete, dialogue):
        texts = [turn.text for turn in turns]
        for place in range(1, len(texts)):
            reply = features(texts[place])
            if reply:
                yield context_features(texts[max(0, place - CONTEXT_TURNS) : place]), (reply, [1.0] * len(reply))


def _encode(table: torch.Tensor, texts: Sequence[Features]) -> torch.Tensor:
    """Return the unit vector of each text, (N, WIDTH)."""
    starts = np.cumsum([0, *(len(buckets) for buckets, _ in texts[:-1])])
    buckets = torch.tensor([bucket for one, _ in texts for bucket in one])
    weights = torch.tensor([weight for _, one in texts for weight in one])
    vectors = embedding_bag(buckets, table, torch.from_numpy(starts), mode="sum", per_sample_weights=weights)
    return normalize(vectors)


def main(model: str, *texts: str) -> None:
    """Train a matcher on UTF-8 text files, and write it into a model file; raise CorpusError if there are few turns."""
    path, text = Path(model), "\n\n".join(Path(text).read_text(encoding="utf-8") for text in texts)
    found = load(path)
    vocabulary, dialogue = found.vocabulary, found.dialogue
    trained = dialogue.has_turns and train_matching(encode_lossy(vocabulary, text), vocabulary, dialogue, seed=1)
    if not trained:
        raise CorpusError(f"the text has fewer than {MIN_PAIRS:,} replies in the model's format, {dialogue.format}")
    record = replace(found.record, matching_pairs=trained.pairs)
    save(replace(found, matching=trained.tensors, record=record), path)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except CharlmError as error:
        sys.exit(f"error: {error}")
