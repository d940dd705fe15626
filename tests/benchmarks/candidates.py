"""How many candidates a reply should have, and how much relevance should count. Prints two tables.

    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.candidates MODEL TEXT

TEXT is what the model was trained on; its last tenth, which training did not see, is measured. The first table is
hits@1 of 10: how often the reply that really came next ranks before nine others from elsewhere, by
log p(reply | context) - weight * log p(reply), means over characters. The second is the processor time of a reply.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import charlm
from charlm.chat.conversation import Conversation
from charlm.chat.dials import Dials
from charlm.inference.engine import Array, Engine, State
from charlm.inference.reading import log_softmax, spell
from charlm.text.detection import listen
from charlm.text.dialogue import Dialogue

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
COUNTS = (1, 4, 8, 16, 32)
OTHERS = 9  # replies from elsewhere
CONTEXT = 4  # turns before the reply
LONGEST = 400  # characters of a reply; longer ones are cut
STREAMS = 100  # read at once


class Said(NamedTuple):
    """A turn of the held-out text."""

    name: str
    text: str


class Trial(NamedTuple):
    """A reply after a context."""

    state: State
    logits: Array
    ids: NDArray[np.int64]


def conversations_of(text: str, dialogue: Dialogue) -> list[list[Said]]:
    """The turns of a text; blank lines end a conversation in formats whose turns have none between them."""
    found = []
    for part in text.split("\n\n") if dialogue.closing == "\n" else [text]:
        turns = []
        for turn in part.split(dialogue.closing):
            name = (dialogue.speakers_in(dialogue.beginning + turn) or [""])[0]
            words = turn.strip("\n").removeprefix(dialogue.opening(name))[:LONGEST]
            if words and (name or not dialogue.has_names):
                turns.append(Said(name, words))
        found.append(turns)
    return found


def log_means(engine: Engine, trials: Sequence[Trial]) -> NDArray[np.float64]:
    """Mean log p a character of each reply after its context, many streams at once."""
    result = np.zeros(len(trials))
    order = sorted(range(len(trials)), key=lambda number: len(trials[number].ids))
    for first in range(0, len(order), STREAMS):
        numbers = order[first : first + STREAMS]
        some = [trials[number] for number in numbers]
        lengths = np.array([len(one.ids) for one in some])
        ids = np.zeros((lengths.max(), len(some)), dtype=np.int64)
        for column, one in enumerate(some):
            ids[: len(one.ids), column] = one.ids
        layers = zip(*[one.state.layers for one in some], strict=True)
        state = State(tuple(type(same[0])(*map(np.concatenate, zip(*same, strict=True))) for same in layers))
        logits = np.stack([one.logits for one in some])[None]
        total = np.zeros(len(some))
        for start in range(0, len(ids), 50):
            piece = ids[start : start + 50]
            state, following = engine.read(state, piece)
            predicted = log_softmax(np.concatenate((logits, following[:-1])))
            chosen = np.take_along_axis(predicted, piece[..., None], axis=-1)[..., 0]
            there = np.arange(start, start + len(piece))[:, None] < lengths
            total += np.where(there, chosen, 0).sum(axis=0, dtype=np.float64)
            logits = following[-1:]
        result[numbers] = total / lengths
    return result


def hits(engine: Engine, dialogue: Dialogue, conversations: Sequence[Sequence[Said]], cases: int) -> dict[float, float]:
    """hits@1 for each weight."""
    rng = np.random.default_rng(1)
    places = [(turns, place) for turns in conversations for place in range(1, len(turns))]
    chosen = [places[number] for number in rng.choice(len(places), min(cases, len(places)), replace=False)]
    vocabulary = engine.vocabulary
    given, alone = [], []
    for turns, place in chosen:
        before = turns[max(0, place - CONTEXT) : place]
        context = dialogue.closing.join(dialogue.opening(one.name) + one.text for one in before)
        opening = dialogue.opening(turns[place].name)
        prompt = dialogue.beginning + context + dialogue.closing + opening
        after = engine.feed(engine.start(), spell(vocabulary, prompt)[0])
        nothing = engine.feed(engine.start(), spell(vocabulary, dialogue.beginning + opening)[0])
        others = [places[number] for number in rng.choice(len(places), OTHERS, replace=False)]
        for said in (turns[place], *[elsewhere[number] for elsewhere, number in others]):
            ids = spell(vocabulary, said.text)[0]
            given.append(Trial(*after, ids))
            alone.append(Trial(*nothing, ids))
    scores = log_means(engine, given).reshape(len(chosen), -1)
    anyway = log_means(engine, alone).reshape(len(chosen), -1)
    gain = scores - anyway
    print(f"{len(chosen)} cases of {1 + OTHERS}; the context is worth {gain[:, 0].mean():.4f} nats a character", end="")
    print(f" to the true reply, {gain[:, 1:].mean():.4f} to others")
    return {weight: float(((scores - weight * anyway).argmax(axis=1) == 0).mean()) for weight in WEIGHTS}


def seconds(engine: Engine, dialogue: Dialogue, count: int, replies: int) -> tuple[float, float, float]:
    """Medians: until the first character of a reply, for the whole reply, and its characters."""
    conversation = Conversation(engine, dialogue, dials=Dials(candidates=count, length=LONGEST), seed=1)
    firsts, wholes, lengths = [], [], []
    for number in range(replies):
        shown: list[float] = []
        began = time.process_time()
        reply = conversation.say(
            f"What do you know of the {number}th ship?", lambda _, shown=shown: shown.append(time.process_time())
        )
        wholes.append(time.process_time() - began)
        firsts.append(shown[0] - began if shown else wholes[-1])
        lengths.append(len(reply.text))
    return float(np.median(firsts)), float(np.median(wholes)), float(np.median(lengths))


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("text", type=Path)
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--replies", type=int, default=9)
    options = parser.parse_args()
    engine = charlm.load(options.model).engine
    text = options.text.read_text(encoding="utf-8")
    dialogue = listen([text]).dialogue
    assert dialogue.has_turns, "the text has no turns"
    began = time.process_time()
    held_out = conversations_of(text[int(len(text) * 0.9) :], dialogue)
    for weight, share in hits(engine, dialogue, held_out, options.cases).items():
        print(f"weight {weight:<5g} hits@1 {share:.3f}")
    print(f"{time.process_time() - began:.0f} s of processor time")
    for count in COUNTS:
        first, whole, length = seconds(engine, dialogue, count, options.replies)
        print(f"candidates {count:<3} first character {first:.3f} s, reply {whole:.3f} s, {length:.0f} characters")


if __name__ == "__main__":
    main()
