"""Trains the pointer of a model with turns (`charlm.inference.pointer`). The model itself does not change.

    python -m charlm.training.pointer MODEL TEXT...

It reads conversations of the texts, and learns what a reply copies from the other speaker's earlier turns. At first
the characters that the model predicts badly count most: else the sentinel takes all weight before a copy was tried.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_

from charlm.checkpoint import Checkpoint, Tensors, load, save
from charlm.errors import CharlmError, CorpusError
from charlm.inference.context import encode_lossy
from charlm.inference.pointer import MEAN_DECAY
from charlm.model.lm import CharLM, load_tensors
from charlm.tensor_shapes import POINTER_WIDTH, pointer_shapes
from charlm.text.conversations import Utterance, conversations_in
from charlm.training.precision import autocast, measure

MAX_CHARS: Final = 10_000_000  # that are read
MAX_CONVERSATION_CHARS: Final = 1_200  # a longer one is cut
MIN_TURNS: Final = 4  # a shorter conversation has little to look up
BATCH: Final = 48  # conversations
POOL_BATCHES: Final = 16  # are drawn together and sorted by length
STRETCH_CHARS: Final = 65_536  # of a contiguous part of the text
LEARNING_RATE: Final = 0.004  # falls to zero
WARMUP_BATCHES: Final = 50
HIDDEN_TURNS: Final = 0.3  # share that cannot be copied: else it learns to copy any name, if there is only one
SEED: Final = 1
CPU: Final = torch.device("cpu")
QUERY_STD, MEMORY_STD = 0.05, 0.03
SENTINEL_BIAS: Final = 5.0  # at first: copies are rare, but those of the most similar states count

Turns = Sequence[Utterance]
_TEXT, _REPLY = 0, 1  # kinds of characters


class Batch(NamedTuple):
    """Positions of B conversations: state t has read the ids before target t."""

    ids: Tensor  # (B, T + 1)
    turns: Tensor  # (B, T) number of the turn of each target; -1 between turns
    is_text: Tensor  # (B, T) the target is in a turn of the other speaker, which can be copied
    is_reply: Tensor  # (B, T) the target is in a reply, or ends it


class TrainedPointer(nn.Module):
    """The weights, named as in the model file, with the forward pass over whole conversations.

    A model that has a pointer is trained further.
    """

    def __init__(self, model: Checkpoint) -> None:
        super().__init__()
        shapes = pointer_shapes(model.config)
        tensors = model.pointer or {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        for name, tensor in tensors.items():
            self.register_parameter(name.removeprefix("pointer."), nn.Parameter(torch.from_numpy(tensor.copy())))
        if model.pointer is None:
            query, memory = self.get_parameter("query").data, self.get_parameter("memory").data
            nn.init.normal_(query[:-2], std=QUERY_STD)
            nn.init.normal_(memory, std=MEMORY_STD)
            # It begins with copies of what followed similar states: h before a character and before the next have equal
            # projections. From unrelated ones, copies are too bad to learn from, at least in Japanese.
            copy_keys = memory.view(4, 3, POINTER_WIDTH, -1)[:, 0]
            copy_keys[:] = 0
            copy_keys[0] = query[:POINTER_WIDTH]
            self.get_parameter("bias").data[-2] = SENTINEL_BIAS

    def forward(self, batch: Batch, hidden: Tensor, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log p of each target with and without the pointer, (B, N), and whether there is one.

        Args:
            batch: of conversations.
            hidden: h of all layers, (B, T + 1, W).
            logits: (B, T + 1, V).
        """
        targets = batch.ids[:, 1:]
        texts, has_text = _pack(batch.is_text)
        replies, has_reply = _pack(batch.is_reply)
        copy_keys, look_keys, values = torch.split(_gather(self._remember(hidden, batch), texts), POINTER_WIDTH, dim=-1)
        hidden, logits = _gather(hidden, replies).float(), _gather(logits, replies).float()
        sizes = [POINTER_WIDTH, POINTER_WIDTH, POINTER_WIDTH + 2]
        products = F.linear(hidden, self.get_parameter("query"))
        copy_queries, look_queries, rest = torch.split(products, sizes, dim=-1)
        own_part, sentinels = torch.split(rest + self.get_parameter("bias"), [POINTER_WIDTH, 2], dim=-1)
        is_earlier = batch.turns.gather(1, texts)[:, None] < batch.turns.gather(1, replies)[:, :, None]
        can_see = is_earlier & has_text[:, None]
        can_copy = can_see & ~self._is_hidden(batch.turns).gather(1, texts)[:, None]
        own, copied = _attention(copy_queries, copy_keys, sentinels[..., :1], can_copy)
        _, seen = _attention(look_queries, look_keys, sentinels[..., 1:], can_see)
        chosen = targets.gather(1, replies)[..., None]
        logits_with_look = logits + F.linear(F.relu(own_part + seen @ values), self.get_parameter("output"))
        log_p = torch.log_softmax(logits_with_look, -1).gather(-1, chosen)
        copies = (copied * (targets.gather(1, texts)[:, None] == chosen)).sum(-1)
        mixed = torch.log((own * log_p.exp())[..., 0] + copies + 1e-12)
        return mixed, torch.log_softmax(logits, -1).gather(-1, chosen)[..., 0], has_reply

    def _is_hidden(self, turns: Tensor) -> Tensor:
        """Draw turns that cannot be copied; return for each target, (B, T), whether its turn is one."""
        is_hidden = torch.rand(len(turns), int(turns.max()) + 1) < (HIDDEN_TURNS if self.training else 0)
        return is_hidden.gather(1, turns.clamp(min=0))

    def tensors(self) -> Tensors:
        """Return the weights for the model file, which are those in half precision."""
        return {f"pointer.{name}": part.detach().half().float().numpy() for name, part in self.named_parameters()}

    def _remember(self, hidden: Tensor, batch: Batch) -> Tensor:
        """Return both keys and the value of each target as a thing to copy, (B, T, 3 D)."""
        products = F.linear(hidden, self.get_parameter("memory").to(hidden.dtype)).float()
        before, after, behind, end = torch.split(products, 3 * POINTER_WIDTH, dim=-1)
        goes_on = F.pad(batch.turns[:, 1:] == batch.turns[:, :-1], (0, 1)).float()  # the next target is of this turn
        means, mean = [], torch.zeros_like(behind[:, 0])
        for part, same in zip(behind[:, 1:].unbind(1)[::-1], goes_on[..., None].unbind(1)[::-1], strict=True):
            mean = MEAN_DECAY * mean * same + (1 - MEAN_DECAY) * part
            means.append(mean)
        steps = torch.arange(goes_on.shape[1])
        lasts = torch.where(goes_on > 0, len(steps), steps).flip(1).cummin(1).values.flip(1)
        sums: Tensor = before[:, :-1] + after[:, 1:] + torch.stack(means[::-1], 1) + _gather(end, lasts + 1)
        return sums


