"""/v1/completions and /v1/models: the same texts and probabilities as the engine's."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from charlm import load
from charlm.inference.sampling import log_softmax

from .conftest import events


def complete(client: TestClient, **body: Any) -> Any:
    answer = client.post("/v1/completions", json={"max_tokens": 30, "seed": 5, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_models_lists_the_default_first(client: TestClient) -> None:
    listed = client.get("/v1/models").json()
    assert [one["id"] for one in listed["data"]] == ["plain", "talk", "bytes"]
    assert client.get("/v1/models/talk").json() == listed["data"][1]
    missing = client.get("/v1/models/none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("sent", "ours"),
    [
        ({}, {}),
        ({"temperature": 1.3, "top_p": 1, "top_k": 5}, {"temperature": 1.3, "top_p": 1.0, "top_k": 5}),
        ({"min_p": 0.1, "typical_p": 0.8}, {"min_p": 0.1, "typical": 0.8}),
        ({"repetition_penalty": 1.5, "top_k": -1}, {"repetition_penalty": 1.5}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"stop": None, "temperature": 0}, {"temperature": 0.0}),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["plain", "bytes"])
def test_completion_equals_library(
    client: TestClient, models: list[Path], name: str, sent: dict[str, Any], ours: dict[str, Any]
) -> None:
    expected = load(models[0].with_stem(name)).generate("the cat", max_chars=30, seed=5, **ours)
    answer = complete(client, model=name, prompt="the cat", **sent)
    assert answer["choices"][0]["text"] == expected
    assert answer["choices"][0]["finish_reason"] == ("length" if len(expected) == 30 else "stop")
    assert answer["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": len(expected),
        "total_tokens": 7 + len(expected),
    }


@pytest.mark.parametrize("options", [{}, {"n": 2}, {"echo": True}, {"logprobs": 2}, {"logprobs": 0, "echo": True}])
def test_stream_equals_whole_answer(client: TestClient, options: dict[str, Any]) -> None:
    whole = complete(client, prompt=["one", "two"], **options)
    body = {"prompt": ["one", "two"], "max_tokens": 30, "seed": 5, "stream": True, **options}
    answer = client.post("/v1/completions", json={**body, "stream_options": {"include_usage": True}})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *parts, last = events(answer.text)
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    for choice in whole["choices"]:
        own = [part["choices"][0] for part in parts if part["choices"][0]["index"] == choice["index"]]
        assert "".join([one["text"] for one in own]) == choice["text"]
        assert [one["finish_reason"] for one in own] == [None] * (len(own) - 1) + ["length"]
        if "logprobs" in options:
            assert all(len(one["text"]) == 1 for one in own[:-1])
            read = {key: [item for one in own[:-1] for item in one["logprobs"][key]] for key in choice["logprobs"]}
            assert read == choice["logprobs"]


@pytest.mark.parametrize("name", ["plain", "bytes"])
def test_logprobs_of_echo_agree_with_single_steps(client: TestClient, models: list[Path], name: str) -> None:
    text = "the cat sat.\nthe dog?" * 20  # longer than a block
    answer = complete(client, model=name, prompt=text, max_tokens=0, echo=True, logprobs=3)["choices"][0]
    found = answer["logprobs"]
    assert answer["text"] == "".join(found["tokens"]) == text
    assert found["text_offset"] == list(range(len(text)))
    model = load(models[0].with_stem(name))
    context, expected = model.read(model.start(), text[0]), []
    for character in text[1:]:
        log_p = log_softmax(context.logits)
        expected.append(float(log_p[model.vocabulary.encode(character)[0]]))
        context = model.read(context, character)
    assert found["token_logprobs"][0] is found["top_logprobs"][0] is None
    np.testing.assert_allclose(found["token_logprobs"][1:], expected, atol=1e-4)
    assert max(found["top_logprobs"][9].values()) == pytest.approx(float(max(found["top_logprobs"][9].values())))


def test_echo_of_unknown_characters_keeps_the_text(client: TestClient) -> None:
    answer = complete(client, prompt="a\u4e16b", echo=True, logprobs=0, max_tokens=1)["choices"][0]
    assert answer["text"].startswith("a\u4e16b")
    assert answer["logprobs"]["token_logprobs"][1] == pytest.approx(-math.log(0x110000))


def test_best_of_returns_the_likeliest(client: TestClient) -> None:
    every = complete(client, prompt="a", n=6, logprobs=0)["choices"]
    means = {one["text"]: float(np.mean(one["logprobs"]["token_logprobs"])) for one in every}
    best = complete(client, prompt="a", n=2, best_of=6)["choices"]
    assert [one["text"] for one in best] == sorted(means, key=lambda text: -means[text])[:2]
    assert [one["index"] for one in best] == [0, 1]


def test_texts_of_one_request_have_consecutive_seeds(client: TestClient) -> None:
    texts = [one["text"] for one in complete(client, prompt="a", n=3)["choices"]]
    assert texts == [complete(client, prompt="a", seed=5 + k)["choices"][0]["text"] for k in range(3)]
    assert all(one != other for one, other in pairwise(texts))


def test_empty_prompt_and_left_out_model_work(client: TestClient, models: list[Path]) -> None:
    assert complete(client)["choices"][0]["text"] == load(models[0]).generate(max_chars=30, seed=5)


MIKUPAD = {
    "model": "plain",
    "prompt": "Once",
    "max_tokens": 6,
    "stream": True,
    "temperature": 0.7,
    "top_p": 0.95,
    "top_k": 40,
    "min_p": 0.05,
    "typical_p": 1,
    "repetition_penalty": 1.1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": 10,
    "stop": ["zzz"],
    "seed": -1,
    "ignore_eos": False,
    "banned_tokens": ["x"],
    "dry_multiplier": 0.8,
    "dry_sequence_breakers": ["\n"],
}
KOBOLD_LITE = {
    "model": "plain",
    "prompt": "Once",
    "max_tokens": 6,
    "temperature": 0.75,
    "top_p": 0.92,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "stop": [],
    "n": 1,
    "logit_bias": {},
    "echo": False,
    "stream": False,
    "logprobs": None,
    "rep_pen": 1.07,
    "rep_pen_range": 360,
    "top_a": 0,
    "tfs": 1,
}
SILLYTAVERN = {
    "prompt": "Once",
    "max_new_tokens": 6,
    "max_tokens": 6,
    "stop": ["\nYou:"],
    "stream": True,
    "truncation_length": 2048,
}


@pytest.mark.parametrize("body", [MIKUPAD, KOBOLD_LITE, SILLYTAVERN], ids=["mikupad", "kobold-lite", "sillytavern"])
def test_requests_of_known_clients_are_answered(client: TestClient, body: dict[str, Any]) -> None:
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == 200, answer.text
    documents = events(answer.text) if body["stream"] else [answer.json()]
    assert len("".join([one["choices"][0]["text"] for one in documents])) == 6
    if "logprobs" in body and body["stream"]:
        assert all(len(one["choices"][0]["logprobs"]["top_logprobs"][0]) >= 10 for one in documents[:-1])
