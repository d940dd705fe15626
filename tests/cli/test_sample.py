"""`charlm sample` as its users meet it."""

from __future__ import annotations

import io
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from charlm.checkpoint import load
from charlm.cli.heat import LEVELS, Heat
from charlm.config import SamplingConfig
from charlm.inference.context import Context
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Sampler
from charlm.text.sanitize import visible

from ..conftest import ALPHABET, PATIENCE, nats_by_steps
from .conftest import Charlm, Pipe, SaveModel, assert_refused
from .terminal import HOSTILE, SGR, environment, into_head, on_terminal, run_charlm

WILD = ("-t", "1.5", "--top-p", "1")


@pytest.fixture
def hostile(save_model: SaveModel) -> str:
    """Name of a model that writes control characters."""
    return save_model("hostile", characters="\n\tabcdé" + HOSTILE)


@pytest.fixture
def spelling(save_model: SaveModel) -> str:
    """Name of a model with byte fallback."""
    return save_model("spelling", has_bytes=True)


def text_of(charlm: Charlm, *arguments: str | Path) -> str:
    """Return the text after the prompt."""
    return str(json.loads(charlm("sample", *arguments, "--json").out)["text"])


# Seeds


def test_seed_repeats_the_text_and_another_changes_it(charlm: Charlm, model: str) -> None:
    one, again, other = (charlm("sample", model, *WILD, "--seed", seed) for seed in ("7", "7", "8"))
    assert one.code == 0
    assert one.out == again.out != other.out
    assert one.err == ""


def test_drawn_seed_is_shown_and_repeats_the_text(charlm: Charlm, model: str) -> None:
    drawn = charlm("sample", model, *WILD)
    shown = re.fullmatch(rf"{model}, seed (\d+)\n", drawn.err)
    assert shown
    assert charlm("sample", model, *WILD, "--seed", shown[1]).out == drawn.out
    assert charlm("sample", model, *WILD).out != drawn.out


@pytest.mark.parametrize(("separator", "between"), [((), "\n---\n"), (("--separator", "\\n\\t=\\n"), "\n\t=\n")])
def test_count_gives_texts_of_next_seeds(charlm: Charlm, model: str, separator: tuple[str, ...], between: str) -> None:
    together = charlm("sample", model, *WILD, "-p", "the ", "-n", "50", "--seed", "40", "--count", "3", *separator)
    alone = [text_of(charlm, model, *WILD, "-p", "the ", "-n", "50", "--seed", str(seed)) for seed in (40, 41, 42)]
    assert len(set(alone)) == 3
    expected = between.join("the " + text for text in alone)
    assert together.out == (expected if expected.endswith("\n") else expected + "\n")


def test_count_as_json_names_the_seeds(charlm: Charlm, model: str) -> None:
    lines = charlm("sample", model, *WILD, "--seed", "40", "--count", "3", "--json").out.splitlines()
    texts = {json.loads(line)["seed"]: json.loads(line)["text"] for line in lines}
    assert texts == {seed: text_of(charlm, model, *WILD, "--seed", str(seed)) for seed in (40, 41, 42)}


# Text


@pytest.mark.parametrize("count", [0, 1, 77])
def test_pipe_gets_the_prompt_and_the_characters(charlm: Charlm, model: str, count: int) -> None:
    for seed in range(5):
        arguments = ("sample", model, *WILD, "-p", "harbour", "-n", str(count), "--seed", str(seed))
        out = charlm(*arguments).out
        text = out.removeprefix("harbour")
        assert len(text) == len(out) - 7
        assert len(text) == count or (len(text) == count + 1 and text.endswith("\n"))
        assert out.endswith("\n")
        assert charlm(*arguments, "--no-echo").out == ("" if not count else text)


def test_prompt_is_read_from_a_file_or_standard_input(charlm: Charlm, model: str, tmp_path: Path, pipe: Pipe) -> None:
    prompt = "first line\nsecond "
    said = charlm("sample", model, "-p", prompt, "--seed", "1").out
    assert said.startswith(prompt)
    (tmp_path / "prompt.txt").write_bytes(b"\xef\xbb\xbf" + prompt.replace("\n", "\r\n").encode())
    assert charlm("sample", model, "--prompt-file", "prompt.txt", "--seed", "1").out == said
    pipe(prompt.encode())
    assert charlm("sample", model, "-p", "-", "--seed", "1").out == said


