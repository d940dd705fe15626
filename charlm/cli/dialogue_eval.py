"""`charlm eval --dialogue`: measures a model as a chat partner."""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Final

from charlm.adapt.learner import Learner
from charlm.chat.conversation import Conversation
from charlm.chat.conversation_data import ConversationData
from charlm.chat.learning import default_dials
from charlm.cli.command import load_engine
from charlm.cli.output import print_json, print_table, print_text, progress_bar
from charlm.config import LearnConfig
from charlm.errors import UsageError
from charlm.inference.engine import Engine
from charlm.insight import dialogue_cases, response_selection
from charlm.insight.dialogue_cases import CheckedReply, Question, RecallCase
from charlm.insight.reply_metrics import ReplyMetrics, ReplyPair, converse, first_messages, measure, split_words
from charlm.insight.response_selection import Case, ResponseScores
from charlm.text.conversations import Utterance, conversations_in
from charlm.text.decoding import normalise

MAX_SAMPLED_CONVERSATIONS: Final = 20  # the model replies in this many


def evaluate_dialogue(
    path: Path, texts: dict[str, str], config: LearnConfig, cases: int, seed: int, words: str, as_json: bool
) -> None:
    """Measure a model on conversations between people, and print the figures.

    The words in the text `words` count as known; an empty text turns off the check of words.

    Raises:
        UsageError: the model was trained on a text without turns.
        CorpusError: the texts have too few turns.
    """
    engine = _load(path)
    dialogue = engine.checkpoint.dialogue
    conversations = [one for text in texts.values() for one in conversations_in(normalise(text).strip("\n"), dialogue)]
    chosen = response_selection.make_cases(conversations, cases, seed)
    scores = _score(engine, config, chosen)
    rankings = {
        "likelihood": [one.in_context for one in scores],
        "relevance": [one.in_context - one.out_of_context for one in scores],
        "relevance, learning": [one.adapted - one.out_of_context for one in scores],
    }
    rankings["shared words"] = [one.shared_words for one in scores]
    if engine.checkpoint.matching:
        matching = [one.matching for one in scores]
        for name in ("relevance", "relevance, learning"):
            rankings[f"{name}, matching"] = [one + other for one, other in zip(rankings[name], matching, strict=True)]
        rankings["matching"] = matching
        rankings["matching, shared words"] = [one.matching + one.shared_words for one in scores]
    ranks = {name: response_selection.rank_true_replies(ranking) for name, ranking in rankings.items()}
    characters = float(sum(one.lengths[0] for one in scores)) * math.log(2)
    bits = float(sum(-one.in_context[0] for one in scores)) / characters  # of true replies after their context
    bits_learning = float(sum(-one.adapted[0] for one in scores)) / characters
    replies = measure(_sample_replies(engine, conversations, seed), frozenset(split_words(words)) if words else None)
    if as_json:
        print_json(
            {
                "model": path.stem,
                "cases": len(scores),
                "ranking": {name: {"hits_at_1": one.hits_at_1, "mrr": one.mrr} for name, one in ranks.items()},
                "reply_bits_per_char": bits,
                "reply_bits_per_char_learning": bits_learning,
                "replies": asdict(replies),
                "learning": config.to_dict(),
                "seed": seed,
            }
        )
        return
    choices = len(chosen[0].replies)
    print_text(f"the true reply among {choices}, {len(scores)} cases, chance {1 / choices:.3f}")
    for name, one in ranks.items():
        print_text(f"  {name:28}  hits@1 {one.hits_at_1:.3f} (+-{one.error:.3f})  mean reciprocal rank {one.mrr:.3f}")
    print_text(f"true replies after their context: {bits:.4f} bits/char, after learning from it {bits_learning:.4f}")
    _print_replies(replies)


