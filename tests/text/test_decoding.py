"""Files to normalised text: what is read does not depend on where a block ends, and what cannot be read says why."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import CorpusError, UsageError
from charlm.text.decoding import BLOCK_BYTES, STDIN, Encoding, normalise, read_text

# Newlines, marks of several classes, kana and Hangul that compose, exceptions to composition, and what joins nothing.
COMPOSING = [
    *("\n", "\r", "a", "e", "A", "é", " ", "\ufeff"),
    *("\u0301", "\u0308", "\u0323", "\u0327", "\u0345", "\u0344", "\u034f", "\u200d"),
    *("か", "は", "ハ", "ゝ", "\u3099", "\u309a", "\u1100", "\u1161", "\u11a8", "가", "각"),
    *("\u0915", "\u093c", "\u0958", "\u09c7", "\u09be", "\u0f71", "\u0f72", "\u0f73", "\u1025", "\u102e"),
    *("\u212b", "\ufb1d", "\u05b4", "\U0001d157", "\U0001d165", "\U00011099", "\U000110ba", "日", "👩"),
]
CHARACTER = st.sampled_from(COMPOSING) | st.characters(exclude_categories=["Cs"], exclude_characters="\0")
BLOCK = st.sampled_from([1, 2, 3, 4, 7, 16, 1 << 20])


@st.composite
def texts_and_blocks(draw: st.DrawFn) -> tuple[str, int]:
    """A text and a block size, so that no piece is cut only because nothing in sixteen blocks let it be cut."""
    block = draw(BLOCK)
    return "".join(draw(st.lists(CHARACTER, max_size=min(16 * block, 60)))), block


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading") / "text.txt"


def read_in_blocks(file: Path, data: bytes, block: int, encoding: str = "utf-8", errors: str = "strict") -> list[str]:
    file.write_bytes(data)
    blocks: list[bytes] = []
    try:
        return list(read_text(file, Encoding(encoding, errors), blocks.append, block_bytes=block))
    finally:
        assert data.startswith(b"".join(blocks))
        assert all(len(one) <= block for one in blocks), "a block is larger than asked for"


@given(texts_and_blocks())
def test_pieces_join_to_normalised_text_for_any_block_size(file: Path, case: tuple[str, int]) -> None:
    text, block = case
    pieces = read_in_blocks(file, text.encode(), block)
    assert "".join(pieces) == normalise(text)
    assert all(pieces)


@given(texts_and_blocks(), st.sampled_from(["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-7", "gb18030"]))
def test_other_encodings_read_alike(file: Path, case: tuple[str, int], encoding: str) -> None:
    text, block = case
    text = text.removeprefix("\ufeff")
    assert "".join(read_in_blocks(file, text.encode(encoding), block, encoding)) == normalise(text)


@given(
    st.sampled_from([("latin-1", "Fähre é"), ("shift_jis", "渡し舟カソab")]),
    st.lists(st.sampled_from("\r\n01234")).map("".join),
    BLOCK,
)
def test_one_and_two_byte_encodings_are_read(file: Path, case: tuple[str, str], pattern: str, block: int) -> None:
    encoding, letters = case
    text = pattern.translate({ord("0") + index: letters[index] for index in range(5)})
    assert "".join(read_in_blocks(file, text.encode(encoding), block, encoding)) == normalise(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("block", [1, 2, 1 << 20])
def test_byte_order_mark_is_dropped_once_at_the_start(file: Path, encoding: str, block: int) -> None:
    pieces = read_in_blocks(file, "\ufeff\ufeffa\ufeffb".encode(encoding), block, encoding)
    assert "".join(pieces) == "\ufeffa\ufeffb"


@pytest.mark.parametrize("character", ["👩", "\u0301", "क"])
def test_text_without_safe_cuts_is_streamed(file: Path, character: str) -> None:
    text = character * 1_000
    pieces = read_in_blocks(file, text.encode(), 10)
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= 17 * 10


def first_invalid(data: bytes) -> int:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    raise AssertionError("all of it is valid")


@given(st.text(max_size=20), st.sampled_from([b"", b"\xe3\x81", b"\xf0\x9f\x91"]) | st.binary(max_size=6), BLOCK)
def test_invalid_utf8_is_refused_with_file_byte_and_offset(file: Path, text: str, rest: bytes, block: int) -> None:
    data = (text.encode() + rest).replace(b"\0", b"\xff") + b"\xff"
    with pytest.raises(CorpusError) as caught:
        read_in_blocks(file, data, block)
    offset = first_invalid(data)
    assert caught.value.message.startswith(f"{file} is not UTF-8: byte 0x{data[offset]:02X} at offset {offset}")
    assert "--encoding" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("encoding", "data", "offset"),
    [
        ("utf-8", b"abc\xe3\x81", 3),  # cut off at the end
        ("utf-8", b"abc\xe3\x81d", 3),  # cut off by another character
        ("utf-8", b"\xef\xbb\xbfabc\xff", 6),
        ("utf-8-sig", b"\xef\xbb\xbfabc\xff", 6),
        ("utf-8-sig", b"\xef\xbb\xbf\xff", 3),
        ("ascii", b"abcdef\xe9", 6),
        ("shift_jis", b"ab\x83\x5c\x81", 4),
        ("shift_jis", b"ab\x83\x5c\x81\xff", 4),
        ("utf-16-le", b"a\0b\0\x00\xd8a\0", 4),
        ("utf-16", b"\xff\xfea\0b\0c", 6),
        ("cp1252", b"abc\x81", 3),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 3, 5, 1 << 20])
def test_offsets_are_exact_in_every_encoding(file: Path, encoding: str, data: bytes, offset: int, block: int) -> None:
    with pytest.raises(CorpusError) as caught:
        read_in_blocks(file, data, block, encoding)
    problem = f"{file} is not {encoding.upper()}: byte 0x{data[offset]:02X} at offset {offset}"
    assert caught.value.message.split(";")[0] == problem


def test_offset_is_exact_beyond_the_first_block(file: Path) -> None:
    data = "ä".encode() * BLOCK_BYTES + b"\xe4"
    with pytest.raises(CorpusError, match=f"0xE4 at offset {len(data) - 1}"):
        read_in_blocks(file, data, BLOCK_BYTES)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_utf_16_without_a_byte_order_mark_is_refused(file: Path, encoding: str) -> None:
    with pytest.raises(CorpusError) as caught:
        read_in_blocks(file, "abc".encode(f"{encoding}-le"), 1 << 20, encoding)
    assert str(file) in caught.value.message
    assert "BOM" in caught.value.message
    assert f"--encoding {encoding}-le" in (caught.value.hint or "")


@pytest.mark.parametrize("encoding", ["utf-9", "", "hex", "rot13", "zip"])
def test_encoding_of_no_text_is_a_usage_error(file: Path, encoding: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_in_blocks(file, b"616263", 1 << 20, encoding)
    assert repr(encoding) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"\x7fELF\0\1", b"a" * 8_000 + b"\0"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_binary_data_is_refused(file: Path, data: bytes, encoding: str) -> None:
    with pytest.raises(CorpusError, match=r"zero byte at offset \d+, as binary data has"):
        read_in_blocks(file, data, 1 << 20, encoding)


def test_compressed_files_are_read(tmp_path: Path) -> None:
    text = "Die Fähre legt ab.\n" * 100
    path = tmp_path / "text.txt.gz"
    path.write_bytes(gzip.compress(text[:900].encode()) + gzip.compress(text[900:].encode()))
    assert "".join(read_text(path)) == text


COMPRESSED = gzip.compress("".join(map(str, range(500))).encode())


@pytest.mark.parametrize(
    "data",
    [
        COMPRESSED[:-20],
        COMPRESSED[:20] + b"\xff" * 10 + COMPRESSED[30:],
        COMPRESSED[:-8] + b"sums" + COMPRESSED[-4:],
        b"plain text",
    ],
    ids=["cut off", "garbled", "another checksum", "not compressed"],
)
def test_damaged_compressed_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "text.gz"
    path.write_bytes(data)
    with pytest.raises(CorpusError) as caught:
        list(read_text(path))
    assert caught.value.message.startswith(f"cannot read {path}: ")


@pytest.mark.parametrize("name", ["nothing.txt", "nothing.gz"])
def test_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorpusError, match=r"cannot read .*No such file"):
        list(read_text(tmp_path / name))


def test_standard_input_is_read_and_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO("Fa\u0308hre\r\n".encode())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=stream))
    assert "".join(read_text(STDIN)) == "Fähre\n"
    assert not stream.closed


JAPANESE = "渡し舟は七時に出ます。桟橋にはもう誰もいませんでした。「行きますか？」と船頭が聞きました。\n" * 8
FRENCH = "Le garçon était déjà là, près de la fenêtre. Où êtes-vous allée ? demanda-t-il à sa sœur.\n" * 8


def hint_for(file: Path, data: bytes) -> tuple[str, list[str]]:
    with pytest.raises(CorpusError) as caught:
        read_in_blocks(file, data, 1 << 20)
    return caught.value.message, (caught.value.hint or "").split()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *[(JAPANESE, name) for name in ("shift_jis", "euc_jp", "iso2022_jp")],
        *[(FRENCH, name) for name in ("cp1252", "utf-16-be", "utf-32-be")],
        *[(text, name) for text in (JAPANESE, FRENCH) for name in ("utf-16", "utf-16-le", "utf-32", "utf-32-le")],
        ("The café was closed, and we went home.\n" + "There was some soup left.\n" * 9, "cp1252"),
    ],
)
def test_hint_names_an_encoding_that_gives_the_text(file: Path, text: str, encoding: str) -> None:
    _, (*_, option, name) = hint_for(file, text.encode(encoding))
    assert option == "--encoding"
    assert "".join(read_in_blocks(file, text.encode(encoding), 100, name)) == text


@pytest.mark.parametrize("bad", [b"\xff", b"\0"])
@pytest.mark.parametrize("copies", [1, 300])
def test_damaged_byte_is_replaced_if_the_hint_is_followed(file: Path, bad: bytes, copies: int) -> None:
    before, after = FRENCH.encode() * copies, FRENCH.encode()
    message, words = hint_for(file, before + bad + after)
    assert words[-2:] == ["--encoding-errors", "replace"]
    assert f"offset {len(before)}" in message
    read = "".join(read_in_blocks(file, before + bad + after, 1 << 20, errors="replace"))
    assert read == FRENCH * copies + "\ufffd" + FRENCH


def test_escapes_of_a_terminal_are_text(file: Path) -> None:
    text = "\x1b[31mred\x1b[0m and \x1b$B5\n" * 9 + "naïve"
    assert "".join(read_in_blocks(file, text.encode(), 1 << 20)) == text
