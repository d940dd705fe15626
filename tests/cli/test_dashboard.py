"""The views show every event, and no text of a model breaks them."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from charlm.checkpoint import TrainingRecord
from charlm.cli.dashboard import BARS, Dashboard, JsonView, PlainView, ProgressView, QuietView, bits, clock, sparkline
from charlm.config import ModelConfig, TrainConfig
from charlm.text.dataset import Reading
from charlm.text.dialogue import MAX_NAMES, Dialogue
from charlm.training.base_selection import Start
from charlm.training.events import Ended, Evaluated, Event, Planned, RolledBack, Sampled, SaveFailed, Stepped

from .conftest import HARBOUR, TINY
from .terminal import HOSTILE, SGR, on_terminal

SIZES = [(80, 24), (40, 12)]
REDRAW = re.compile(r"(?:\r|\x1b\[2K|\x1b\[\d+A|\x1b\[\?25[hl])+")
"""How rich goes back to the first line of what it has drawn."""

PLANNED = Planned(
    name="novel",
    path="checkpoints/novel.safetensors",
    model=ModelConfig(vocabulary=99, hidden=128, layers=2, embedding=128),
    train=TrainConfig(steps=200, lanes=16, chunk=32),
    start=Start(),
    parameters=123_456,
    train_characters=900_000,
    validation_characters=100_000,
    characters=99,
    has_bytes=False,
    skipped=(),
    unreadable=(),
    exports="",
    dialogue=Dialogue("play", ("ANNA", "BEN")),
    dialogue_chosen_by="text",
    dialogue_detected="play",
    precision="bf16",
    device="cpu",
    threads=2,
    resumed_at=None,
)
PROGRESS: dict[str, Any] = {
    "step": 150,
    "epoch": 1.25,
    "characters": 76_800,
    "seconds": 90.0,
    "progress": 0.75,
    "train": 2.0 * math.log(2),
    "learning_rate": 0.0031,
    "gradient_norm": 0.42,
    "characters_per_second": 12_345.0,
}
STEPPED = Stepped(loss=2.1 * math.log(2), **PROGRESS)
EVALUATED = Evaluated(
    validation=2.25 * math.log(2),
    validation_characters=30_000,
    best=2.125 * math.log(2),
    improved=False,
    **PROGRESS,
)
ENDED = Ended(
    reason="budget",
    step=240,
    path="checkpoints/novel.safetensors",
    bytes=1_500_000,
    validation=2.125 * math.log(2),
    record=TrainingRecord(steps=200, seconds=120.0, characters_seen=102_400),
)
HISTORY = [
    replace(EVALUATED, step=50 * number, train=(4 - number / 4) * math.log(2), validation=(5 - number) * math.log(2))
    for number in range(1, 4)
]
RUN: list[Event] = [Reading(5_000_000), PLANNED, STEPPED, *HISTORY, EVALUATED, Sampled(150, "It was a dark night.\n")]


@pytest.fixture(autouse=True)
def _usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def play(events: Sequence[Event], size: tuple[int, int] = (80, 24), *, markup: bool = False) -> tuple[Dashboard, str]:
    """The dashboard after some events, and all that it sent to the screen."""
    stream = io.StringIO()
    width, height = size
    console = Console(file=stream, force_terminal=True, width=width, height=height, markup=markup, emoji=False)
    with Dashboard(console) as dashboard:
        for event in events:
            dashboard.show(event)
    return dashboard, stream.getvalue()


def exit_code(view: ProgressView, events: Sequence[Event]) -> int:
    with view:
        for event in events:
            view.show(event)
    return view.exit_code


def printed(view: type[PlainView | JsonView], *events: Event) -> str:
    """The output of a view without a screen."""
    stream = io.StringIO()
    exit_code(view(stream), events)
    return stream.getvalue()


def last_frame(output: str) -> list[str]:
    """The lines of the last drawing and what was printed under it, without colours."""
    frames = [frame for frame in REDRAW.split(output) if SGR.sub("", frame).strip()]
    return SGR.sub("", frames[-2] + frames[-1] if "next:" in frames[-1] else frames[-1]).split("\n")


@pytest.mark.parametrize("size", SIZES)
def test_everything_is_shown(size: tuple[int, int]) -> None:
    dashboard, output = play(RUN, size)
    frame = "\n".join(last_frame(output))
    shown = [
        "75%", "1:30 spent", "0:30 left", bits(STEPPED.train), bits(EVALUATED.validation),
        "best", "2.125", "step", "150", "12,345", "epoch", "1.25", "rate", "3.1e-03", "gradient", "0.42",
        "It was a dark night.",
    ]  # fmt: skip
    if size == (80, 24):
        shown += [sparkline([one.validation for one in [*HISTORY, EVALUATED]]), "sample"]
    else:  # words may be broken into lines, but nothing is left out
        shown = [word for words in shown[:-1] for word in words.split() if word != "bits/char"] + shown[-1:]
    for one in shown:
        assert one in frame
    assert dashboard.exit_code == 0


@pytest.mark.parametrize("size", SIZES)
def test_no_line_is_wider_than_the_screen_and_no_drawing_higher(size: tuple[int, int]) -> None:
    events = [*RUN, Sampled(1, "word " * 500), Sampled(2, "\n".join("abc" * 50 for _ in range(100))), *[
        SaveFailed(3, "No space left on device " * 5)] * 5]  # fmt: skip
    for upto in range(1, len(events) + 1):
        _, output = play(events[:upto], size)
        for frame in REDRAW.split(output):
            assert all(cell_len(line) <= size[0] for line in SGR.sub("", frame).split("\n"))


@pytest.mark.parametrize(
    ("dialogue", "chosen_by", "detected", "line"),
    [
        (Dialogue(), "text", "plain", "plain: no turns were found"),
        (Dialogue(), "user", "play", "plain, as requested"),
        (Dialogue("lines"), "text", "lines", "lines: a turn a line"),
        (Dialogue("lines"), "user", "lines", "lines, as requested"),
        (Dialogue("lines"), "user", "plain", "lines, as requested, but the text seems to have another format"),
        (Dialogue("play", ("ANNA", "BEN")), "text", "play", "play, 2 speakers: ANNA, BEN"),
        (Dialogue("play", ("A", "B", "C", "D", "E")), "text", "play", "play, 5 speakers: A, B, C, D, ..."),
        (Dialogue("play", ("A",) * MAX_NAMES), "text", "play", "play, 1000 or more speakers: A, A, A, A, ..."),
        (Dialogue("play", ("ANNA",)), "user", "plain", "play, as requested, 1 speaker: ANNA"),
        (Dialogue("play"), "user", "plain", "play, as requested, but no speakers were found"),
        (
            Dialogue("play"), "user", "lines",
            "play, as requested, but no speakers were found; it looks like lines",
        ),
        (
            Dialogue("play", ("ANNA",)), "base", "plain",
            "play, kept from the base model: the text has no turns, 1 speaker: ANNA",
        ),
    ],
)  # fmt: skip
def test_the_plan_says_how_the_text_writes_turns(dialogue: Dialogue, chosen_by: str, detected: str, line: str) -> None:
    planned = replace(PLANNED, dialogue=dialogue, dialogue_chosen_by=chosen_by, dialogue_detected=detected)
    assert " ".join(printed(PlainView, planned).split()).endswith(f"dialogue {line}")
    event = json.loads(printed(JsonView, planned))
    assert Dialogue.from_dict(event["dialogue"]) == dialogue
    assert (event["dialogue_chosen_by"], event["dialogue_detected"]) == (chosen_by, detected)


def test_before_the_plan_it_says_how_much_was_read() -> None:
    _, output = play([Reading(5_000_000)])
    assert "reading ... 5.0 MB" in output


def test_at_the_end_it_is_full_and_says_what_to_type() -> None:
    dashboard, output = play([*RUN, ENDED])
    frame = "\n".join(last_frame(output))
    assert "100%" in frame
    assert "left" not in frame
    assert "the budget is spent after 2:00, 102,400 characters read" in frame
    assert "validation 2.125 bits/char" in frame
    assert "charlm sample novel" in frame
    assert dashboard.exit_code == 0


def test_an_interrupted_run_is_130_and_says_how_to_go_on() -> None:
    ended = replace(ENDED, reason="interrupted", validation=None)
    dashboard, output = play([*RUN, ended])
    assert dashboard.exit_code == 130
    assert "charlm train --resume novel" in output
    assert "stopped at step 240, saved" in output  # where it goes on, not where the best weights are from
    assert "100%" not in output
    for view in (ProgressView(), JsonView(io.StringIO()), PlainView(io.StringIO())):
        assert exit_code(view, [*RUN, ENDED]) == 0
        assert exit_code(view, [*RUN, ended]) == 130


def test_what_went_wrong_is_said_and_so_is_a_stop() -> None:
    stream = io.StringIO()
    with Dashboard(Console(file=stream, force_terminal=True, width=100, height=30)) as dashboard:
        for event in [*RUN, RolledBack(100, 12.5, 0.5, 1), SaveFailed(150, "No space left on device")]:
            dashboard.show(event)
        dashboard.stopping()
    output = SGR.sub("", stream.getvalue())
    assert "the loss diverged (12.5); back to step 100 with 0.5 of the learning rate" in output
    assert "not saved at step 150: No space left on device" in output
    assert "stopping after this step; Ctrl-C again leaves at once" in output


HOSTILE_SAMPLES = [
    "[/red] [bold]not markup[/] [link=https://x]y[/link] :smile: [/]",
    f"before{HOSTILE}\x1b[2J\x1b]0;title\x07after",
    "x" * 10_000,
    "\n" * 500 + "far below",
    "\t" * 300 + "日本語🙂" * 100,
    "\u0301" * 500,
    "",
    "\n\n\n",
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("markup", [False, True])
@pytest.mark.parametrize("text", HOSTILE_SAMPLES, ids=range(len(HOSTILE_SAMPLES)))
def test_a_hostile_text_cannot_break_it(text: str, markup: bool, size: tuple[int, int]) -> None:
    _, output = play([*RUN, Sampled(160, text)], size, markup=markup)
    plain = SGR.sub("", REDRAW.sub("", output))
    assert not set(HOSTILE) & set(plain)
    frame = last_frame(output)
    assert "75%" in "\n".join(frame)
    assert all(cell_len(line) <= size[0] for line in frame)
    panel = [line for line in frame if line[:1] in ("╭", "│", "╰")]
    if text.strip("\n"):
        assert len(panel) == max(3, min(12, size[1] - 12)), "the panel keeps its height"
    if text.startswith("[/red]"):
        assert "[/red] [bold]not markup[/]"[: size[0] - 4] in "\n".join(panel)
    if text.startswith("before"):
        assert "\u2407\u2408\u240d\u241b\u2421<90>" in "\n".join(panel)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_no_text_at_all_reaches_the_screen_raw(text: str) -> None:
    _, output = play([PLANNED, STEPPED, Sampled(1, text)], (60, 20))
    plain = SGR.sub("", REDRAW.sub("", output))
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", plain)


@pytest.mark.slow
def test_a_real_training_on_a_terminal(tmp_path: Path) -> None:
    shown = on_terminal("train", HARBOUR, "-o", "m", *TINY, "--steps", "20", cwd=tmp_path)
    plain = SGR.sub("", REDRAW.sub("", shown.text))
    assert shown.code == 0, plain
    assert "100%" in plain
    assert "sample" in plain
    assert "charlm sample m" in plain
    assert not set(HOSTILE) & set(plain)


# Lines and objects instead of a screen


def test_plain_lines_say_the_same() -> None:
    output = printed(PlainView, *RUN, RolledBack(100, 12.5, 0.5, 1), ENDED)
    lines = output.splitlines()
    assert lines[0] == "novel: checkpoints/novel.safetensors"
    steps = [line for line in lines if line.startswith("step ")]
    assert len(steps) == 4
    assert steps[-1] == "step 150  epoch 1.25  1:30  train 2.0000  validation 2.2500 bits/char  12345 chars/s"
    assert any("the loss diverged" in line for line in lines)
    assert "\x1b" not in output


def test_an_improvement_is_marked_in_plain_lines() -> None:
    improved = replace(EVALUATED, improved=True, train=None)
    assert "train -  validation 2.2500 bits/char *" in printed(PlainView, improved)


def test_objects_carry_losses_in_bits_and_no_infinity() -> None:
    output = printed(JsonView, *RUN, replace(EVALUATED, validation=math.inf))
    objects = [json.loads(line) for line in output.splitlines()]
    assert [one["event"] for one in objects] == ["planned", *["evaluated"] * 4, "sampled", "evaluated"]
    assert objects[4]["validation_bits"] == pytest.approx(2.25)
    assert objects[-1]["validation"] is None
    assert "Infinity" not in output


# Figures


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan) | st.just(math.inf), max_size=60), st.integers(1, 30))
def test_a_sparkline_is_high_where_values_are_high(values: list[float], width: int) -> None:
    row = sparkline(values, width)
    shown = [value for value in values if math.isfinite(value)][-width:]
    assert len(row) == len(shown)
    assert set(row) <= set(BARS)
    for left, right, one, other in zip(shown, shown[1:], row, row[1:], strict=False):
        assert (left < right) <= (BARS.index(one) <= BARS.index(other))
        assert (left == right) <= (one == other)
    if shown and max(shown) > min(shown):
        assert row[shown.index(max(shown))] == BARS[-1]
        assert row[shown.index(min(shown))] == BARS[0]


@given(st.floats(0, 1e6))
def test_a_clock_is_read_back(seconds: float) -> None:
    parts = [int(part) for part in clock(seconds).split(":")]
    assert sum(part * 60**place for place, part in enumerate(reversed(parts))) == round(seconds)
    assert all(0 <= part < 60 for part in parts[1:])


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (245, "4:05"), (3599.7, "1:00:00"), (3723, "1:02:03")]
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_quiet_view_prints_only_that_a_save_failed(capsys: pytest.CaptureFixture[str]) -> None:
    view = QuietView()
    view.show(SaveFailed(4, "disk full"))
    view.show(RolledBack(4, 9.0, 0.5, 1))
    assert capsys.readouterr() == ("", "not saved at step 4: disk full; the files of the last save are unchanged\n")
