"""Reads the bytes of one file as normalised text, in pieces.

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
from typing import BinaryIO, NamedTuple

from charlm.errors import CorpusError, UsageError
from charlm.text.encoding_detection import is_damaged_utf8, is_iso_2022_jp, likely_encodings

STDIN = Path("-")
BLOCK_BYTES = 1 << 20  # read at a time
BINARY_CHECK_BYTES = 1 << 13  # a zero among a file's first bytes makes it binary
MAX_UNCUT_BLOCKS = 16  # text without a safe place to cut is cut anyway after this many
SAMPLE_BYTES = 1 << 15  # on both sides of a damaged byte, to find the encoding


class Encoding(NamedTuple):
    """A codec, and the treatment of bytes that are not of it."""

    name: str = "utf-8"  # a Python codec
    errors: str = "strict"  # or "replace": U+FFFD for zero and for bytes that cannot be decoded

    @property
    def is_wide(self) -> bool:
        """Zero bytes are part of its characters."""
        return codecs.lookup(self.name).name.startswith(("utf-16", "utf-32"))

    def check(self) -> None:
        """Raise UsageError unless the codec exists and is one of text."""
        try:
            "".encode(self.name)  # fails for codecs that are not of text, such as hex
            codecs.getincrementaldecoder(self.name)
        except LookupError as error:
            hint = "try utf-8, latin-1, cp1252, shift_jis or utf-16"
            raise UsageError(f"unknown encoding {self.name!r}", hint) from error


UTF8 = Encoding()


def read_text(
    path: Path,
    encoding: Encoding = UTF8,
    on_bytes: Callable[[bytes], None] | None = None,
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[str]:
    """Yield the normalised text of one file, in pieces.

    A byte order mark is dropped, CRLF and CR become LF, and characters are composed (NFC). Pieces are cut only where
    normalisation cannot reach across.

    Args:
        path: a file; `.gz` is decompressed; `-` is standard input.
        encoding: of the file.
        on_bytes: called with every block of bytes.
        block_bytes: read at a time.

    Raises:
        CorpusError: the file cannot be read, is binary, or is not in that encoding.
        UsageError: there is no such encoding.
    """
    encoding.check()
    decoder = codecs.getincrementaldecoder(encoding.name)(encoding.errors)
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    rest, offset, at_start = "", 0, True
    with _open(path) as file:
        while True:
            block = _read_block(file, path, block_bytes)
            if on_bytes is not None:
                on_bytes(block)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                raise _undecodable(path, encoding, error, offset + len(block)) from error
            if encoding.errors == "replace":
                text = text.replace("\0", "\ufffd")
            else:
                _check_block(path, encoding, block, text, offset)
            offset += len(block)
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


def is_binary(path: Path, encoding: Encoding) -> bool:
    """Return whether the first bytes of a file contain zeros, and no wide encoding explains them.

    Raises:
        CorpusError: the file cannot be read.
    """
    with _open(path) as file:
        start = _read_block(file, path, BINARY_CHECK_BYTES)
    return _looks_binary(start, encoding)


def _safe_cut(text: str, max_uncut: int) -> int:
    """Return an index where a piece may end: before the last character that never composes with earlier ones.

    These are all characters below U+0300, kana, ideographs and Hangul syllables. A text without one is cut at its end
    if it has more than `max_uncut` characters.
    """
    for index in range(len(text) - 1, 0, -1):
        point = ord(text[index])
        if point < 0x300 or 0x3041 <= point <= 0x3096 or 0x309B <= point <= 0xA000 or 0xAC00 <= point <= 0xD7A3:
            return index
    return len(text) if len(text) > max_uncut else 0


def _check_block(path: Path, encoding: Encoding, block: bytes, text: str, offset: int) -> None:
    if "\0" in text:
        place = "character" if encoding.is_wide else f"byte at offset {offset + block.index(0)}"
        problem = f"has a zero {place}, as binary data has"
        raise _refusal(path, problem, encoding, block[: 2 * SAMPLE_BYTES] if offset == 0 else b"")
    if is_iso_2022_jp(block) and text.isascii() and _decodes(path, "iso2022-jp"):
        raise _refusal(path, f"is not {encoding.name.upper()}", encoding, block)


def _undecodable(path: Path, encoding: Encoding, error: UnicodeError, read: int) -> CorpusError:
    name = encoding.name.upper()
    if not isinstance(error, UnicodeDecodeError):  # UTF-16 and UTF-32 without a byte order mark
        return CorpusError(f"{path} is not {name}: {error}", f"if it is, use --encoding {encoding.name}-le or -be")
    # error.object begins with bytes of earlier blocks that the decoder kept; it ends with the last byte read.
    data, offset = error.object, read - len(error.object) + error.start
    begin = data.rfind(b"\n", 0, max(0, error.start - SAMPLE_BYTES)) + 1
    if _looks_binary(data[:BINARY_CHECK_BYTES], encoding) and not is_damaged_utf8(data[:BINARY_CHECK_BYTES]):
        return CorpusError(f"{path} is binary data, not text", "read damaged text with --encoding-errors replace")
    problem = f"is not {name}: byte 0x{data[error.start]:02X} at offset {offset}"
    return _refusal(path, problem, encoding, data[begin : error.start + SAMPLE_BYTES])


def _looks_binary(start: bytes, encoding: Encoding) -> bool:
    if b"\0" not in start or encoding.is_wide:
        return False
    return not any(name.startswith("utf") for name in likely_encodings(start))


def _refusal(path: Path, problem: str, encoding: Encoding, sample: bytes) -> CorpusError:
    """Return the error for a file that is not in an encoding, with a hint from some of its bytes."""
    if not is_damaged_utf8(sample):
        for name in ("utf-8", *likely_encodings(sample)):
            if codecs.lookup(name) != codecs.lookup(encoding.name) and _decodes(path, name):
                return CorpusError(f"{path} {problem}; it looks like {name}", f"use --encoding {name}")
    elif codecs.lookup(encoding.name).name == "utf-8":
        return CorpusError(f"{path} {problem}; only some bytes are damaged", "use --encoding-errors replace")
    return CorpusError(f"{path} {problem}", "convert it to UTF-8, or use --encoding-errors replace")


def _decodes(path: Path, name: str) -> bool:
    if path == STDIN:
        return name != "utf-8"  # it cannot be read again
    decoder = codecs.getincrementaldecoder(name)()
    with _open(path) as file:
        try:
            while block := _read_block(file, path, BLOCK_BYTES):
                if "\0" in decoder.decode(block):
                    return False
            decoder.decode(b"", final=True)
        except UnicodeError:
            return False
    return True


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
