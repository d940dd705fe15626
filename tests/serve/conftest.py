"""A service with tiny models, and a client in this process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from charlm.checkpoint import save
from charlm.config import ServeConfig
from charlm.serve.app import Service

from ..chat.models import DIALOGUES
from ..conftest import PATIENCE, random_checkpoint


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Models of a plain text, of turns, and of a vocabulary with bytes."""
    folder = tmp_path_factory.mktemp("models")
    made = {
        "plain": random_checkpoint(1),
        "talk": replace(random_checkpoint(2), dialogue=DIALOGUES["lines"]),
        "bytes": random_checkpoint(3, has_bytes=True),
    }
    for name, model in made.items():
        save(model, folder / f"{name}.safetensors")
    return [folder / f"{name}.safetensors" for name in made]


@pytest.fixture
def config() -> ServeConfig:
    return ServeConfig()


@pytest.fixture
def service(models: list[Path], config: ServeConfig) -> Service:
    return Service(models, config)


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(service.app(), base_url="http://127.0.0.1:8765", raise_server_exceptions=False) as client:
        yield client


@contextmanager
def serving(models: list[Path], *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `charlm serve`, and give its address and its process. It ends by Ctrl-C, if it runs still."""
    command = [sys.executable, "-m", "charlm", "serve", "--port", "0", *options, *map(str, models)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"(http://\S+)/v1", process.stderr.readline())
        assert found
        yield found[1], process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
        assert "Traceback" not in process.stderr.read()


def events(text: str) -> list[dict[str, Any]]:
    """Return the documents of a stream, which ends as OpenAI's do."""
    *parts, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def is_error(document: Any) -> bool:
    """Return whether a document is an error in OpenAI's form."""
    error = document.get("error") if isinstance(document, dict) else None
    return isinstance(error, dict) and set(error) == {"message", "type", "param", "code"} and bool(error["message"])
