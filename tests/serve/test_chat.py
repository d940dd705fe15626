"""/v1/chat/completions: replies of the conversation code."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from charlm import load

from .conftest import events

HELLO = [{"role": "user", "content": "hello there"}]


def ask(client: TestClient, messages: list[dict[str, Any]], **body: Any) -> Any:
    body = {"model": "talk", "messages": messages, "max_tokens": 30, "seed": 3, **body}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return events(answer.text) if body.get("stream") else answer.json()


def test_reply_equals_that_of_the_library(client: TestClient, models: list[Path]) -> None:
    expected = load(models[1]).chat(seed=3, learn=False, length=30).say("hello there").text
    (choice,) = ask(client, HELLO)["choices"]
    assert choice["message"] == {"role": "assistant", "content": expected, "refusal": None}


@pytest.mark.parametrize("options", [{}, {"n": 2}, {"logprobs": True, "top_logprobs": 2}, {"best_of": 1}])
def test_stream_equals_whole_reply(client: TestClient, options: dict[str, Any]) -> None:
    whole, parts = ask(client, HELLO, **options), ask(client, HELLO, stream=True, **options)
    for choice in whole["choices"]:
        own = [part["choices"][0] for part in parts if part["choices"][0]["index"] == choice["index"]]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join([one["delta"].get("content", "") for one in own]) == choice["message"]["content"]
        assert own[-1]["finish_reason"] == choice["finish_reason"]
        if "logprobs" in options:
            shown = [one["logprobs"]["content"][0] for one in own if one["logprobs"]]
            assert shown == choice["logprobs"]["content"]
            assert all(len(one["top_logprobs"]) == 2 for one in shown)


def test_assistant_message_at_the_end_is_continued(client: TestClient, models: list[Path]) -> None:
    begun = [*HELLO, {"role": "assistant", "content": "hi "}]
    answer, whole = ask(client, begun, temperature=0, best_of=1), ask(client, HELLO)
    assert answer["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"] + 3
    continued = load(models[1]).generate("\n\nhello there\nhi ", temperature=0.0, max_chars=30, stop="\n")
    assert answer["choices"][0]["message"]["content"] == continued


def test_content_parts_and_split_messages_are_one_turn(client: TestClient) -> None:
    parts = [{"type": "text", "text": "hello "}, {"type": "text", "text": "there"}]
    split = [{"role": "user", "content": "hello"}, {"role": "user", "content": "there"}]
    expected = ask(client, HELLO)["choices"]
    assert ask(client, [{"role": "user", "content": parts}])["choices"] == ask(client, split)["choices"] == expected


def test_unknown_keys_are_noted_once(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "charlm.serve"):
        for _ in range(2):
            ask(client, [{"role": "system", "content": "be kind"}, *HELLO], mirostat_once=2, user="me")
    assert len([one for one in caplog.messages if "mirostat_once" in one]) == 1
    assert not any("'user'" in one for one in caplog.messages)


def test_plain_model_refuses_a_chat(client: TestClient) -> None:
    answer = client.post("/v1/chat/completions", json={"model": "plain", "messages": HELLO})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert "/v1/completions" in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [True, False])
def test_huge_length_is_cut_to_the_memory(client: TestClient, stream: bool) -> None:
    ask(client, HELLO, max_completion_tokens=1_000_000, max_tokens=None, stream=stream, stop=["e"], n=2)
