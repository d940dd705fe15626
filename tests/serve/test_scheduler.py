"""Jobs advance at the same pace, end when their clients go away, and hold little output."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from charlm.serve.app import Service
from charlm.serve.errors import ApiError
from charlm.serve.scheduler import MAX_QUEUED_CHUNKS, STEPS_PER_TURN, Job, Turnstile
from tests.conftest import PATIENCE

Cancel = Callable[[], bool]


def start(turnstile: Turnstile, work: Callable[[Cancel], Iterator[bytes]]) -> Job:
    job = Job(turnstile, work)
    threading.Thread(target=job.run, daemon=True).start()
    return job


async def rest(job: Job) -> bytes:
    parts = []
    while part := await job.take():
        parts.append(part)
    return b"".join(parts)


async def test_jobs_take_turns_of_a_few_steps() -> None:
    turnstile, order = Turnstile(), []
    turnstile.acquire()  # until all wait

    def work(number: int) -> Callable[[Cancel], Iterator[bytes]]:
        def steps(cancel: Cancel) -> Iterator[bytes]:
            for _ in range(5 * STEPS_PER_TURN):
                order.append(number)
                cancel()
            yield b"end"

        return steps

    jobs = [start(turnstile, work(number)) for number in range(4)]
    while turnstile.waiting < len(jobs):
        await asyncio.sleep(0.001)
    turnstile.release()
    assert await asyncio.gather(*map(rest, jobs)) == [b"end"] * 4
    counts = Counter(dict.fromkeys(range(4), 0))
    for number in order:
        counts[number] += 1
        assert max(counts.values()) - min(counts.values()) <= STEPS_PER_TURN


async def test_slow_reader_holds_a_bounded_queue_and_no_turn() -> None:
    turnstile, made = Turnstile(), []

    def endless(cancel: Cancel) -> Iterator[bytes]:
        while not cancel():
            made.append(1)
            yield b"x"

    slow = start(turnstile, endless)
    assert await rest(start(turnstile, lambda cancel: iter([b"a", b"b"]))) == b"ab"
    while len(made) <= MAX_QUEUED_CHUNKS:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.05)
    assert len(made) == MAX_QUEUED_CHUNKS + 1
    assert len(await slow.take()) == MAX_QUEUED_CHUNKS
    slow.cancel()
    await asyncio.wait_for(rest(slow), PATIENCE)
    assert len(made) <= 2 * MAX_QUEUED_CHUNKS + 2


async def test_error_comes_after_the_output_before_it() -> None:
    def failing(cancel: Cancel) -> Iterator[bytes]:
        yield b"some"
        raise ApiError(400, "no more")

    job = start(Turnstile(), failing)
    assert await job.take() == b"some"
    with pytest.raises(ApiError, match="no more"):
        await job.take()
    assert await job.take() == b""


def request(body: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/completions",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    return scope, json.dumps(body).encode()


@pytest.mark.parametrize("stream", [True, False])
async def test_client_that_goes_away_ends_its_job(
    service: Service, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    steps, gone = [], asyncio.Event()

    def count(self: Job) -> bool:
        steps.append(self)
        return step(self)

    step = Job._step
    monkeypatch.setattr(Job, "_step", count)
    options = {"stream": True, "max_tokens": 1_000_000} if stream else {"max_tokens": 100_000}
    scope, body = request({"prompt": "a", **options})
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])
    sent: list[Any] = []

    async def receive() -> Any:
        message = next(messages, None)
        if message is None:
            await gone.wait()
            return {"type": "http.disconnect"}
        return message

    async def send(message: Any) -> None:
        sent.append(message)

    answer = asyncio.create_task(service.app()(scope, receive, send))
    while len(steps) < 50:
        await asyncio.sleep(0.001)
    gone.set()
    await asyncio.wait_for(answer, PATIENCE)
    count_then = len(steps)
    await asyncio.sleep(0.05)
    assert len(steps) <= count_then + 1
    assert bool(sent) or not stream


async def test_requests_over_the_limit_are_refused(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_jobs", {object() for _ in range(service.config.max_requests)})
    scope, body = request({"prompt": "a"})
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await service.app()(scope, receive, send)
    assert sent[0]["status"] == 429
