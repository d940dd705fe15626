"""Dialogue of any subject is detected; text that only resembles it is not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import FORMATS
from charlm.errors import UsageError
from charlm.text import format_detection
from charlm.text.dialogue import Dialogue
from charlm.text.format_detection import DetectedFormat, FormatDetector, detect, read_as

from ..conftest import HARBOUR

SPOKEN = [
    "Have you seen my other boot?", "It is under the piano, where you threw it.", "I never throw boots.",
    "Then it walked there by itself.", "Is there any soup left?", "There is soup, but there is no spoon.",
    "Who took the spoon?", "The same person who took the ladder, I think.", "What would anyone do with a ladder?",
    "Look out of the window and you will see.", "Oh! Since when is there a goat on the roof?", "Since breakfast.",
    "Does it want to come down?", "It says that it likes the view.", "Goats do not talk.", "This one does, at night.",
    "Shall we leave it there?", "We could bring it some soup.", "Without a spoon?", "Goats have no use for spoons.",
]  # fmt: skip
TYPED = [
    "hi", "hey how are you", "fine and you", "not bad", "what are you doing", "watching the rain",
    "is it still raining there", "yes all day", "do you want to come over", "maybe later", "what time",
    "after six i think", "ok i will make soup",
    "can you bring bread", "sure which one", "the dark one you like", "are you bringing the dog too",
    "yes he misses you", "did he eat my shoe", "only one of them", "see you", "bye",
]  # fmt: skip
JAPANESE = [
    "おはようございます。", "今日は寒いですね。", "窓を開けたのは誰ですか？", "猫だと思います。",
    "猫は窓を開けませんよ。", "うちの猫は開けます。", "お茶を飲みますか？", "はい、いただきます。",
    "砂糖はいりますか？", "いいえ、いりません。",
]  # fmt: skip


def detect_pieces(pieces: Iterable[str], format_name: str = "auto", **limits: int) -> DetectedFormat:
    detector = FormatDetector(format_name, **limits)
    for piece in pieces:
        detector.update(piece)
    return detector.result()


def choose(rng: random.Random, sentences: Sequence[str], names: Sequence[str], turns: int) -> list[tuple[str, str]]:
    """Return speakers and lines; no speaker has two turns in a row."""
    turns_made, last = [], ""
    for _ in range(turns):
        last = rng.choice([name for name in names if name != last])
        turns_made.append((last, " ".join(rng.choices(sentences, k=rng.choice([1, 1, 2])))))
    return turns_made


def transcript(
    names: Sequence[str], colon: str = ": ", between: str = "\n", sentences: Sequence[str] = SPOKEN, turns: int = 60
) -> str:
    spoken = choose(random.Random(1), sentences, names, turns)
    return between.join(f"{name}{colon}{text}" for name, text in spoken) + "\n"


def play(names: Sequence[str], colon: str = ":", sentences: Sequence[str] = SPOKEN, turns: int = 60) -> str:
    spoken = choose(random.Random(2), sentences, names, turns)
    return "\n\n".join(f"{name}{colon}\n{text}" for name, text in spoken) + "\n"


def lines(sentences: Sequence[str], conversations: int = 12) -> str:
    rng = random.Random(3)
    return "\n\n".join("\n".join(rng.choices(sentences, k=rng.randint(3, 9))) for _ in range(conversations)) + "\n"


DIALOGUES: list[tuple[str, str, Dialogue]] = [
    ("play", play(["ANNA", "BEN"]), Dialogue("play", ("ANNA", "BEN"))),
    ("play of many", play(["First Cook", "MRS. OAK", "The Old Man", "1ST GOAT", "Ben 2"], turns=90), Dialogue("play")),
    ("play in Japanese", play(["太郎", "花子"], "：", JAPANESE), Dialogue("play", ("太郎", "花子"), "：")),
    ("transcript", transcript(["Anna", "Ben"]), Dialogue("transcript", ("Anna", "Ben"))),
    ("transcript of three", transcript(["Anna", "Ben", "Dr. Wu"]), Dialogue("transcript", ("Anna", "Ben", "Dr. Wu"))),
    ("careless chat", transcript(["anna_b", "ben7"], sentences=TYPED), Dialogue("transcript")),
    ("questions and answers", transcript(["Q", "A"]), Dialogue("transcript", ("Q", "A"))),
    ("interview", transcript(["Anna", "Ben"], between="\n\n"), Dialogue("transcript", ("Anna", "Ben"), spaced=True)),
    ("transcript in Japanese", transcript(["太郎", "花子"], ": ", sentences=JAPANESE), Dialogue("transcript")),
    ("with wide colons", transcript(["太郎", "花子"], "：", sentences=JAPANESE), Dialogue("transcript", (), "：")),
    ("French", transcript(["ANNE", "BENOÎT"], "\u00a0: "), Dialogue("transcript", ("ANNE", "BENOÎT"), "\u00a0:")),
    ("French, typed", transcript(["ANNE", "BENOÎT"], " : "), Dialogue("transcript", ("ANNE", "BENOÎT"), " :")),
    ("conversations", "\n\n".join([transcript(["Ann", "Bo"], turns=6)[:-1]] * 9), Dialogue("transcript")),
    ("small talk", lines(SPOKEN), Dialogue("lines")),
    ("careless small talk", lines(TYPED), Dialogue("lines")),
    ("half careless", lines([*TYPED, "really?", "why not?", "and then?", "who?", "where?"]), Dialogue("lines")),
    ("small talk in Japanese", lines(JAPANESE), Dialogue("lines")),
]

PROSE = (
    "The lighthouse keeper had a brother who was afraid of the sea. Every summer the brother came as far as the gate, "
    "and every summer he went home again. What he was looking for he never said. The keeper left the gate open, put a "
    "chair beside it, and in the third year he put out a second cup. It rained into the cup for a week. When the "
    "brother came back, he emptied it, sat down, and asked whether there was any tea. There was. "
)
POEM = """The snail has a house and he carries it well,
It is narrow and round and it looks like a shell,
And who is to say, when the rain comes to stay,
That he should have built it some easier way?

