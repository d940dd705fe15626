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

import numpy as np

import charlm
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.reply import Observer
from charlm.config import ChatConfig
from charlm.inference.engine import Engine
from charlm.insight.response_selection import make_cases, rank_true_replies, sample_contexts, score
from charlm.text.conversations import Utterance, conversations_in
from charlm.text.dialogue import Dialogue
from charlm.text.format_detection import FormatDetector

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
COUNTS = (1, 4, 8, 16, 32)
LONGEST = 400  # characters of a reply


def hits(
    engine: Engine, dialogue: Dialogue, conversations: Sequence[Sequence[Utterance]], count: int
) -> dict[float, float]:
    """hits@1 for each weight."""
    elsewhere = sample_contexts(engine, dialogue)
    scores = [score(engine, dialogue, case, elsewhere) for case in make_cases(conversations, count)]
    gain = np.stack([(one.in_context - one.out_of_context) / one.lengths for one in scores])
    print(
        f"{len(scores)} cases of {gain.shape[1]}; the context is worth {gain[:, 0].mean():.4f} nats a character", end=""
    )
    print(f" to the true reply, {gain[:, 1:].mean():.4f} to others")
    return {
        weight: rank_true_replies(one.in_context - weight * one.out_of_context for one in scores).hits_at_1
        for weight in WEIGHTS
    }


def seconds(engine: Engine, dialogue: Dialogue, count: int, replies: int) -> tuple[float, float, float]:
    """Medians: until the first character of a reply, for the whole reply, and its characters."""
    conversation = Conversation(
        engine, ConversationData.start(dialogue, dials=ChatConfig(candidates=count, length=LONGEST), seed=1)
    )
    firsts, wholes, lengths = [], [], []
    for number in range(replies):
        shown: list[float] = []
        began = time.process_time()
        reply = conversation.say(
            f"What do you know of the {number}th ship?",
            Observer(lambda _, shown=shown: shown.append(time.process_time())),
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
    engine = Engine(charlm.load(options.model).checkpoint)
    text = options.text.read_text(encoding="utf-8")
    detector = FormatDetector()
    detector.update(text)
    dialogue = detector.result().dialogue
    assert dialogue.has_turns, "the text has no turns"
    began = time.process_time()
    held_out = conversations_in(text[int(len(text) * 0.9) :], dialogue)
    for weight, share in hits(engine, dialogue, held_out, options.cases).items():
        print(f"weight {weight:<5g} hits@1 {share:.3f}")
    print(f"{time.process_time() - began:.0f} s of processor time")
    for count in COUNTS:
        first, whole, length = seconds(engine, dialogue, count, options.replies)
        print(f"candidates {count:<3} first character {first:.3f} s, reply {whole:.3f} s, {length:.0f} characters")


if __name__ == "__main__":
    main()
