"""Contexts by the text that was read, so that a longer text costs only what is new.

A client without a state of its own sends the whole text each time. The longest beginning that was read before is found
by its hash, and the rest is read. Contexts are a few kilobytes; the least recently used are dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from charlm.inference.context import READ_BLOCK, Context, LanguageModel, cancelled_error, encode_lossy, never
from charlm.inference.engine import SEGMENT

Key = tuple[int, bytes]


class Prefix:
    """Length and hash of a text that grows."""

    def __init__(self, text: str = "") -> None:
        self._hash = blake2b(digest_size=16)
        self.length = 0
        self.extend(text)

    def extend(self, text: str) -> None:
        self._hash.update(text.encode("utf-8", "surrogatepass"))
        self.length += len(text)

    @property
    def key(self) -> Key:
        return self.length, self._hash.digest()


class PrefixCache:
    """The contexts of a model after texts that it has read. One thread uses it at a time."""

    def __init__(self, model: LanguageModel, max_contexts: int = 1024) -> None:
        self.model = model
        self._max_contexts = max_contexts
        self._contexts: OrderedDict[Key, Context] = OrderedDict()

    def read(self, text: str, cancel: Callable[[], bool] = never) -> Context:
        """Return the context after a text; raise UsageError once `cancel`, called every `SEGMENT` characters, is true.

        Unknown characters are replaced. Raises CorpusError if the text has half a surrogate pair.
        """
        start, context = self._longest(text)
        for first in range(start, len(text), SEGMENT):
            if cancel():
                raise cancelled_error(first, len(text))
            end = min(first + SEGMENT, len(text))
            context = self.model.read(context, encode_lossy(self.model.base.vocabulary, text[first:end]))
            if (end - start) % READ_BLOCK == 0 or end == len(text):  # an edit near the end costs one block
                self.store(Prefix(text[:end]), context)
        return context

    def _longest(self, text: str) -> tuple[int, Context]:
        """Return length and context of the longest stored beginning of a text."""
        prefix, best = Prefix(), None
        for length in sorted({length for length, _ in self._contexts if length <= len(text)}):
            prefix.extend(text[prefix.length : length])
            best = prefix.key if prefix.key in self._contexts else best
        if best is None:
            return 0, self.model.start()
        self._contexts.move_to_end(best)
        return best[0], self._contexts[best]

    def store(self, text: Prefix, context: Context) -> None:
        """Keep the context after a text."""
        self._contexts[text.key] = context
        self._contexts.move_to_end(text.key)
        if len(self._contexts) > self._max_contexts:
            self._contexts.popitem(last=False)
