"""The English base: books and dialogue collections are read, cleaned and varied in form, the same way every time."""

from __future__ import annotations

import pytest

from charlm.corpora import catalogue, dialogue_sources, english, gutenberg
from charlm.corpora.documents import CleaningReport

PROSE = "It was a long evening, and the two friends walked along the river and talked about the weather. " * 3
BOOK = f"""Headers that nobody reads.
*** START OF THIS PROJECT GUTENBERG EBOOK A TALE ***
Produced by Somebody

A TALE

CONTENTS

Chapter I

{PROSE.replace(". ", chr(46) + chr(10))}

"I see," said _one_ of them. "Do you?"

    The moon above,
    the sea below.

The old darkies sang.

End of Project Gutenberg's A Tale

*** END OF THIS PROJECT GUTENBERG EBOOK A TALE ***
Licence.
"""


def test_book_without_title_page_and_licence() -> None:
    first, speech, verse, *_ = gutenberg.paragraphs(BOOK)
    assert first.startswith("It was a long evening")
    assert speech == '"I see," said one of them. "Do you?"'
    assert gutenberg.unwrap(first).count("\n") == 0
    assert gutenberg.unwrap(verse) == verse
    assert "Gutenberg" not in "".join(gutenberg.paragraphs(BOOK))


def test_book_paragraph_with_slur_is_left_out() -> None:
    report = CleaningReport()
    (part,) = english.book("english-books/a-tale.txt", BOOK, report)
    assert "darkies" not in part.text
    assert report.removed["paragraphs of books with slurs of their time"][0] == 1


def test_held_back_books_are_in_no_corpus_that_trains_a_base() -> None:
    recipes = catalogue.built_in()
    held_back = {source.path for source in recipes["english-heldout"].sources}
    assert len(held_back) == 2
    assert not held_back & {source.path for source in recipes["english"].sources}


def test_typed_texts_contain_the_signs_that_prose_lacks() -> None:
    text = "".join(document.text for document in english.documents([], CleaningReport()))
    assert set('@#$%^&*()[]{}<>|~+=/\\"0123456789') <= set(text)


@pytest.mark.parametrize(
    ("plain", "curly"),
    [
        ('"I don\'t," he said--"not yet."', "\u201cI don\u2019t,\u201d he said\u2014\u201cnot yet.\u201d"),
        ("'You're late.'", "\u2018You\u2019re late.\u2019"),
        ('"The culprit is--"', "\u201cThe culprit is\u2014\u201d"),
    ],
)
def test_typeset_quotes_open_and_close(plain: str, curly: str) -> None:
    assert english.typeset(plain) == curly


def test_conversation_forms_keep_each_turn_and_are_stable() -> None:
    turns = ["Where is it?", "Over there.", "Thanks!"]
    texts = [english.formatted(turns, str(number)) for number in range(200)]
    assert texts == [english.formatted(turns, str(number)) for number in range(200)]
    assert all("over there" in text.lower() for text in texts)
    assert any(":\nOver there." in text for text in texts)
    assert any("> Over there." in text for text in texts)
    assert "\n".join(turns) in texts


def test_chitchat_groups_pair_each_wording_with_the_answer() -> None:
    text = "# ? How are you\n- How's it going?\n- You suck\n\n**Filters:**\n\n```markdown\nGreat,\nthanks.\n```\n"
    unsuitable = "# ? I hate you\n- Die\n\n```markdown\nOh.\n```\n"
    pairs = dialogue_sources.chitchat_pairs(text + unsuitable)
    assert pairs == [[("How are you", "Great, thanks."), ("How's it going?", "Great, thanks.")]]


def test_chain_uses_every_pair_once() -> None:
    groups = [[(f"q{number}", f"a{number}")] for number in range(30)]
    conversations = dialogue_sources.chain(groups, "seed")
    assert sorted(turn for one in conversations for turn in one) == sorted(turn for [pair] in groups for turn in pair)
    assert all(len(one) in (4, 6, 8) for one in conversations[:-1])
    assert conversations == dialogue_sources.chain(groups, "seed")


def test_mechanical_turk_reads_answers_in_numeric_order_and_no_worker() -> None:
    text = "WorkerId,Answer.sentence10,Answer.sentence2,Answer.sentence1\nA1Z2,last,second,first\n"
    assert dialogue_sources.mechanical_turk(text) == [["first", "second", "last"]]


def test_labelled_lines_begin_a_conversation_with_a_greeting() -> None:
    text = "Human 1: Hi!\nHuman 2: Hello there\nHuman 1: Fine day.\nHuman 1: Is it?\nHuman 2: Hi\nHuman 1: Hey.\n"
    assert dialogue_sources.labelled_lines(text)[0][0] == "Hi!"
    turns = [turn for one in dialogue_sources.labelled_lines(text) for turn in one]
    assert "Fine day. Is it?" in turns


def test_unsuitable_turn_divides_a_conversation() -> None:
    turns = ["a", "b", "damn", "c", "d", "e" * 50]
    parts = dialogue_sources.suitable_parts(turns, 40)
    assert list(parts) == [["a", "b"], ["c", "d"]]
