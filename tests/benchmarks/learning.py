"""What learning from a person is worth to a chat partner, on the text of a corpus that the model was not trained on.

    python -m tests.benchmarks.learning ranking MODEL.safetensors HELD_OUT.txt --cases 200
    python -m tests.benchmarks.learning talk MODEL.safetensors HELD_OUT.txt --conversations 50 --turns 30
    python -m tests.benchmarks.learning pays MODEL.safetensors HELD_OUT.txt --characters 30000
    python -m tests.benchmarks.learning recover MODEL.safetensors TEXT.txt --characters 100000
    python -m tests.benchmarks.learning speed MODEL.safetensors TEXT.txt

`ranking`: the true reply among ten, by log p(reply | adapted to the last W turns) - lambda * log p(reply).
`talk`: scripted conversations, static and learning: the person says lines of the text, whatever is replied.
`pays`: conversations of the text are read, and every other turn is learned: what that is worth to the turns between.
`recover`: noise, one line over and over, another language, then the text: how soon it is predicted as well as by the
trained model again.
`speed`: characters a second with learning, and how long a turn of 200 characters takes; medians. On a quiet machine,
and with one thread (OPENBLAS_NUM_THREADS=1), as the command line has it.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from charlm import checkpoint
from charlm.adapt.learner import Learner
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.near_duplicates import are_near_duplicates, normalised
from charlm.config import ChatConfig, LearnConfig
from charlm.inference.context import encode_lossy
from charlm.inference.engine import Engine
from charlm.insight.reply_metrics import split_words
from charlm.insight.response_selection import Case, RankedScore, make_cases, rank_true_replies, sample_contexts, score
from charlm.text.conversations import Utterance, conversations_in
from charlm.text.decoding import normalise
from charlm.text.dialogue import Dialogue

RATES, WINDOWS, WEIGHTS = (3e-5, 1e-4, 3e-4), (2, 4, 8), (0.0, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25)
COMMON = 150  # most frequent words, which are about nothing


def show_ranking(
    engine: Engine,
    dialogue: Dialogue,
    texts: list[tuple[Utterance, ...]],
    count: int,
    rates: list[float],
    windows: list[int],
) -> None:
    """A table: rate and window by lambda."""
    cases = make_cases(texts, count)

    def cell(one: RankedScore) -> str:
        return f"{one.hits_at_1:.3f}"

    elsewhere = sample_contexts(engine, dialogue)
    static = [score(engine, dialogue, case, elsewhere) for case in cases]
    error = rank_true_replies(one.in_context for one in static).error
    print(f"{len(cases)} cases of {len(cases[0].replies)}; one standard error about {error:.3f}")
    print("static, log p(reply | context) - lambda log p(reply | other contexts)")
    print("  lambda " + "  ".join(f"{w:5g}" for w in WEIGHTS))
    print(
        "         "
        + "  ".join(
            cell(rank_true_replies(one.in_context - w * one.out_of_context for one in static)) for w in WEIGHTS
        ),
        flush=True,
    )
    print("learning, log p(reply | adapted, context) - lambda log p(reply | trained, other contexts)")
    for window, rate in itertools.product(windows, rates):
        learner = Learner(engine, LearnConfig(rate=rate))
        short = [Case(case.context[-window:], case.name, case.replies) for case in cases]
        scores = [score(engine, dialogue, case, elsewhere, learner) for case in short]
        row = "  ".join(
            cell(rank_true_replies(one.adapted - w * one.out_of_context for one in scores)) for w in WEIGHTS
        )
        print(f"  rate {rate:g}, last {window} turns:  {row}", flush=True)


def talk(engine: Engine, dialogue: Dialogue, lines: list[list[str]], dials: ChatConfig, common: set[str]) -> None:
    """Hold the conversations and print what the replies are like."""
    began, distinct, echoes, topical, lengths = time.process_time(), [], [], [], []
    finite = True
    for number, said in enumerate(lines):
        conversation = Conversation(engine, ConversationData.start(dialogue, dials=dials, seed=number))
        replies = []
        for place, line in enumerate(said):
            reply = conversation.say(line).text
            replies.append(normalised(reply))
            lengths.append(len(reply))
            echoes.append(are_near_duplicates(normalised(reply), normalised(line)))
            recent = {word for one in said[max(0, place - 1) : place + 1] for word in split_words(one)} - common
            topical.append(bool(recent & set(split_words(reply))))
        distinct.append(len(set(replies)) / len(replies))
        finite &= bool(np.isfinite(conversation.context(conversation.head).logits).all())
    print(
        f"  {'learning at ' + format(dials.learn, 'g') if dials.learn else 'static':20}"
        f" distinct {np.mean(distinct):.1%} (worst {min(distinct):.1%})  echoes {np.mean(echoes):.1%}"
        f"  share a content word {np.mean(topical):.1%}  mean length {np.mean(lengths):.0f}"
        f"  {(time.process_time() - began) / len(echoes):.2f} processor s a reply{'' if finite else '  NOT FINITE'}",
        flush=True,
    )


def show_talk(
    engine: Engine, dialogue: Dialogue, texts: list[tuple[Utterance, ...]], count: int, turns: int, rates: list[float]
) -> None:
    """Static beside learning."""
    words = Counter(word for turns_ in texts for one in turns_ for word in split_words(one.text))
    common = {word for word, _ in words.most_common(COMMON)}
    # What one of the two says, conversation after conversation, until there are enough lines.
    mine = [one.text for turns_ in texts for one in turns_[::2] if "\n" not in one.text]
    each = turns // 2
    lines = [mine[first : first + each] for first in range(0, len(mine) - each + 1, each)][:count]
    print(f"{len(lines)} conversations of {turns} turns")
    for rate in (0.0, *rates):
        talk(engine, dialogue, lines, replace(ChatConfig(), learn=rate), common)


def show_pays(engine: Engine, dialogue: Dialogue, texts: list[tuple[Utterance, ...]], characters: int) -> None:
    """Nats a character, of the turns that are learned and of those between them."""
    for rate in (3e-5, 1e-4, 3e-4):
        learner = Learner(engine, LearnConfig(rate=rate))
        closing = encode_lossy(engine.vocabulary, dialogue.closing)
        then = int(closing[0]) if len(closing) else None
        nats, base = np.zeros(2), np.zeros(2)
        read = np.zeros(2, dtype=np.int64)
        for turns in texts:
            if read.sum() >= characters:
                break
            memory = learner.start(dialogue.beginning or "\n")
            for place, one in enumerate(turns):
                lead = (dialogue.closing if place else "") + dialogue.opening(one.name)
                if lead:
                    memory = learner.read(memory, lead, learn=False).context
                mine = place % 2 == 0
                memory, surprises, without = learner.read(memory, one.text, learn=mine, next_id=then if mine else None)
                nats[place % 2] += surprises.sum()
                base[place % 2] += without.sum()
                read[place % 2] += len(surprises)
                if read.sum() >= characters:
                    break
        learned, static = nats / read, base / read
        print(
            f"  rate {rate:g}: learned turns {learned[0]:.4f} (static {static[0]:.4f}),"
            f" turns between {learned[1]:.4f} (static {static[1]:.4f}, {learned[1] - static[1]:+.4f})",
            flush=True,
        )


def show_recovery(engine: Engine, text: str, characters: int) -> None:
    """After each kind of bad text: over the next 3,000 characters, and the last 1,000 of them."""
    rng = np.random.default_rng(1)
    known = engine.vocabulary.characters
    foreign = "det var en gang en konge som hadde tre sønner, og så skal du få høre hvordan det gikk dem. "
    bad = {
        "noise": "".join(rng.choice(list(known), characters)),
        "one line": ("all work and no play makes jack a dull boy.\n" * (characters // 44 + 1))[:characters],
        "another language": (foreign * (characters // len(foreign) + 1))[:characters],
    }
    normal = text[:3000]
    for name, one in bad.items():
        learner = Learner(engine)
        memory, surprises, base = learner.read(learner.start(), one)
        after = learner.read(memory, normal)
        finite = bool(np.isfinite(surprises).all() and np.isfinite(after.nats).all())
        print(
            f"  {name}: {characters:,} characters at {surprises.mean():.3f} nats (trained {base.mean():.3f}),"
            f" shrunk {memory.shrinks} times; then 3,000 of the text at {after.nats.mean():.4f}"
            f" (trained {after.base_nats.mean():.4f}, {after.nats.mean() / after.base_nats.mean() - 1:+.2%}),"
            f" the last 1,000 {after.nats[-1000:].mean() / after.base_nats[-1000:].mean() - 1:+.2%};"
            f" finite: {finite}",
            flush=True,
        )


def show_speed(engine: Engine, text: str) -> None:
    """By the clock and by the processor's, whose difference says whether the machine was quiet."""
    learner = Learner(engine)
    memory = learner.read(learner.start(), text[:1000]).context
    for characters, runs in ((2000, 11), (200, 41)):
        wall, processor = [], []
        for _ in range(runs):
            began, worked = time.perf_counter(), time.process_time()
            learner.read(memory, text[:characters])
            wall.append(time.perf_counter() - began)
            processor.append(time.process_time() - worked)
        seconds = statistics.median(wall)
        print(
            f"  {characters:5,} characters learned in {seconds:.3f} s: {characters / seconds:,.0f} chars/s, median of"
            f" {runs}, from {min(wall):.3f} to {max(wall):.3f} s; processor {statistics.median(processor):.3f} s",
            flush=True,
        )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["ranking", "talk", "pays", "recover", "speed"])
    parser.add_argument("model", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="of learning")
    parser.add_argument("--windows", type=int, nargs="+", default=WINDOWS, help="turns that are learned")
    parser.add_argument("--conversations", type=int, default=50)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--characters", type=int, default=100_000)
    asked = parser.parse_args()
    loaded = checkpoint.load(asked.model)
    engine, dialogue = Engine(loaded), loaded.dialogue
    text = normalise(asked.text.read_text(encoding="utf-8")).strip("\n")
    if asked.what == "speed":
        show_speed(engine, text)
        return
    if asked.what == "recover":
        show_recovery(engine, text, asked.characters)
        return
    if dialogue.has_turns:
        texts = conversations_in(text, dialogue)
    else:  # a line each, one after the other
        texts = [tuple(Utterance("", line + "\n") for line in text.split("\n") if line)]
    if asked.what == "ranking":
        show_ranking(engine, dialogue, texts, asked.cases, asked.rates, asked.windows)
    elif asked.what == "pays":
        show_pays(engine, dialogue, texts, asked.characters)
    else:
        show_talk(engine, dialogue, texts, asked.conversations, asked.turns, asked.rates)


if __name__ == "__main__":
    main()
