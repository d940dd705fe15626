"""Admission of requests: by the names of the host and of the page that asks, and by a key.

A page of another site can send requests to this machine, and can even give its own name this machine's address (DNS
rebinding). So a host is an address or a known name, and an origin a page of this machine or one that was allowed.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from charlm.config import ServeConfig
from charlm.serve.errors import ApiError, dumps

_CORS: Final = {
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "*, authorization, content-type",
    "access-control-allow-private-network": "true",
    "access-control-max-age": "600",
}


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Guard:
    """Middleware that refuses requests, and adds the headers that let pages read the answers."""

    def __init__(self, app: ASGIApp, config: ServeConfig) -> None:
        self._app = app
        self._key = config.api_key.encode()
        self._hosts = {config.host, socket.gethostname().lower()}
        self._origins = {one.strip().rstrip("/") for one in config.allow_origin.split(",")} - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        try:
            # The page has no secret; it asks for the key itself.
            is_open = scope["method"] == "OPTIONS" or scope["path"] == "/"
            self._check(headers, origin, is_open=is_open)
        except ApiError as error:
            await error_response(error)(scope, receive, send)
            return

        async def send_with_origin(message: Message) -> None:
            if message["type"] == "http.response.start" and origin is not None:
                added = MutableHeaders(scope=message)
                added["access-control-allow-origin"] = origin
                added.add_vary_header("Origin")
            await send(message)

        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_CORS)(scope, receive, send_with_origin)
            return
        await self._app(scope, receive, send_with_origin)

    def _check(self, headers: Headers, origin: str | None, *, is_open: bool) -> None:
        host = _host_name("//" + headers.get("host", ""))
        if not (is_loopback(host) or _is_address(host) or host in self._hosts):
            raise ApiError(403, f"the host {host[:100]!r} is not this machine")
        if origin is not None and not self._is_allowed(origin) and origin.split("://")[-1] != headers["host"]:
            problem = f"a page from {origin[:100]!r} may not connect; --allow-origin allows it"
            raise ApiError(403, problem)
        if self._key and not is_open:
            scheme, _, key = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not secrets.compare_digest(key.strip().encode("latin-1"), self._key):
                raise ApiError(401, "the key is missing or wrong", code="invalid_api_key")

    def _is_allowed(self, origin: str) -> bool:
        if origin in self._origins or origin == "file://":
            return True
        return origin.startswith(("http://", "https://")) and is_loopback(_host_name(origin))


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def _host_name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def error_response(error: ApiError) -> Response:
    """Return an error as a response."""
    return Response(dumps(error.document), error.status, media_type="application/json")
