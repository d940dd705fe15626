"""How hot replies should be drawn: how well they fit what was said, and how varied they are. Prints a table.

    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.temperature MODEL JUDGE TEXT

TEXT is what both models were trained on; its last twentieth, which training did not see, gives contexts and replies.
A reply fits by log p(reply | context) - log p(reply | elsewhere), in nats, as JUDGE has it: another model, so that none
judges what it likes best. Variety is distinct-2, which the number of words decides too: the same for each row.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

import charlm
from charlm.config import SamplingConfig
from charlm.inference.engine import Engine
from charlm.inference.generate import generate_batch
from charlm.insight.reply_metrics import ReplyPair, measure, split_words
from charlm.insight.response_selection import (
    MAX_REPLY_CHARS,
    Case,
    ResponseScores,
    after_context,
    make_cases,
    sample_contexts,
    score,
)
from charlm.text.conversations import conversations_in
from charlm.text.dialogue import Dialogue
from charlm.text.format_detection import FormatDetector

TEMPERATURES = (0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
EACH = 4  # replies drawn a case
WORDS = 1500  # of each row that variety is measured on


def draw(engine: Engine, dialogue: Dialogue, case: Case, temperature: float) -> tuple[str, ...]:
    """Replies to a case's context, each as it comes."""
    params = SamplingConfig(temperature=temperature, seed=1)
    after = after_context(engine, dialogue, case)
    drawn = generate_batch(after, engine, params, EACH, max_chars=MAX_REPLY_CHARS, stops=dialogue.stops)
    return tuple(one.text for one in drawn)


def row(name: str, cases: Sequence[Case], judge: Callable[[Case], ResponseScores], known: frozenset[str]) -> str:
    """The figures of the replies of some cases, all of one kind."""
    fits = np.concatenate([one.in_context - one.out_of_context for one in map(judge, cases)])
    figures = measure([ReplyPair(case.context[-1].text, reply) for case in cases for reply in case.replies], known)
    words = [word for case in cases for reply in case.replies for word in split_words(reply)][:WORDS]
    pairs = list(pairwise(words))
    return (
        f"{name:>5}  fits {fits.mean():5.2f} +-{fits.std() / len(fits) ** 0.5:.2f} nats  distinct-2 "
        f"{len(set(pairs)) / len(pairs):.3f}  misspelt {figures.unknown or 0:.2%}  repeats {figures.repeats:.1%}  "
        f"echoes {figures.echoes:.1%}  {figures.length:.0f} characters"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("judge")
    parser.add_argument("text", type=Path)
    parser.add_argument("--cases", type=int, default=150)
    options = parser.parse_args()
    engine, other = (Engine(charlm.load(name).checkpoint) for name in (options.model, options.judge))
    text = options.text.read_text(encoding="utf-8")
    detector = FormatDetector()
    detector.update(text)
    dialogue = detector.result().dialogue
    cases = make_cases(conversations_in(text[int(len(text) * 0.95) :], dialogue), options.cases)
    known, elsewhere = frozenset(split_words(text)), sample_contexts(other, dialogue)

    def judge(case: Case) -> ResponseScores:
        return score(other, dialogue, case, elsewhere)

    print(row("true", [replace(case, replies=case.replies[:1]) for case in cases], judge, known), flush=True)
    for temperature in TEMPERATURES:
        drawn = [replace(case, replies=draw(engine, dialogue, case, temperature)) for case in cases]
        print(row(f"{temperature:g}", drawn, judge, known), flush=True)


if __name__ == "__main__":
    main()
