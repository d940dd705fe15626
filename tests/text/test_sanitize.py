"""A stream that cannot encode a character gets a stand-in of the same width."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.sanitize import replace_unencodable


def written(text: str, encoding: str) -> str:
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, encoding=encoding, newline="")
    replace_unencodable(stream)
    stream.write(text)
    stream.flush()
    return data.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("\u256d\u2500\u256e \u2502\u2588", "ascii", "+-+ |#"),
        ("\u2018it\u2019s\u2019 \u201cod\u0301d\u201d \u2014 caf\u00e9 \u2603", "ascii", "'it's' \"odd\" - cafe ?"),
        ("\u6e21\u3057\u8239", "latin-1", "??????"),
        ("caf\u00e9", "cp1252", "caf\u00e9"),
        ("\u6e21 caf\udce9", "utf-8", "\u6e21 caf?"),
    ],
)
def test_unencodable_characters_get_stand_ins(text: str, encoding: str, expected: str) -> None:
    assert written(text, encoding) == expected


@given(st.text(st.characters(categories=None)), st.sampled_from(["ascii", "latin-1", "cp1252", "shift_jis", "utf-8"]))
def test_any_text_is_written_in_any_encoding(text: str, encoding: str) -> None:
    encodable = text.encode(encoding, "ignore").decode(encoding)
    assert set(encodable) <= set(written(text, encoding)) | set("\\~\u00a5\u203e")  # two places of Shift-JIS
