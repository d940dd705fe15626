"""Characters to ids and back: every text survives, whole characters only, one id at a time."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charlm.errors import CorpusError
from charlm.text.vocabulary import BYTES, Vocabulary

AWKWARD = [
    *("\0", "\x7f", "\n", "\r", "\ufeff", "\ufffd", "\ufffe", "\U0010ffff"),
    *("e\u0301", "\u0301", "か\u3099", "\u1112\u1161\u11ab", "日", "語", "ß", "€"),
    *("👩", "👩\u200d👩\u200d👧", "🏳\ufe0f\u200d🌈", "🇯🇵", "\u200d"),
]
CHARACTER = st.characters(exclude_categories=["Cs"])
TEXT = st.lists(CHARACTER | st.sampled_from(AWKWARD), max_size=90).map("".join)  # on both sides of the fast path's 64
SURROGATE = st.characters(categories=["Cs"])


def vocabulary_of(text: str, min_count: int = 1) -> Vocabulary:
    kept = sorted({one for one in text if text.count(one) >= min_count})
    return Vocabulary(kept, has_bytes=set(kept) != set(text))


def with_bytes(vocabulary: Vocabulary) -> Vocabulary:
    return Vocabulary(vocabulary.characters, has_bytes=True)


VOCABULARY = st.builds(vocabulary_of, TEXT, st.integers(1, 3))
WITH_BYTES = VOCABULARY.map(with_bytes)


@given(WITH_BYTES, TEXT)
def test_text_survives_a_vocabulary_with_bytes(vocabulary: Vocabulary, text: str) -> None:
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert ids.dtype == np.int64
    assert len(ids) == 0 or 0 <= ids.min() <= ids.max() < len(vocabulary)


@given(WITH_BYTES, TEXT, TEXT)
def test_encode_parts_equals_encode_whole(vocabulary: Vocabulary, one: str, other: str) -> None:
    parts = np.concatenate([vocabulary.encode(one), vocabulary.encode(other)])
    assert vocabulary.encode(one + other).tolist() == parts.tolist()


@given(WITH_BYTES, st.lists(CHARACTER | st.sampled_from(AWKWARD), min_size=1, max_size=30).map("".join))
def test_encode_short_and_long_texts_alike(vocabulary: Vocabulary, text: str) -> None:
    known = "".join(vocabulary.characters[:20])
    for short in (text[:63], known):  # with characters that must be spelled, and without
        if short:
            assert vocabulary.encode(short * 64).tolist() == vocabulary.encode(short).tolist() * 64


@given(WITH_BYTES | VOCABULARY, TEXT, SURROGATE, TEXT)
def test_lone_surrogate_is_refused_with_place(vocabulary: Vocabulary, before: str, surrogate: str, after: str) -> None:
    known = vocabulary.replace_unknown(before) if vocabulary.characters else ""
    with pytest.raises(CorpusError) as caught:
        vocabulary.encode(known + surrogate + after)
    assert f"U+{ord(surrogate):04X}" in caught.value.message
    assert caught.value.message.endswith(f"at character {len(known)}")
    assert caught.value.hint


@given(TEXT, TEXT)
def test_vocabulary_without_bytes_refuses_unknown_characters(seen: str, text: str) -> None:
    vocabulary = vocabulary_of(seen)
    assert len(vocabulary) == len(set(seen))
    strange = [one for one in text if one not in seen]
    if not strange:
        assert vocabulary.decode(vocabulary.encode(text)) == text
        return
    with pytest.raises(CorpusError) as caught:
        vocabulary.encode(text)
    assert caught.value.message.startswith(f"{strange[0]!r} is not among")
    assert len(caught.value.message.splitlines()) == 1


@given(WITH_BYTES, TEXT)
def test_character_appears_with_its_last_id(vocabulary: Vocabulary, text: str) -> None:
    decoder = vocabulary.decoder()
    for character in text:
        *spelling, last = vocabulary.encode(character).tolist()
        for index in spelling:
            assert decoder.push(index) == ""
            assert decoder.pending
        assert decoder.push(last) == character
        assert not decoder.pending
    assert decoder.flush() == ""


@pytest.mark.parametrize("character", ["é", "日", "鬱", "👩", "\u200d", "\ufffd", "\U0010ffff"])
def test_character_cut_at_a_byte_becomes_a_replacement(character: str) -> None:
    vocabulary = Vocabulary("x", has_bytes=True)
    spelling = [1 + byte for byte in character.encode()]
    assert vocabulary.encode(character).tolist() == spelling
    for cut in range(1, len(spelling)):
        decoder = vocabulary.decoder()
        assert [decoder.push(index) for index in spelling[:cut]] == [""] * cut
        assert "".join(decoder.push(index) for index in spelling[cut:]) == character
        # What never becomes whole is one replacement character, be it followed by a character, a spelling or nothing.
        assert vocabulary.decode([*spelling[:cut], 0]) == "\ufffdx"
        assert vocabulary.decode([*spelling[:cut], *spelling]) == "\ufffd" + character
        assert vocabulary.decode(spelling[:cut]) == "\ufffd"


@given(st.lists(st.integers(0, 2 + BYTES)))
def test_invalid_utf8_becomes_replacement_characters(ids: list[int]) -> None:
    vocabulary = Vocabulary("a日\0", has_bytes=True)
    expected = ""
    for is_byte, run in groupby(ids, key=lambda index: index >= 3):
        if is_byte:
            expected += bytes(index - 3 for index in run).decode("utf-8", "replace")
        else:
            expected += "".join("a日\0"[index] for index in run)
    assert vocabulary.decode(ids) == expected


@given(*[st.tuples(st.lists(st.sampled_from("ab\U0001f600\0"), unique=True).map(tuple), st.booleans())] * 2)
def test_fingerprints_differ_exactly_when_mappings_do(one: tuple[str, bool], other: tuple[str, bool]) -> None:
    first, second = (Vocabulary(characters, has_bytes=has_bytes) for characters, has_bytes in (one, other))
    assert (first.fingerprint == second.fingerprint) == (one == other)
    assert (first == second) == (one == other)
    assert first != second or hash(first) == hash(second)


@given(VOCABULARY, TEXT)
def test_unknown_lists_each_character_once_in_order(vocabulary: Vocabulary, text: str) -> None:
    unknown = vocabulary.unknown(text)
    assert set(unknown) == set(text) - set(vocabulary.characters)
    assert unknown == sorted(set(unknown), key=text.index)


@given(st.text(CHARACTER, min_size=1), TEXT, st.sampled_from(["?", "_", "日"]))
@example("\n !?a", "a日b", "?")
@example("\n !a", "a日b", "?")
@example("\n!a", "a日b", "?")
@example("\n本？\u3000", "a日b", "?")
@example("\n本\u3000", "a日b", "?")
def test_replace_unknown_makes_text_encodable(seen: str, text: str, replacement: str) -> None:
    vocabulary = vocabulary_of(seen)
    replaced = vocabulary.replace_unknown(text, replacement)
    assert vocabulary.decode(vocabulary.encode(replaced)) == replaced
    substitute = next((one for one in (replacement, " ", "？", "\u3000") if one in seen), min(seen))
    assert list(replaced) == [one if one in seen else substitute for one in text]
    assert with_bytes(vocabulary).replace_unknown(text, replacement) == text


@given(VOCABULARY)
def test_labels_name_characters_and_bytes(vocabulary: Vocabulary) -> None:
    vocabulary = with_bytes(vocabulary)
    places = range(len(vocabulary.characters))
    assert [vocabulary.label(index) for index in places] == list(vocabulary.characters)
    assert [vocabulary.byte_of(index) for index in places] == [None] * len(places)
    bytes_behind = range(len(places), len(vocabulary))
    assert [vocabulary.byte_of(index) for index in bytes_behind] == list(range(BYTES))
    assert [vocabulary.label(index) for index in bytes_behind] == [f"<{byte:02x}>" for byte in range(BYTES)]


@pytest.mark.parametrize("characters", [["ab"], [""], [chr(0xD800)], [chr(0xDFFF)], ["a", "b", "a"]])
def test_invalid_set_of_characters_is_refused(characters: list[str]) -> None:
    with pytest.raises(CorpusError):
        Vocabulary(characters, has_bytes=True)