@pytest.mark.parametrize("place", [3, 50, 120])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_stop_ends_the_text_before_it(charlm: Charlm, model: str, place: int, length: int) -> None:
    whole = text_of(charlm, model, *WILD, "-n", "300", "--seed", "3")
    stop = whole[place : place + length]
    for batched in ((), ("--best-of", "1")):
        stops = ("--stop", "never so", "--stop", stop.replace("\n", "\\n"))
        cut = text_of(charlm, model, *WILD, "-n", "300", "--seed", "3", *batched, *stops)
        assert cut == whole[: whole.index(stop)]


def test_stop_may_be_a_newline(charlm: Charlm, model: str) -> None:
    run = ("sample", model, "-t", "20", "--top-p", "1", "-n", "300", "--seed", "3")
    whole = text_of(charlm, *run[1:])
    first, newline, _ = whole.partition("\n")
    assert newline
    result = charlm(*run, "--stop", "\\n")
    assert result.out == first + "\n"
    assert json.loads(charlm(*run, "--stop", "\\n", "--json").out)["reason"] == "stop"


def test_banned_characters_are_never_written(charlm: Charlm, model: str) -> None:
    assert set("wx") & set(text_of(charlm, model, "-n", "300", "--seed", "1"))
    assert not set("wx") & set(text_of(charlm, model, "-n", "300", "--seed", "1", "--ban", "wx☃"))


# Characters that the model does not know


def test_unknown_characters_are_replaced_and_reported(charlm: Charlm, model: str) -> None:
    result = charlm("sample", model, "-p", "aé☃bé", "--seed", "1")
    assert result.code == 0
    assert result.out.startswith("aé☃bé")
    assert result.err == f"note: {model} does not know é ☃; each was replaced\n"
    known = charlm("sample", model, "-p", "a??b?", "--seed", "1")
    assert known.out.removeprefix("a??b?") == result.out.removeprefix("aé☃bé")
    assert known.err == ""


def test_unknown_characters_are_spelled_in_bytes(charlm: Charlm, spelling: str, tmp_path: Path) -> None:
    result = charlm("sample", spelling, "-p", "a☃b", "--seed", "1", "--no-echo", "-n", "60")
    assert result.err == ""
    engine = Engine(load(tmp_path / "checkpoints" / f"{spelling}.safetensors"))
    letters = {character: index for index, character in enumerate(ALPHABET)}
    ids = [letters["a"], *[len(ALPHABET) + byte for byte in (0xE2, 0x98, 0x83)], letters["b"]]
    state, logits = engine.start(), None
    for index in ids:
        state, logits = engine.step(state, index)
    assert logits is not None
    pieces = Generation(Context(state, logits), Sampler.seeded(engine, SamplingConfig(seed=1)), max_chars=60)
    assert result.out.removesuffix("\n") == "".join([piece.text for piece in pieces]).removesuffix("\n")


def test_control_character_in_a_prompt_is_shown_as_a_symbol(charlm: Charlm, model: str, pipe: Pipe) -> None:
    pipe(b"a\0b\x1b[31m")
    result = charlm("sample", model, "-p", "-", "--seed", "1")
    assert "does not know \u2400 \u241b [ 3 1;" in result.err


# Which model


def test_default_model_is_the_newest(charlm: Charlm, model: str, save_model: SaveModel, tmp_path: Path) -> None:
    save_model("another", seed=2)
    for newest, older in (("another", model), (model, "another")):
        os.utime(tmp_path / "checkpoints" / f"{newest}.safetensors", (2e9, 2e9))
        os.utime(tmp_path / "checkpoints" / f"{older}.safetensors", (1e9, 1e9))
        default = charlm("sample", "--seed", "1", "--json")
        assert json.loads(default.out)["model"] == newest
        assert default.out == charlm("sample", newest, "--seed", "1", "--json").out


def test_unknown_model_suggests_similar_names(charlm: Charlm, model: str) -> None:
    result = charlm("sample", model[:-1])
    assert (result.code, result.out) == (1, "")
    assert result.err == f"error: no model named {model[:-1]!r}\nhint: did you mean {model}?\n"
    assert "charlm models" in charlm("sample", "qqqqqqqq").err


def test_missing_model_hints_at_training(charlm: Charlm) -> None:
    result = charlm("sample")
    assert_refused(result, 1, "there is no model yet")
    assert "charlm train" in result.err


