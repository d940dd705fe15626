"""`charlm eval` and `charlm score`: figures against a stepwise reference, output, errors."""

from __future__ import annotations

import gzip
import json
import math
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charlm.checkpoint import load, save
from charlm.inference.engine import Engine
from charlm.inference.scoring import UNKNOWN_NATS
from charlm.text.dialogue import Dialogue
from charlm.text.sanitize import visible

from ..conftest import ALPHABET, HARBOUR, PATIENCE, nats_by_steps, random_checkpoint, random_matching
from .conftest import Charlm, Pipe, SaveModel, assert_refused, spawn
from .terminal import HOSTILE, SGR, into_head, on_terminal

HARBOUR_TEXT = "".join(one for one in HARBOUR.read_text(encoding="utf-8").lower() if one in ALPHABET)
LINES = ["the ferry goes", "", "over to farside!", "qqq zzz xxx", "and back again.", "the ferry goes"]


@pytest.fixture
def model(save_model: SaveModel) -> str:
    """Name of a model with small random weights in ./checkpoints."""
    return save_model("m", scale=0.4)


def costs(folder: Path, text: str, name: str = "m") -> list[float]:
    """Return the nats of each character but the first, computed step by step in float64."""
    engine = Engine(load(folder / "checkpoints" / f"{name}.safetensors"))
    first, *ids = engine.vocabulary.encode(text).tolist()
    return nats_by_steps(engine, *engine.step(engine.start(), first), ids)


def measured(charlm: Charlm, *arguments: str | Path) -> dict[str, float]:
    result = charlm("eval", *arguments, "--json")
    assert result.code == 0, result.err
    found: dict[str, float] = json.loads(result.out)
    return found


# Eval


def test_eval_equals_stepwise_reference(charlm: Charlm, model: str, tmp_path: Path, pipe: Pipe) -> None:
    text = HARBOUR_TEXT[:3000]
    (tmp_path / "t.txt").write_text(text)
    nats = math.fsum(costs(tmp_path, text)) / 2999
    found = measured(charlm, model, "t.txt")
    assert found["nats_per_char"] == pytest.approx(nats, abs=1e-5)
    assert found["bits_per_char"] == pytest.approx(nats / math.log(2), abs=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(nats), rel=1e-4)
    assert (found["chars"], found["unknown"], found["model"]) == (2999, 0, model)
    assert found["chars_per_second"] > 0
    pipe(text.encode())
    assert measured(charlm, model, "-")["nats_per_char"] == found["nats_per_char"]
    plain = charlm("eval", model, "t.txt")
    assert f"{nats:.4f} nats/char  {nats / math.log(2):.4f} bits/char" in plain.out
    assert "2,999 characters" in plain.out
    assert re.fullmatch(r"[\d,]+ chars/s\n", plain.err)


@pytest.mark.parametrize("lanes", ["2", "8", "4096"])
def test_eval_lanes_agree(charlm: Charlm, model: str, tmp_path: Path, lanes: str) -> None:
    (tmp_path / "t.txt").write_text(HARBOUR_TEXT[:8000])
    alone, together = measured(charlm, model, "t.txt"), measured(charlm, model, "t.txt", "--lanes", lanes)
    assert together["nats_per_char"] == pytest.approx(alone["nats_per_char"], abs=1e-3)
    assert together["chars"] == alone["chars"] == 7999


