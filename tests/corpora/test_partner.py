"""The partner's text: simulated talk, and what people wrote, in the same form every time."""

from __future__ import annotations

import pytest

from charlm.corpora import partner
from charlm.corpora.documents import CleaningReport, Document
from charlm.errors import CorpusError

QUESTIONS = "# ? Who are you\n- What are you\n\n```markdown\nA friend.\n```\n"
FRIENDLY = "english-dialogue/chitchat-en-friendly.qna"
PARTS = {"talk": 20_000, "copy": 10_000}


def built(path: str, text: str, language: str = "english") -> list[Document]:
    return list(partner.documents([(path, text)], CleaningReport(), (language,), PARTS))


def test_documents_are_conversations_of_lines_and_stable() -> None:
    documents = built(FRIENDLY, QUESTIONS)
    assert documents == built(FRIENDLY, QUESTIONS)
    assert all("\n\n" not in document.text for document in documents)
    assert documents[-1].text.count("A friend.") == 2
    assert {document.name.split("-")[0] for document in documents[:-1]} == {"talk", "copy"}


def test_answers_in_other_moods_are_left_out() -> None:
    documents = built(FRIENDLY.replace("friendly", "witty"), QUESTIONS)
    assert "A friend." not in "".join(document.text for document in documents)


def test_question_whose_answer_is_left_out_is_left_out_too() -> None:
    documents = built(FRIENDLY, QUESTIONS.replace("A friend.", "A friend. " * 20))
    assert "Who are you\n" not in "".join(document.text for document in documents if "friendly" in document.name)


def test_japanese_partner_has_simulated_talk_and_conversations_of_people() -> None:
    pairs = "船は９時に来る？\tはい。\n黙れ\tひどい。\n"
    documents = built("japanese/dsbook-pairs.txt", pairs, "japanese")
    assert documents[-1].text == "船は9時に来る？\nはい。"
    assert "黙れ" not in "".join(document.text for document in documents)
    assert {document.name.split("-")[0] for document in documents[:-1]} == {"talk", "copy"}


@pytest.mark.parametrize("languages", [(), ("latin",), ("english", "japanese")])
def test_other_than_one_known_language_is_refused(languages: tuple[str, ...]) -> None:
    with pytest.raises(CorpusError, match="must be one of english, japanese"):
        list(partner.documents([], CleaningReport(), languages, PARTS))
