"""Write docs/NAME-samples.md: openings and conversations with a bundled model, unedited.

    charlm corpora build smalltalk && python docs/make_samples.py smalltalk
    python docs/make_samples.py nihongo

The person's lines are in samples.toml. Each opening begins a new conversation at default settings, with the seed
`SEED` plus its number; the conversations have the seeds 1, 2 and so on. A word counts as misspelled if it is not in the
training text; this needs words between spaces.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import charlm
from charlm.corpora import registry
from charlm.files import write_bytes
from charlm.insight.reply_metrics import ReplyPair, converse, measure, split_words

SEED = 1
FOLDER = Path(__file__).parent


def page(model: charlm.Model, openings: list[str], talks: list[list[str]]) -> str:
    """Return the page in Markdown."""
    known = None
    if model.name == "smalltalk":
        known = frozenset(split_words(registry.find(model.name).read_text(encoding="utf-8")))
    exchanges = [converse(model.chat(seed=SEED + number), [line])[0] for number, line in enumerate(openings)]
    found = measure(exchanges, known)
    misspelled = "" if found.unknown is None else f"Words misspelled: {found.unknown:.1%}. "
    lines = [
        f"# {len(openings)} openings",
        "",
        f"Replies of `{model.name}` to a first line, at default settings, each with another seed, unedited.",
        f"`python docs/make_samples.py {model.name}` made this page.",
        "",
        f"{misspelled}Echoes: {found.echoes:.0%}. Replies that repeat themselves: {found.repeats:.0%}. "
        f"Empty: {found.empty:.0%}. Mean length: {found.length:.0f} characters.",
        "",
        *table(exchanges),
        "",
        f"# {len(talks)} conversations",
        "",
        "The person's lines were written before the model's replies.",
    ]
    for number, talk in enumerate(talks, 1):
        lines += ["", f"## {number}", "", *table(converse(model.chat(seed=number), talk))]
    return "\n".join([*lines, ""])


def table(pairs: list[ReplyPair]) -> list[str]:
    """Return the lines of a table of messages and replies."""
    return ["| you | reply |", "|---|---|", *(f"| {cell(one.message)} | {cell(one.reply)} |" for one in pairs)]


def cell(text: str) -> str:
    """Return text for a cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    chosen = charlm.load(sys.argv[1])
    lines = tomllib.loads((FOLDER / "samples.toml").read_text(encoding="utf-8"))[chosen.name]
    talks = [talk.splitlines() for talk in lines["conversations"].strip().split("\n\n")]
    text = page(chosen, lines["openings"].strip().splitlines(), talks)
    write_bytes(FOLDER / f"{chosen.name}-samples.md", text.encode())