def test_eval_reads_files_and_folders(charlm: Charlm, model: str, tmp_path: Path) -> None:
    texts = {
        "a.txt": HARBOUR_TEXT[:700],
        "folder/b.txt": HARBOUR_TEXT[700:1500],
        "folder/c.md": HARBOUR_TEXT[1500:1800],
    }
    (tmp_path / "folder").mkdir()
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder" / "picture").write_bytes(b"\0\1\2")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(texts["a.txt"].encode()))
    found = measured(charlm, model, "a.txt", "folder", "d.txt.gz")
    files = {one["path"]: one for one in found["files"]}  # type: ignore[attr-defined]  # a list
    assert set(files) == {*texts, "d.txt.gz"}
    for name, text in texts.items():
        nats = math.fsum(costs(tmp_path, text)) / (len(text) - 1)
        assert files[name]["nats_per_char"] == pytest.approx(nats, abs=1e-5)
    assert files["d.txt.gz"]["nats_per_char"] == files["a.txt"]["nats_per_char"]
    weights = [one["chars"] for one in files.values()]
    mean = np.average([one["nats_per_char"] for one in files.values()], weights=weights)
    assert found["nats_per_char"] == pytest.approx(mean)
    assert found["chars"] == sum(weights) == 699 + 799 + 299 + 699
    only = measured(charlm, model, "folder", "--glob", "*.md")
    assert [one["path"] for one in only["files"]] == ["folder/c.md"]  # type: ignore[attr-defined]
    table = charlm("eval", model, "a.txt", "folder").out.splitlines()
    assert [line.split()[0] for line in table] == ["a.txt", "folder/b.txt", "folder/c.md", "all"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le"])
def test_eval_and_score_decode_encodings(charlm: Charlm, save_model: SaveModel, tmp_path: Path, encoding: str) -> None:
    save_model("m", characters=ALPHABET + "éä")
    text = "das café am hafen, die fähre\n" * 5
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "t.txt").write_bytes(text.encode(encoding))
    expected = math.fsum(costs(tmp_path, text)) / (len(text) - 1)
    for path in ("folder", "folder/t.txt"):
        found = measured(charlm, "m", path, "--encoding", encoding)
        assert found["nats_per_char"] == pytest.approx(expected, abs=1e-5)
        assert found["unknown"] == 0
    scored = charlm("score", "m", "folder", "--encoding", encoding, "--order", "line", "--json").out.splitlines()
    assert [json.loads(line)["text"] for line in scored] == text.splitlines()


