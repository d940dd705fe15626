"""Characters to ids and back.

Owns the mapping. A character of the vocabulary is one id; any other is spelled as its UTF-8 bytes, one id a byte, when
the vocabulary has byte ids, so that `decode(encode(text)) == text` for every text. A vocabulary whose corpus needed no
bytes has none, and cannot spell what it has not seen.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CorpusError

Ids = NDArray[np.int64]
CodePoints = NDArray[np.unsignedinteger[Any]]

BYTES = 256
CODE_POINTS = 0x110000
SUBSTITUTES = (" ", "\uff1f", "\u3000")
"""For what cannot be spelled, where a vocabulary has no question mark: a space, and those of a Japanese text."""


class Vocabulary:
    """An ordered set of characters, and 256 byte ids behind them if `has_bytes`.

    Args:
        characters: distinct single characters; the id of each is its place.
        has_bytes: whether the ids from `len(characters)` to `len(characters) + 255` stand for the bytes 0 to 255.

    Raises:
        CorpusError: a character is not a single code point, a lone surrogate, or there twice.
    """

    def __init__(self, characters: Iterable[str], *, has_bytes: bool) -> None:
        self.characters = tuple(characters)
        self.has_bytes = has_bytes
        for character in self.characters:
            if len(character) != 1 or "\ud800" <= character <= "\udfff":
                raise CorpusError(f"{character!r} cannot be a character of a vocabulary")
        if len(set(self.characters)) != len(self.characters):
            raise CorpusError("a vocabulary names a character twice")

    @classmethod
    def from_counts(cls, counts: NDArray[np.int64], min_count: int = 1) -> Vocabulary:
        """The vocabulary of a text.

        Args:
            counts: how often each code point occurs, (0x110000,).
            min_count: a character seen less often is spelled in bytes.
        """
        seen = np.flatnonzero(counts)
        kept = np.flatnonzero(counts >= max(min_count, 1))
        return cls(map(chr, kept.tolist()), has_bytes=len(kept) < len(seen))

    def __len__(self) -> int:
        return len(self.characters) + (BYTES if self.has_bytes else 0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and (self.characters, self.has_bytes) == (
            other.characters,
            other.has_bytes,
        )

    def __hash__(self) -> int:
        return hash((self.characters, self.has_bytes))

    def __contains__(self, character: str) -> bool:
        return self._id_of.get(character) is not None

    @cached_property
    def _id_of(self) -> dict[str, int]:
        return {character: index for index, character in enumerate(self.characters)}

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        """The id of each code point, -1 where it has none, (0x110000,)."""
        table = np.full(CODE_POINTS, -1, dtype=np.int32)
        table[[ord(character) for character in self.characters]] = np.arange(len(self.characters))
        return table

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that differ whenever the mapping differs."""
        document = json.dumps([self.characters, self.has_bytes])
        return hashlib.sha256(document.encode()).hexdigest()[:16]

    @cached_property
    def begins(self) -> NDArray[np.bool_]:
        """Whether an id begins a character, (V,): all do but the bytes that go on with one. For counting characters."""
        values = np.arange(len(self)) - len(self.characters)
        return (values < 0x80) | (values >= 0xC0)

    def encode(self, text: str) -> Ids:
        """The ids of a text, (N,).

        Raises:
            CorpusError: the text has a lone surrogate, or a character that this vocabulary cannot spell.
        """
        if len(text) < 64:  # prompts and single characters, for which the table of all code points is a detour
            try:
                return np.array([self._id_of[character] for character in text], dtype=np.int64)
            except KeyError:
                pass
        return self.encode_points(code_points(text)).astype(np.int64, copy=False)

    def encode_points(self, points: CodePoints) -> NDArray[np.int32]:
        """The ids of code points, (N,) to (M,); the same as of the text that they are.

        Raises:
            CorpusError: a character that this vocabulary cannot spell.
        """
        ids = self._table.take(points)
        unknown = np.flatnonzero(ids < 0)
        if not len(unknown):
            return ids
        if not self.has_bytes:
            strange = chr(points[unknown[0]])
            raise CorpusError(f"{strange!r} is not among the {len(self)} characters that this model knows")
        return self._spell(ids, unknown, points[unknown])

    def _spell(self, ids: NDArray[np.int32], unknown: NDArray[np.intp], points: CodePoints) -> NDArray[np.int32]:
        # Each unknown character's place is widened to as many ids as its UTF-8 has bytes, then filled in.
        spelled = [chr(point).encode() for point in points.tolist()]
        widths = np.ones(len(ids), dtype=np.int64)
        widths[unknown] = [len(one) for one in spelled]
        result = np.repeat(ids, widths)
        result[result < 0] = np.frombuffer(b"".join(spelled), np.uint8).astype(np.int32) + len(self.characters)
        return result

    def unknown(self, text: str) -> list[str]:
        """The distinct characters of `text` that have no id of their own, in order of appearance."""
        return [character for character in dict.fromkeys(text) if character not in self]

    def replace_unknown(self, text: str, replacement: str = "?") -> str:
        """`text` with what cannot be encoded replaced by the first known of `replacement`, `SUBSTITUTES` and id 0."""
        if self.has_bytes:
            return text
        substitute = next((one for one in (replacement, *SUBSTITUTES) if one in self), self.characters[0])
        return "".join(character if character in self else substitute for character in text)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """The text of ids. Bytes that are no UTF-8 become U+FFFD."""
        decoder = self.decoder()
        return "".join([decoder.push(int(index)) for index in ids]) + decoder.flush()

    def decoder(self) -> Decoder:
        """A decoder that takes one id at a time."""
        return Decoder(self)

    def byte_of(self, index: int) -> int | None:
        """The byte that an id stands for, or None if it stands for a character."""
        return index - len(self.characters) if index >= len(self.characters) else None

    def label(self, index: int) -> str:
        """A short name for an id: the character, or `<e3>` for a byte."""
        byte = self.byte_of(index)
        return self.characters[index] if byte is None else f"<{byte:02x}>"


class Decoder:
    """Ids to text, one at a time; holds back the bytes of a character that is not whole yet."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._characters = vocabulary.characters
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self.pending = False  # whether bytes are held back

    def push(self, index: int) -> str:
        """The text that this id completes: nothing while a character is spelled, else one or more characters."""
        characters = self._characters
        if index < len(characters):
            return self.flush() + characters[index] if self.pending else characters[index]
        text = self._bytes.decode(bytes((index - len(characters),)))
        self.pending = bool(self._bytes.getstate()[0])
        return text

    def flush(self) -> str:
        """What an unfinished character leaves: U+FFFD, or nothing."""
        rest = self._bytes.decode(b"", final=True) if self.pending else ""
        self._bytes.reset()
        self.pending = False
        return rest


def code_points(text: str) -> CodePoints:
    """Return the code points of a text, (N,): uint8 if all are below 256, else uint32.

    Raises:
        CorpusError: the text has a lone surrogate.
    """
    with contextlib.suppress(UnicodeEncodeError):
        return np.frombuffer(text.encode("latin-1"), np.uint8)
    try:
        return np.frombuffer(text.encode("utf-32-le"), np.uint32)
    except UnicodeEncodeError as error:
        raise CorpusError(
            f"the text has half a surrogate pair (U+{ord(text[error.start]):04X}) at character {error.start}",
            "it was cut or decoded wrongly somewhere; charlm takes whole characters only",
        ) from error
