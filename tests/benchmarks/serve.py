"""Many clients of `charlm serve` at once: errors, fairness, time to the first character, memory.

    python -m tests.benchmarks.serve [MODEL] [--clients 100] [--seconds 60] [--slow 10]

A server with one client is the measure of memory. Then a new server has many: each streams one text after the other.
The slow ones ask for a million characters and read nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

CHARS = 300  # of a text


@dataclass
class Client:
    """What one client has seen."""

    chars: int = 0
    first: list[float] = field(default_factory=list)  # seconds from each request to its first character
    errors: list[str] = field(default_factory=list)


async def connect(port: int, body: dict[str, object]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    data = json.dumps({"stream": True, **body}).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data)
    await writer.drain()
    return reader, writer


async def stream_texts(port: int, number: int, until: float) -> Client:
    """Stream one text after the other."""
    client = Client()
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            reader, writer = await connect(port, {"prompt": f"Client {number} said:", "max_tokens": CHARS})
            count, is_done = 0, False
            async for line in reader:
                if line.startswith(b"data: {"):
                    document = json.loads(line[6:])
                    count += len(document["choices"][0]["text"])
                    if count and began:
                        client.first.append(time.monotonic() - began)
                        began = 0.0
                is_done = is_done or b"[DONE]" in line
            writer.close()
            if count != CHARS or not is_done:
                client.errors.append(f"{count} characters")
            client.chars += count
        except (OSError, ValueError, KeyError) as error:
            client.errors.append(repr(error))
    return client


async def load(port: int, clients: int, slow: int, seconds: float) -> list[Client]:
    """Let clients stream at once."""
    waiting = [await connect(port, {"prompt": "a", "max_tokens": 1_000_000}) for _ in range(slow)]
    until = time.monotonic() + seconds
    seen = await asyncio.gather(*[stream_texts(port, number, until) for number in range(clients)])
    for _, writer in waiting:
        writer.close()
    return list(seen)


def measure(model: str, clients: int, slow: int, seconds: float) -> tuple[list[Client], float]:
    """Return what the clients of a new server saw, and the server's peak memory in MB."""
    command = [sys.executable, "-m", "charlm", "serve", model, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r":(\d+)/v1", process.stderr.readline())
        assert found
        seen = asyncio.run(load(int(found[1]), clients, slow, seconds))
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        process.terminate()
        process.communicate()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    assert peak
    return seen, int(peak[1]) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default="smalltalk")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--slow", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    alone, least = measure(arguments.model, 1, 0, min(10, arguments.seconds))
    many, most = measure(arguments.model, arguments.clients, arguments.slow, arguments.seconds)
    for seen, memory, seconds in ((alone, least, min(10, arguments.seconds)), (many, most, arguments.seconds)):
        chars = sorted(client.chars for client in seen)
        first = np.array([one for client in seen for one in client.first])
        errors = [error for client in seen for error in client.errors]
        print(
            f"{len(seen)} clients, {len(errors)} errors {errors[:3]}, {sum(chars) / seconds:,.0f} characters a second"
        )
        print(f"  slowest {chars[0]:,} characters, fastest {chars[-1]:,}: {chars[0] / max(1, chars[-1]):.2f}")
        p50, p99 = np.percentile(first, (50, 99)) if len(first) else (0, 0)
        print(f"  first character after {p50 * 1000:.0f} ms (p50), {p99 * 1000:.0f} ms (p99), of {len(first)} texts")
        print(f"  peak memory {memory:.0f} MB")


if __name__ == "__main__":
    main()
