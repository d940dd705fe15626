"""Plugin of `llm` (https://llm.datasette.io): `llm -m charlm/NAME`.

A prompt is continued as by `charlm sample`. In a conversation (`llm chat`, `llm -c`) the model replies, if its text has
turns. Every command of `llm` imports this module, so NumPy waits for the first prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llm
from pydantic import Field, create_model

from charlm.config import SamplerConfig, SamplingConfig
from charlm.registry import models
from charlm.settings import settings_of

if TYPE_CHECKING:
    from charlm.inference.generate import Piece
    from charlm.inference.prefix_cache import PrefixCache

_DEFAULT_CHARS = 400
_fields: dict[str, Any] = {
    one.name: (one.type | None, Field(default=None, description=one.setting.help))
    for one in settings_of(SamplingConfig)
}
_fields |= {
    "chars": (int, Field(default=_DEFAULT_CHARS, ge=0, description="most characters of the text")),
    "stop": (str | None, Field(default=None, description="end before this text")),
    "chat": (bool | None, Field(default=None, description="reply to the prompt, or continue it")),
}


@llm.hookimpl
def register_models(register: Callable[[llm.Model], None]) -> None:
    """Register each model that `charlm models` lists."""
    for path in models():
        register(CharlmModel(path))


class CharlmModel(llm.Model):
    """A model of charlm."""

    can_stream = True
    Options = create_model("Options", __base__=llm.Model.Options, **_fields)

    def __init__(self, path: Path) -> None:
        self.model_id = f"charlm/{path.stem}"
        self._path = path

    @cached_property
    def _cache(self) -> PrefixCache:
        from charlm import checkpoint
        from charlm.inference.context import StaticModel
        from charlm.inference.engine import Engine
        from charlm.inference.prefix_cache import PrefixCache

        return PrefixCache(StaticModel(Engine(checkpoint.load(self._path))))

    def execute(
        self, prompt: llm.Prompt, stream: bool, response: llm.Response, conversation: llm.Conversation | None
    ) -> Iterator[str]:
        """Yield the text that follows a prompt, or the reply to a conversation, as it is written."""
        options = {name: value for name, value in prompt.options if value is not None}
        stops = [options.pop("stop")] if "stop" in options else []
        chars, is_chat = options.pop("chars"), options.pop("chat", conversation is not None)
        said = [(one.role, "".join([getattr(part, "text", "") for part in one.parts])) for one in prompt.messages]
        said = [(role, text) for role, text in said if role in ("user", "assistant")]
        params = SamplingConfig(**options)
        if is_chat and self._cache.model.base.checkpoint.dialogue.has_turns:
            given = {one.name: options[one.name] for one in settings_of(SamplerConfig) if one.name in options}
            read, pieces = self._reply(said, given, params.seed, chars, stops)
        else:
            read, pieces = self._continue("".join([text for _, text in said]), params, chars, stops)
        written = 0
        for piece in pieces:
            written += len(piece.text)
            yield piece.text
        response.set_usage(input=read, output=written)

    def _continue(self, text: str, params: SamplingConfig, chars: int, stops: list[str]) -> tuple[int, Iterator[Piece]]:
        from charlm.inference.context import read_prompt
        from charlm.inference.generate import Generation, Sampler

        model = self._cache.model
        context, ids = read_prompt(model, text)
        sampler = Sampler.seeded(model.base, params)
        return len(text), Generation(context, sampler, max_chars=chars, stops=stops, recent=ids.tolist())

    def _reply(
        self, said: list[tuple[str, str]], given: dict[str, object], seed: int | None, chars: int, stops: list[str]
    ) -> tuple[int, Iterator[Piece]]:
        from charlm.chat.learning import default_dials
        from charlm.chat.messages import Message, MessageThread
        from charlm.chat.turns import BOT, YOU
        from charlm.inference.generate import new_seed

        dials = default_dials(self._cache.model.base.checkpoint).changed(**given, length=max(1, chars))
        messages = [Message(YOU if role == "user" else BOT, text) for role, text in said]
        thread = MessageThread(self._cache, messages, dials)
        sampler = thread.sampler(new_seed() if seed is None else seed, stops=stops)
        return len(thread.text), thread.pieces(sampler)
