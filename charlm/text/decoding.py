"""One file's bytes -> normalised text, in pieces.

Owns opening (plain, .gz, standard input), decoding and normalisation: no byte order mark, plain newlines, composed
characters. Streamed: a file may be larger than memory, and UTF-8 can be begun in its middle. Knows nothing of which
files are read, or what for.
"""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from charlm.errors import CorpusError, UsageError

STDIN = Path("-")
BLOCK = 1 << 20  # bytes read at a time
SNIFF = 1 << 13  # bytes at a file's start in which a zero makes it binary


def read_text(path: Path, encoding: str = "utf-8", on_bytes: Callable[[bytes], None] | None = None) -> Iterator[str]:
    """The normalised text of one file, in pieces.

    A byte order mark is dropped, CRLF and CR become LF, and characters are composed (NFC). Pieces are cut only where
    normalisation cannot reach across.

    Args:
        path: a file; `.gz` is decompressed; `-` is standard input.
        encoding: a Python codec; decoding is strict.
        on_bytes: given every block of bytes as it is read.

    Raises:
        CorpusError: the file cannot be read, is binary, or is not in that encoding.
        UsageError: there is no such encoding.
    """
    for piece, _ in read_from(path, 0, on_bytes or (lambda block: None), encoding=encoding):
        yield piece


def read_from(
    path: Path, start: int, on_bytes: Callable[[bytes], None], *, encoding: str
) -> Iterator[tuple[str, int | None]]:
    """As `read_text`, from a byte offset on that was given before, and with such an offset after each piece.

    `on_bytes` is given what stands before `start` too. Only UTF-8 can be begun in the middle, which needs no memory of
    what was read before; the offset is None in other encodings.
    """
    check_encoding(encoding)
    if codecs.lookup(encoding).name == "utf-8":
        return _read_utf8(path, start, on_bytes)
    return ((piece, None) for piece in _read_encoded(path, encoding, on_bytes))


def normalise(text: str) -> str:
    """A whole text as `read_text` gives it: no byte order mark, plain newlines, composed characters (NFC)."""
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", plain)


def check_encoding(encoding: str) -> None:
    """Raises UsageError: there is no such encoding of text."""
    try:
        "".encode(encoding)  # fails for codecs that are not of text, such as hex
        codecs.getincrementaldecoder(encoding)
    except LookupError as error:
        raise UsageError(f"unknown encoding {encoding!r}", "try utf-8, latin-1, cp1252, shift_jis or utf-16") from error


def is_binary(path: Path, encoding: str) -> bool:
    """Whether a file looks like anything but text.

    Raises:
        CorpusError: it cannot be read.
    """
    with _open(path) as file:
        return _looks_binary(_read_block(file, path, SNIFF), encoding)


def _read_utf8(path: Path, start: int, on_bytes: Callable[[bytes], None]) -> Iterator[tuple[str, int]]:
    with _open(path) as file:
        for first in range(0, start, BLOCK):  # to hash it
            on_bytes(_read_block(file, path, min(BLOCK, start - first)))
        rest, offset = b"", start
        while True:
            block = _read_block(file, path, BLOCK)
            on_bytes(block)
            if offset == 0 and not rest:
                _refuse_binary(block, path, "utf-8")
            data = rest + block
            try:
                text, used = codecs.utf_8_decode(data, "strict", not block)
            except UnicodeDecodeError as error:
                raise _undecodable(path, "utf-8", error, offset + len(error.object)) from error
            cut = _safe_cut(text) if block else len(text)
            while cut and block and text[cut - 1] == "\r":
                cut -= 1  # half of a line's end, perhaps
            if cut or not block:
                piece = text[:cut]
                # Most text needs none of what follows, and a look is much quicker than the doing.
                taken = cut if len(text) == used else len(piece.encode())
                plain = piece.removeprefix("\ufeff") if offset == 0 else piece
                if "\r" in plain:
                    plain = plain.replace("\r\n", "\n").replace("\r", "\n")
                rest, offset = data[taken:], offset + taken
                if plain:
                    yield plain if plain.isascii() else unicodedata.normalize("NFC", plain), offset
            else:
                rest = data
            if not block:
                return


def _read_encoded(path: Path, encoding: str, on_bytes: Callable[[bytes], None]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    rest, offset, first = "", 0, True
    with _open(path) as file:
        while True:
            block = _read_block(file, path, BLOCK)
            on_bytes(block)
            if offset == 0:
                _refuse_binary(block, path, encoding)
            offset += len(block)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                raise _undecodable(path, encoding, error, offset) from error
            if first and text:
                text, first = text.removeprefix("\ufeff"), False
            rest += newlines.decode(text, final=not block)
            cut = _safe_cut(rest) if block else len(rest)
            piece, rest = rest[:cut], rest[cut:]
            if piece:
                yield unicodedata.normalize("NFC", piece)
            if not block:
                return


def _safe_cut(text: str) -> int:
    """Where a piece may end: before the last character that composes with nothing that stands before it.

    Such are all below U+0300, and kana, ideographs and Hangul syllables. A text that shows none of them for sixteen
    blocks is cut all the same.
    """
    for index in range(len(text) - 1, 0, -1):
        point = ord(text[index])
        if point < 0x300 or 0x3041 <= point <= 0x3096 or 0x309B <= point <= 0xA000 or 0xAC00 <= point <= 0xD7A3:
            return index
    return len(text) if len(text) > 16 * BLOCK else 0


def _undecodable(path: Path, encoding: str, error: UnicodeError, read: int) -> CorpusError:
    if not isinstance(error, UnicodeDecodeError):  # UTF-16 and UTF-32 without a byte order mark
        return CorpusError(
            f"{path} is not {encoding.upper()}: {error}", f"if it is, say --encoding {encoding}-le or -be"
        )
    # The decoder was given some bytes of earlier blocks again; its last byte is the last that was read.
    offset = read - len(error.object) + error.start
    return CorpusError(
        f"{path} is not {encoding.upper()}: byte 0x{error.object[error.start]:02X} at offset {offset}",
        "say what it is with --encoding, for example --encoding latin-1",
    )


def _open(path: Path) -> AbstractContextManager[BinaryIO]:
    if path == STDIN:
        return nullcontext(sys.stdin.buffer)
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]  # GzipFile reads alike
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from error


def _read_block(file: BinaryIO, path: Path, size: int) -> bytes:
    try:
        return file.read(size)
    except (OSError, EOFError, zlib.error) as error:  # gzip reports a damaged stream as any of them
        raise CorpusError(f"cannot read {path}: {error}") from error


def _looks_binary(start: bytes, encoding: str) -> bool:
    # Every second byte of UTF-16 may be zero.
    return b"\0" in start[:SNIFF] and not codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def _refuse_binary(block: bytes, path: Path, encoding: str) -> None:
    if _looks_binary(block, encoding):
        raise CorpusError(f"{path} is binary data, not text", "if it is UTF-16, say --encoding utf-16")
