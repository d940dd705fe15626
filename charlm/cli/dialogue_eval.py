"""`charlm eval --dialogue`: how good a partner a model is; measure, print."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlm.cli.command import is_live, shown
from charlm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from charlm.config import LearnConfig
    from charlm.inference.engine import Engine
    from charlm.insight.reply_metrics import ReplyPair
    from charlm.insight.response_selection import Case, RankedScore, ResponseScores
    from charlm.text.conversations import Utterance

CONVERSATIONS = 20  # that are held


def report(
    path: Path, texts: dict[str, str], how: LearnConfig, cases: int, seed: int, words: str, as_json: bool
) -> None:
    """Measure a model on conversations that others had, and print it.

    Args:
        path: of the model.
        texts: files by name.
        how: the model learns from each context in this way.
        cases: how many places of the text are looked at.
        seed: of places, other replies, and replies drawn.
        words: a text whose words are spelled right; empty asks nothing.
        as_json: one object, for a script.
    """
    from charlm import checkpoint
    from charlm.inference.engine import Engine
    from charlm.insight.reply_metrics import measure, words_of
    from charlm.insight.response_selection import make_cases
    from charlm.text.conversations import conversations_in
    from charlm.text.decoding import normalise

    model = checkpoint.load(path)
    if not model.dialogue.has_turns:
        raise UsageError(
            f"{path.stem} was trained on a text without turns, so it has no replies to measure",
            "charlm eval measures it without --dialogue; charlm train --format says how a text writes turns",
        )
    engine = Engine(model)
    conversations = [
        one for text in texts.values() for one in conversations_in(normalise(text).strip("\n"), model.dialogue)
    ]
    chosen = make_cases(conversations, cases, seed)
    scores = _scores(engine, how, chosen)
    ranks = _ranks(scores)
    exchanges = _replies(engine, conversations, seed)
    known = frozenset(words_of(words)) if words else None
    figures = measure(exchanges, known)
    characters = float(sum(one.lengths[0] for one in scores)) * math.log(2)
    bits = float(sum(-one.given[0] for one in scores)) / characters
    learned = float(sum(-one.learned[0] for one in scores)) / characters
    if as_json:
        ranking = {name: {"hits_at_1": one.hits, "mrr": one.reciprocal} for name, one in ranks.items()}
        document: dict[str, Any] = {"model": path.stem, "cases": len(scores), "ranking": ranking}
        document |= {"reply_bits_per_char": bits, "reply_bits_per_char_learning": learned}
        click.echo(json.dumps(document | {"replies": asdict(figures), "learning": how.to_dict(), "seed": seed}))
        return
    click.echo(
        f"the true reply among {len(chosen[0].replies)}, {len(scores)} cases, chance {1 / len(chosen[0].replies):.3f}"
    )
    for name, one in ranks.items():
        click.echo(f"  {name:28}  hits@1 {one.hits:.3f} (+-{one.error:.3f})  mean reciprocal rank {one.reciprocal:.3f}")
    click.echo(f"true replies after their context: {bits:.4f} bits/char, learning from it {learned:.4f}")
    click.echo(f"{figures.replies} replies of the model's own, at default settings")
    rows = [
        ("mean length", f"{figures.length:.0f} characters"),
        ("distinct-1, distinct-2", f"{figures.distinct_1:.3f}, {figures.distinct_2:.3f}"),
        ("echo what was said", f"{figures.echoes:.1%}"),
        ("repeat themselves", f"{figures.repeats:.1%}"),
        ("empty", f"{figures.empty:.1%}"),
    ]
    if figures.unknown is not None:
        rows.append(("words misspelt", f"{figures.unknown:.1%}"))
    for name, value in rows:
        click.echo(shown(f"  {name:28}  {value}", sys.stdout))


def _scores(engine: Engine, how: LearnConfig, cases: Sequence[Case]) -> list[ResponseScores]:
    from charlm.adapt.learner import Learner
    from charlm.insight.response_selection import imagine, score

    learner = Learner(engine, how)
    dialogue = engine.checkpoint.dialogue
    elsewhere = imagine(engine, dialogue)
    if not is_live():
        return [score(engine, dialogue, case, elsewhere, learner) for case in cases]
    bar: Iterable[Case]
    with click.progressbar(cases, label="ranking", file=sys.stderr) as bar:
        return [score(engine, dialogue, case, elsewhere, learner) for case in bar]


def _ranks(scores: list[ResponseScores]) -> dict[str, RankedScore]:
    from charlm.insight.response_selection import ranked

    return {
        "likelihood": ranked(one.given for one in scores),
        "relevance": ranked(one.given - one.anyway for one in scores),
        "relevance, learning": ranked(one.learned - one.anyway for one in scores),
    }


def _replies(engine: Engine, conversations: Sequence[Sequence[Utterance]], seed: int) -> list[ReplyPair]:
    """Replies to what people said in some of the conversations, spread over the text."""
    from charlm.chat.conversation import Conversation
    from charlm.insight.reply_metrics import hold, lines_of

    dialogue = engine.checkpoint.dialogue
    long = [turns for turns in conversations if len(turns) > 1]
    exchanges: list[ReplyPair] = []
    for number, turns in enumerate(long[:: max(1, len(long) // CONVERSATIONS)][:CONVERSATIONS]):
        names = list(dict.fromkeys(one.name for one in turns))
        you, bot = names[:2] if len(names) > 1 else (None, None)
        exchanges += hold(Conversation(engine, dialogue, you=you, bot=bot, seed=seed + number), lines_of(turns))
    return exchanges