def _attention(queries: Tensor, keys: Tensor, sentinel: Tensor, can_see: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shares of the sentinel, (B, N, 1), and of K keys, (B, N, K), for N queries."""
    scores = (queries @ keys.transpose(1, 2)).masked_fill(~can_see, -torch.inf)
    shares = torch.softmax(torch.cat((sentinel, scores), -1), -1)
    return shares[..., :1], shares[..., 1:]


def _pack(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places where a mask, (B, T), is set, (B, N), and which of them are not padding."""
    places = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)[:, : int(mask.sum(1).max())]
    return places, mask.gather(1, places)


def _gather(values: Tensor, places: Tensor) -> Tensor:
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[-1]))


class PointerStep(NamedTuple):
    """Losses of a batch."""

    characters: int  # read so far
    plain: float  # of replies, without the pointer; nats per character
    loss: float  # with it


def train_pointer(
    model: Checkpoint,
    pointer: TrainedPointer,
    text: str,
    seed: int,
    max_chars: int = MAX_CHARS,
) -> Iterator[PointerStep]:
    """Train the pointer of a model on the conversations of a text, at most once each."""
    network = CharLM(model.config)
    load_tensors(network, model.tensors)
    network.requires_grad_(requires_grad=False)
    precision = measure(CPU, model.config.cell, "auto").precision
    optimizer = torch.optim.Adam(pointer.parameters(), betas=(0.9, 0.98))
    max_chars, characters = min(max_chars, len(text)), 0
    for number, batch in enumerate(_batches(model, text, np.random.default_rng(seed))):
        if characters >= max_chars:
            break
        share = characters / max_chars
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1, (number + 1) / WARMUP_BATCHES) * (1 - share)
        hidden: list[Tensor] = []
        with autocast(CPU, precision):
            logits, _ = network(batch.ids.T, network.start(len(batch.ids)), hidden)
        log_p, plain, is_target = pointer(batch, torch.cat(hidden, -1).transpose(0, 1), logits.transpose(0, 1))
        total = is_target.sum()
        loss = -(log_p * is_target * (1 - (1 - share) * plain.exp())).sum() / total
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        clip_grad_norm_(pointer.parameters(), 1.0)
        optimizer.step()
        characters += int((batch.turns >= 0).sum())
        yield PointerStep(characters, *(-float((part.detach() * is_target).sum() / total) for part in (plain, log_p)))