def test_eval_replaces_damaged_bytes_on_request(charlm: Charlm, model: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes("é".encode() * 99 + b"abc\xff abc\n")
    assert_refused(charlm("eval", model, "t.txt"), 1, "use --encoding-errors replace")
    assert measured(charlm, model, "t.txt", "--encoding-errors", "replace")["unknown"] == 99


def test_eval_reads_an_export_as_the_model_does(charlm: Charlm, tmp_path: Path) -> None:
    turns = [("abb" if n % 2 else "eff", "is it you?") for n in range(40)]
    export = "".join(f"12.07.17, 08:{n + 10} - {name}: {text}\n" for n, (name, text) in enumerate(turns))
    (tmp_path / "t.txt").write_text(export, encoding="utf-8")
    for dialogue, length in ((Dialogue("transcript"), 40 * len("abb: is it you?\n\n")), (Dialogue(), len(export))):
        save(replace(random_checkpoint(), dialogue=dialogue), tmp_path / "checkpoints" / "m.safetensors")
        assert measured(charlm, "m", "t.txt")["chars"] == length - 1


def test_eval_counts_unknown_characters_as_uniform_guesses(charlm: Charlm, model: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("the fährß ☃☃ goes?", encoding="utf-8")
    found = measured(charlm, model, "t.txt")
    assert (found["chars"], found["unknown"]) == (17, 4)
    replaced = math.fsum(costs(tmp_path, "the f?hr? ?? goes?"))
    assert found["nats_per_char"] == pytest.approx((replaced + 4 * UNKNOWN_NATS) / 17, abs=1e-5)
    assert "note: 4 characters are unknown to m" in charlm("eval", model, "t.txt").err


def test_eval_counts_characters_spelled_in_bytes_once(charlm: Charlm, save_model: SaveModel, tmp_path: Path) -> None:
    save_model("m", has_bytes=True)
    text = "the fähre ☃☃ goes"
    (tmp_path / "t.txt").write_text(text, encoding="utf-8")
    found = measured(charlm, "m", "t.txt")
    assert (found["chars"], found["unknown"]) == (len(text) - 1, 0)
    assert found["nats_per_char"] == pytest.approx(math.fsum(costs(tmp_path, text)) / (len(text) - 1), abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("eval", "m"), 2, "no text to measure"),
        (("eval", "m", "--dialogue"), 2, "without turns"),
        (("eval", "m", "t.txt", "--without", "learning"), 2, "add --dialogue"),
        (("eval", "n", "t.txt"), 1, "no model named 'n'"),
        (("eval", "m", "missing.txt"), 1, "no such file or folder: missing.txt"),
        (("eval", "m", "t.txt", "--lanes", "0"), 2, "0 is not in the range 1<=x<=4096"),
        (("eval", "m", "t.txt", "--lanes", "4097"), 2, "4097 is not in the range"),
        (("eval", "m", "t.txt", "--encoding", "klingon"), 2, "unknown encoding 'klingon'"),
        (("eval", "m", "two", "--encoding", "klingon"), 2, "unknown encoding 'klingon'"),
        (("eval", "m", "latin.txt"), 1, "latin.txt is not UTF-8: byte 0xE4 at offset 1"),
        (("eval", "m", "short.txt"), 1, "short.txt is too short to be measured"),
        (("eval", "m", "binary"), 1, "binary is binary data"),
        (("eval", "m", "t.txt", "short.txt"), 1, "short.txt is too short to be measured"),
        (("eval", "m", "t.txt", "--last", "0"), 2, "'--last': 0.0 is not in the range"),
        (("eval", "m", "t.txt", "--last", "1.1"), 2, "'--last': 1.1 is not"),
        (("eval", "m", "t.txt", "--dialogue"), 2, "without turns"),
        (("eval", "m", "t.txt", "--dialogue", "--lanes", "2"), 2, "--dialogue and --lanes exclude each other"),
        (("eval", "m", "t.txt", "--dialogue", "--cases", "0"), 2, "'--cases': 0 is not"),
        (("eval", "m", "t.txt", "--learn-rate", "0.1"), 2, "add --dynamic or --dialogue"),
        (("eval", "m", "t.txt", "--cache", "--lanes", "2"), 2, "--cache and --lanes exclude each other"),
        (("eval", "m", "t.txt", "--cache", "--dialogue"), 2, "--dialogue and --cache exclude each other"),
        (("score", "m"), 2, "Missing argument"),
        (("score", "m", "missing.txt"), 1, "no such file or folder: missing.txt"),
        (("score", "m", "t.txt", "--top", "-1"), 2, "'--top': -1 is not"),
        (("score", "m", "t.txt", "--order", "size"), 2, "'size' is not one of"),
        (("score", "m", "t.txt", "--threshold", "nan"), 2, "nan is not a finite number"),
        (("score", "m", "t.txt", "--encoding", "klingon"), 2, "unknown encoding 'klingon'"),
        (("score", "m", "latin.txt"), 1, "latin.txt is not UTF-8: byte 0xE4 at offset 1"),
        (("score", "m", "two"), 2, "two holds several files"),
        (("score", "m", "-", "--encoding", "klingon"), 2, "unknown encoding 'klingon'"),
    ],
)
def test_invalid_use_prints_one_sentence(
    charlm: Charlm, model: str, tmp_path: Path, pipe: Pipe, arguments: tuple[str, ...], code: int, says: str
) -> None:
    (tmp_path / "t.txt").write_text("the ferry")
    (tmp_path / "short.txt").write_text("x")
    (tmp_path / "latin.txt").write_bytes("Fähre".encode("latin-1"))
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "two").mkdir()
    for name in "ab":
        (tmp_path / "two" / name).write_text(name)
    (tmp_path / "two" / "c").write_bytes(b"\0")
    pipe(b"one\n\xff\n")
    result = charlm(*arguments)
    assert result.code == code
    assert says.lower() in result.err.lower()
    assert "inside charlm" not in result.err


