"""Requests that are refused: each has a status, and an error in OpenAI's form."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from starlette.testclient import TestClient

from charlm.config import ServeConfig

from .conftest import is_error

TEXT = {"prompt": "the", "max_tokens": 2}
TALK = {"model": "talk", "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"typical_p": 2}, "typical"),
        ({"top_k": 1.5}, "top_k"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1_000_000}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"best_of": 3, "stream": True}, "stream"),
        ({"logprobs": 21}, "logprobs"),
        ({"stop": [1]}, "stop"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"model": 4}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"seed": 1 << 64}, "seed"),
    ],
    ids=str,
)
def test_wrong_value_names_its_key(client: TestClient, change: dict[str, Any], param: str) -> None:
    answer = client.post("/v1/completions", json={**TEXT, **change})
    assert answer.status_code in (400, 404)
    assert is_error(answer.json())
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    "messages",
    [None, [], "hi", [1], [{}], [{"role": "user"}], [{"role": "tool", "content": "x"}], [{"role": ["user"]}]]
    + [[{"role": "user", "content": content}] for content in (1, "", " ", [{"type": "image_url"}], [None], {})],
    ids=str,
)
def test_wrong_messages_are_refused(client: TestClient, messages: Any) -> None:
    answer = client.post("/v1/chat/completions", json={**TALK, "messages": messages})
    assert answer.status_code == 400
    assert is_error(answer.json())


def test_missing_routes_and_methods_are_refused(client: TestClient) -> None:
    for method, path, status in (("GET", "/v1/none", 404), ("GET", "/v1/completions", 405), ("PUT", "/v1/models", 405)):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert is_error(answer.json())


def test_too_large_body_is_refused(client: TestClient) -> None:
    answer = client.post("/v1/completions", content=b" " * (5 << 20))
    assert answer.status_code == 413
    assert is_error(answer.json())


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "evil.example:8765"])
def test_foreign_host_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/v1/models", headers={"host": host})
    assert answer.status_code == 403
    assert is_error(answer.json())


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "[::1]:8765", "192.168.1.5:8765"])
def test_host_of_this_machine_is_accepted(client: TestClient, host: str) -> None:
    assert client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "x", "", "http://["]
)
def test_foreign_origin_is_refused(client: TestClient, origin: str) -> None:
    for answer in (
        client.post("/v1/completions", json=TEXT, headers={"origin": origin}),
        client.options("/v1/completions", headers={"origin": origin}),
    ):
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8765", "file://"])
def test_own_origin_may_read(client: TestClient, origin: str) -> None:
    preflight = client.options("/v1/completions", headers={"origin": origin})
    answer = client.post("/v1/completions", json=TEXT, headers={"origin": origin})
    assert (preflight.status_code, answer.status_code) == (204, 200)
    assert preflight.headers["access-control-allow-origin"] == answer.headers["access-control-allow-origin"] == origin


def test_own_address_on_the_network_may_read(client: TestClient) -> None:
    for host, status in (("192.168.1.5:8765", 200), ("192.168.1.6:8765", 403)):
        headers = {"host": host, "origin": "http://192.168.1.5:8765"}
        assert client.post("/v1/completions", json=TEXT, headers=headers).status_code == status


class TestWithKey:
    @pytest.fixture
    def config(self) -> ServeConfig:
        return ServeConfig(api_key="s\u00e9cret", allow_origin="null, https://a.example/")

    @pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer wrong", "s\u00e9cret", "Basic s\u00e9cret"])
    def test_request_without_key_is_refused(self, client: TestClient, value: str | None) -> None:
        headers = {} if value is None else {"authorization": value.encode()}
        answer = client.get("/v1/models", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")

    def test_page_is_open_but_not_what_it_asks_for(self, client: TestClient) -> None:
        page = client.get("/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert page.headers["content-security-policy"] == "frame-ancestors 'none'"
        assert client.get("/", headers={"host": "evil.example"}).status_code == 403
        for path in ("/card", "/look"):
            assert client.post(path, json={"text": "a"}).status_code == 401

    def test_request_with_key_is_accepted(self, client: TestClient) -> None:
        headers = {"authorization": "Bearer s\u00e9cret".encode()}
        assert client.get("/v1/models", headers=headers).status_code == 200

    @pytest.mark.parametrize("origin", ["null", "https://a.example"])
    def test_allowed_origin_needs_no_key_for_a_preflight(self, client: TestClient, origin: str) -> None:
        assert client.options("/v1/models", headers={"origin": origin}).status_code == 204


JUNK: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    3,
    1e308,
    -0.5,
    10**30,
    "",
    "text",
    "\ud800",
    "\x00\x1b[31m",
    [],
    [[]],
    [None],
    ["a", 1],
    {},
    {"role": "user", "content": "hi"},
    [{"role": "user", "content": ["\ud800"]}],
    "x" * 3000,
]
KEYS = "model prompt messages max_tokens n best_of stop stream echo logprobs top_logprobs seed temperature top_p top_k"
BROKEN = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe{",
    b'{"a": NaN}',
    b'{"seed": 1e999}',
    b"[" * 5000,
    b'{"n": ' + b"9" * 5000 + b"}",
    b'{"prompt": "\\ud800"}',
]


def malformed(rng: random.Random) -> tuple[str, bytes]:
    """Return a path and a body that is wrong in some place, or at least odd."""
    path = rng.choice(["/v1/completions", "/v1/chat/completions"])
    if rng.random() < 0.15:
        return path, rng.choice(BROKEN)
    body: dict[str, Any] = dict(TEXT if path == "/v1/completions" else TALK)
    for key in rng.sample([*KEYS.split(), "min_p", "typical_p", "repetition_penalty", "banned"], rng.randint(1, 3)):
        body[key] = rng.choice(JUNK)
    data = json.dumps(body).encode()
    return path, data[: rng.randrange(len(data))] if rng.random() < 0.2 else data


def test_malformed_requests_never_break_the_server(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    rng, refused = random.Random(1), 0
    for _ in range(1000):
        path, data = malformed(rng)
        answer = client.post(path, content=data)
        assert answer.status_code < 500, (path, data[:300], answer.text)
        if answer.status_code != 200:
            refused += 1
            assert is_error(answer.json()), (data[:300], answer.text)
        elif answer.headers["content-type"].startswith("application/json"):
            assert answer.json()["choices"]
    assert refused > 500
    assert not [one for one in caplog.records if one.exc_info]
