"""Dynamic evaluation in `charlm eval`, `score`, `sample` and `adapt`."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from charlm.adapt.dynamic_eval import learn
from charlm.adapt.gradient_rms import estimate_from_samples
from charlm.adapt.learner import Learner
from charlm.checkpoint import Checkpoint, load, save
from charlm.config import LearnConfig
from charlm.inference.engine import Engine
from tests.conftest import random_checkpoint

from .conftest import Charlm, SaveModel, assert_refused

TEXT = "the ferry goes over to farside.\n" * 30
FAST = ("--learn-rate", "1e-3")


@cache
def random_model() -> Checkpoint:
    """A model with random weights, and its gradient statistics."""
    made = random_checkpoint()
    return replace(made, statistics=estimate_from_samples(Engine(made)))


@pytest.fixture
def model(tmp_path: Path) -> str:
    """Name of a model with random weights in ./checkpoints; t.txt is a text for it."""
    (tmp_path / "t.txt").write_text(TEXT, encoding="utf-8")
    save(random_model(), tmp_path / "checkpoints" / "m.safetensors")
    return "m"


def learner(folder: Path, **settings: float) -> Learner:
    return Learner(load(folder / "checkpoints" / "m.safetensors"), LearnConfig(**settings))


# Eval


def test_eval_dynamic_prints_both_results(charlm: Charlm, model: str, tmp_path: Path) -> None:
    static = charlm("eval", model, "t.txt")
    dynamic = charlm("eval", model, "t.txt", "--dynamic", *FAST)
    assert (static.code, dynamic.code) == (0, 0)
    lesson = learn(learner(tmp_path, rate=1e-3), TEXT)
    nats, before = lesson.learning.nats_per_character, lesson.static.nats_per_character
    assert nats < 0.8 * before
    assert f"{before:.4f} nats/char" in static.out
    assert f"{nats:.4f} nats/char  {nats / math.log(2):.4f} bits/char" in dynamic.out
    assert f"(static {before:.4f} nats/char)" in dynamic.out
    assert dynamic.out.count("\n") == 1


def test_eval_dynamic_json_holds_both_results(charlm: Charlm, model: str, tmp_path: Path) -> None:
    (tmp_path / "u.txt").write_text(TEXT[:200], encoding="utf-8")
    how = ("--learn-rate", "0.001", "--learn-decay", "0.01", "--segment", "20")
    found = json.loads(charlm("eval", model, "t.txt", "u.txt", "--dynamic", *how, "--json").out)
    assert (found["learning"]["rate"], found["learning"]["decay"], found["learning"]["segment"]) == (0.001, 0.01, 20)
    lessons = [learn(learner(tmp_path, rate=1e-3, decay=0.01, segment=20), text) for text in (TEXT, TEXT[:200])]
    for file, lesson in zip(found["files"], lessons, strict=True):  # each file begins with the model as it was trained
        assert file["nats_per_char"] == pytest.approx(lesson.learning.nats_per_character)
        assert file["static"]["nats_per_char"] == pytest.approx(lesson.static.nats_per_character)
        assert file["chars"] == file["static"]["chars"] == lesson.learning.characters
    total = lessons[0].learning + lessons[1].learning
    assert found["nats_per_char"] == pytest.approx(total.nats_per_character)
    plain = json.loads(charlm("eval", model, "t.txt", "--json").out)
    assert "static" not in plain
    assert "learning" not in plain


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("eval", "m", "t.txt", "--segment", "20"), "--segment has no meaning without --dynamic"),
        (("eval", "m", "t.txt", "--dynamic", "--lanes", "2"), "--dynamic and --lanes exclude each other"),
        (("eval", "m", "t.txt", "--dynamic", "--learn-rate", "7"), "'--learn-rate': 7.0 is not in the range"),
        (("eval", "m", "t.txt", "--dynamic", "--learn-decay", "-1"), "'--learn-decay': -1.0 is not"),
        (("eval", "m", "t.txt", "--dynamic", "--segment", "0"), "'--segment': 0 is not"),
        (("score", "m", "t.txt", "--learn-rate", "1e-4"), "--learn-rate has no meaning without --dynamic"),
        (("score", "m", "t.txt", "--dynamic", "--learn-rate", "nan"), "nan is not a finite number"),
        (("sample", "m", "--learn-decay", "0.1"), "--learn-decay has no meaning without --learn FILE"),
        (("adapt", "m", "t.txt", "-o", "n", "--times", "0"), "'--times': 0 is not in the range"),
        (("adapt", "m", "t.txt"), "Missing option '-o'"),
    ],
)
def test_invalid_options_are_refused(charlm: Charlm, model: str, arguments: tuple[str, ...], complaint: str) -> None:
    assert_refused(charlm(*arguments), 2, complaint)


# Score


def test_score_dynamic_learns_repeated_lines(charlm: Charlm, model: str) -> None:
    def bits(*options: str) -> list[float]:
        result = charlm("score", model, "t.txt", "--order", "line", "--top", "0", "--json", *options)
        assert result.code == 0, result.err
        return [json.loads(line)["bits_per_char"] for line in result.out.splitlines()]

    static, dynamic = bits(), bits("--dynamic", *FAST)
    assert len(static) == len(dynamic) == 30
    assert dynamic[0] == pytest.approx(static[0], abs=1e-4)  # nothing was learned before it
    assert dynamic[-1] < 0.7 * static[-1]


# Sample


def test_sample_learn_adopts_the_page(charlm: Charlm, model: str, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("ab" * 800, encoding="utf-8")

    def share(*options: str) -> float:
        result = charlm("sample", model, "-n", "200", "--seed", "1", *options)
        assert result.code == 0, result.err
        text = result.out.rstrip("\n")
        return sum(text.count(one) for one in "ab") / len(text)

    assert share() < 0.5
    assert share("--learn", "page.txt", "--learn-rate", "3e-3") > 0.9
    first, again = (charlm("sample", model, "--learn", "page.txt", "--seed", "1") for _ in range(2))
    assert first.out == again.out
    assert "without learning" in first.err
    assert len(first.out) == 401


def test_sample_learn_continues_page_and_prompt(charlm: Charlm, model: str, tmp_path: Path) -> None:
    learns = learner(tmp_path)
    context = learn(learns, TEXT).context
    engine = learns.engine(context)
    greedy = ("-n", "5", "-t", "0", "--learn", "t.txt")
    found = charlm("sample", model, *greedy).out
    assert found[0] == engine.vocabulary.characters[int(context.logits.argmax())]
    _, logits = engine.prefill(context.state, engine.vocabulary.encode("over"))
    found = charlm("sample", model, *greedy, "-p", "over", "--no-echo").out
    assert found[0] == engine.vocabulary.characters[int(logits.argmax())]


def test_sample_learn_refuses_unreadable_pages(charlm: Charlm, model: str, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "binary").write_bytes(b"\0\1" * 100)
    for page in ("empty.txt", "binary", "none.txt"):
        assert_refused(charlm("sample", model, "--learn", page), 1, "error: ")


# Adapt


def test_adapt_saves_the_adapted_model(charlm: Charlm, model: str, tmp_path: Path) -> None:
    base = tmp_path / "checkpoints" / "m.safetensors"
    before = base.read_bytes()
    result = charlm("adapt", model, "t.txt", "-o", "learned", *FAST)
    assert result.code == 0, result.err
    assert result.out == "checkpoints/learned.safetensors\n"
    assert "without learning" in result.err
    assert base.read_bytes() == before
    made = load(tmp_path / "checkpoints" / "learned.safetensors")
    learns = learner(tmp_path, rate=1e-3)
    expected = learns.checkpoint(learn(learns, TEXT).context)
    assert made.fingerprint == expected.fingerprint != load(base).fingerprint
    assert made.statistics is not None  # so that it need not try out again
    assert made.record.base == model
    assert made.record.validation is None
    assert [source["name"] for source in made.record.sources] == ["t.txt"]
    assert made.record.sources[0]["bytes"] == len(TEXT)
    assert made.record.characters_seen == len(TEXT) - 1
    assert made.record.settings["adapted"]["rate"] == 1e-3
    static, better = (
        json.loads(charlm("eval", name, "t.txt", "--json").out)["nats_per_char"] for name in (model, "learned")
    )
    assert better < 0.7 * static
    assert charlm("sample", "learned", "-n", "10").code == 0
    assert "fine-tuned  from m" in charlm("models", "show", "learned").out


def test_adapt_times_repeats_the_text(charlm: Charlm, model: str) -> None:
    found = [
        json.loads(charlm("adapt", model, "t.txt", "-o", f"n{times}", "--times", times, "--json").out)
        for times in ("1", "3")
    ]
    assert found[0]["nats_per_char"] == found[1]["nats_per_char"]  # of the first reading
    assert found[0]["movement"] < found[1]["movement"]
    assert (found[0]["base"], found[0]["chars"], found[0]["held_back"]) == (model, len(TEXT) - 1, 0)
    once, thrice = (json.loads(charlm("eval", name, "t.txt", "--json").out)["nats_per_char"] for name in ("n1", "n3"))
    assert thrice < once


def test_adapt_overwrites_only_with_force(charlm: Charlm, model: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "m.safetensors"
    before = path.read_bytes()
    assert_refused(charlm("adapt", model, "t.txt", "-o", model), 1, "already exists")
    assert path.read_bytes() == before
    assert charlm("adapt", model, "t.txt", "-o", model, "--force").code == 0
    assert path.read_bytes() != before
    assert charlm("adapt", model, "t.txt", "-o", "./here").out == "here.safetensors\n"


@pytest.mark.parametrize("name", ["none.txt", "empty.txt", "nobody"])
def test_adapt_without_text_writes_nothing(charlm: Charlm, model: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.txt").touch()
    assert_refused(charlm("adapt", model, name, "-o", "new"), 1, "error: ")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["m.safetensors"]


def test_missing_gradient_statistics_are_reported(charlm: Charlm, save_model: SaveModel, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT, encoding="utf-8")
    note = "stores no gradient statistics"
    assert note in charlm("eval", save_model("none"), "t.txt", "--dynamic").err
    assert charlm("adapt", "none", "t.txt", "-o", "learned").code == 0
    assert note not in charlm("eval", "learned", "t.txt", "--dynamic").err