def test_eval_last_equals_a_file_with_the_end(charlm: Charlm, model: str, tmp_path: Path) -> None:
    lines = [f"{line}\n" for line in LINES * 5]
    (tmp_path / "t.txt").write_text("".join(lines))
    half = "".join(lines)[len("".join(lines)) // 2 :]
    (tmp_path / "end.txt").write_text(half[half.index("\n") + 1 :])
    last, end = measured(charlm, model, "t.txt", "--last", "0.5"), measured(charlm, model, "end.txt")
    assert (last["chars"], last["nats_per_char"]) == (end["chars"], end["nats_per_char"])
    assert measured(charlm, model, "t.txt", "--last", "1")["chars"] == len("".join(lines)) - 1


def test_cache_predicts_repeated_text_better(charlm: Charlm, model: str, tmp_path: Path) -> None:
    lines = ["over to farside!", "the ferry goes"] * 10
    (tmp_path / "t.txt").write_text("\n".join(lines) + "\n")
    plain, cached = measured(charlm, model, "t.txt"), measured(charlm, model, "t.txt", "--cache")
    assert cached["static"]["nats_per_char"] == pytest.approx(plain["nats_per_char"], abs=1e-6)
    assert cached["nats_per_char"] < 0.5 * plain["nats_per_char"]
    both = measured(charlm, model, "t.txt", "--cache", "--dynamic", "--learn-rate", "0")
    assert both["nats_per_char"] == pytest.approx(cached["nats_per_char"], abs=1e-4)
    bits = [[one["bits_per_char"] for one in scores(charlm, model, "t.txt", "--order", "line", "--top", "0", *option)]
            for option in ((), ("--cache",))]  # fmt: skip
    assert bits[1][:2] == pytest.approx(bits[0][:2], rel=0.05)
    assert sum(bits[1][4:]) < 0.5 * sum(bits[0][4:])


@pytest.fixture
def talker(tmp_path: Path) -> Path:
    """A model of small talk, and a text of conversations."""
    made = replace(random_checkpoint(seed=3), dialogue=Dialogue("lines"))
    save(made, tmp_path / "talker.safetensors")
    talks = [[f"{who} {what}, so {n}" for n in "abcdef"] for who in ("you", "she", "he") for what in ("go", "eat")]
    (tmp_path / "talk.txt").write_text("\n\n".join("\n".join(turns) for turns in talks) + "\n")
    return tmp_path / "talker.safetensors"


def test_eval_dialogue_reports_rankings_and_replies(charlm: Charlm, talker: Path) -> None:
    arguments = ("eval", str(talker), "talk.txt", "--dialogue", "--cases", "12", "--words", "talk.txt")
    found = json.loads(charlm(*arguments, "--json").out)
    assert found["cases"] == 12
    assert set(found["ranking"]) == {"likelihood", "relevance", "relevance, learning", "shared words"}
    for one in found["ranking"].values():
        assert 0 <= one["hits_at_1"] <= one["mrr"] <= 1
    assert 0 < found["replies"]["unknown"] <= 1  # random weights do not spell
    assert found["replies"]["replies"] == 18
    # What comes again and again is learned from the context; without a rate there is nothing to learn.
    assert found["reply_bits_per_char_learning"] < found["reply_bits_per_char"]
    unmoved = json.loads(charlm(*arguments, "--json", "--learn-rate", "0").out)
    assert unmoved["reply_bits_per_char_learning"] == pytest.approx(unmoved["reply_bits_per_char"], abs=1e-5)
    assert json.loads(charlm(*arguments, "--json").out) == found
    table = charlm(*arguments)
    assert table.code == 0
    for words in ("the true reply among 10, 12 cases", "relevance", "unknown words", "echo the message"):
        assert words in table.out


def test_eval_dialogue_ranks_by_the_matcher_too(charlm: Charlm, talker: Path) -> None:
    save(replace(load(talker), matching=random_matching()), talker)
    found = json.loads(charlm("eval", str(talker), "talk.txt", "--dialogue", "--cases", "12", "--json").out)["ranking"]
    assert len(found) == 8
    assert found["matching"] != found["likelihood"]
    assert found["relevance, matching"] != found["relevance"]
    assert found["matching, shared words"] != found["matching"]


def test_eval_dialogue_without_a_text_measures_recall(charlm: Charlm, tmp_path: Path) -> None:
    made = random_checkpoint(seed=3, characters=ALPHABET + "の")
    bias = made.tensors["output.b"] + 3 * (np.arange(len(made.vocabulary)) == ALPHABET.index("\n"))  # short replies
    tensors = {**made.tensors, "output.b": bias.astype(np.float32)}
    save(replace(made, tensors=tensors, dialogue=Dialogue("lines")), tmp_path / "talker.safetensors")
    arguments = ("eval", "./talker.safetensors", "--dialogue", "--cases", "1")
    found = json.loads(charlm(*arguments, "--json").out)
    assert found["recall"] == {kind: dict.fromkeys(["1", "3", "5", "10"], 0) for kind in ("listed", "made up")} | {
        "never stated": {"3": 0}
    }
    assert len(found["replies"]) == 9
    assert "answers" not in found, "the questions are in English"
    assert found == json.loads(charlm(*arguments, "--json").out)
    without = json.loads(charlm(*arguments, "--without", "learning", "--json").out)
    assert without["dials"]["learn"] == 0 != found["dials"]["learn"]
    assert "made up" in charlm(*arguments).out


# Score


def scores(charlm: Charlm, *arguments: str | Path) -> list[dict[str, object]]:
    result = charlm("score", *arguments, "--json")
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.split("\n") if line]


