"""One file's bytes -> normalised text, in pieces.

Owns opening (plain, .gz, standard input), decoding and normalisation: no byte order mark, plain newlines, composed
characters. Streamed: a file may be larger than memory.
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
BLOCK_BYTES = 1 << 20  # read at a time
BINARY_CHECK_BYTES = 1 << 13  # a zero among a file's first bytes makes it binary
MAX_UNCUT_BLOCKS = 16  # text without a safe place to cut is cut anyway after this many


def read_text(
    path: Path,
    encoding: str = "utf-8",
    on_bytes: Callable[[bytes], None] | None = None,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[str]:
    """Yield the normalised text of one file, in pieces.

    A byte order mark is dropped, CRLF and CR become LF, and characters are composed (NFC). Pieces are cut only where
    normalisation cannot reach across.

    Args:
        path: a file; `.gz` is decompressed; `-` is standard input.
        encoding: a Python codec; decoding is strict.
        on_bytes: called with every block of bytes.
        block_bytes: read at a time.

    Raises:
        CorpusError: the file cannot be read, is binary, or is not in that encoding.
        UsageError: there is no such encoding.
    """
    check_encoding(encoding)
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    rest, offset, at_start = "", 0, True
    with _open(path) as file:
        while True:
            block = _read_block(file, path, block_bytes)
            if on_bytes is not None:
                on_bytes(block)
            if offset == 0 and _looks_binary(block, encoding):
                raise CorpusError(f"{path} is binary data, not text", "if it is UTF-16, use --encoding utf-16")
            offset += len(block)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                raise _undecodable(path, encoding, error, offset) from error
            if at_start and text:
                text, at_start = text.removeprefix("\ufeff"), False
            rest += newlines.decode(text, final=not block)
            cut = _safe_cut(rest, MAX_UNCUT_BLOCKS * block_bytes) if block else len(rest)
            piece, rest = rest[:cut], rest[cut:]
            if piece:
                yield piece if piece.isascii() else unicodedata.normalize("NFC", piece)
            if not block:
                return


def normalise(text: str) -> str:
    """Return a whole text as `read_text` would: no byte order mark, plain newlines, composed characters (NFC)."""
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", plain)


def check_encoding(encoding: str) -> None:
    """Check that an encoding exists.

    Raises:
        UsageError: it does not, or it is not one of text.
    """
    try:
        "".encode(encoding)  # fails for codecs that are not of text, such as hex
        codecs.getincrementaldecoder(encoding)
    except LookupError as error:
        raise UsageError(f"unknown encoding {encoding!r}", "try utf-8, latin-1, cp1252, shift_jis or utf-16") from error


def is_binary(path: Path, encoding: str) -> bool:
    """Return whether a file's first bytes hold a zero that its encoding does not explain.

    Raises:
        CorpusError: it cannot be read.
    """
    with _open(path) as file:
        return _looks_binary(_read_block(file, path, BINARY_CHECK_BYTES), encoding)


def _safe_cut(text: str, max_uncut: int) -> int:
    """Return an index where a piece may end: before the last character that never composes with earlier ones.

    Such are all below U+0300, and kana, ideographs and Hangul syllables. A text of `max_uncut` characters without one
    is cut at its end.
    """
    for index in range(len(text) - 1, 0, -1):
        point = ord(text[index])
        if point < 0x300 or 0x3041 <= point <= 0x3096 or 0x309B <= point <= 0xA000 or 0xAC00 <= point <= 0xD7A3:
            return index
    return len(text) if len(text) > max_uncut else 0


def _undecodable(path: Path, encoding: str, error: UnicodeError, read: int) -> CorpusError:
    if not isinstance(error, UnicodeDecodeError):  # UTF-16 and UTF-32 without a byte order mark
        return CorpusError(
            f"{path} is not {encoding.upper()}: {error}", f"if it is, use --encoding {encoding}-le or -be"
        )
    # error.object begins with bytes of earlier blocks that the decoder kept; it ends with the last byte read.
    offset = read - len(error.object) + error.start
    return CorpusError(
        f"{path} is not {encoding.upper()}: byte 0x{error.object[error.start]:02X} at offset {offset}",
        "name its encoding, for example --encoding latin-1",
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
    return b"\0" in start[:BINARY_CHECK_BYTES] and not codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
