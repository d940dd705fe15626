"""The web application: routes, and requests that become jobs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from charlm import checkpoint
from charlm.config import ServeConfig
from charlm.html.export import served_page
from charlm.inference.context import StaticModel
from charlm.inference.engine import Engine
from charlm.inference.prefix_cache import PrefixCache
from charlm.serve import page
from charlm.serve.answers import complete, event, reply
from charlm.serve.errors import ApiError, dumps
from charlm.serve.guard import Guard, error_response
from charlm.serve.requests import ApiRequest, ChatRequest, CompletionRequest, JsonObject, LookRequest, parse
from charlm.serve.scheduler import Cancel, Job, Turnstile

MAX_BODY_BYTES: Final = 4 << 20

_Parsed = TypeVar("_Parsed", bound=ApiRequest)
_Answer = Callable[[PrefixCache, str, _Parsed, int, Cancel], Iterator[bytes]]


class Service:
    """The models, and the requests that use them.

    Args:
        models: model files; the first is the default. Each is loaded at its first use.
        config: the settings.
    """

    def __init__(self, models: Sequence[Path], config: ServeConfig) -> None:
        self.config = config
        self._models = {path.stem: path for path in models}
        self._cards = {
            path.stem: {"id": path.stem, "object": "model", "created": int(path.stat().st_mtime), "owned_by": "charlm"}
            for path in models
        }
        self._caches: dict[str, PrefixCache] = {}
        self._turnstile = Turnstile()
        self._jobs: set[Job] = set()
        self._pool = ThreadPoolExecutor(config.max_requests, "request")

    def app(self) -> Starlette:
        """Return the web application."""
        routes = [
            Route("/", _show_page),
            Route("/card", self._card, methods=["POST"]),
            Route("/look", self._look, methods=["POST"]),
            Route("/v1/models", self._list_models),
            Route("/v1/models/{name}", self._show_model),
            Route("/v1/completions", self._complete, methods=["POST"]),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
        ]
        return Starlette(
            routes=routes,
            middleware=[Middleware(Guard, config=self.config)],
            exception_handlers={HTTPException: _on_http_error, ApiError: _on_error, Exception: _on_error},
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        self.stop()
        self._pool.shutdown()

    def stop(self) -> None:
        """End all requests before their next character."""
        for job in list(self._jobs):
            job.cancel()

    # -- routes -------------------------------------------------------------------------------------------------------

    async def _list_models(self, request: Request) -> Response:
        return _json({"object": "list", "data": list(self._cards.values())})

    async def _show_model(self, request: Request) -> Response:
        return _json(self._cards[self._name(request.path_params["name"])])

    async def _complete(self, request: Request) -> Response:
        return await self._answer(request, CompletionRequest.of, complete)

    async def _chat(self, request: Request) -> Response:
        return await self._answer(request, ChatRequest.of, reply)

    async def _card(self, request: Request) -> Response:
        return await self._answer(request, LookRequest.of, page.card)

    async def _look(self, request: Request) -> Response:
        return await self._answer(request, LookRequest.of, page.look)

    # -- how they work ------------------------------------------------------------------------------------------------

    def _name(self, name: object) -> str:
        """Return the name of a model that is served; None is the default."""
        if name is None or name == "":
            return next(iter(self._models))
        if not isinstance(name, str) or name not in self._models:
            names = ", ".join(self._models)[:300]
            raise ApiError(404, f"no model named {str(name)[:100]!r}; there are {names}", "model", "model_not_found")
        return name

    def cache(self, name: str) -> PrefixCache:
        """Return a model with what it has read; the turnstile is held, so it is loaded once."""
        if name not in self._caches:
            self._caches[name] = PrefixCache(StaticModel(Engine(checkpoint.load(self._models[name]))))
        return self._caches[name]

    async def _answer(
        self, request: Request, read: Callable[[JsonObject], _Parsed], answer: _Answer[_Parsed]
    ) -> Response:
        body = parse(await _body(request))
        name = self._name(body.get("model"))
        parsed = read(body)
        if len(self._jobs) >= self.config.max_requests:
            raise ApiError(429, f"{len(self._jobs)} requests are running; try again", code="rate_limit_exceeded")

        def work(cancel: Cancel) -> Iterator[bytes]:
            yield from answer(self.cache(name), name, parsed, self.config.max_chars, cancel)

        job = Job(self._turnstile, work)
        self._jobs.add(job)
        done = asyncio.get_running_loop().run_in_executor(self._pool, job.run)
        done.add_done_callback(lambda _: self._jobs.discard(job))
        return _JobResponse(job, "text/event-stream" if parsed.options.stream else "application/json")


class _JobResponse(Response):
    """Sends the output of a job, and cancels it if the client goes away."""

    def __init__(self, job: Job, media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._job = job
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-store"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = asyncio.create_task(self._cancel_on_disconnect(receive))
        try:
            chunk = await self._job.take()  # an error before the first chunk has a status of its own
            if not chunk:
                raise ApiError(503, "the request was stopped")
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                try:
                    chunk = await self._job.take()
                except ApiError as error:
                    chunk = event(error.document)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._job.cancel()
            watch.cancel()

    async def _cancel_on_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._job.cancel()


async def _body(request: Request) -> bytes:
    """Return the body of a request, unless it is too large."""
    data = bytearray()
    with contextlib.suppress(ClientDisconnect):
        async for part in request.stream():
            data += part
            if len(data) > MAX_BODY_BYTES:
                raise ApiError(413, f"the request is larger than {MAX_BODY_BYTES:,} bytes")
    return bytes(data)


def _json(document: object) -> Response:
    return Response(dumps(document), media_type="application/json")


async def _show_page(request: Request) -> Response:
    policy = {"content-security-policy": "frame-ancestors 'none'"}  # the rest is in the page; this counts here only
    return Response(served_page(), media_type="text/html", headers=policy)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = f"{request.method} {request.url.path[:100]}"
    message = {404: f"there is no {path}", 405: f"{path} is not allowed"}.get(error.status_code, str(error.detail))
    return error_response(ApiError(error.status_code, message))


async def _on_error(request: Request, error: Exception) -> Response:
    return error_response(ApiError.of(error))
