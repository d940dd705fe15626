"""`charlm serve` as a process, with OpenAI's own client."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from charlm import load

from ..conftest import PATIENCE, Charlm
from .conftest import serving

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def address(models: list[Path]) -> Iterator[str]:
    with serving(models) as (found, _):
        yield found + "/v1"


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=address, api_key="none", max_retries=0, timeout=PATIENCE) as client:
        yield client


def test_openai_client_completes_and_chats(client: openai.OpenAI, models: list[Path]) -> None:
    assert [one.id for one in client.models.list()] == ["plain", "talk", "bytes"]
    text = load(models[0]).generate("the", max_chars=20, seed=1)
    options = {"model": "plain", "prompt": "the", "max_tokens": 20, "seed": 1, "logprobs": 2}
    whole = client.completions.create(**options).choices[0]
    assert whole.text == text == "".join(whole.logprobs.tokens)
    parts = [part.choices[0] for part in client.completions.create(**options, stream=True)]
    assert "".join([part.text for part in parts]) == text
    assert all(len(part.text) == 1 for part in parts[:-1])
    asked = {"model": "talk", "messages": [{"role": "user", "content": "hello"}], "seed": 1}
    said = load(models[1]).chat(seed=1, learn=False).say("hello").text
    assert client.chat.completions.create(**asked).choices[0].message.content == said
    streamed = client.chat.completions.create(**asked, stream=True, logprobs=True, top_logprobs=2)
    assert "".join([part.choices[0].delta.content or "" for part in streamed]) == said


def test_errors_are_typed_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="no model named"):
        client.completions.create(model="none", prompt="a")
    with pytest.raises(openai.BadRequestError, match="temperature") as found:
        client.completions.create(model="plain", prompt="a", temperature=-1)
    assert found.value.param == "temperature"
    with pytest.raises(openai.BadRequestError, match="no turns"):
        client.chat.completions.create(model="plain", messages=[{"role": "user", "content": "a"}])


def test_closed_stream_leaves_the_server_free(client: openai.OpenAI) -> None:
    for _ in range(3):
        stream = client.completions.create(model="plain", prompt="a", max_tokens=1_000_000, stream=True)
        next(iter(stream))
        stream.close()
    client.completions.create(model="plain", prompt="a", max_tokens=5)


def test_endless_stream_ends_with_the_server(models: list[Path]) -> None:
    with serving(models[:1]) as (address, process):
        client = openai.OpenAI(base_url=address + "/v1", api_key="none", max_retries=0)
        stream = client.completions.create(model="plain", prompt="a", max_tokens=1_000_000, stream=True)
        next(iter(stream))
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM
        client.close()


def test_taken_port_is_one_sentence(charlm: Charlm, models: list[Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = charlm("serve", models[0], "--port", str(taken.getsockname()[1]))
    assert done.code == 2
    assert done.err.startswith("error: cannot listen on 127.0.0.1, port")
