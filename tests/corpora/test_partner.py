"""The partner's text: simulated talk, and what people wrote, in the same form every time."""

from __future__ import annotations

from charlm.corpora import partner
from charlm.corpora.documents import CleaningReport

QUESTIONS = "# ? Who are you\n- What are you\n\n```markdown\nA friend.\n```\n"
PARTS = {"talk": 20_000, "copy": 10_000}


def test_documents_are_conversations_of_lines_and_stable() -> None:
    first, second = (
        list(partner.documents([("english-dialogue/chitchat-en-friendly.qna", QUESTIONS)], CleaningReport(), PARTS))
        for _ in range(2)
    )
    assert first == second
    assert all("\n\n" not in document.text for document in first)
    assert first[-1].text.count("A friend.") == 2
    assert {document.name.split("-")[0] for document in first[:-1]} == {"talk", "copy"}


def test_answers_in_other_moods_are_left_out() -> None:
    documents = partner.documents([("english-dialogue/chitchat-en-witty.qna", QUESTIONS)], CleaningReport(), PARTS)
    assert "A friend." not in "".join(document.text for document in documents)


def test_question_whose_answer_is_left_out_is_left_out_too() -> None:
    questions = QUESTIONS.replace("A friend.", "A friend. " * 20)
    documents = partner.documents([("english-dialogue/chitchat-en-friendly.qna", questions)], CleaningReport(), PARTS)
    assert "Who are you\n" not in "".join(document.text for document in documents if "friendly" in document.name)
