"""Output in notebooks: HTML without a script, pictures in SVG, and the notebook of the docs."""

from __future__ import annotations

import ast
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import charlm
from charlm.api import Model
from charlm.errors import UsageError
from charlm.text.dialogue import Dialogue
from charlm.text.sanitize import visible
from charlm.text.surprise import surprise_html

from .conftest import HARBOUR, random_checkpoint

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


class Spans(HTMLParser):
    """Text, titles and tags of some HTML."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.titles, self.tags = "", list[str](), set[str]()
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.titles += [value or "" for name, value in attrs if name == "title"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def model() -> Model:
    made = random_checkpoint(has_bytes=True)
    return Model(charlm.checkpoint.Checkpoint(made.config, made.vocabulary, made.tensors, dialogue=Dialogue("lines")))


def shown(value: Any) -> Spans:
    spans = Spans(value._repr_html_())
    assert spans.tags <= {"pre", "span"}
    return spans


def test_characters_are_escaped_and_stronger_with_surprise() -> None:
    page = surprise_html([("<", 0.0, ()), ("\x1b", 6.0, ()), ("\n", 99.0, ())])
    spans = Spans(page)
    assert spans.text == "<\u241b\u21b5\n"
    assert spans.titles == ["<: 0.0 bits", "\u241b: 6.0 bits", "\u21b5: 99.0 bits"]
    assert re.findall(r"rgba\(230,120,0,([\d.]+)\)", page) == ["0.00", "0.40", "0.80"]
    assert spans.tags == {"pre", "span"}


def test_completions_show_every_character_and_its_alternatives(model: Model) -> None:
    made, other = model.generate_many("the ", 2, max_chars=30, seed=1, alternatives=3)
    spans = shown(made)
    assert spans.text.replace("\u21b5\n", "\n") == visible(made.text)
    assert all(len(title.splitlines()) == 4 for title in spans.titles)
    assert model.generate_many("the ", 2, max_chars=30, seed=1)[1].text == other.text


def test_replies_show_every_character_and_its_alternatives(model: Model) -> None:
    reply = model.chat(seed=1, length=20, learn=False).say("hello there")
    spans = shown(reply)
    assert visible(reply.text.strip("\n")) in spans.text.replace("\u21b5\n", "\n")
    assert all(len(title.splitlines()) == 6 for title in spans.titles)


def test_scores_show_the_line(model: Model) -> None:
    (line,) = model.score("the ferry")
    spans = shown(line)
    assert spans.text == "the ferry\u21b5\n"
    assert spans.titles[0] == f"t: {line.surprisals[0]:.1f} bits"


def test_look_shows_text_gates_and_units(model: Model) -> None:
    looked = model.look("the f\u00e9rry", alternatives=2)
    spans = shown(looked)
    assert spans.text == "the f\u00e9rry"
    assert all(len(title.splitlines()) == 3 for title in spans.titles)
    unit = looked.unit(1, "f", 3)
    assert shown(unit).text.endswith("\nthe f\u00e9rry")
    assert shown(unit).titles[2] == f"{unit.values[2]:.3f}"
    with pytest.raises(UsageError, match="there is no unit 99 of 1 f"):
        looked.unit(1, "f", 99)
    with pytest.raises(UsageError, match="no text"):
        model.look("")
    pytest.importorskip("matplotlib", reason="NOT TESTED: pictures need matplotlib")
    picture = looked.gates(layer=1)._repr_svg_()
    assert "<svg" in picture
    assert "<script" not in picture


@pytest.mark.slow
def test_notebook_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells run in order; the last expression of each is shown. Its training is cut to seconds."""
    pytest.importorskip("matplotlib", reason="NOT TESTED: pictures need matplotlib")
    for folder in ("corpora", "docs"):
        (tmp_path / folder).mkdir()
    shutil.copy(HARBOUR, tmp_path / "corpora")
    monkeypatch.chdir(tmp_path / "docs")
    kinds = list[str]()

    def display(value: Any) -> None:
        kinds.extend(name for name in ("_repr_html_", "_repr_svg_") if getattr(value, name, lambda: None)())

    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    namespace: dict[str, Any] = {"display": display}
    for source in sources:
        tree = ast.parse(source.replace("minutes=1", "steps=3, lanes=4, chunk=32, hidden=32, layers=2, base='none'"))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "notebook", "exec"), namespace)
        if last is not None:
            display(eval(compile(ast.Expression(last.value), "notebook", "eval"), namespace))  # type: ignore[attr-defined]
    assert kinds.count("_repr_html_") >= 5
    assert kinds.count("_repr_svg_") >= 2
