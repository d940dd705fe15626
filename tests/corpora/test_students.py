"""Conversations are split and shortened, never joined: speakers always alternate."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import pytest

from charlm.corpora import students
from charlm.corpora.documents import CleaningReport
from charlm.corpora.students import RawConversation
from charlm.errors import CorpusError
from charlm.text.format_detection import detect

WORDS = re.findall(
    r"\w+",
    "the boat is late and so are you but we like the harbour bell what do they say about my small green ferry today hi "
    "how a night old fish it has been seen from each shore every morning since then all of us came by and slept",
)


def sentence(rng: random.Random, length: int = 9) -> str:
    return " ".join(["the", *rng.choices(WORDS, k=length - 1)])


def talk(seed: int, turns: int = 8) -> list[list[str]]:
    rng = random.Random(seed)
    return [[sentence(rng)] for _ in range(turns)]


CROWD = [RawConversation(str(seed), "", talk(seed)) for seed in range(30)]  # enough that no word is rare


def cleaned(one: list[list[str]], report: CleaningReport, prompt: str = "") -> list[list[str]]:
    return [
        turns for name, turns in students.clean([*CROWD, RawConversation("me", prompt, one)], report) if name == "me"
    ]


def test_clean_conversation_is_kept(report: CleaningReport) -> None:
    found = cleaned([["the boat is late"], ["so are you"], ["what do they say"], ["the bell is green"]], report)
    assert found == [["The boat is late.", "So are you.", "What do they say?", "The bell is green."]]
    assert report.removed == {}


@pytest.mark.parametrize(
    ("turns", "changed", "lengths", "reason"),
    [
        (7, {3: ["my line is 555-010-9999"]}, [3, 3], "turns with phone numbers"),
        (8, {3: ["see the leaderboard today"], 4: ["my score"]}, [3, 3], "turns about the website and its contest"),
        (4, {1: ["are you still there?"]}, [2], "turns left alone"),
        (3, {}, [], "conversations of fewer than 4 turns"),
        (5, {2: [" ".join(sorted(set(WORDS)))] * 2}, [2, 2], "turns over 200 characters that could not be shortened"),
    ],
)
def test_rejected_turns_split_a_conversation(
    report: CleaningReport, turns: int, changed: dict[int, list[str]], lengths: list[int], reason: str
) -> None:
    one = [changed.get(at, messages) for at, messages in enumerate(talk(99, turns))]
    assert [len(part) for part in cleaned(one, report)] == lengths
    assert report.removed[reason][0] == max(1, len(changed))


def test_long_turn_keeps_beginning_and_end(report: CleaningReport) -> None:
    rng = random.Random(5)
    one = talk(96, 5)
    one[2] = [sentence(rng) for _ in range(6)]
    [found] = cleaned(one, report)
    whole = students.join(one[2], Counter())
    assert len(whole) > students.MAX_TURN_CHARS >= len(found[2])
    parts = found[2].split(". ")
    assert whole.startswith(". ".join(parts[:-1]))
    assert whole.endswith(parts[-1])
    assert report.removed["sentences in the middle of long turns"][1] == len(whole) - len(found[2])


@pytest.mark.parametrize("length", [1, 199, 200, 201, 300])
def test_shortened_turn_fits(length: int) -> None:
    text = ("Over and back. " * 40)[:length].strip()
    assert len(students.shorten(text)) <= students.MAX_TURN_CHARS
    assert students.shorten("x" * 201) == ""


def test_messages_are_joined_as_sentences() -> None:
    assert students.join(["hi", "  ", "how are you", "*your", "fine*"], Counter()) == "Hi. How are you?"


def test_cut_message_is_joined_or_removed() -> None:
    cut = ("the boat is late and " * 9)[:175].strip()
    joined = students.join([cut, "then the bell rang"], Counter())
    assert joined.endswith("then the bell rang.")
    assert joined.count(".") == 1
    assert students.join(["Well. " + cut[6:]], Counter()) == "Well."


def test_equal_greetings_are_limited(report: CleaningReport) -> None:
    greeted = [RawConversation(f"g{seed}", "", [["hi"], ["hello"], *talk(seed + 500, 4)]) for seed in range(40)]
    found = [turns for name, turns in students.clean([*CROWD, *greeted], report) if name.startswith("g")]
    assert len(found) == 40
    beginnings = Counter(turns[0] for turns in found)
    assert beginnings["Hi."] == beginnings["Hello."] + beginnings["Hi."] - 15 == students.MAX_EQUAL_GREETINGS
    assert report.removed["greetings that others begin with"][0] == 15


def test_prompt_is_put_before_its_answer(report: CleaningReport) -> None:
    prompt = "What if the harbour was green? (i.e. all of it)"
    one = [["the harbour is green and late today"], *talk(94, 4)]
    [found] = cleaned(one, report, prompt)
    assert found[:2] == ["What if the harbour was green?", "The harbour is green and late today."]
    greeting = [["hi how are you today"], *talk(93, 4)]
    [found] = cleaned(greeting, report, prompt)
    assert found[0] == "Hi how are you today?"


def test_files_become_distinct_documents(report: CleaningReport) -> None:
    rng = random.Random(1)

    def written(turns: list[list[str]]) -> dict[str, object]:
        return {"messages": [[{"text": text} for text in turn] for turn in turns], "start": "x", "prompt": None}

    crowd = {str(seed): written([[sentence(rng)] for _ in range(8)]) for seed in range(30)}
    crowd["copy"] = crowd["3"]
    yaml = "conversations:\n- - the boat is what\n  - it is late\n- - the boat is what\n  - so are you\n"
    files = [("d.json", json.dumps(crowd)), ("x/boats.yml", yaml)]
    found = list(students.documents(files, report))
    assert len(found) == 32
    assert report.removed["conversations that are copies of others"][0] == 1
    assert found[-2].text == "The boat is what.\nIt is late."
    assert found[-1].text == "The boat is what.\nSo are you."
    assert found[-1].name == found[-2].name, "answers to one question are held out together"
    assert list(students.documents(files, CleaningReport())) == found
    assert not any("\n\n" in document.text for document in found)


def test_cleaned_talk_is_detected_as_lines(report: CleaningReport) -> None:
    asked = [
        RawConversation(str(seed), "", [[f"what {turn[0]}"] if at % 2 else turn for at, turn in enumerate(talk(seed))])
        for seed in range(30)
    ]
    text = "\n\n".join("\n".join(turns) for _, turns in students.clean(asked, report))
    assert detect(text).format == "lines"


@pytest.mark.parametrize("text", ["[]", "{", '{"a": {}}', '{"a": {"messages": [[{"txt": 1}]]}}', '{"a": 3}'])
def test_source_of_another_format_raises(text: str) -> None:
    with pytest.raises(CorpusError, match="is not that of this version"):
        students.read(text)