def _batches(model: Checkpoint, text: str, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield batches of conversations of similar length."""
    pool: list[Turns] = []
    starts = rng.permutation(np.arange(0, len(text), STRETCH_CHARS)).tolist()
    while starts or pool:
        while starts and len(pool) < POOL_BATCHES * BATCH:
            stretch = text[(start := starts.pop()) : start + STRETCH_CHARS]
            pool += _conversations(stretch, model)
        pool.sort(key=_size)
        groups = [pool[first : first + BATCH] for first in range(0, len(pool), BATCH)]
        pool = []
        for place in rng.permutation(len(groups)):
            yield batch_of(groups[place], model)


def _conversations(stretch: str, model: Checkpoint) -> Iterator[Turns]:
    """Yield the conversations of a part of a text."""
    dialogue = model.dialogue
    boundary = "\n\n" if "\n\n" in stretch else dialogue.closing
    complete = stretch[stretch.find(boundary) : stretch.rfind(boundary)]
    for turns in conversations_in(complete, dialogue):
        for part in _parts(turns):
            if len(part) >= MIN_TURNS:
                yield part


def _parts(turns: Turns) -> Iterator[Turns]:
    """Cut a conversation into parts of at most MAX_CONVERSATION_CHARS, each with an even number of turns."""
    first, size = 0, 0
    for place in range(0, len(turns), 2):
        size += _size(turns[place : place + 2])
        if size > MAX_CONVERSATION_CHARS:
            yield turns[first:place]
            first, size = place, _size(turns[place : place + 2])
    if size <= MAX_CONVERSATION_CHARS:
        yield turns[first:]


def _size(turns: Turns) -> int:
    return sum(len(turn.text) for turn in turns)


def batch_of(conversations: Sequence[Turns], model: Checkpoint) -> Batch:
    """Return a batch of conversations, which are padded."""
    columns = [torch.from_numpy(_columns(one, model)) for one in conversations]
    padded = nn.utils.rnn.pad_sequence(columns, batch_first=True, padding_value=-1)  # (B, T + 1, 3)
    ids, turns, kinds = padded.unbind(-1)
    return Batch(ids.clamp(min=0), turns[:, 1:], kinds[:, 1:] == _TEXT, kinds[:, 1:] == _REPLY)


def _columns(turns: Turns, model: Checkpoint) -> NDArray[np.int64]:
    """Return id, number of the turn and kind of each character, (T + 1, 3)."""
    dialogue = model.dialogue
    rows: list[tuple[str, int, int]] = [(dialogue.beginning, -1, -1)]
    for number, turn in enumerate(turns):
        is_reply = turn.name == dialogue.names[0] if dialogue.has_names else number % 2 == 1
        kind = _REPLY if is_reply else _TEXT
        end = dialogue.closing[:1]
        rows += [(dialogue.opening(turn.name), -1, -1), (turn.text, number, kind)]
        rows += [(end, number, _REPLY) if is_reply else (end, -1, -1), (dialogue.closing[1:], -1, -1)]
    parts = [(encode_lossy(model.vocabulary, text), turn, kind) for text, turn, kind in rows if text]
    return np.concatenate([np.stack(np.broadcast_arrays(ids, turn, kind), axis=1) for ids, turn, kind in parts])


def main(path: str, *texts: str) -> None:
    """Train a pointer on UTF-8 text files, and write it into a model file; raise CorpusError if there are few turns.

    Ctrl-C ends the training early: what was learned is written, and the next run goes on from there.
    """
    torch.manual_seed(SEED)
    model = load(Path(path))
    text = "\n\n".join(Path(name).read_text(encoding="utf-8") for name in texts)
    pointer, last = TrainedPointer(model), None
    with suppress(KeyboardInterrupt):
        for number, last in enumerate(train_pointer(model, pointer, text, SEED) if model.dialogue.has_turns else ()):
            if number % 20 == 0:
                print(f"{last.characters:,} characters, replies {last.plain:.4f} -> {last.loss:.4f} nats", flush=True)
    if last is None:
        raise CorpusError(f"the text has no conversations of {MIN_TURNS} turns in the model's format")
    record = replace(model.record, pointer_characters=model.record.pointer_characters + last.characters)
    save(replace(model, pointer=pointer.tensors(), record=record), Path(path))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except CharlmError as error:
        sys.exit(f"error: {error}")
