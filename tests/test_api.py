"""The Python interface does what the command line does."""

from __future__ import annotations

import inspect
import math
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlm
from charlm import api
from charlm.checkpoint import load, save
from charlm.cli.main import run
from charlm.config import SamplingConfig
from charlm.errors import CharlmError, CheckpointError, CorpusError, NotFoundError, UsageError
from charlm.inference.engine import Engine
from charlm.inference.generate import Generation, Sampler
from charlm.inference.scoring import LineScorer
from charlm.text.dialogue import Dialogue

from .conftest import HARBOUR, nats_by_steps, random_checkpoint

SETTINGS: dict[str, Any] = {
    "hidden": 16, "layers": 1, "lanes": 8, "chunk": 16, "precision": "fp32", "device": "cpu", "threads": 1, "steps": 5,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with a model of random weights called m and one with bytes called b."""
    (tmp_path / "checkpoints").mkdir()
    save(random_checkpoint(scale=0.6), tmp_path / "checkpoints" / "m.safetensors")
    save(random_checkpoint(scale=0.6, has_bytes=True), tmp_path / "checkpoints" / "b.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def model(folder: Path) -> charlm.Model:
    assert folder
    return charlm.load("m")


def test_load_finds_a_model_by_name_and_path(folder: Path) -> None:
    by_name = charlm.load("m")
    file = load(folder / "checkpoints" / "m.safetensors")
    for model in (by_name, charlm.load("checkpoints/m.safetensors"), charlm.load(folder / "checkpoints/m.safetensors")):
        assert model.name == "m"
        assert model.checkpoint.fingerprint == file.fingerprint
        assert (model.config, model.vocabulary, model.record) == (file.config, file.vocabulary, file.record)


@pytest.mark.usefixtures("folder")
def test_load_missing_or_damaged_is_refused() -> None:
    with pytest.raises(NotFoundError, match="no model named 'mm'") as caught:
        charlm.load("mm")
    assert caught.value.hint == "did you mean m?"
    Path("bad.safetensors").write_bytes(b"nothing like it")
    with pytest.raises(CheckpointError, match="not a model file"):
        charlm.load("bad.safetensors")


def test_package_exports_its_names() -> None:
    assert charlm.Model is api.Model
    assert charlm.CharlmError is CharlmError
    assert all(hasattr(charlm, name) for name in charlm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        charlm.lode  # type: ignore[attr-defined]  # noqa: B018  # that is the test


def test_api_is_documented() -> None:
    for name, member in inspect.getmembers(charlm.Model):
        if not name.startswith("_"):
            assert inspect.getdoc(member), name


def test_stream_generate_batch_and_cli_agree(model: charlm.Model, capfd: pytest.CaptureFixture[str]) -> None:
    text = model.generate("the ", seed=3, max_chars=80)
    assert "".join([piece.text for piece in model.stream("the ", seed=3, max_chars=80)]) == text
    assert [one.text for one in model.generate_many("the ", 3, seed=3, max_chars=80)] == [
        model.generate("the ", seed=seed, max_chars=80) for seed in (3, 4, 5)
    ]
    assert run(["sample", "m", "-p", "the ", "--seed", "3", "-n", "80"]) == 0
    assert capfd.readouterr().out.removesuffix("\n") == "the " + text.removesuffix("\n")


def test_stream_without_max_chars_goes_on(model: charlm.Model) -> None:
    endless = model.stream(max_chars=None, seed=1)
    first = list(islice(endless, 500))
    assert len(first) == 500
    assert endless.reason == ""
    assert "".join([piece.text for piece in first]) == model.generate(max_chars=500, seed=1)


def test_stream_stop_cancel_and_alternatives(model: charlm.Model) -> None:
    whole = model.generate(max_chars=200, seed=1)
    stop = whole[60:62]
    for stops in (stop, [stop], ("never so", stop)):
        assert model.generate(max_chars=200, seed=1, stop=stops) == whole[: whole.index(stop)]
    assert model.generate_many(count=1, max_chars=200, seed=1, stop=stop)[0].reason == "stop"
    asked = iter([False] * 7 + [True])
    stream = model.stream(seed=1, cancel=lambda: next(asked))
    assert "".join([piece.text for piece in stream]) == whole[:7]
    assert stream.reason == "cancelled"
    assert all(len(piece.alternatives) == 3 for piece in model.stream(max_chars=5, alternatives=3))


def test_stream_options_change_params(model: charlm.Model) -> None:
    params = SamplingConfig(temperature=0, seed=1)
    greedy = model.generate("the ", params=params)
    assert greedy == model.generate("the ", temperature=0)
    assert model.generate("the ", params=params, temperature=2.0) == model.generate("the ", temperature=2.0, seed=1)
    assert params == SamplingConfig(temperature=0, seed=1)
    penalised = model.generate("the ", params=params, repetition_penalty=5.0)
    window = model.vocabulary.encode("the ").tolist()
    sampler = Sampler.seeded(Engine(model.checkpoint), SamplingConfig(temperature=0, repetition_penalty=5.0))
    by_hand = Generation(model.read(model.start(), "the "), sampler, max_chars=400, recent=window)
    assert penalised == "".join([piece.text for piece in by_hand]) != greedy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1}, "temprature"),
        ({"temperature": -1}, "temperature is -1"),
        ({"top_p": 0}, "top-p is 0"),
        ({"max_chars": -1}, "number of characters is -1"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_stream_invalid_option_is_a_usage_error(model: charlm.Model, options: dict[str, Any], message: str) -> None:
    for write in (model.stream, model.generate, model.generate_many):
        with pytest.raises(UsageError, match=message):
            write("the ", **options)
    with pytest.raises(UsageError, match="count is 0"):
        model.generate_many(count=0)


def test_read_agrees_with_single_steps(model: charlm.Model) -> None:
    engine, text = Engine(model.checkpoint), "the ferry"
    state, expected = engine.start(), None
    for index in engine.vocabulary.encode(text).tolist():
        state, expected = engine.step(state, index)
    context = model.read(model.start(), text)
    np.testing.assert_allclose(context.logits, expected, atol=1e-5)
    assert model.read(context, "") is context
    with pytest.raises(CorpusError, match="not among the"):
        model.read(context, "☃")


def test_stream_continues_a_context(model: charlm.Model) -> None:
    context = model.read(model.start(), "the ")
    assert model.generate(context=context, seed=1) == model.generate("the ", seed=1)
    assert model.generate("ferry", context=context, seed=1) == model.generate("the ferry", seed=1)
    assert model.generate_many(count=2, context=context, seed=1)[0].text == model.generate("the ", seed=1)


def test_eval_is_the_mean_over_the_text(model: charlm.Model) -> None:
    text = "the ferry goes over to farside and back again\n" * 30
    engine = Engine(model.checkpoint)
    state, logits = engine.step(engine.start(), int(model.vocabulary.encode(text[0])[0]))
    nats = sum(nats_by_steps(engine, state, logits, model.vocabulary.encode(text[1:]).tolist()))
    measured = model.eval(text)
    assert measured.characters == len(text) - 1
    assert measured.nats == pytest.approx(nats, rel=1e-5)
    assert model.eval(text, lanes=2).nats_per_character == pytest.approx(measured.nats_per_character, abs=1e-3)
    with pytest.raises(CorpusError, match="too short"):
        model.eval("a")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n", [""]),
        ("one\ntwo", ["one", "two"]),
        ("one\n\ntwo\n", ["one", "", "two"]),
        ("one\u2028two\x0cthree\x85\n\rfour", ["one\u2028two\x0cthree\x85", "\rfour"]),
    ],
)
@pytest.mark.parametrize("name", ["m", "b"])
@pytest.mark.usefixtures("folder")
def test_score_splits_lines_as_the_cli(name: str, text: str, lines: list[str]) -> None:
    model = charlm.load(name)
    scorer = LineScorer.static(Engine(model.checkpoint))
    assert list(model.score(text)) == [scorer.push(line) for line in lines]


def test_score_is_lazy(model: charlm.Model) -> None:
    assert next(model.score("one\n" * 1_000_000)).number == 1


@pytest.mark.usefixtures("folder")
def test_train_reports_events_and_writes_a_model() -> None:
    events: list[object] = []
    trained = charlm.train(HARBOUR, output="t", on_event=events.append, **SETTINGS)
    kinds = [type(event).__name__ for event in events]
    assert kinds.count("Stepped") == 5
    assert kinds.count("Planned") == kinds.count("Ended") == 1
    assert kinds[-1] == "Ended"
    assert {"Evaluated", "Sampled", "Saved"} <= set(kinds)
    assert (trained.path, trained.reason) == (Path("checkpoints/t.safetensors"), "budget")
    assert trained.record.steps == 5
    model = trained.load()
    assert model.name == "t"
    assert model.record == trained.record
    assert (model.config.hidden, model.config.layers) == (16, 1)
    assert model.dialogue.format == "play"
    assert "FERRYMAN" in model.dialogue.names
    assert trained.validation == model.record.validation
    assert trained.validation is not None
    text = HARBOUR.read_text(encoding="utf-8")
    validation = text[int(len(text) * 0.9) :]
    if not model.vocabulary.has_bytes:
        assert model.eval(validation).nats_per_character == pytest.approx(trained.validation, abs=1e-3)
    assert trained.validation < math.log(len(model.vocabulary))


@pytest.mark.usefixtures("folder")
def test_train_interrupted_resumes_to_the_same_model() -> None:
    steps = 0

    def interrupt(event: object) -> None:
        nonlocal steps
        steps += type(event).__name__ == "Stepped"
        if steps == 3:
            raise RuntimeError("the listener has had enough")

    with pytest.raises(RuntimeError, match="had enough"):
        charlm.train(HARBOUR, output="cut", on_event=interrupt, **SETTINGS)
    resumed = charlm.train(resume="cut")
    whole = charlm.train([str(HARBOUR)], output="whole", **SETTINGS)
    assert resumed.record.steps == whole.record.steps == 5
    assert resumed.validation == whole.validation
    assert resumed.load().checkpoint.fingerprint == whole.load().checkpoint.fingerprint


@pytest.mark.usefixtures("folder")
def test_train_from_a_base_overwrites_with_force_only() -> None:
    first = charlm.train(HARBOUR, output="first", **SETTINGS)
    tuned = charlm.train(HARBOUR, output="tuned", base="first", steps=2, lanes=8, chunk=16, precision="fp32", threads=1)
    assert tuned.record.base == "first"
    assert tuned.load().config == first.load().config
    with pytest.raises(CharlmError, match="already exists"):
        charlm.train(HARBOUR, output="first", **SETTINGS)
    again = charlm.train(HARBOUR, output="first", force=True, **SETTINGS)
    assert again.load().checkpoint.fingerprint == first.load().checkpoint.fingerprint, "the seed decides everything"


@pytest.mark.usefixtures("folder")
def test_train_takes_the_requested_dialogue_format() -> None:
    model = charlm.train(HARBOUR, output="m2", format="lines", **SETTINGS).load()
    assert model.dialogue == Dialogue("lines")
    reply = model.chat(seed=1, candidates=1, length=20).say("how deep is it")
    assert "\n" not in reply.text


@pytest.mark.parametrize(
    ("paths", "options", "message"),
    [
        ((), {}, "no text to train on"),
        ("missing.txt", {}, "no file, folder or corpus named 'missing.txt'"),
        (HARBOUR, {"hiden": 3, "minutes": 1}, "unknown training option: hiden"),
        (HARBOUR, {"vocabulary": 3}, "unknown training option: vocabulary"),
        ((), {"resume": "never"}, "no run named"),
        (HARBOUR, {"resume": "never"}, "a resumed run keeps"),
        (HARBOUR, {"hidden": 0}, "hidden is 0"),
        (HARBOUR, {"minutes": 1.0, "steps": 5}, "one budget"),
        (HARBOUR, {"val_fraction": 2.0}, "val-fraction is 2"),
        (HARBOUR, {"base": "nobody"}, "no model named 'nobody'"),
        (HARBOUR, {"format": "sonnet"}, "unknown format 'sonnet'"),
        ((), {"resume": "never", "format": "play"}, "a resumed run keeps"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_train_invalid_options_are_refused(paths: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CharlmError, match=message):
        charlm.train(paths, **({"output": "never"} | options))
    assert not Path("checkpoints/never.safetensors").exists()
