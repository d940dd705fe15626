"""Simulated small talk: no holes, agreement, facts that come back, the same text for the same seed."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from random import Random

import pytest

from charlm.corpora.simulator import MIXES, SimulatedConversation, conversations
from charlm.corpora.simulator.check import problems
from charlm.corpora.simulator.conversation import MAX_LONG_REPLY_CHARS
from charlm.corpora.simulator.language import article, language
from charlm.corpora.simulator.phrases import Word, parse, render
from charlm.corpora.simulator.script import Script, load
from charlm.corpora.simulator.speakers import Speakers
from charlm.corpora.simulator.words import read_list
from charlm.errors import CorpusError
from charlm.insight.dialogue_cases import questions, recall_cases

LANGUAGES = ("english",)
DIGEST = """
import hashlib
from charlm.corpora.simulator import MIXES, conversations
turns = [turn for one in conversations("english", MIXES["talk"], 5, 20_000) for turn in one.turns]
print(hashlib.sha256("\\n".join(turns).encode()).hexdigest())
"""


@pytest.fixture(scope="module", params=LANGUAGES)
def script(request: pytest.FixtureRequest) -> Script:
    return load(request.param)


@pytest.fixture(scope="module", params=LANGUAGES)
def made(request: pytest.FixtureRequest) -> list[SimulatedConversation]:
    return [one for mix in MIXES.values() for one in conversations(request.param, mix, 1, 200_000)]


def texts(words: str, text: str, *, made_up: float = 0.0, times: int = 200) -> set[str]:
    """Return renderings of a phrasing with one list, `thing`, as the model writes them."""
    found = set()
    for seed in range(times):
        script = Script({"thing": read_list(words.splitlines(), "thing"), "made": read_list(["blib"], "made")})
        speakers = Speakers(script, Random(seed), made_up)
        found.add(language("english").finish(render(parse(text), speakers)))
    return found


def plain(text: str) -> str:
    """Return a text without case and marks."""
    return re.sub(r"[^\w ]", "", text.lower()).strip()


def test_topics_and_lists_have_no_problems(script: Script) -> None:
    assert not "\n".join(problems(script))


def test_conversations_alternate_without_holes(made: list[SimulatedConversation]) -> None:
    for one in made:
        assert len(one.turns) % 2 == 0
        assert len(one.turns) >= 2
        for turn in one.turns:
            assert turn.strip() == turn != ""
            assert not re.search(r"[{}\[\]|\x02\x03\n~]|  | [.,!?]", turn), turn
        assert all(len(reply) <= MAX_LONG_REPLY_CHARS for reply in one.turns[1::2])


def test_no_wording_that_measures_a_partner_is_said(made: list[SimulatedConversation]) -> None:
    wordings = {plain(wording) for one in questions() for wording in one.wordings}
    wordings |= {plain(text) for one in recall_cases("en", 400) for text in (one.tell, one.ask, *one.fillers)}
    assert not wordings & {plain(turn) for one in made for turn in one.turns}


def test_replies_have_capitals_end_marks_and_articles(made: list[SimulatedConversation]) -> None:
    for reply in (reply for one in made for reply in one.turns[1::2]):
        assert not re.match("[a-z]", reply), reply
        assert re.search(r"[.!?\u2026:)\"']$", reply), reply
        for found in re.finditer(r"(?<![\w'-])(an?) ([a-z][\w'-]+)", reply):
            assert article(found[2]) == found[1], reply


def test_every_fact_asked_for_was_told(made: list[SimulatedConversation], script: Script) -> None:
    plurals = {word.text: word.plural for words in script.lists.values() for word in words.words}
    known = 0
    for one in made:
        for question in one.questions:
            reply = one.turns[2 * question.asked + 1]
            if question.value is None:
                continue
            known += 1
            assert 0 <= question.told < question.asked
            # Without apostrophes and commas, which people leave out.
            told = re.sub("[',]", "", one.turns[2 * question.told].casefold())
            names = {question.value, plurals.get(question.value, question.value)}
            assert any(re.sub("[',]", "", name.casefold()) in told for name in names), (question, told)
            assert question.value.casefold() in reply.casefold(), (question, reply)
    assert known > 500


def test_questions_never_told_are_as_many_as_told(made: list[SimulatedConversation]) -> None:
    told = Counter(question.value is None for one in made for question in one.questions)
    assert told[True] == pytest.approx(told[False], rel=0.1)


@pytest.mark.parametrize("name", sorted(MIXES))
def test_distances_follow_the_mix(name: str) -> None:
    mix = MIXES[name]
    found = [q for one in conversations("english", mix, 2, 300_000) for q in one.questions if q.value is not None]
    distances = Counter(question.asked - question.told for question in found)
    total = sum(weight for _, weight in mix.distances)
    for distance, weight in mix.distances:
        assert distances[distance] / len(found) == pytest.approx(weight / total, abs=0.2)
    assert max(distances) <= max(distance for distance, _ in mix.distances) + 10


def test_corrected_fact_has_another_value(script: Script) -> None:
    speakers = Speakers(script, Random(1), 0.5)
    (name,) = parse("{my.name}").slots()
    before = speakers.word(name)
    speakers.correct(name)
    assert speakers.word(name) != before == speakers.old["name"]


def test_half_of_the_names_are_made_up(script: Script) -> None:
    names = {word.text for word in script.lists["name"].words}
    speakers = Speakers(script, Random(1), 0.5)
    drawn = [speakers.word(slot).text for slot in [next(parse("{~name}").slots())] * 400]
    assert 0.4 < sum(name in names for name in drawn) / 400 < 0.6


def test_same_seed_gives_the_same_text_in_another_process() -> None:
    turns = [turn for one in conversations("english", MIXES["talk"], 5, 20_000) for turn in one.turns]
    digest = hashlib.sha256("\n".join(turns).encode()).hexdigest()
    run = subprocess.run(
        [sys.executable, "-c", DIGEST], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == digest


def test_articles_plurals_and_capitals_agree() -> None:
    words = "iguana, dog, mouse/mice, pony"
    assert texts(words, "a {thing}") == {"An iguana.", "A dog.", "A mouse.", "A pony."}
    assert texts(words, "I like {thing:s}") == {f"I like {one}." for one in ("iguanas", "dogs", "mice", "ponies")}
    assert texts("dog", "I have a {thing},[ yes|]") == {"I have a dog, yes.", "I have a dog."}
    assert texts("dog", "a [old|big|] {thing}!") == {"An old dog!", "A big dog!", "A dog!"}
    assert texts("hour, university, uncle, 8, 80, 7", "a {thing}.") == {
        "An hour.",
        "A university.",
        "An uncle.",
        "An 8.",
        "An 80.",
        "A 7.",
    }


def test_pronouns_follow_the_gender() -> None:
    words = "(g=f)\nAnna\n(g=m)\nTom"
    assert texts(words, "{thing} and {thing.his} dog, I like {thing.him}") == {
        "Anna and her dog, I like her.",
        "Tom and his dog, I like him.",
    }


def test_siblings_have_names_of_their_gender(script: Script) -> None:
    for seed in range(100):
        speakers = Speakers(script, Random(seed), 0.5)
        sibling, kind = [speakers.word(slot) for slot in parse("{my.sibling} {my.sib}").slots()]
        assert sibling.attributes["g"] == kind.attributes["g"]


def test_second_word_differs_from_the_first() -> None:
    assert texts("one, two", "{thing} {thing2} {thing}") == {"One two one.", "Two one two."}


@pytest.mark.parametrize("text", ["{thing", "thing}", "[a|b", "a|b", "a]", "{Thing}", "{thing one}"])
def test_malformed_phrasing_is_an_error(text: str) -> None:
    with pytest.raises(CorpusError):
        parse(text)


def test_sums_are_written_in_signs_and_in_words(script: Script) -> None:
    sums, differences, products, *others = (
        script.lists[name].words for name in ("sum", "difference", "product", "double", "half")
    )
    names = {int(word.text): word.attributes["spoken"] for one in others for word in one}
    names |= {
        int(word.attributes[n]): word.attributes[name] for n, name in (("a", "first"), ("b", "second")) for word in sums
    }
    for word in sums + differences + products:
        a, operator, b = word.text.split()
        sign = {"plus": "+", "minus": "-", "times": "*"}[operator]
        assert word.attributes["sign"] == f"{a} {sign} {b}"
        assert word.attributes["spoken"] == f"{names[int(a)]} {operator} {names[int(b)]}"


def test_model_does_not_calculate(script: Script) -> None:
    exchanges = [one for one in script.exchanges if one.topic == "play" and one.name in ("sum", "take away", "times")]
    replies = [
        line.phrasing for one in exchanges for block in one.blocks if block.speaker == "B" for line in block.lines
    ]
    assert len(exchanges) == 3
    assert not any(list(phrasing.slots()) for phrasing in replies)


def test_people_type_names_whole() -> None:
    english = language("english")
    speakers = Speakers(Script({"name": read_list(["Zorblatta"], "name")}), Random(1), 0.0)
    for _ in range(300):
        typed = english.typed(render(parse("please remember that my name is {name}"), speakers), "hurried", speakers)
        assert "zorblatta" in typed.casefold()


def test_plural_of_a_word_prefers_its_own() -> None:
    assert Word("mouse", {"plural": "mice"}).plural == "mice"
    assert [Word(noun).plural for noun in ("bus", "party", "day", "fox")] == ["buses", "parties", "days", "foxes"]