The swallow has nothing but mud and a wall,
A door without door and no window at all,
And what does she say when the wind is a knife?
She says that it is a reasonable life.
"""


def wrap(text: str, width: int) -> str:
    rows, row = [], ""
    for word in text.split():
        if len(row) + len(word) >= width:
            rows.append(row)
            row = ""
        row += (" " if row else "") + word
    return "\n".join([*rows, row])


def log(pattern: str, levels: Sequence[str]) -> str:
    rng = random.Random(4)
    events = ["cache is warm", "worker joined", "request took 31 ms", "retrying", "no route to host", "queue is full"]
    return "".join(
        pattern.format(n=number, level=rng.choice(levels), event=rng.choice(events), m=number % 60)
        for number in range(200)
    )


OTHERS: dict[str, str] = {
    "empty": "",
    "blank": "\n\n\n \n\n",
    "a word": "harbour",
    "wrapped prose": "\n\n".join([wrap(PROSE * 2, 66)] * 12),
    "a paragraph a line": "\n".join([PROSE] * 30),
    "a paragraph a line with blanks": "\n\n".join([PROSE] * 30),
    "a sentence a line": "\n\n".join([PROSE.replace(". ", ".\n")] * 12),
    "a story with much talk": "\n".join(
        f'"{one}" said the keeper.\n"{other}"' for one in SPOKEN for other in SPOKEN[:3]
    ),
    "chapters of talk": "\n\n".join("\n".join(f"“{one}”" for one in SPOKEN) for _ in range(8)),
    "poems": "\n\n".join([POEM] * 8),
    "poems without marks": "\n".join(
        "".join(one for one in line if one not in ",.?").lower() for line in (POEM * 8).split("\n")
    ),
    "Python": Path(format_detection.__file__).read_text(encoding="utf-8"),
    "Markdown": (HARBOUR.parent / "README.md").read_text(encoding="utf-8") * 3,
    "changes": "\n\n".join(["Added:\n- a door\n- a bell", "Fixed:\n- the roof", "Removed:\n- the goat"] * 20),
    "csv": "name,age,town\n" + "Anna,31,Lowhaven\nBen,29,Farside\n" * 60,
    "YAML": "".join(f"name: anna {n}\nage: {n}\nlikes:\n  - soup\n  - goats\n\n" for n in range(60)),
    "YAML lists": "\n\n".join("hosts:\n- anna\n- ben\n\ntasks:\n- cook\n- sweep" for _ in range(30)),
    "JSON lines": "".join(f'{{"who": "Anna", "says": "where is soup {n}?"}}\n' for n in range(99)),
    "records": "\n".join(f"Name: Anna Oak\nTown: Lowhaven\nTrade: cook for {n} days\n" for n in range(40)),
    "records of any length": "\n".join(
        f"Name: Anna Oak\nTown: Lowhaven\n{'Goat: yes, she has one' * (n % 3 == 0)}\nTrade: cook\n" for n in range(40)
    ),
    "levels": log("{level}: {event}\n", ["INFO", "INFO", "INFO", "WARNING", "ERROR"]),
    "levels in turn": log("{level}: {event}\n", ["INFO", "DEBUG", "WARNING"]),
    "services in turn": log("{level}: {event} at 10.0.0.{n} [{n}/200]\n", ["web", "store", "queue"]),
    "a list of much the same": "\n".join(f"{'tide' if n % 8 else 'wind'}: high, and late" for n in range(80)),
    "times": log("2031-04-05 12:{m:02}:09 {level}: {event}\n", ["INFO", "DEBUG"]),
    "system log": log("Apr  5 12:{m:02}:09 lowhaven {level}[{n}]: {event}\n", ["kernel", "cron", "sshd"]),
    "mail": "\n".join(
        f"From: Anna\nTo: Ben\nDate: Monday\nSubject: soup\n\nIs there any? {'Really? ' * (n % 4)}\nAnna\n"
        for n in range(40)
    ),
    "chat with times": transcript(["[12:03] Anna", "[12:04] Ben"]),
    "chat with brackets": transcript(["<anna>", "<ben>"], " "),
    "chat of a telephone": transcript(["05.04.31, 12:03 - Anna", "05.04.31, 12:04 - Ben"]),
    "subtitles": "\n\n".join(
        f"{n}\n00:0{n % 10}:01,000 --> 00:0{n % 10}:02,500\n{one}" for n, one in enumerate(SPOKEN * 5)
    ),
    "a glossary": "\n".join(f"{chr(97 + n % 26) * (n + 1)}: a word that is longer than the last" for n in range(30)),
    "a recipe": "\n\n".join(["Ingredients:\n200 g flour\n3 eggs", "Method:\nStir. Wait."] * 3 + [PROSE] * 30),
    "a monologue": "\n".join(f"Anna: {one}" for one in SPOKEN * 3),
    "a shopping list": "\n\n".join(["milk\nbread\nsoap and what you like", "rope\npaint", "nails\nglue\ntea\njam"] * 9),
    "one long line": PROSE.replace(".", "") * 50,
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [one[1:] for one in DIALOGUES], ids=[one[0] for one in DIALOGUES])
def test_dialogue_is_detected(text: str, expected: Dialogue) -> None:
    found = detect(text)
    assert (found.format, found.colon, found.spaced) == (expected.format, expected.colon, expected.spaced)
    assert found.has_names == bool(found.names)
    if expected.names:
        assert set(found.names) == set(expected.names)


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS)
def test_text_that_resembles_dialogue_is_plain(text: str) -> None:
    assert detect(text) == Dialogue()


@pytest.mark.parametrize("text", [one[1] for one in DIALOGUES[:11]], ids=[one[0] for one in DIALOGUES[:11]])
def test_detected_format_matches_every_turn(text: str) -> None:
    found = detect(text)
    speakers = found.speakers_in(text)
    assert len(speakers) >= 60
    whole = found.beginning + text.rstrip("\n") + found.closing
    assert all(whole.count(found.closing + found.opening(name)) == speakers.count(name) for name in found.names)


def test_bundled_text_is_a_play() -> None:
    harbour = detect(HARBOUR.read_text(encoding="utf-8"))
    assert harbour.format == "play", "four tenths of it are scenes"
    assert set(harbour.names) == {"BOY", "FERRYMAN", "HARBOURMASTER", "CAPTAIN", "BAKER", "WIDOW"}


def test_names_are_repeated_and_sorted_by_frequency() -> None:
    text = "A:\nYes.\n\nB:\nNo.\n\nC:\nYes.\n\nB:\nNo!\n\nA:\nYes!\n\nB:\nSo.\n\nHe said: this was all:\nIt was not.\n"
    assert read_as(text, "play").names == ("B", "A")
    assert read_as(text, "transcript").names == read_as(text, "lines").names == read_as(text, "plain").names == ()


def test_text_with_both_colons_keeps_the_frequent_one() -> None:
    text = transcript(["Anna", "Ben"], turns=40) + transcript(["Cleo", "Dan"], "：", turns=10)
    found = detect(text)
    assert (found.colon, set(found.names)) == (":", {"Anna", "Ben"})


# Detection while a text is read


def cut(text: str, places: Sequence[int]) -> list[str]:
    edges = sorted({0, len(text), *[place % (len(text) + 1) for place in places]})
    return [text[one:other] for one, other in pairwise(edges)]


@given(st.sampled_from(DIALOGUES), st.lists(st.integers(0, 1 << 20), max_size=8))
def test_pieces_and_whole_text_give_the_same_format(dialogue: tuple[str, str, Dialogue], places: list[int]) -> None:
    text = dialogue[1]
    assert detect_pieces(cut(text, places)) == detect_pieces([text]) == DetectedFormat(detect(text), dialogue[2].format)


@pytest.mark.parametrize("make", [play, transcript])
def test_speakers_are_counted_after_the_sample_too(make: Callable[..., str]) -> None:
    gap = "\n" if make is play else ""
    text = make(["Anna", "Ben"], turns=20) + gap + make(["Cleo", "Dan"], turns=50)
    rng = random.Random(5)
    for _ in range(50):
        pieces = cut(text, [rng.randrange(len(text)) for _ in range(rng.randrange(30))])
        found = detect_pieces(pieces, detect_chars=300)
        counts = [text.count(found.dialogue.opening(name)) for name in found.dialogue.names]
        assert set(found.dialogue.names) == {"Anna", "Ben", "Cleo", "Dan"}
        assert counts == sorted(counts, reverse=True)
        assert counts[0] > counts[-1]


@pytest.mark.parametrize("format_name", ["auto", *FORMATS])
def test_detector_keeps_little_of_an_endless_text(format_name: str) -> None:
    detector = FormatDetector(format_name, detect_chars=300)
    for text in (play(["ANNA", "BEN"]), "no end of a line " * 2000, "A:\nyes\n\n" * 2000):
        for number in range(0, len(text), 50):
            detector.update(text[number : number + 50])
            assert len(detector._rest) <= 400
    assert detector.result().dialogue.format == ("play" if format_name == "auto" else format_name)


def test_detector_keeps_a_limited_number_of_names() -> None:
    detector = FormatDetector("play", detect_chars=300, max_names=20)
    text = "\n\n".join(f"{'ANNA' if n % 3 else f'G{n}'}:\nYes." for n in range(900))
    for number in range(0, len(text), 100):
        detector.update(text[number : number + 100])
        assert len(detector._names) <= 30
    assert detector.result().dialogue.names == ("ANNA",)


def test_requested_format_wins_and_detected_one_is_kept() -> None:
    prose, comedy = OTHERS["wrapped prose"], play(["ANNA", "BEN"])
    assert detect_pieces([comedy], "plain") == DetectedFormat(Dialogue(), "play")
    assert detect_pieces([comedy], "plain").fits
    assert detect_pieces([prose], "play") == DetectedFormat(Dialogue("play"), "plain")
    assert not detect_pieces([prose], "play").fits
    assert not detect_pieces([prose], "lines").fits
    assert not detect_pieces([comedy], "transcript").fits
    few_scenes = "\n\n".join([comedy[:400], *[PROSE] * 60])
    assert detect(few_scenes).format == "plain"
    assert detect_pieces([few_scenes], "play").fits
    assert detect_pieces([few_scenes], "play").dialogue.names
    with pytest.raises(UsageError, match="sonnet"):
        FormatDetector("sonnet")
