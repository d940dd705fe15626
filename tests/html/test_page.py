"""The page in a browser, used as a person uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import charlm
from charlm.checkpoint import Checkpoint, load, save
from charlm.html.export import write_page
from charlm.text.dialogue import Dialogue

from ..chat.models import DIALOGUES, parrot_checkpoint, random_checkpoint, random_pointer
from ..chat.talkers import talking_checkpoint
from .browser import Browser, chromium, needs_chromium

pytestmark = [needs_chromium, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def opened(browser: Browser, checkpoint: Checkpoint, folder: Path) -> Browser:
    write_page(checkpoint, "m", folder / "m.html")
    browser.open(folder / "m.html")
    return browser


def read_text(browser: Browser) -> str:
    """Return all that the model has read, with the marks of turns."""
    text: str = browser.evaluate("app.vocabulary.decode(app.transcript.ids)")
    return text


def test_chat_of_three_turns_keeps_its_state(browser: Browser, tmp_path: Path) -> None:
    dialogue = Dialogue("transcript", ("Anna", "Bob"))
    opened(browser, parrot_checkpoint("Anna: hi one two lines three\nBob: no", dialogue), tmp_path)
    dials: dict[str, Any] = {"temperature": 0, "length": 20}
    browser.evaluate(f"Object.assign(app.dials, {json.dumps(dials)})")
    for words in ("one", " two\r\n\r\nlines ", "three"):
        said = browser.say(words)
    assert [author for author, _ in said] == ["you", "model"] * 3
    assert [text for author, text in said if author == "you"] == ["one", "two lines", "three"]
    replies = [text for author, text in said if author == "model"]
    lines = [f"Bob: {mine}\nAnna: {reply}" for mine, reply in zip(("one", "two lines", "three"), replies, strict=True)]
    assert read_text(browser) == "\n\n" + "\n".join(lines)
    fresh = "app.transcript.ids.reduce(({ state }, id) => app.model.step(state, id), app.model.start()).logits"
    assert browser.evaluate(f"{fresh}.every((logit, id) => logit === app.transcript.context.logits[id])")


@pytest.mark.parametrize("form", ["lines", "transcript"])
def test_chat_with_a_pointer_equals_that_of_python(browser: Browser, form: str, tmp_path: Path) -> None:
    made = talking_checkpoint()
    made = replace(made, dialogue=DIALOGUES[form], pointer=random_pointer(made.config))
    save(made, tmp_path / "m.safetensors", precision="half")
    opened(browser, load(tmp_path / "m.safetensors"), tmp_path)
    browser.evaluate("Object.assign(app.dials, { temperature: 0, length: 40 })")
    model = charlm.load(tmp_path / "m.safetensors")
    dials = {"candidates": 1, "temperature": 0, "length": 40, "learn": False}
    chat, plain = model.chat(**dials), model.chat(recall=0, **dials)
    replies = []
    for words in ("I am Anna B", "you are a bee", "who am I?"):
        replies.append(browser.say(words)[-1][1])
        assert replies[-1] == chat.say(words).text
        plain.say(words)
    assert replies != [turn.text for turn in plain.path[1::2]]


def test_nothing_leaves_the_page(browser: Browser, tmp_path: Path) -> None:
    opened(browser, random_checkpoint(), tmp_path)
    browser.say("hello")
    assert browser.requests == [(tmp_path / "m.html").as_uri()]
    blocked = browser.try_to_connect()
    assert {"connect-src", "img-src", "worker-src", "style-src-elem", "script-src-elem"} <= blocked
    assert len(browser.requests) == 1


def test_an_alternative_replaces_what_followed(browser: Browser, tmp_path: Path) -> None:
    opened(browser, random_checkpoint(has_bytes=False), tmp_path)
    browser.evaluate("Object.assign(app.dials, { length: 60 })")
    before = browser.say("hello")[1][1]
    browser.evaluate("document.querySelectorAll('.model [data-at]')[20].click()")
    odds = browser.evaluate("$('odds').textContent")
    assert "bits of surprise" in odds
    browser.evaluate("[...document.querySelectorAll('#choices button')].find((one) => !one.ariaCurrent).click()")
    browser.wait_for("app.writer === null")
    after = browser.turns()[1][1]
    assert after[:20] == before[:20]
    assert after[20] != before[20]
    browser.evaluate("$('undo').click()")
    assert browser.turns()[1][1] == before
    browser.evaluate("$('again').click()")
    browser.wait_for("app.writer === null")
    assert browser.turns()[1][1] != before


def test_escape_stops_and_enter_continues(browser: Browser, tmp_path: Path) -> None:
    opened(browser, random_checkpoint(), tmp_path)
    browser.evaluate("Object.assign(app.dials, { length: 100000, pace: 200 })")
    browser.evaluate("$('words').value = 'a'; $('write').click()")
    browser.wait_for("app.transcript.ids.length > 20")
    for key in ("Escape", "ArrowLeft", "ArrowLeft"):
        browser.evaluate("$('text').focus()")
        browser.call("Input.dispatchKeyEvent", type="keyDown", key=key)
    assert browser.evaluate("app.writer === null")
    stopped = browser.turns()[1][1]
    assert browser.evaluate("app.place === app.transcript.ids.length - 2")
    browser.evaluate("app.dials.length = 10")
    continued = browser.say("")
    assert [author for author, _ in continued] == ["you", "model"]
    assert continued[1][1].startswith(stopped)
    assert len(continued[1][1]) == len(stopped) + 10


def test_stop_while_reading_gives_the_words_back(browser: Browser, tmp_path: Path) -> None:
    opened(browser, random_checkpoint(), tmp_path)
    said = browser.say("hello")
    browser.evaluate("app.dials.pace = 100; $('words').value = 'abc '.repeat(500); $('write').click()")
    browser.wait_for("app.transcript.ids.length > 1010")
    browser.evaluate("$('write').click()")
    assert browser.turns() == said
    assert browser.evaluate("$('words').value") == "abc " * 500


@pytest.mark.parametrize("name", DIALOGUES)
def test_page_fits_narrow_and_wide_windows(browser: Browser, name: str, tmp_path: Path) -> None:
    opened(browser, replace(random_checkpoint(), dialogue=DIALOGUES[name]), tmp_path)
    browser.say("hello")
    browser.check_layout()