# Objects


def test_json_holds_the_text_and_its_probability(charlm: Charlm, model: str, tmp_path: Path) -> None:
    arguments = ("sample", model, *WILD, "-p", "the ", "-n", "40", "--seed", "9")
    plain, described = charlm(*arguments).out, json.loads(charlm(*arguments, "--json").out)
    assert described["prompt"] + described["text"] == plain.removesuffix("\n")
    assert (described["reason"], described["seed"], described["temperature"]) == ("length", 9, 1.5)
    engine = Engine(load(tmp_path / "checkpoints" / f"{model}.safetensors"))
    state, logits = engine.prefill(engine.start(), engine.vocabulary.encode("the "))
    nats = sum(nats_by_steps(engine, state, logits, engine.vocabulary.encode(described["text"]).tolist()))
    assert described["logprob"] == pytest.approx(-nats, abs=1e-3)
    assert described["bits_per_char"] == pytest.approx(nats / math.log(2) / 40, abs=1e-4)


@pytest.mark.parametrize("name", ["model", "spelling"])
def test_streamed_objects_join_into_the_plain_text(charlm: Charlm, name: str, request: pytest.FixtureRequest) -> None:
    arguments = ("sample", request.getfixturevalue(name), *WILD, "-n", "80", "--seed", "9", "--no-echo")
    plain = charlm(*arguments).out
    lines = charlm(*arguments, "--json", "--stream").out.splitlines()
    pieces = [json.loads(line) for line in lines]
    text = "".join(piece["text"] for piece in pieces)
    assert len(text) == 80
    assert plain == (text if text.endswith("\n") else text + "\n")
    for piece in pieces:
        assert piece["logprob"] <= 0 <= piece["entropy"]
        shares = [one["p"] for one in piece["alternatives"]]
        assert len(shares) == 5
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 1 + 1e-6
        chosen = [one["p"] for one in piece["alternatives"] if one["id"] == piece["id"]]
        assert all(p == pytest.approx(math.exp(piece["logprob"]), rel=1e-3) for p in chosen)
        assert chosen or math.exp(piece["logprob"]) <= shares[-1] * (1 + 1e-3)


# The search for the best


def test_beam_of_one_is_greedy(charlm: Charlm, model: str) -> None:
    greedy = charlm("sample", model, "-p", "the ", "-n", "40", "-t", "0", "--seed", "1")
    beam = charlm("sample", model, "-p", "the ", "-n", "40", "--beam", "1")
    assert beam.out == greedy.out
    assert beam.err == "", "no seed was drawn"
    described = json.loads(charlm("sample", model, "-p", "the ", "-n", "40", "--beam", "1", "--json").out)
    assert described["seed"] is None
    assert "the " + described["text"] == greedy.out.removesuffix("\n")


def test_wide_beam_finds_the_likeliest_text(charlm: Charlm, model: str) -> None:
    # All two-character texts of 32 characters fit into a beam of 1024: nothing can be likelier than what it finds.
    best = json.loads(charlm("sample", model, "-n", "2", "--beam", "1024", "--json").out)["logprob"]
    for seed in range(20):
        drawn = json.loads(charlm("sample", model, *WILD, "-n", "2", "--seed", str(seed), "--json").out)
        assert drawn["logprob"] <= best + 1e-4


def test_best_of_shows_the_likeliest_text(charlm: Charlm, model: str) -> None:
    arguments = ("sample", model, *WILD, "-n", "30", "--seed", "11", "--json")
    several = [json.loads(line) for line in charlm(*arguments, "--count", "6").out.splitlines()]
    assert len({one["text"] for one in several}) == 6
    best = json.loads(charlm(*arguments, "--best-of", "6").out)
    assert best == max(several, key=lambda one: one["logprob"])
    assert text_of(charlm, model, *WILD, "-n", "30", "--seed", str(best["seed"])) == best["text"]


def test_relevance_changes_the_order_unless_zero(charlm: Charlm, model: str) -> None:
    arguments = ("sample", model, *WILD, "-p", "the ", "-n", "8", "--seed", "11", "--best-of", "24")
    best = charlm(*arguments).out
    assert charlm(*arguments, "--relevance", "0").out == best
    others = {charlm(*arguments, "--relevance", weight).out for weight in ("0.5", "1", "5")}
    assert others - {best}