def evaluate_partner(
    path: Path, rate: float | None, cases: int, seed: int, without: Sequence[str], as_json: bool
) -> None:
    """Measure recall of stated facts and the share of fitting replies, and print the figures.

    `rate` is the learning rate, None for that of a chat, and `without` names the memories that are turned off.

    Raises:
        UsageError: the model was trained on a text without turns.
    """
    engine = _load(path)
    changes = {} if rate is None else {"learn": rate}
    changes |= {{"learning": "learn"}.get(one, one): 0.0 for one in without}
    dials = default_dials(engine.checkpoint).changed(**changes)
    language = engine.vocabulary.language

    def new(seed: int) -> Conversation:
        return Conversation(engine, ConversationData.start(engine.checkpoint.dialogue, dials=dials, seed=seed))

    questions = dialogue_cases.questions() if language == "en" else []
    runs: list[RecallCase | Question] = [*dialogue_cases.recall_cases(language, cases, seed), *questions]
    replies: list[CheckedReply] = []
    with progress_bar(len(runs), "talking") as advance:
        for number, one in enumerate(runs):
            replies += one.run(new, seed + 100 * number)
            gc.collect()  # turns refer to one another and hold learned weights
            advance(1)
    answers = [one for one in replies if not one.distance]
    recall = {
        kind: {
            distance: fmean(cell)
            for distance in dialogue_cases.DISTANCES
            if (cell := [one.is_right for one in replies if (one.name, one.distance) == (kind, distance)])
        }
        for kind in dialogue_cases.KINDS
    }
    document: dict[str, object] = {"model": path.stem, "cases": cases, "seed": seed, "without": list(without)}
    document |= {"dials": dials.to_dict(), "recall": recall, "replies": [one._asdict() for one in replies]}
    if answers:
        document["answers"] = fmean([one.is_right for one in answers])
        document["answers_by_chance"] = dialogue_cases.chance(answers)
    if as_json:
        print_json(document)
        return
    print_text(f"facts recalled, {cases} of each kind, by turns since they were stated")
    rows = [
        [f"  {kind}", *(f"{shares[one]:.1%}" if one in shares else "" for one in dialogue_cases.DISTANCES)]
        for kind, shares in recall.items()
    ]
    print_table("<>>>>", rows, ["", *map(str, dialogue_cases.DISTANCES)])
    if answers:
        share, chance = document["answers"], document["answers_by_chance"]
        print_text(f"replies that fit their question: {share:.1%} of {len(answers)} (another question: {chance:.1%})")


def _load(path: Path) -> Engine:
    engine = load_engine(path)
    if not engine.checkpoint.dialogue.has_turns:
        raise UsageError(
            f"{path.stem} was trained on a text without turns, so it has no replies to measure",
            "leave out --dialogue, or train with charlm train --format",
        )
    return engine


def _score(engine: Engine, config: LearnConfig, cases: Sequence[Case]) -> list[ResponseScores]:
    learner = Learner(engine, config)
    dialogue = engine.checkpoint.dialogue
    other_contexts = response_selection.sample_contexts(engine, dialogue)
    found = []
    with progress_bar(len(cases), "ranking") as advance:
        for case in cases:
            found.append(response_selection.score(engine, dialogue, case, other_contexts, learner))
            advance(1)
    return found


def _sample_replies(engine: Engine, conversations: Sequence[Sequence[Utterance]], seed: int) -> list[ReplyPair]:
    """Let the model reply to the first messages of some conversations, spread over the text."""
    dialogue = engine.checkpoint.dialogue
    several = [turns for turns in conversations if len(turns) > 1]
    stride = max(1, len(several) // MAX_SAMPLED_CONVERSATIONS)
    dials = default_dials(engine.checkpoint).changed(learn=0.0)
    pairs: list[ReplyPair] = []
    for number, turns in enumerate(several[::stride][:MAX_SAMPLED_CONVERSATIONS]):
        names = list(dict.fromkeys(one.name for one in turns))
        you, bot = names[:2] if len(names) > 1 else (None, None)
        data = ConversationData.start(dialogue, you, bot, dials=dials, seed=seed + number)
        pairs += converse(Conversation(engine, data), first_messages(turns))
    return pairs


def _print_replies(replies: ReplyMetrics) -> None:
    print_text(f"{replies.replies} replies of the model, at default settings")
    rows = [
        ("  mean length", f"{replies.length:.0f} characters"),
        ("  distinct-1, distinct-2", f"{replies.distinct_1:.3f}, {replies.distinct_2:.3f}"),
        ("  echo the message", f"{replies.echoes:.1%}"),
        ("  repeat themselves", f"{replies.repeats:.1%}"),
        ("  empty", f"{replies.empty:.1%}"),
    ]
    if replies.unknown is not None:
        rows.append(("  unknown words", f"{replies.unknown:.1%}"))
    print_table("<<", rows)