def reference(folder: Path, lines: list[str]) -> list[float]:
    """Return the mean bits of each line with its newline, given the lines before it."""
    nats = costs(folder, "\n" + "".join(line + "\n" for line in lines))
    ends = np.cumsum([len(line) + 1 for line in lines])
    return [float(np.mean(part)) / math.log(2) for part in np.split(np.array(nats), ends[:-1])]


def test_score_equals_stepwise_reference(charlm: Charlm, model: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("\n".join(LINES) + "\n")
    found = scores(charlm, model, "t.txt", "--order", "line")
    assert [one["line"] for one in found] == [1, 2, 3, 4, 5, 6]
    assert [one["text"] for one in found] == LINES
    expected = reference(tmp_path, LINES)
    assert [one["bits_per_char"] for one in found] == pytest.approx(expected, abs=1e-4)
    assert expected[0] != expected[5], "the same words after others"
    for one, line in zip(found, LINES, strict=True):
        surprises = one["surprises"]
        assert isinstance(surprises, list)
        assert len(surprises) == len(line) + 1
        assert sum(surprises) / len(surprises) == pytest.approx(one["bits_per_char"], abs=1e-3)


@pytest.mark.parametrize(("order", "measure"), [("mean", np.mean), ("max", max), ("total", sum)])
def test_score_orders_and_limits_lines(
    charlm: Charlm, model: str, tmp_path: Path, order: str, measure: Callable[[list[float]], float]
) -> None:
    (tmp_path / "t.txt").write_text("\n".join(LINES))
    bits = [measure(one["surprises"]) for one in scores(charlm, model, "t.txt", "--order", "line")]  # type: ignore[arg-type]
    ranked = sorted(range(1, 7), key=lambda number: -bits[number - 1])
    found = scores(charlm, model, "t.txt", "--order", order)
    assert [one["line"] for one in found] == ranked
    assert [one["score"] for one in found] == pytest.approx(sorted(bits, reverse=True), abs=1e-2)
    assert [one["line"] for one in scores(charlm, model, "t.txt", "--top", "2", "--order", order)] == ranked[:2]
    threshold = str((sorted(bits)[2] + sorted(bits)[3]) / 2)
    above = scores(charlm, model, "t.txt", "--threshold", threshold, "--top", "1", "--order", order)
    assert [one["line"] for one in above] == ranked[:3]


def test_score_ranks_rare_words_first_by_default(charlm: Charlm, model: str, tmp_path: Path, pipe: Pipe) -> None:
    text = "the ferry goes\n\nto ferry goes. the\nto the qerry\n\nqerry ferry\n  \n"
    (tmp_path / "t.txt").write_text(text)
    in_order = scores(charlm, model, "t.txt", "--order", "line")
    expected = []
    for one in in_order:
        line, bits = str(one["text"]), one["surprises"]
        places = {found.group(): found.span() for found in re.finditer(r"\w+|[.]", line)}
        counts = Counter(re.findall(r"\w+|[.]", text))
        expected.append(max((max(bits[a + 1 : b + 1]) / counts[word] for word, (a, b) in places.items()), default=0))  # type: ignore[index]
    assert [one["score"] for one in in_order] == pytest.approx(expected, abs=1e-3)
    assert expected[1] == expected[4] == expected[6] == 0, "there is no word in an empty line"
    ranked = scores(charlm, model, "t.txt")
    assert [one["score"] for one in ranked] == sorted((one["score"] for one in in_order), reverse=True)  # type: ignore[type-var]
    pipe(text.encode())
    followed = scores(charlm, model, "-")
    assert followed[0]["score"] >= in_order[0]["score"], "words are counted up to each line"  # type: ignore[operator]
    assert followed[-2]["score"] == in_order[-2]["score"]


def test_score_shows_twenty_lines_by_default(charlm: Charlm, model: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a line\n" * 50)
    assert len(scores(charlm, model, "t.txt")) == 20
    assert len(scores(charlm, model, "t.txt", "--top", "0")) == 50
    assert len(scores(charlm, model, "t.txt", "--threshold", "0")) == 50


def test_score_line_shows_bits_number_and_text(charlm: Charlm, model: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("\n".join(LINES))
    bits = reference(tmp_path, LINES)
    rows = charlm("score", model, "t.txt", "--order", "mean").out.splitlines()
    assert sorted(int(row[7:15]) for row in rows) == [1, 2, 3, 4, 5, 6]
    for row in rows:
        shown, number, text = float(row[:7]), int(row[7:15]), row[17:]
        assert text == LINES[number - 1]
        assert shown == pytest.approx(bits[number - 1], abs=2e-3)
    marked = charlm("score", model, "t.txt", "--order", "mean", "--heat", "always").out
    assert marked.translate({0x332: None, 0x333: None}).splitlines() == rows
    assert "\u0332" in marked
    assert "\x1b" not in marked


def test_score_of_a_stream_replaces_bad_bytes(charlm: Charlm, model: str, pipe: Pipe) -> None:
    pipe(b"the ferry\nadm\xe9n\n\xff\xfe\0\ngoes")
    assert [one["text"] for one in scores(charlm, model, "-")] == ["the ferry", "adm\ufffdn", "\ufffd\ufffd\0", "goes"]


@pytest.mark.parametrize(
    ("text", "lines"), [("", [""]), ("\n", [""]), ("\n\n", ["", ""]), ("a\n\n", ["a", ""]), ("a", ["a"])]
)
def test_score_counts_empty_lines(charlm: Charlm, model: str, tmp_path: Path, text: str, lines: list[str]) -> None:
    (tmp_path / "t.txt").write_text(text)
    found = scores(charlm, model, "t.txt", "--order", "line")
    assert [one["text"] for one in found] == lines
    assert [one["bits_per_char"] for one in found] == pytest.approx(reference(tmp_path, lines), abs=1e-4)


def test_score_decodes_latin_1_files_and_streams(charlm: Charlm, model: str, tmp_path: Path, pipe: Pipe) -> None:
    data = "die fähre\r\ndas café\r\n".encode("latin-1")
    (tmp_path / "t.txt").write_bytes(data)
    pipe(data)
    from_file = scores(charlm, model, "t.txt", "--encoding", "latin-1", "--order", "line")
    followed = scores(charlm, model, "-", "--encoding", "latin-1")
    assert [one["text"] for one in from_file] == ["die fähre", "das café"]
    assert followed == from_file
    strange = [one["surprises"][index] for one, index in zip(from_file, (5, 7), strict=True)]  # type: ignore[index]
    assert strange == [pytest.approx(UNKNOWN_NATS / math.log(2), abs=1e-3)] * 2


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_score_answers_each_line_of_a_stream(model: str, tmp_path: Path, extra: tuple[str, ...]) -> None:
    expected = reference(tmp_path, LINES)
    with spawn("score", model, "-", "--order", "mean", *extra, cwd=tmp_path, stdin=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            for number, (line, bits) in enumerate(zip(LINES, expected, strict=True), 1):
                process.stdin.write(line + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()  # before the next is sent
                if extra:
                    assert json.loads(answer)["line"] == number
                    assert json.loads(answer)["bits_per_char"] == pytest.approx(bits, abs=1e-3)
                else:
                    assert int(answer.split()[1]) == number
                    assert float(answer.split()[0]) == pytest.approx(bits, abs=2e-3)
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (0, "", "")


def test_score_with_closed_pipe_ends_quietly(model: str, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a line of the harbour book\n" * 500)
    piped = into_head("score", model, "t.txt", "--top", "0", "--json", cwd=tmp_path)
    assert piped.codes[0] in (0, 141)
    assert piped.err == ""


# Control characters


HOSTILE_LINE = f"the \x1b[2J\x1b[31mferry{HOSTILE} goes"


def test_score_passes_control_characters_into_a_pipe(charlm: Charlm, model: str, tmp_path: Path) -> None:
    text = HOSTILE_LINE.replace("\r", "")
    (tmp_path / "t.txt").write_bytes(text.encode())
    assert charlm("score", model, "t.txt").out[17:] == text + "\n"
    assert [one["text"] for one in scores(charlm, model, "t.txt")] == [text]


def test_score_passes_colours_into_a_pipe(charlm: Charlm, save_model: SaveModel, tmp_path: Path) -> None:
    save_model("m", characters="\n\x1b[31mab", scale=0.01)
    (tmp_path / "t.txt").write_text("\x1b[31mab\x1b[3mba\x1b[m")
    assert charlm("score", "m", "t.txt").out[17:] == "\x1b[31mab\x1b[3mba\x1b[m\n"


@pytest.mark.parametrize("changes", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_score_shows_control_characters_as_symbols(model: str, tmp_path: Path, changes: dict[str, str]) -> None:
    (tmp_path / "t.txt").write_bytes(HOSTILE_LINE.encode())
    shown = on_terminal("score", model, "t.txt", cwd=tmp_path, **changes)
    assert shown.code == 0
    text = shown.text if changes.get("TERM") == "dumb" else SGR.sub("", shown.text)
    assert not set(HOSTILE) & set(text)
    first_line = visible(HOSTILE_LINE.replace("\r", "\n")).split("\n")[0]
    assert first_line in text.translate({0x332: None, 0x333: None})


def test_score_json_escapes_control_characters_on_a_terminal(model: str, tmp_path: Path) -> None:
    text = HOSTILE_LINE.replace("\r", "")
    (tmp_path / "t.txt").write_bytes(text.encode())
    shown = on_terminal("score", model, "t.txt", "--json", cwd=tmp_path)
    assert not set(HOSTILE) & set(shown.text)
    assert json.loads(shown.text)["text"] == text


def test_eval_shows_control_characters_of_file_names_as_symbols(model: str, tmp_path: Path) -> None:
    (tmp_path / "evil\x1b]0;title\x07\u202e.txt").write_text("the ferry goes over")
    shown = on_terminal("eval", model, tmp_path, "--glob", "*.txt", cwd=tmp_path)
    assert shown.code == 0
    bar = re.compile(r"\x1b\[(\?25[hl]|K)|\r")  # the progress bar's own
    assert not set(HOSTILE) & set(SGR.sub("", bar.sub("", shown.text)))
    assert "evil\u241b]0;title\u2407<202E>.txt" in shown.text