# On time


def test_rate_limits_characters_per_second(charlm: Charlm, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now, sleeps = 100.0, list[float]()

    def sleep(seconds: float) -> None:
        nonlocal now
        sleeps.append(seconds)
        now += seconds

    def monotonic() -> float:
        nonlocal now
        now += 0.001  # work takes time too, which the pace must make up for
        return now

    monkeypatch.setattr("charlm.cli.sample.time", SimpleNamespace(sleep=sleep, monotonic=monotonic))
    plain = charlm("sample", model, "-n", "40", "--seed", "1").out
    assert not sleeps
    begun = now
    assert charlm("sample", model, "-n", "40", "--seed", "1", "--rate", "10").out == plain
    assert len(sleeps) == 40
    assert now - begun == pytest.approx(40 / 10, abs=0.05)
    assert all(0 < seconds <= 0.1 for seconds in sleeps)


# Colour


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_colour", "codes"), [("", {0, 1, 2, 4, 7, 33, 95}), ("1", {0, 1, 2, 4, 7})])
def test_heat_levels_differ_without_colours(monkeypatch: pytest.MonkeyPatch, no_colour: str, codes: set[int]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_colour)
    heat = Heat(Screen())
    painted = [heat.paint("a", bits) for bits in (0, 2, 5, 9)]
    assert len(set(painted)) == len(LEVELS) == 4, "every level is told from the others"
    assert all(SGR.sub("", one) == "a" for one in painted)
    used = {int(code) for one in painted for sequence in SGR.findall(one) for code in sequence[2:-1].split(";")}
    assert used == codes
    legend = SGR.sub("", heat.legend())
    assert all(level.name in legend for level in LEVELS)


def test_heat_in_a_pipe_marks_the_same_text(charlm: Charlm, model: str) -> None:
    arguments = ("sample", model, "-t", "2", "--top-p", "1", "-n", "200", "--seed", "1")
    plain, heated = charlm(*arguments), charlm(*arguments, "--heat")
    assert heated.out.translate({0x332: None, 0x333: None}) == plain.out
    assert "\u0332" in heated.out
    assert "\u0333" in heated.out
    assert "\x1b" not in heated.out + heated.err
    assert "over 7 bits" in heated.err
    assert charlm(*arguments[:-2], "--seed", "1", "--heat", "--count", "3").err.count("over 7 bits") == 1


@pytest.mark.parametrize("level", [0.0, 1.49, 1.5, 3.99, 4.0, 6.99, 7.0, 30.0, -1e-9, math.inf])
def test_heat_level_is_the_highest_reached(level: float) -> None:
    heat = Heat(io.StringIO())
    expected = "" if level < 4 else "\u0332" if level < 7 else "\u0333"
    assert heat.paint("x", level) == "x" + expected
    assert heat.paint("\n", level) == "\n"


# Wrong options


@pytest.mark.parametrize(
    "arguments",
    [
        *[("-n", value) for value in ("-1", "-400")],
        *[("-t", value) for value in ("-1", "101", "nan", "inf", "-inf")],
        *[("--top-k", value) for value in ("-1",)],
        *[(name, value) for name in ("--top-p", "--typical") for value in ("0", "-0.1", "1.1", "nan", "inf")],
        *[("--min-p", value) for value in ("-0.1", "1.1", "nan")],
        *[("--repetition-penalty", value) for value in ("0.9", "101", "nan")],
        *[("--repetition-window", value) for value in ("0", "-1", "1000001")],
        *[("--seed", value) for value in ("-1", "9223372036854775808")],
        *[(name, value) for name in ("--count", "--best-of", "--beam") for value in ("0", "-3", "100001")],
        *[("--rate", value) for value in ("0", "-1", "nan", "inf")],
        *[("--best-of", "2", "--relevance", value) for value in ("nan", "inf")],
    ],
)
def test_option_out_of_range_is_refused(charlm: Charlm, model: str, arguments: tuple[str, ...]) -> None:
    result = charlm("sample", model, *arguments)
    assert (result.code, result.out) == (2, "")
    error = result.err.splitlines()[-1]
    assert error.startswith("Error: Invalid value for '")
    assert arguments[-2] in error
    assert "is not in the range" in error or "is not a finite number" in error


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("-n", "many"), 2, "'many' is not a valid integer"),
        (("-n", "1.5"), 2, "not a valid integer"),
        (("-t", "hot"), 2, "'hot' is not a valid float"),
        (("--seed", "x"), 2, "not a valid integer"),
        (("--no-such-option",), 2, "No such option"),
        (("another", "model"), 2, "unexpected extra argument"),
        (("--ban", ALPHABET, "--seed", "1"), 2, "no character is left to draw: all are banned"),
        (("--beam", "2", "--best-of", "2"), 2, "--beam and --best-of exclude each other"),
        (("--beam", "2", "--count", "2"), 2, "--beam and --count exclude each other"),
        (("--best-of", "2", "--count", "2"), 2, "--best-of and --count exclude each other"),
        (("--endless", "--count", "2"), 2, "--endless and --count exclude each other"),
        (("--endless", "--beam", "2"), 2, "--beam and --endless exclude each other"),
        (("--endless", "--best-of", "2"), 2, "--best-of and --endless exclude each other"),
        (("--endless", "--json"), 2, "--endless never ends the text that --json would print"),
        (("--relevance", "0.5"), 2, "--relevance has no meaning without --best-of"),
        (("--stream",), 2, "--stream has no meaning without --json"),
        (("--json", "--stream", "--count", "2"), 2, "--stream and --count exclude each other"),
        (("--json", "--stream", "--beam", "2"), 2, "--stream and --beam exclude each other"),
        (("--json", "--stream", "--best-of", "2"), 2, "--stream and --best-of exclude each other"),
        (("--heat", "--json"), 2, "--heat and --json exclude each other"),
        (("--heat", "--beam", "2"), 2, "--heat and --beam exclude each other"),
        (("--ban", "a", "--beam", "2"), 2, "--ban and --beam exclude each other"),
        (("-p", "a", "--prompt-file", "latin.txt"), 2, "--prompt and --prompt-file exclude each other"),
        (("--prompt-file", "missing.txt"), 1, "no such file: missing.txt"),
        (("--prompt-file", "."), 1, "cannot read .: Is a directory"),
        (("--prompt-file", "latin.txt"), 1, "latin.txt is not UTF-8"),
        (("-p", "-"), 1, "standard input is not UTF-8: byte at offset 1"),
        (("-p", "a\udcff"), 1, "half a surrogate pair"),
    ],
)
def test_invalid_use_prints_one_sentence(
    charlm: Charlm, model: str, tmp_path: Path, pipe: Pipe, arguments: tuple[str, ...], code: int, says: str
) -> None:
    (tmp_path / "latin.txt").write_bytes("Fähre".encode("latin-1"))
    pipe("Fähre".encode("latin-1"))
    result = charlm("sample", model, *arguments)
    assert_refused(result, code, says)
    assert sum(line.lower().startswith("error: ") for line in result.err.splitlines()) == 1


