"""Chat exports become transcripts with their speakers and words; other text passes unchanged."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import EXPORTS
from charlm.text.chat_exports import LAYOUTS, ExportReader
from charlm.text.format_detection import FormatDetector

from .test_format_detection import DIALOGUES, OTHERS, PROSE, SPOKEN

Talk = Sequence[tuple[str, str]]
Writer = Callable[[str, str, str], str]  # speaker, words, minute -> text

rng = random.Random(7)
TALK: Talk = [(name, rng.choice(SPOKEN)) for _ in range(30) for name in ("Anna", "Ben", "Ben")]

STAMPED: dict[str, tuple[str, Writer]] = {
    "day first": ("whatsapp", lambda name, text, at: f"12/07/2017, 08:{at} - {name}: {text}\n"),
    "with dots": ("whatsapp", lambda name, text, at: f"12.07.17, 08:{at} - {name}: {text}\n"),
    "brackets and seconds": ("whatsapp", lambda name, text, at: f"[12/07/17, 08:{at}:05] {name}: {text}\n"),
    "twelve hours": ("whatsapp", lambda name, text, at: f"[7/12/17, 8:{at}:05\u202fAM] {name}: {text}\n"),
    "year first": ("whatsapp", lambda name, text, at: f"2017/07/12 8:{at} - {name}: {text}\n"),
    "in Spanish": ("whatsapp", lambda name, text, at: f"12/7/17 8:{at} a. m. - {name}: {text}\n"),
    "in French": ("whatsapp", lambda name, text, at: f"12/07/2017 à 08:{at} - {name}: {text}\n"),
    "in Chinese": ("whatsapp", lambda name, text, at: f"2017/7/12 上午8:{at} - {name}: {text}\n"),
    "marks of direction": ("whatsapp", lambda name, text, at: f"\u200e[12.07.17, 08:{at}:05] {name}: {text}\n"),
    "Telegram": ("telegram", lambda name, text, at: f"{name}, [12.07.17 08:{at}]\n{text}\n\n"),
    "Telegram in words": ("telegram", lambda name, text, at: f"{name}, [12 Jul 2017 at 08:{at}:05]:\n{text}\n\n"),
    "Signal": ("signal", lambda name, text, at: f"**{name}** (2017-07-12 08:{at}): {text}\n\n"),
    "Discord": ("discord", lambda name, text, at: f"[12-Jul-17 08:{at} AM] {name}#0001\n{text}\n\n"),
    "Discord of late": ("discord", lambda name, text, at: f"[7/12/2017 8:{at} AM] {name}\n{text}\n\n"),
    "Discord, copied": ("discord", lambda name, text, at: f"{name} \u2014 Yesterday at 8:{at} AM\n{text}\n"),
    "Slack": ("slack", lambda name, text, at: f"{name}  8:{at} AM\n{text}\n\n"),
    "irssi": ("irc", lambda name, text, at: f"08:{at} <@{name}> {text}\n"),
    "HexChat": ("irc", lambda name, text, at: f"Jul 12 08:{at}:05 <{name}>\t{text}\n"),
    "mIRC": ("irc", lambda name, text, at: f"[08:{at}:05] <+{name}> {text}\n"),
    "WeeChat": ("weechat", lambda name, text, at: f"2017-07-12 08:{at}:05\t@{name}\t{text}\n"),
    "LINE": ("weechat", lambda name, text, at: f"08:{at}\t{name}\t{text}\n"),
}
UNSTAMPED: dict[str, tuple[str, Writer]] = {
    "nicks": ("irc", lambda name, text, at: f"<{name}> {text}\n"),
    "prompts": ("prompts", lambda name, text, at: f"### {name}: {text}\n\n"),
    "prompts over answers": ("prompts", lambda name, text, at: f"### {name}:\n{text}\n\n"),
    "bold names": ("markdown", lambda name, text, at: f"**{name}:** {text}\n\n"),
    "bold before a colon": ("markdown", lambda name, text, at: f"**{name}**: {text}\n\n"),
}
WRITERS = STAMPED | UNSTAMPED


def write(talk: Talk, writer: Writer) -> str:
    return "".join(writer(name, text, f"{number % 50 + 10}") for number, (name, text) in enumerate(talk))


def read(text: str, format_name: str = "auto", places: Sequence[int] = ()) -> tuple[str, str]:
    """Return a text as it is read in pieces after a long first one, and the summary."""
    reader = ExportReader(format_name)
    edges = sorted({0, len(text), *[len(text) // 2 + place % (len(text) // 2 + 1) for place in places]})
    return "".join(reader.read(text[one:other] for one, other in pairwise(edges))), reader.summary


def transcript(talk: Talk) -> str:
    return "".join(f"{name}: {text}\n\n" for name, text in talk)


@pytest.mark.parametrize(("layout", "writer"), WRITERS.values(), ids=WRITERS)
def test_export_becomes_a_transcript(layout: str, writer: Writer) -> None:
    text = write(TALK, writer)
    description = next(one.description for one in LAYOUTS if one.name == layout)
    stamps = "; without time stamps" * (writer in [one for _, one in STAMPED.values()])
    assert read(text) == (transcript(TALK), f"{description}, 90 messages{stamps}")
    assert read(text, layout)[0] == transcript(TALK)
    assert read(text, "plain") == read(text, "lines") == (text, "")


@given(st.sampled_from(sorted(WRITERS)), st.lists(st.integers(0, 1 << 20), max_size=8))
def test_pieces_and_whole_export_give_the_same(name: str, places: list[int]) -> None:
    text = write(TALK, WRITERS[name][1])
    assert read(text, places=places)[0] == transcript(TALK)


@pytest.mark.parametrize("name", ["day first", "Telegram", "Signal", "Discord", "Slack", "prompts", "bold names"])
def test_message_of_several_lines_stays_one_turn(name: str) -> None:
    talk = [*TALK, ("Anna", "one\n\ntwo: a list\n\n\n- three"), ("Ben", "Good.")]
    expected = [*TALK, ("Anna", "one\ntwo: a list\n- three"), ("Ben", "Good.")]
    assert read(write(talk, WRITERS[name][1]))[0] == transcript(expected)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("day first", "12/07/2017, 08:59 - Anna added Ben\n12/07/2017, 09:00 - Ben: <Media omitted>\n"),
        ("day first", '12/07/2017, 08:59 - Anna changed the subject to "Soup: today"\n'),
        ("brackets and seconds", "[12/07/17, 08:59:05] Ben: \u200eimage omitted\n"),
        ("brackets and seconds", "\u200e[12/07/17, 08:59:05] Anna: This message was deleted.\n"),
        (
            "Discord",
            "[12-Jul-17 08:59 AM] Anna#0001\n\n{Attachments}\nhttps://a.example/x.png\n\n" + "=" * 62 + "\nEnd\n",
        ),
        ("irssi", "08:59 -!- Cleo [c@a.example] has joined #soup\n09:00  * Ben waves\n--- Day changed Thu Jul 13\n"),
        ("WeeChat", "2017-07-12 08:59:05\t-->\tCleo has joined #soup\n2017-07-12 08:59:05\t *\tBen waves\n"),
        ("Telegram", "Anna, [12.07.17 08:59]\n[ Photo ]\n\n"),
    ],
)
def test_lines_of_the_program_are_dropped(name: str, lines: str) -> None:
    text = write(TALK, WRITERS[name][1])
    found, summary = read(lines + text + lines + text + lines)
    assert found == transcript(TALK) * 2
    assert "system line" in summary


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("~ Anna Oak", "Anna Oak"), ("Anna \u2764\ufe0f", "Anna \u2764\ufe0f"),
        ("\u202a+49\xa0171\xa05550123\u202c", "+49 171 5550123"),
        ("Anna/Oak, PhD", "Anna Oak PhD"), ("\U0001f98a", "User \U0001f98a"), ("7", "User 7"),
    ],
)  # fmt: skip
def test_speaker_gets_the_nearest_name(written: str, name: str) -> None:
    talk = [(written, "Is there soup?"), ("Ben", "There is.")] * 20
    expected = transcript([(name, "Is there soup?"), ("Ben", "There is.")] * 20)
    assert read(write(talk, WRITERS["day first"][1]))[0] == expected
    detector = FormatDetector("whatsapp")
    detector.update(expected)
    assert set(detector.result().dialogue.names) == {name, "Ben"}


@pytest.mark.parametrize("gap", ["\t", "  ", "\t\t"])
def test_gap_after_a_name_becomes_a_space(gap: str) -> None:
    text = "\n\n".join("\n".join(f"{name}:{gap}{words}" for name, words in TALK[:12]) for _ in range(5))
    for format_name in ("auto", "transcript"):
        assert read(text, format_name) == (text.replace(f":{gap}", ": "), "names before a gap")


def test_names_over_speeches_get_a_colon() -> None:
    text = "".join(f"{name.upper()}\n{words}\n\n" for name, words in TALK)
    expected = text.replace("ANNA", "ANNA:").replace("BEN", "BEN:")
    assert read(text.replace("ANNA", "ANNA (O.S.)"))[0] == expected
    assert read(text, "play") == (expected, "names over speeches")


@pytest.mark.parametrize("format_name", EXPORTS)
def test_forced_layout_leaves_other_text_alone(format_name: str) -> None:
    assert read(PROSE * 9, format_name) == (PROSE * 9, "")


def test_few_messages_need_the_layout_forced() -> None:
    text = write([("Anna", "ok"), ("Anna", "soup")], WRITERS["day first"][1])
    assert read(text) == (text, "")
    assert read(text, "whatsapp")[0] == "Anna: ok\n\nAnna: soup\n\n"


def test_endless_message_is_streamed() -> None:
    long = "and then some more soup, " * 20_000
    text = write(TALK, WRITERS["day first"][1]) + "\n".join([long[:80]] * 9_000) + "\n"
    pieces = [text[start : start + 10_000] for start in range(0, len(text), 10_000)]
    found = list(ExportReader().read(iter(pieces)))
    assert max(map(len, found)) < 200_000
    assert "".join(found).count(long[:80]) == 9_000


EVENTS = ["cache is warm", "worker joined", "no route to host", "queue is full", "lease is lost", "disk found"]
SERVICES = ["web", "store", "queue", "auth gateway"]
LOGS = {
    layout: write([(rng.choice(SERVICES), rng.choice(EVENTS)) for _ in range(200)], writer)
    for layout, (_, writer) in WRITERS.items()
} | {
    "tags": "".join(f"<{tag}> {words}\n" for tag, words in zip(["p", "li", "p", "b"] * 20, SPOKEN * 4, strict=True)),
    "timetable": "".join(f"{town}  {hour:02}:15\n" for hour in range(5, 23) for town in ("Lowhaven", "Farside")),
    "diary": "".join(f"12 April 1931, {hour}:15\n{PROSE}\n\n" for hour in range(5, 23)),
    "headings": "".join(f"### {label}: {words}\n" for label, words in zip(["Note", "Tip"] * 10, SPOKEN, strict=True)),
    "table": "".join(f"2031-04-05 12:{row}:09\t{rng.choice(SERVICES)}\t{row * 7}\n" for row in range(10, 60)),
}  # fmt: skip


OTHER_TEXTS = {name: text for name, text in (OTHERS | LOGS).items() if not name.startswith("chat ")}


@pytest.mark.parametrize("text", OTHER_TEXTS.values(), ids=OTHER_TEXTS)
def test_text_that_resembles_an_export_is_unchanged(text: str) -> None:
    assert read(text) == (text, "")


@pytest.mark.parametrize("text", [one[1] for one in DIALOGUES], ids=[one[0] for one in DIALOGUES])
def test_dialogue_is_unchanged(text: str) -> None:
    assert read(text) == (text, "")
