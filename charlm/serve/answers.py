"""Answers: from a request to the documents of its texts.

Owns how a request uses the generation loop and the conversation. An answer is a generator of chunks that calls `cancel`
before each step of the model; it knows nothing of threads or HTTP.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Final, Protocol

from charlm.chat.learning import default_dials
from charlm.chat.messages import MessageThread
from charlm.config import SamplerConfig, SamplingConfig
from charlm.inference.context import Context, encode_lossy, read_prompt, unknown_mask
from charlm.inference.engine import SEGMENT
from charlm.inference.generate import Generation, Piece, Sampler, generate_batch, new_seed, with_alternatives
from charlm.inference.prefix_cache import Prefix, PrefixCache
from charlm.inference.scoring import UNKNOWN_NATS, score_chars
from charlm.inference.search import rerank_likelihood
from charlm.serve.errors import ApiError, dumps
from charlm.serve.formats import Character, ChatFormat, Format, JsonObject, characters
from charlm.serve.requests import ApiRequest, ChatRequest, CompletionRequest
from charlm.serve.scheduler import Cancel
from charlm.text.decoding import normalise

FLUSH_SECONDS: Final = 0.02  # looks live; one event for each character would cost more than to write it


class Source(Protocol):
    """Something that draws a text."""

    @property
    def reason(self) -> str:
        """Why the text ended."""


@dataclass(frozen=True)
class Text:
    """One of the texts of an answer."""

    index: int
    characters: Iterable[Character]
    source: Source
    echoed: int = 0  # characters of the prompt that it begins with


@dataclass
class Usage:
    """Characters that were read and written."""

    read: int = 0
    written: int = 0

    @property
    def document(self) -> JsonObject:
        total = self.read + self.written
        return {"prompt_tokens": self.read, "completion_tokens": self.written, "total_tokens": total}


def complete(
    cache: PrefixCache, name: str, request: CompletionRequest, max_chars: int, cancel: Cancel
) -> Iterator[bytes]:
    """Yield the answer to a completion request. `max_chars` bounds what is in memory, see `ServeConfig`."""
    options = request.options
    if not options.stream or options.best_of:
        echoed = max(map(len, request.prompts)) if options.echo and request.alternatives is not None else 0
        count = max(options.n, options.best_of or 1) * len(request.prompts)
        _check_size(request, count, options.max_tokens + echoed, max_chars)
    completions = [_Completion(cache, request, prompt, cancel) for prompt in request.prompts]
    texts = chain.from_iterable(one.texts(place * options.n) for place, one in enumerate(completions))
    usage = Usage(read=sum([len(one.prompt) for one in completions]))
    return documents(Format(), name, request, texts, usage)


def reply(cache: PrefixCache, name: str, request: ChatRequest, max_chars: int, cancel: Cancel) -> Iterator[bytes]:
    """Yield the answer to a chat request. `max_chars` bounds what is in memory, see `ServeConfig`."""
    options, model = request.options, cache.model.base.checkpoint
    if not model.dialogue.has_turns:
        raise ApiError(400, f"the text of the model {name!r} has no turns; use /v1/completions", "model")
    dials = default_dials(model)
    # A reply ends by itself, and long before what many clients give as its length.
    room = max_chars if options.stream else max_chars // (options.n * (1 + (request.alternatives or 0)))
    length = max(1, min(options.max_tokens, room))
    candidates = min(options.best_of or dials.candidates, max(1, room // length))  # all are in memory
    chosen = {one.name: getattr(options, one.name) for one in fields(SamplerConfig) if one.name in request.given}
    thread = MessageThread(cache, request.messages, dials.changed(**chosen, candidates=candidates, length=length))
    seed = new_seed() if options.seed is None else options.seed

    def texts() -> Iterator[Text]:
        for index in range(options.n):
            sampler = thread.sampler(seed + index, cancel, stops=request.stops, alternatives=request.alternatives or 0)
            yield Text(index, characters(thread.pieces(sampler)), sampler)

    return documents(ChatFormat(), name, request, texts(), Usage(read=len(thread.text)))


def _check_size(request: ApiRequest, count: int, length: int, max_chars: int) -> None:
    """Raise ApiError if an answer is too large to be held in memory."""
    size = count * length * (1 + (request.alternatives or 0))
    if size > max_chars:
        problem = f"the answer may have {size:,} characters with all texts and alternatives, of at most {max_chars:,}"
        raise ApiError(400, f"{problem}; lower max_tokens, or use stream", "max_tokens")


def score(cache: PrefixCache, text: str, first: int, alternatives: int, cancel: Cancel) -> Iterator[Character]:
    """Read a text, and yield its characters from an index on with their probabilities."""
    model, context = cache.model.base, cache.read(text[:first], cancel)
    for start in range(first, len(text), SEGMENT):
        if cancel():
            return
        part = text[start : start + SEGMENT]
        context, scores = score_chars(model, context, part, alternatives)
        unknown = unknown_mask(model.vocabulary, part).tolist()
        for character, one, is_unknown in zip(part, scores, unknown, strict=True):
            logprob = -UNKNOWN_NATS if is_unknown else -one.surprisal * math.log(2)
            yield Character(character, logprob, one.alternatives)
    cache.store(Prefix(text), context)


class _Completion:
    """The texts after one prompt."""

    def __init__(self, cache: PrefixCache, request: CompletionRequest, prompt: str, cancel: Cancel) -> None:
        self.cache = cache
        self.request = request
        self.prompt = normalise(prompt)
        self.cancel = cancel
        self._echoed = len(self.prompt) if request.options.echo else 0

    def texts(self, first: int) -> Iterator[Text]:
        """Yield the texts; the first has a given index."""
        options = self.request.options
        if options.best_of is not None and options.best_of > options.n:
            context, recent = self.start()
            drawn = generate_batch(
                context,
                self.cache.model.base,
                options.sampling,
                options.best_of,
                max_chars=options.max_tokens,
                stops=self.request.stops,
                cancel=self.cancel,
                recent=recent,
            )
            for index, one in enumerate(rerank_likelihood(drawn)[: options.n], first):
                named = with_alternatives(self.cache.model.base, context, one.pieces, self.request.alternatives or 0)
                yield Text(index, chain(self._echo(), characters(named)), one, self._echoed)
            return
        params = Sampler.seeded(self.cache.model.base, options.sampling).params
        assert params.seed is not None
        for k in range(options.n):
            draft = _Draft(self, replace(params, seed=params.seed + k))
            yield Text(first + k, chain(self._echo(), characters(draft)), draft, self._echoed)

    def start(self) -> tuple[Context, Sequence[int]]:
        """Return the context after the prompt, and its last ids."""
        model = self.cache.model
        if not self.prompt:
            context, ids = read_prompt(model, "")
        else:
            context = self.cache.read(self.prompt, self.cancel)
            ids = encode_lossy(model.base.vocabulary, self.prompt[-self.request.options.repetition_window :])
        return context, ids.tolist()

    def _echo(self) -> Iterator[Character]:
        """Yield the prompt if it was asked for, with the probabilities of its characters if those were."""
        if not self._echoed:
            return
        if self.request.alternatives is None:
            yield Character(self.prompt, None, ())
            return
        yield Character(self.prompt[0], None, ())
        yield from score(self.cache, self.prompt, 1, self.request.alternatives, self.cancel)


class _Draft:
    """A text while it is drawn: an iterable of its pieces. The context after it is kept."""

    def __init__(self, completion: _Completion, params: SamplingConfig) -> None:
        self.reason = ""
        self._completion = completion
        self._params = params

    def __iter__(self) -> Iterator[Piece]:
        cache, request = self._completion.cache, self._completion.request
        begun, recent = self._completion.start()
        generation = Generation(
            begun,
            Sampler.seeded(cache.model.base, self._params),
            max_chars=request.options.max_tokens,
            stops=request.stops,
            cancel=self._completion.cancel,
            alternatives=request.alternatives or 0,
            recent=recent,
        )
        text, context, has_bytes = Prefix(self._completion.prompt), None, False
        for piece in generation:
            text.extend(piece.text)
            context = piece.context
            has_bytes = has_bytes or cache.model.base.vocabulary.byte_of(piece.id) is not None
            yield piece
        if context is not None and not has_bytes and self._completion.prompt:  # else the text may have other ids
            cache.store(text, context)
        self.reason = generation.reason


def documents(form: Format, name: str, request: ApiRequest, texts: Iterable[Text], usage: Usage) -> Iterator[bytes]:
    """Yield an answer: one document, or the events of a stream."""
    head: JsonObject = {
        "id": f"{form.prefix}-{secrets.token_hex(12)}",
        "object": form.chunk if request.options.stream else form.whole,
        "created": int(time.time()),
        "model": name,
    }
    if not request.options.stream:
        choices = [_choice(form, request, text, usage) for text in texts]
        yield dumps({**head, "choices": choices, "usage": usage.document})
        return
    for text in texts:
        for part in _parts(form, request, text, usage):
            yield event({**head, "choices": [part]})
    if request.include_usage:
        yield event({**head, "choices": [], "usage": usage.document})
    yield b"data: [DONE]\n\n"


def event(document: JsonObject) -> bytes:
    """Return a server-sent event."""
    return b"data: " + dumps(document) + b"\n\n"


def _choice(form: Format, request: ApiRequest, text: Text, usage: Usage) -> JsonObject:
    read = list(text.characters)
    whole = "".join([one.text for one in read])
    usage.written += len(whole) - text.echoed
    return form.choice(
        text.index, whole, None if request.alternatives is None else form.logprobs(read, 0), text.source.reason
    )


def _parts(form: Format, request: ApiRequest, text: Text, usage: Usage) -> Iterator[JsonObject]:
    """Yield the parts of a text as they are written: one for each character if they have probabilities."""
    yield from form.opening(text.index)
    usage.written -= text.echoed
    waiting, flushed, offset = "", -math.inf, 0
    for one in text.characters:
        usage.written += len(one.text)
        if request.alternatives is not None:
            yield form.part(text.index, one.text, form.logprobs([one], offset), None)
            offset += len(one.text)
            continue
        waiting += one.text
        now = time.monotonic()
        if now - flushed >= FLUSH_SECONDS:
            yield form.part(text.index, waiting, None, None)
            waiting, flushed = "", now
    yield form.part(text.index, waiting, None, text.source.reason)