# Processes: Ctrl-C, closed pipes


@pytest.mark.parametrize("extra", [(), ("--heat",), ("--json", "--stream")])
def test_ctrl_c_keeps_an_endless_text(charlm: Charlm, model: str, tmp_path: Path, extra: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "charlm", "sample", model, *WILD, "--endless", "--seed", "1", *extra]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        try:
            assert process.stdout is not None
            out = b""
            while len(out) < 2000:
                out += process.stdout.read(500)
            process.send_signal(signal.SIGINT)
            rest, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in err
    written = (out + rest).decode()
    assert written.endswith("\n")
    if "--json" in extra:
        text = "".join(json.loads(line)["text"] for line in written.splitlines())
    else:
        text = written.translate({0x332: None, 0x333: None})
    whole = charlm("sample", model, *WILD, "--seed", "1", "-n", str(len(text))).out
    assert text == whole[: len(text)] or text[:-1] == whole[: len(text) - 1]


@pytest.mark.parametrize(
    "arguments", [(), ("--json", "--stream"), ("--heat",), ("--count", "3"), ("-p", "a" * 20_000), ("--endless",)]
)
def test_closed_pipe_ends_text_quietly(charlm: Charlm, model: str, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    length = "2000" if "--count" in arguments else "100000"
    piped = into_head("sample", model, "-n", length, "--seed", "1", *arguments, cwd=tmp_path)
    assert piped.codes[0] in (0, 141)
    assert piped.codes[1] == 0
    notes = [line for line in piped.err.splitlines() if not line.startswith("surprise: ")]
    assert notes == []
    assert len(piped.out.encode()) == 10
    if not arguments:
        assert charlm("sample", model, "-n", "10", "--seed", "1").out.startswith(piped.out)


def test_closed_pipe_leaves_only_the_seed_on_stderr(model: str, tmp_path: Path) -> None:
    piped = into_head("sample", model, "-n", "100000", cwd=tmp_path)
    assert piped.codes[0] in (0, 141)
    assert re.fullmatch(rf"{model}, seed \d+\n", piped.err)


# Control characters


HOSTILE_RUN = ("-t", "1", "--top-p", "1", "-n", "600", "--seed", "5", "-p", "a\x1b[2Jb\u202e")


def test_control_characters_pass_a_pipe_unchanged(charlm: Charlm, hostile: str, tmp_path: Path) -> None:
    described = text_of(charlm, hostile, *HOSTILE_RUN)
    assert set(HOSTILE) <= set(described), "it must write them, or these tests show nothing"
    with (tmp_path / "out").open("wb") as file:
        assert run_charlm("sample", hostile, *HOSTILE_RUN, cwd=tmp_path, stdout=file).returncode == 0
    out = (tmp_path / "out").read_bytes().decode()
    assert out.removesuffix("\n") == ("a\x1b[2Jb\u202e" + described).removesuffix("\n")


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ((), {}),
        ((), {"TERM": "dumb"}),
        (("--count", "2"), {}),
        (("--beam", "3"), {}),
        (("--heat",), {}),
        (("--heat",), {"NO_COLOR": "1"}),
        (("--heat",), {"TERM": "dumb"}),
    ],
)
def test_control_characters_are_symbols_on_a_terminal(
    charlm: Charlm, hostile: str, tmp_path: Path, arguments: tuple[str, ...], changes: dict[str, str]
) -> None:
    shown = on_terminal("sample", hostile, *HOSTILE_RUN, *arguments, cwd=tmp_path, **changes)
    assert shown.code == 0
    text = SGR.sub("", shown.text) if "--heat" in arguments and changes.get("TERM") != "dumb" else shown.text
    assert not set(HOSTILE) & set(text)
    # The symbols show the same text.
    plain = [one for one in arguments if one != "--heat"]
    raw = charlm("sample", hostile, *HOSTILE_RUN, *plain).out
    unmarked = text.translate({0x332: None, 0x333: None})
    assert unmarked.endswith(visible(raw))
    assert unmarked.removesuffix(visible(raw)).count("\n") <= 3, "only notes come before it"


