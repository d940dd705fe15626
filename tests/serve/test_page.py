"""The page of the server: in a browser as a person uses it, and what only it asks for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import charlm
from charlm.inference.context import StaticModel, encode_lossy
from charlm.inference.engine import Engine
from charlm.inference.scoring import score_chars

from ..html.browser import Browser, chromium, needs_chromium
from .conftest import is_error, serving

KEY = "s\u00e9cret"
TEXT = "hello th\u00eare"
OpenModel = Callable[..., None]
in_browser = [needs_chromium, pytest.mark.slow]


def scored(path: Path, text: str) -> tuple[list[float], list[str]]:
    """Return the surprisal of each character, and the likeliest first."""
    engine = Engine(charlm.load(path).checkpoint)
    _, scores = score_chars(engine, StaticModel(engine).start(), text, 1)
    return [one.surprisal for one in scores], [one.alternatives[0].text for one in scores]


# -- what only the page asks for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 6, len(TEXT)])
def test_look_has_scores_alternatives_and_signals(client: TestClient, models: list[Path], first: int) -> None:
    look = client.post("/look", json={"model": "bytes", "text": TEXT, "first": first}).json()
    assert "".join([character for character, _, _ in look["scores"]]) == TEXT[first:]
    bits, likeliest = scored(models[2], TEXT + "a")
    np.testing.assert_allclose([-logp / math.log(2) for _, logp, _ in look["scores"]], bits[first:-1], rtol=1e-4)
    assert [alternatives[0][0] for _, _, alternatives in look["scores"]] == likeliest[first:-1]
    assert look["next"][0][0] == likeliest[-1]
    engine = Engine(charlm.load(models[2]).checkpoint)
    activations = engine.forward_with_activations(engine.start(), encode_lossy(engine.vocabulary, TEXT))
    for layer, expected in zip(look["signals"], activations.signals, strict=True):
        for name, values in expected.items():
            np.testing.assert_allclose(layer[name], values[-1], atol=1e-3)


@pytest.mark.parametrize(
    "change", [{"text": ""}, {"text": 1}, {"first": 3}, {"first": -1}, {"first": True}, {"model": "none"}], ids=str
)
def test_wrong_look_is_refused(client: TestClient, change: dict[str, Any]) -> None:
    answer = client.post("/look", json={"text": "ab", "first": 1, **change})
    assert answer.status_code in (400, 404)
    assert is_error(answer.json())


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(models: list[Path]) -> Iterator[str]:
    with serving(models, "--api-key", KEY) as (address, _):
        yield address


@pytest.fixture(scope="module")
def tab(address: str) -> Iterator[Browser]:
    with chromium() as browser:
        browser.open(address, "document.querySelector('[type=password]') !== null")
        yield browser


@pytest.fixture
def browser(tab: Browser, address: str) -> Browser:
    """The page, after the key that it asks for once."""
    tab.open(address, "(document.querySelector('[type=password]') !== null || typeof app !== 'undefined')")
    if tab.evaluate("typeof app === 'undefined'"):
        for key in ("wrong", KEY):
            tab.wait_for("document.querySelector('[type=password]')?.value === ''")
            tab.evaluate(f"document.querySelector('[type=password]').value = {json.dumps(key)}")
            tab.evaluate("document.querySelector('#intro button').click()")
        tab.wait_for("typeof app !== 'undefined'")
    return tab


@pytest.fixture
def open_model(browser: Browser, address: str) -> OpenModel:
    def opened(name: str, **dials: float) -> None:
        browser.open(f"{address}/?model={name}")
        browser.evaluate(f"Object.assign(app.dials, {json.dumps({'temperature': 0, 'length': 20, **dials})})")

    return opened


class TestInBrowser:
    pytestmark = in_browser

    def test_chat_is_that_of_the_library(self, browser: Browser, open_model: OpenModel, models: list[Path]) -> None:
        open_model("talk")
        chat = charlm.load(models[1]).chat(temperature=0.0, learn=False, length=20)
        for words in ("hello", " two\nlines "):
            reply = chat.say(words).text
            assert browser.say(words)[-2:] == [["you", words.strip().replace("\n", " ")], ["model", reply]]
        text = browser.evaluate("app.transcript.ids.join('')")
        assert text == chat.text()
        bits, _ = scored(models[1], text)
        shown = browser.evaluate("app.transcript.turns.map(({ first, last }) => [first, last])")
        for first, last in shown:
            np.testing.assert_allclose(
                browser.evaluate(f"app.transcript.bits.slice({first}, {last})"), bits[first:last], rtol=1e-3, atol=1e-3
            )

    def test_text_goes_on_from_an_alternative(
        self, browser: Browser, open_model: OpenModel, models: list[Path]
    ) -> None:
        open_model("plain")
        written = browser.say("the ")
        expected = charlm.load(models[0]).generate("the ", temperature=0.0, max_chars=20)
        assert written == [["you", "the "], ["model", expected]]
        browser.evaluate("document.querySelectorAll('.model [data-at]')[10].click()")
        browser.wait_for("app.transcript.states.has(14)")
        assert "bits of surprise" in browser.evaluate("$('odds').textContent")
        assert browser.evaluate("document.querySelectorAll('#choices button').length") == 8
        assert browser.evaluate("document.querySelector('.strip output').textContent")
        browser.evaluate("[...document.querySelectorAll('#choices button')].find((one) => !one.ariaCurrent).click()")
        browser.wait_for("app.writer === null")
        changed = browser.turns()[1][1]
        assert changed[:10] == expected[:10]
        assert changed[10] != expected[10]
        browser.evaluate("$('undo').click()")
        assert browser.turns() == written
        browser.wait_for("document.querySelectorAll('#choices button').length === 8")
        browser.evaluate("app.dials.temperature = 1; $('again').click()")
        browser.wait_for("app.writer === null")
        assert browser.turns()[1][1] != expected

    def test_escape_stops_and_enter_continues(self, browser: Browser, open_model: OpenModel) -> None:
        open_model("plain", length=100_000)
        browser.evaluate("$('words').value = 'a'; $('write').click()")
        browser.wait_for("app.transcript.ids.length > 20")
        browser.evaluate("$('text').focus()")
        browser.call("Input.dispatchKeyEvent", type="keyDown", key="Escape")
        assert browser.evaluate("app.writer === null")
        stopped = browser.turns()[1][1]
        browser.evaluate("app.dials.length = 10")
        (_, (_, continued)) = browser.say("")
        assert continued.startswith(stopped)
        assert len(continued) == len(stopped) + 10

    def test_error_is_shown_and_the_words_come_back(self, browser: Browser, open_model: OpenModel) -> None:
        open_model("talk")
        browser.evaluate("app.model.server.model = 'none'")
        assert browser.say("hello") == []
        assert "no model named 'none'" in browser.evaluate("$('status').textContent")
        assert browser.evaluate("$('words').value") == "hello"

    def test_first_model_is_open_and_others_can_be_chosen(self, browser: Browser) -> None:
        choose = """
            const chooser = document.querySelector("h1 select"), { length } = chooser.options, chosen = chooser.value;
            return new Promise((resolve) => {
              navigation.addEventListener("navigate", (event) => {
                event.preventDefault();
                resolve([length, chosen, new URL(event.destination.url).search]);
              });
              chooser.value = "bytes";
              chooser.dispatchEvent(new Event("change"));
            });
        """
        assert browser.evaluate(f"(() => {{ {choose} }})()") == [3, "plain", "?model=bytes"]

    def test_requests_go_to_the_server_only(self, browser: Browser, open_model: OpenModel, address: str) -> None:
        open_model("talk")
        browser.say("hello")
        assert {one.removeprefix(address).split("?")[0] for one in browser.requests} == {
            "/", "/v1/models", "/card", "/look", "/v1/chat/completions",
        }  # fmt: skip
        count = len(browser.requests)
        assert {"connect-src", "img-src", "worker-src", "style-src-elem", "script-src-elem"} <= browser.try_to_connect()
        assert len(browser.requests) == count

    @pytest.mark.parametrize("name", ["plain", "talk"])
    def test_page_fits_narrow_and_wide_windows(self, browser: Browser, open_model: OpenModel, name: str) -> None:
        open_model(name)
        browser.say("hello")
        browser.check_layout()
