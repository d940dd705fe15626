"""Requests: from JSON to checked options.

The keys are OpenAI's; the samplers that OpenAI lacks have the names that other servers use. Each option is described
next to its field, the samplers in `charlm.config`.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, Self

from charlm.chat.messages import Message
from charlm.chat.turns import BOT, YOU
from charlm.config import SamplingConfig
from charlm.errors import UsageError
from charlm.serve.errors import ApiError
from charlm.settings import Setting, settings_of

JsonObject = dict[str, Any]

MAX_STOPS: Final = 64
MAX_STOP_CHARS: Final = 1000
MAX_PROMPTS: Final = 64
_ALIASES: Final = {"typical_p": "typical", "max_completion_tokens": "max_tokens"}
_OFF: Final = {"top_k": (-1, 0), "seed": (-1, None)}  # what other servers take for "off", and what charlm takes
_ROLES: Final = {"user": YOU, "assistant": BOT}
_SILENT: Final = {"model", "user", "store", "metadata"}  # keys that change no text
_MAX_NOTES: Final = 100

_log = logging.getLogger(__name__)
_noted: set[str] = set()


@dataclass(frozen=True)
class Options(SamplingConfig):
    """The options of a request; a token is a character."""

    n: Annotated[int, Setting("number of texts", 1, 128)] = 1
    best_of: Annotated[int | None, Setting("draw this many texts, and return the likeliest", 1, 64)] = None
    max_tokens: Annotated[int, Setting("most characters of a text", 0, 1_000_000)] = 400
    stream: Annotated[bool, Setting("send the text while it is written")] = False
    echo: Annotated[bool, Setting("return the prompt too")] = False

    @classmethod
    def of(cls, body: JsonObject) -> tuple[Self, set[str]]:
        """Take the options out of a request; return them, and the names of those that it gave."""
        for alias, name in _ALIASES.items():
            value = body.pop(alias, None)
            if body.get(name) is None:
                body[name] = value
        given: JsonObject = {}
        for setting in settings_of(cls):
            value = body.pop(setting.name, None)
            off, ours = _OFF.get(setting.name, (None, None))
            value = ours if value == off and not isinstance(value, bool) else value
            try:
                if value is not None:
                    setting.check(value)
                    given[setting.name] = value
            except UsageError as error:
                problem = ApiError.of(error)
                problem.param = setting.name
                raise problem from error
        return cls(**given), set(given)

    @property
    def sampling(self) -> SamplingConfig:
        return SamplingConfig(**{one.name: getattr(self, one.name) for one in fields(SamplingConfig)})


@dataclass(frozen=True)
class ApiRequest:
    """A request for completions or for a chat."""

    options: Options
    given: set[str]  # the options that the client chose
    stops: tuple[str, ...]
    include_usage: bool  # a stream ends with the number of characters
    alternatives: int | None  # how many each character names; None without probabilities


@dataclass(frozen=True)
class CompletionRequest(ApiRequest):
    """A request of /v1/completions."""

    prompts: tuple[str, ...]

    @classmethod
    def of(cls, body: JsonObject) -> Self:
        prompt = body.pop("prompt", "")
        prompts = prompt if isinstance(prompt, list) else ["" if prompt is None else prompt]
        if not prompts or len(prompts) > MAX_PROMPTS or not all(isinstance(one, str) for one in prompts):
            raise ApiError(400, f"prompt must be a text, or 1 to {MAX_PROMPTS} texts; ids are not accepted", "prompt")
        alternatives = _whole_number(body, "logprobs")
        request = cls(**_common(body), alternatives=alternatives, prompts=tuple(prompts))
        options = request.options
        if options.best_of is not None and options.best_of < options.n:
            raise ApiError(400, f"best_of is {options.best_of}, but must be at least n, {options.n}", "best_of")
        if options.stream and (options.best_of or 1) > options.n:
            raise ApiError(
                400, "the best of several texts is known at their end; leave out stream or best_of", "stream"
            )
        return request


@dataclass(frozen=True)
class ChatRequest(ApiRequest):
    """A request of /v1/chat/completions."""

    messages: tuple[Message, ...]

    @classmethod
    def of(cls, body: JsonObject) -> Self:
        messages = body.pop("messages", None)
        if not isinstance(messages, list) or not messages:
            raise ApiError(400, "messages must be a list of messages", "messages")
        read = tuple([one for place, message in enumerate(messages) for one in _message(message, place)])
        if not any(one.text.strip() for one in read):
            raise ApiError(400, "no message of the user or the assistant has text", "messages")
        wanted, alternatives = body.pop("logprobs", None), _whole_number(body, "top_logprobs")
        if wanted not in (None, False, True):
            raise ApiError(400, "logprobs must be true or false", "logprobs")
        return cls(**_common(body), alternatives=(alternatives or 0) if wanted else None, messages=read)


@dataclass(frozen=True)
class LookRequest(ApiRequest):
    """A request of the page: a text, and the index of the first character that is scored."""

    text: str
    first: int

    @classmethod
    def of(cls, body: JsonObject) -> Self:
        text, first = body.pop("text", ""), body.pop("first", 0)
        if not isinstance(text, str):
            raise ApiError(400, "text must be a text", "text")
        if isinstance(first, bool) or not isinstance(first, int) or not 0 <= first <= len(text):
            raise ApiError(400, f"first must be a whole number from 0 to {len(text)}", "first")
        return cls(**_common(body), alternatives=None, text=text, first=first)


def parse(data: bytes) -> JsonObject:
    """Return the JSON object of a request's body."""
    try:
        document = json.loads(data, parse_int=_parse_int, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is not JSON: {error}"[:300]) from error
    if not isinstance(document, dict):
        raise ApiError(400, "the body must be a JSON object")
    return document


def _parse_int(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("a number has too many digits")
    return int(digits)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON")


def _common(body: JsonObject) -> JsonObject:
    """Take out what both kinds of requests have, and note the keys that are left."""
    options, given = Options.of(body)
    stop = body.pop("stop", None)
    stops = [stop] if isinstance(stop, str) else [] if stop is None else stop
    if not isinstance(stops, list) or len(stops) > MAX_STOPS or not all(map(_is_stop, stops)):
        raise ApiError(400, f"stop must be a text, or up to {MAX_STOPS} texts", "stop")
    stream_options = body.pop("stream_options", None)
    include_usage = isinstance(stream_options, dict) and bool(stream_options.get("include_usage"))
    for key in body.keys() - _SILENT:
        if body[key] not in (None, False, 0, [], {}, ""):
            _note(f"the key {key[:60]!r} of a request is ignored")
    return {"options": options, "given": given, "stops": tuple(stops), "include_usage": include_usage}


def _is_stop(stop: object) -> bool:
    return isinstance(stop, str) and len(stop) <= MAX_STOP_CHARS


def _note(text: str) -> None:
    """Log a message once."""
    if text not in _noted and len(_noted) < _MAX_NOTES:
        _noted.add(text)
        _log.warning(text)


def _whole_number(body: JsonObject, key: str, most: int = 20) -> int | None:
    value = body.pop(key, None)
    if value is None or value is False:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ApiError(400, f"{key} must be a whole number from 0 to {most}", key)
    return value


def _message(message: object, place: int) -> Iterator[Message]:
    """Yield a message as this project knows it; none for instructions, which no model of characters follows."""
    where = f"messages[{place}]"
    if not isinstance(message, dict):
        raise ApiError(400, f"{where} must be an object with role and content", where)
    role, content = message.get("role"), message.get("content")
    if role in ("system", "developer"):
        _note("system messages are ignored: a model of characters does not follow instructions")
        return
    if not isinstance(role, str) or role not in _ROLES:
        raise ApiError(400, f"{where}.role must be user, assistant or system", f"{where}.role")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = [one.get("text") for one in parts if isinstance(one, dict) and one.get("type") == "text"]
    if len(texts) < len(parts) or not all(isinstance(text, str) for text in texts):
        raise ApiError(400, f"{where}.content must be a text, or parts of type text", f"{where}.content")
    yield Message(_ROLES[role], "".join(map(str, texts)))