@pytest.mark.parametrize("arguments", [("--json",), ("--json", "--stream"), ("--json", "--beam", "3")])
def test_control_characters_in_json_are_escaped_on_terminals(
    charlm: Charlm, hostile: str, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    shown = on_terminal("sample", hostile, *HOSTILE_RUN, *arguments, cwd=tmp_path)
    assert shown.code == 0
    assert not set(HOSTILE) & set(shown.text)
    objects = [json.loads(line) for line in shown.text.splitlines() if line.startswith("{")]
    piped = charlm("sample", hostile, *HOSTILE_RUN, *arguments).out
    assert objects == [json.loads(line) for line in piped.split("\n") if line]


def test_prompt_of_unknown_control_characters_is_shown_safely(model: str, tmp_path: Path) -> None:
    shown = on_terminal("sample", model, "-p", HOSTILE, "--seed", "1", "-n", "20", cwd=tmp_path)
    assert shown.code == 0
    assert not set(HOSTILE) & set(shown.text)
    assert "does not know" in shown.text


def test_hostile_model_name_is_shown_as_symbols(hostile: str, tmp_path: Path) -> None:
    evil = tmp_path / "checkpoints" / "ev\x1b]0;il\x07\u202e.safetensors"
    evil.write_bytes((tmp_path / "checkpoints" / f"{hostile}.safetensors").read_bytes())
    damaged = tmp_path / "checkpoints" / "dam\x1b]0;aged\x07\u202e.safetensors"
    damaged.write_bytes(evil.read_bytes()[:100])
    commands = (("sample", evil), ("sample", damaged), ("sample", "ev]0;il"), ("models",), ("models", "show", evil))
    for arguments in commands:
        shown = on_terminal(*arguments, cwd=tmp_path)
        assert not set(HOSTILE) & set(SGR.sub("", shown.text)), arguments
