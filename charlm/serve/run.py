"""Runs the application until a signal."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from charlm.config import ServeConfig
from charlm.errors import UsageError
from charlm.serve.app import Service

_SWITCH_SECONDS = 0.001  # between threads; by default a request waits 5 ms for each thing it does in the event loop


class _Server(uvicorn.Server):
    """Ends all answers at the first signal, so that it need not wait for them."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.stop()
        super().handle_exit(sig, frame)


def serve(models: Sequence[Path], config: ServeConfig, on_ready: Callable[[str], None]) -> None:
    """Serve models until a signal; `on_ready` gets the address. Raises UsageError if the address is not free."""
    service = Service(models, config)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        listener = socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot listen on {config.host}, port {config.port}: {reason}", "try --port 0") from error
    sys.setswitchinterval(_SWITCH_SECONDS)
    settings = uvicorn.Config(
        service.app(), log_level="warning", log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=2
    )
    with listener:
        host = f"[{config.host}]" if family == socket.AF_INET6 else config.host
        on_ready(f"http://{host}:{listener.getsockname()[1]}")
        _Server(settings, service).run(sockets=[listener])
