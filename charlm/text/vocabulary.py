"""Characters to ids and back.

A character of the vocabulary is one id. With byte ids, any other character is spelled as its UTF-8 bytes, one id each,
so that `decode(encode(text)) == text` for every text. A vocabulary without byte ids cannot encode unknown characters.
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
SUBSTITUTES = (" ", "\uff1f", "\u3000")  # for unknown characters if there is no "?"; the last two are Japanese


class Vocabulary:
    """An ordered set of characters, followed by 256 byte ids if `has_bytes`.

    Args:
        characters: distinct single characters; the id of each is its index.
        has_bytes: the ids from `len(characters)` to `len(characters) + 255` are the bytes 0 to 255.

    Raises:
        CorpusError: a character is not a single code point, is a lone surrogate, or occurs twice.
    """

    def __init__(self, characters: Iterable[str], *, has_bytes: bool) -> None:
        self.characters = tuple(characters)
        self.has_bytes = has_bytes
        for character in self.characters:
            if len(character) != 1 or "\ud800" <= character <= "\udfff":
                raise CorpusError(f"{character!r} cannot be a character of a vocabulary")
        if len(set(self.characters)) != len(self.characters):
            raise CorpusError("a vocabulary names a character twice")

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

    @property
    def language(self) -> str:
        """Language of the text: Japanese if it has the most frequent hiragana, else English ("ja" or "en")."""
        return "ja" if "の" in self else "en"

    @cached_property
    def _id_of(self) -> dict[str, int]:
        return {character: index for index, character in enumerate(self.characters)}

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        """The id of each code point, -1 for unknown ones, (0x110000,)."""
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
        """True for each id that begins a character, (V,): for all but UTF-8 continuation bytes."""
        values = np.arange(len(self)) - len(self.characters)
        return (values < 0x80) | (values >= 0xC0)

    def encode(self, text: str) -> Ids:
        """Return the ids of a text, (N,).

        Raises:
            CorpusError: the text has a lone surrogate, or a character that this vocabulary cannot encode.
        """
        if len(text) < 64:  # a dictionary is faster for prompts and single characters
            try:
                return np.array([self._id_of[character] for character in text], dtype=np.int64)
            except KeyError:
                pass
        return self.encode_points(code_points(text)).astype(np.int64, copy=False)

    def encode_points(self, points: CodePoints) -> NDArray[np.int32]:
        """Return the ids of code points, (N,) to (M,).

        Raises:
            CorpusError: a character that this vocabulary cannot encode.
        """
        ids = self._table.take(points)
        unknown = np.flatnonzero(ids < 0)
        if not len(unknown):
            return ids
        if not self.has_bytes:
            first = chr(points[unknown[0]])
            raise CorpusError(f"{first!r} is not among the {len(self)} characters that this model knows")
        return self._spell(ids, unknown, points[unknown])

    def _spell(self, ids: NDArray[np.int32], unknown: NDArray[np.intp], points: CodePoints) -> NDArray[np.int32]:
        # Repeat each unknown character's -1 for every byte of its UTF-8, then fill in the bytes.
        spelled = [chr(point).encode() for point in points.tolist()]
        widths = np.ones(len(ids), dtype=np.int64)
        widths[unknown] = [len(one) for one in spelled]
        result = np.repeat(ids, widths)
        result[result < 0] = np.frombuffer(b"".join(spelled), np.uint8).astype(np.int32) + len(self.characters)
        return result

    def unknown(self, text: str) -> list[str]:
        """Return the distinct characters of `text` without an id of their own, in order of appearance."""
        return [character for character in dict.fromkeys(text) if character not in self]

    def replace_unknown(self, text: str, replacement: str = "?") -> str:
        """Replace characters that cannot be encoded by the first known of `replacement`, `SUBSTITUTES` and id 0."""
        if self.has_bytes or self._id_of.keys() >= set(text):
            return text
        substitute = next((one for one in (replacement, *SUBSTITUTES) if one in self), self.characters[0])
        return "".join(character if character in self else substitute for character in text)

    def decode(self, ids: Sequence[int] | Ids) -> str:
        """Return the text of ids. Invalid UTF-8 becomes U+FFFD."""
        decoder = self.decoder()
        return "".join([decoder.push(int(index)) for index in ids]) + decoder.flush()

    def decoder(self) -> Decoder:
        """Return a decoder that takes one id at a time."""
        return Decoder(self)

    def byte_of(self, index: int) -> int | None:
        """Return the byte of a byte id, or None for the id of a character."""
        return index - len(self.characters) if index >= len(self.characters) else None

    def label(self, index: int) -> str:
        """Return a short name for an id: the character, or `<e3>` for a byte."""
        byte = self.byte_of(index)
        return self.characters[index] if byte is None else f"<{byte:02x}>"


class Decoder:
    """Ids to text, one at a time; holds back the bytes of an incomplete character."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._characters = vocabulary.characters
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self.pending = False  # bytes are held back

    def push(self, index: int) -> str:
        """Return the text that this id completes: empty within the bytes of a character."""
        characters = self._characters
        if index < len(characters):
            return self.flush() + characters[index] if self.pending else characters[index]
        text = self._bytes.decode(bytes((index - len(characters),)))
        self.pending = bool(self._bytes.getstate()[0])
        return text

    def flush(self) -> str:
        """Return U+FFFD if a character is incomplete, else nothing."""
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
            "it was cut or decoded wrongly; give whole characters",
        ) from error
