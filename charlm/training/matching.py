"""Trains the matcher of a text with turns: each reply is the positive of its context, the rest of the batch negatives.

So are each turn and a later reply that has a rare word from it, without that word.

`charlm train` trains one for every text with turns. This command trains one again and writes it into a model file:

    python -m charlm.training.matching MODEL TEXT...
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy, embedding_bag, normalize

from charlm.checkpoint import Checkpoint, Tensors, load, save
from charlm.errors import CharlmError, CorpusError
from charlm.inference.context import encode_lossy
from charlm.inference.matching import (
    CONTEXT_TURNS,
    Features,
    claim_features,
    context_features,
    reply_features,
    statement_features,
    values,
)
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
MIN_STATEMENTS: Final = 3_000
MAX_RARE_SHARE: Final = 0.004  # of the turns that have a rare word
STRETCH_CHARS: Final = 65_536  # of a contiguous part of the text
SHUFFLED_STRETCHES: Final = 8  # in memory at once; their pairs are shuffled

Pair = tuple[Features, Features]  # of a context or statement and of a reply


class TrainedMatcher(NamedTuple):
    """A matcher's vectors, and what they were trained on."""

    tensors: Tensors
    pairs: int  # replies and their contexts
    statements: int = 0  # replies with a word from an earlier turn; 0 if they are too few

    @classmethod
    def of(cls, model: Checkpoint) -> TrainedMatcher | None:
        """Return the matcher of a model, or None."""
        if model.matching is None:
            return None
        return cls(model.matching, model.record.matching_pairs, model.record.matching_statements)


def train_matching(
    ids: AnyIds,
    vocabulary: Vocabulary,
    dialogue: Dialogue,
    seed: int,
    *,
    max_chars: float = math.inf,
    base: TrainedMatcher | None = None,
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
        base: a matcher to begin with; by default random vectors.
        time_share: returns the spent share of the time budget; 1 ends the training.
        min_pairs: least number of replies.
    """
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    tables = {
        name: torch.tensor(base.tensors[name]) if base else INIT_STD * torch.randn(shape, generator=generator)
        for name, shape in matching_shapes().items()
    }
    for table in tables.values():
        table.requires_grad_()
    optimizer = torch.optim.Adam(tables.values(), lr=LEARNING_RATE)
    starts = rng.permutation(np.arange(0, len(ids), STRETCH_CHARS))
    starts = starts[: math.ceil(min(max_chars, len(ids)) / STRETCH_CHARS)].tolist()
    counts = [0, 0]
    for read_share, is_statement, batch in _batches(ids, starts, vocabulary, dialogue, rng):
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
        counts[is_statement] += len(batch)
    pairs, statements = counts
    if pairs < min_pairs:
        return None
    statements = statements if statements >= MIN_STATEMENTS else 0
    if base:
        pairs, statements = base.pairs + pairs, base.statements + statements
    tensors = {name: table.detach().half().float().numpy() for name, table in tables.items()}
    return TrainedMatcher(tensors, pairs, statements)


def _batches(
    ids: AnyIds, starts: Sequence[int], vocabulary: Vocabulary, dialogue: Dialogue, rng: np.random.Generator
) -> Iterator[tuple[float, bool, list[Pair]]]:
    """Yield the share of the stretches that was read, whether a batch is of statements, and the batch."""
    kinds: tuple[list[Pair], list[Pair]] = [], []
    for number in range(0, len(starts), SHUFFLED_STRETCHES):
        chosen = starts[number : number + SHUFFLED_STRETCHES]
        texts = [vocabulary.decode(ids[start : start + STRETCH_CHARS].tolist()) for start in chosen]
        conversations = [turns for text in texts for turns in _conversations(text, dialogue)]
        batches: list[tuple[bool, list[Pair]]] = []
        for is_statement, (pairs, new) in enumerate(zip(kinds, (_replies, _statements), strict=True)):
            pairs += new(conversations)
            pairs[:] = [pairs[place] for place in rng.permutation(len(pairs))]
            while len(pairs) >= BATCH:
                batches.append((bool(is_statement), pairs[-BATCH:]))
                del pairs[-BATCH:]
        for place, batch in enumerate(rng.permutation(len(batches))):
            yield (number + len(chosen) * place / len(batches)) / len(starts), *batches[batch]


def _conversations(text: str, dialogue: Dialogue) -> Iterator[list[str]]:
    """Yield the turns of each conversation in a stretch, without the cut turns at its ends."""
    complete = text[text.find(dialogue.closing) : text.rfind(dialogue.closing)]
    for turns in conversations_in(complete, dialogue):
        yield [turn.text for turn in turns]


def _replies(conversations: Sequence[Sequence[str]]) -> Iterator[Pair]:
    for turns in conversations:
        for place in range(1, len(turns)):
            reply = reply_features(turns[place])
            if reply[0]:
                yield context_features(turns[max(0, place - CONTEXT_TURNS) : place]), reply


def _statements(conversations: Sequence[Sequence[str]]) -> Iterator[Pair]:
    """Yield pairs of a reply with a rare word, and the other speaker's last turn before the question that has it."""
    words = [[values(turn) for turn in turns] for turns in conversations]
    counts = Counter(word for conversation in words for turn in conversation for word in turn)
    most = MAX_RARE_SHARE * sum(map(len, conversations))
    for turns, said in zip(conversations, words, strict=True):
        for place in range(3, len(turns)):
            for word in sorted(said[place] - said[place - 1]):
                source = next((before for before in range(place - 3, -1, -2) if word in said[before]), None)
                if source is not None and counts[word] <= most:
                    yield statement_features(turns[source], word), claim_features(turns[place], turns[place - 1], word)


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
    record = replace(found.record, matching_pairs=trained.pairs, matching_statements=trained.statements)
    save(replace(found, matching=trained.tensors, record=record), path)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except CharlmError as error:
        sys.exit(f"error: {error}")
