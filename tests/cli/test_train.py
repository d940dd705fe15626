"""`charlm train` as its users meet it."""

from __future__ import annotations

import csv
import errno
import gzip
import itertools
import json
import math
import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm import checkpoint
from charlm.cli.main import run
from tests.conftest import PATIENCE

from .conftest import HARBOUR, TINY, Charlm, Pipe, Result, assert_refused, spawn

RUN = ("train", HARBOUR, "-o", "m", *TINY)


def read_metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of a run's metrics.csv."""
    return list(csv.DictReader((folder / "metrics.csv").read_text(encoding="utf-8").splitlines()))


def test_run_writes_the_documented_files(charlm: Charlm, tmp_path: Path) -> None:
    result = charlm(*RUN, "--steps", "40", "--evaluations", "4")
    assert result.code == 0
    assert result.out == ""
    folder = tmp_path / "checkpoints" / "m.run"
    assert {path.name for path in folder.iterdir() if not path.name.startswith("text-")} == {
        "config.json", "resume.safetensors", "metrics.csv", "samples.txt", "loss.svg",
    }  # fmt: skip
    model = checkpoint.load(tmp_path / "checkpoints" / "m.safetensors")
    assert (model.config.hidden, model.config.layers, model.record.steps) == (16, 1, 40)
    rows = read_metrics(folder)
    assert [int(row["step"]) for row in rows] == [10, 20, 30, 40, 40]
    assert float(rows[-1]["validation"]) == model.record.validation
    assert float(rows[-1]["validation"]) < float(rows[0]["validation"])
    assert (folder / "loss.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")
    assert (folder / "samples.txt").read_text(encoding="utf-8").count("--- step") == 4
    assert "charlm sample m" in result.err
    assert f"{model.record.validation:.4f} nats" in result.err
    lines = [line for line in result.err.splitlines() if line.startswith("step ")]
    assert len(lines) == 4


def test_validation_agrees_with_eval(charlm: Charlm, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text(HARBOUR.read_text(encoding="utf-8")[-6000:], encoding="utf-8")
    assert charlm(*RUN, "--steps", "60", "--val-file", "v.txt", "--cell", "gru").code == 0
    trained = checkpoint.load(tmp_path / "checkpoints" / "m.safetensors").record.validation
    for lanes in ((), ("--lanes", "4")):
        measured = json.loads(charlm("eval", "m", "v.txt", "--json", *lanes).out)
        assert measured["nats_per_char"] == pytest.approx(trained, abs=1e-3)
        assert measured["chars"] == 5999


def test_json_prints_one_event_per_line(charlm: Charlm) -> None:
    result = charlm(*RUN, "--steps", "10", "--evaluations", "2", "--json")
    events = [json.loads(line) for line in result.out.splitlines()]
    assert [event["event"] for event in events if event["event"] != "saved"] == [
        "planned", "evaluated", "sampled", "evaluated", "sampled", "ended",
    ]  # fmt: skip
    assert result.err == ""
    assert events[-1]["validation_bits"] == pytest.approx(events[-1]["validation"] / math.log(2))


def test_quiet_prints_nothing(charlm: Charlm) -> None:
    result = charlm(*RUN, "--steps", "5", "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_output_is_named_after_the_text_or_a_path(charlm: Charlm, tmp_path: Path) -> None:
    (tmp_path / "my.poems.txt").write_bytes(HARBOUR.read_bytes())
    assert charlm("train", "my.poems.txt", *TINY, "--steps", "2", "--quiet").code == 0
    assert (tmp_path / "checkpoints" / "my.poems.safetensors").exists()
    assert charlm("train", "my.poems.txt", "-o", "elsewhere/p", *TINY, "--steps", "2", "--quiet").code == 0
    assert (tmp_path / "elsewhere" / "p.safetensors").exists()
    assert (tmp_path / "elsewhere" / "p.run").is_dir()


def test_folder_and_gz_are_read_together(charlm: Charlm, tmp_path: Path) -> None:
    text = HARBOUR.read_text(encoding="utf-8")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text(text[:5000], encoding="utf-8")
    (tmp_path / "folder" / "picture.bin").write_bytes(b"\0" * 100)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text[5000:10_000].encode()))
    result = charlm("train", "folder", "b.txt.gz", "-o", "m", *TINY, "--steps", "2")
    assert result.code == 0
    assert "1 binary file, first" in result.err
    names = [source["name"] for source in checkpoint.load(tmp_path / "checkpoints" / "m.safetensors").record.sources]
    assert names == ["a.txt", "b.txt.gz"]


def test_chat_export_and_bad_files_are_named_in_the_plan(charlm: Charlm, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    chat = "".join(f"12/07/2017, 08:{n} - {'AB'[n % 2]}nn: Is there any soup?\n" for n in range(10, 60))
    (tmp_path / "folder" / "chat.2024.txt").write_text(chat, encoding="utf-8")
    (tmp_path / "folder" / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"caf\xe9\n" * 9)
    command = ("train", "folder", "-o", "m", *TINY, "--steps", "2")
    assert_refused(charlm(*command), 1, "1 of 2 files cannot be read")
    result = charlm(*command, "--skip-bad")
    assert result.code == 0
    assert "export    WhatsApp, 50 messages; without time stamps" in result.err
    assert "dialogue  transcript, 2 speakers: Ann, Bnn" in result.err
    assert "left out  folder/caf\ufffd.txt is not UTF-8" in result.err
    assert charlm("train", "folder/chat.2024.txt", "--format", "plain", *TINY, "--steps", "2", "--json").code == 0
    assert checkpoint.load(tmp_path / "checkpoints" / "chat.2024.safetensors").dialogue.format == "plain"


def test_resume_with_lost_ids_reads_the_text_again(charlm: Charlm, tmp_path: Path) -> None:
    stop_at(charlm, 4, *RUN, "--steps", "8", "--quiet")
    lost = next((tmp_path / "checkpoints" / "m.run").glob("text-*.ids"))
    lost.unlink()
    result = charlm("train", "--resume", "m")
    assert result.code == 0
    assert f"checkpoints/m.run/{lost.name} is missing; the text is read again" in result.err
    assert lost.exists()


@pytest.mark.parametrize("output", ["a.safetensors", "./a", "sub/a"])
def test_output_with_suffix_or_slash_is_a_path(charlm: Charlm, tmp_path: Path, output: str) -> None:
    command = [*RUN[: RUN.index("-o")], "-o", output, *RUN[RUN.index("-o") + 2 :], "--steps", "2", "--quiet"]
    assert charlm(*command).code == 0
    path = (tmp_path / output).with_suffix(".safetensors")
    assert path.exists()
    assert path.with_suffix(".run").is_dir()
    assert not (tmp_path / "checkpoints").exists()


def test_interrupted_reading_needs_no_force(charlm: Charlm, tmp_path: Path) -> None:
    left = tmp_path / "checkpoints" / "m.run" / ".text-0123456789abcdef.ids.x.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    assert charlm(*RUN, "--steps", "2", "--quiet").code == 0
    assert not left.exists()


class TestResume:
    """Interrupting, resuming, starting from."""

    def test_existing_model_is_overwritten_only_by_force(self, charlm: Charlm, tmp_path: Path) -> None:
        assert charlm(*RUN, "--steps", "3", "--quiet").code == 0
        before = (tmp_path / "checkpoints" / "m.safetensors").read_bytes()
        result = charlm(*RUN, "--steps", "3")
        assert_refused(result, 1, "already exists")
        assert "--resume m" in result.err
        assert (tmp_path / "checkpoints" / "m.safetensors").read_bytes() == before
        assert charlm(*RUN, "--steps", "4", "--quiet", "--force").code == 0

    def test_resume_with_other_options_is_refused(self, charlm: Charlm) -> None:
        assert charlm(*RUN, "--steps", "3", "--quiet").code == 0
        for arguments, code, says in (
            (("nothing",), 1, "no run named"),
            (("m", "--hidden", "32"), 2, "--hidden cannot change"),
            (("m", "--minutes", "9"), 2, "--minutes cannot change"),
            (("m", "--from", "m"), 2, "--from cannot change"),
            (("m", HARBOUR), 2, "was begun with"),
            (("m",), 1, "is finished"),
        ):
            assert_refused(charlm("train", "--resume", *arguments), code, says)

    def test_resume_of_a_changed_text_is_refused(self, charlm: Charlm, tmp_path: Path) -> None:
        text = tmp_path / "t.txt"
        text.write_bytes(HARBOUR.read_bytes())
        stop_at(charlm, 10, "train", text, "-o", "m", *TINY, "--steps", "40", "--quiet")
        text.write_bytes(HARBOUR.read_bytes() + b"more")
        assert_refused(charlm("train", "--resume", "m"), 1, "the text has changed")
        text.write_bytes(HARBOUR.read_bytes())
        assert charlm("train", "--resume", "m", "--quiet").code == 0

    def test_resume_after_ctrl_c_is_exact(self, charlm: Charlm, tmp_path: Path) -> None:
        settings = ("--steps", "40", "--evaluations", "8", "--dropout", "0.2", "--weight-drop", "0.1")
        result = stop_at(charlm, 17, *RUN, *settings)
        assert result.code == 130
        assert "stopped at step 17, saved" in result.err
        assert "charlm train --resume m" in result.err
        assert charlm("train", "--resume", "m").code == 0
        assert charlm("train", HARBOUR, "-o", "whole", *TINY, *settings).code == 0
        folder = tmp_path / "checkpoints"
        assert_same_run(folder / "m.safetensors", folder / "whole.safetensors")
        samples = [(folder / run / "samples.txt").read_text() for run in ("m.run", "whole.run")]
        assert samples[0] == samples[1]

    def test_resume_of_standard_input_works(self, charlm: Charlm, pipe: Pipe) -> None:
        pipe(HARBOUR.read_bytes())
        stop_at(charlm, 5, "train", "-", "-o", "piped", *TINY, "--steps", "12", "--quiet")
        assert charlm("train", "--resume", "piped", "--quiet").code == 0

    def test_fine_tuning_keeps_known_characters(self, charlm: Charlm, tmp_path: Path) -> None:
        assert charlm(*RUN, "--steps", "30", "--quiet").code == 0
        (tmp_path / "other.txt").write_text("zażółć gęślą jaźń, he said. Ω\n" * 100, encoding="utf-8")
        result = charlm(
            "train", "other.txt", "--from", "m", "-o", "n", "--steps", "1", "--learning-rate", "1e-9", "--quiet"
        )
        assert result.code == 0
        old, new = (checkpoint.load(tmp_path / "checkpoints" / f"{name}.safetensors") for name in "mn")
        assert set(old.vocabulary.characters) < set(new.vocabulary.characters)
        assert "Ω" in new.vocabulary
        for character in old.vocabulary.characters:
            before, after = (one.vocabulary.encode(character)[0] for one in (old, new))
            for name in ("embedding", "output.w", "output.b"):
                np.testing.assert_allclose(new.tensors[name][after], old.tensors[name][before], atol=1e-6)
        np.testing.assert_allclose(new.tensors["layers.0.w_h"], old.tensors["layers.0.w_h"], atol=1e-6)
        assert new.record.base == "m"
        assert_refused(charlm("train", "other.txt", "--from", "m", "-o", "q", "--hidden", "99"), 2, "hidden")


def in_each_step(patch: pytest.MonkeyPatch, action: Callable[[int], None]) -> None:
    """Call an action in each step of a training, with its number."""
    from charlm.training import loop

    usual, steps = loop.detach, itertools.count(1)

    def detach(state: Any) -> Any:  # called once in each step
        action(next(steps))
        return usual(state)

    patch.setattr(loop, "detach", detach)


def stop_at(charlm: Charlm, step: int, *arguments: str | Path) -> Result:
    """Run, with Ctrl-C during this step."""
    with pytest.MonkeyPatch.context() as patch:
        in_each_step(patch, lambda number: os.kill(os.getpid(), signal.SIGINT) if number == step else None)
        return charlm(*arguments)


def write_bad_inputs(folder: Path) -> None:
    """Files that cannot be trained on."""
    (folder / "empty.txt").touch()
    (folder / "ten.txt").write_text("0123456789")
    (folder / "one.txt").write_text("a" * 5000)
    (folder / "latin.txt").write_bytes("Ein Tag in München. ".encode("latin-1") * 100)
    (folder / "binary").write_bytes(bytes(range(256)) * 10)
    (folder / "nothing").mkdir()
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.png").write_bytes(b"\x89PNG\0\0\0")
    (folder / "broken.gz").write_bytes(gzip.compress(b"hello " * 1000)[:-20])
    (folder / "file").touch()


def test_help_shows_common_options_first_then_groups(charlm: Charlm) -> None:
    lines = charlm("train", "--help").out.splitlines()
    sections = [line.removesuffix(":") for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert sections == [
        "Examples", "Common options", "Text", "Budget", "Model", "Optimisation", "Output", "Options",
    ]  # fmt: skip
    common = lines[lines.index("Common options:") + 1 : lines.index("Text:")]
    assert len([line for line in common if line.startswith("  -")]) == 10
    assert sum("--learning-rate" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "no text to train on"),
        (("missing.txt",), 1, "no file, folder or corpus named 'missing.txt'"),
        (("nothing",), 1, "no text in the folder nothing"),
        (("pictures",), 1, "no text in the folder pictures"),
        (("binary",), 1, "binary is binary data"),
        (("latin.txt",), 1, "latin.txt is not UTF-8: byte 0xFC at offset 12"),
        (("empty.txt",), 1, "empty.txt is empty"),
        (("ten.txt",), 1, "ten.txt has only 10 characters"),
        (("one.txt",), 1, "repeats a single character"),
        (("broken.gz",), 1, "cannot read broken.gz"),
        ((str(HARBOUR), "-o", "file/x"), 1, "cannot write"),
        ((str(HARBOUR), "--hidden", "0"), 2, "'--hidden': 0 is not in the range"),
        ((str(HARBOUR), "--hidden", "many"), 2, "not a valid integer"),
        ((str(HARBOUR), "--layers", "9"), 2, "'--layers': 9 is not in the range"),
        ((str(HARBOUR), "--cell", "lsmt"), 2, "'lsmt' is not one of 'lstm', 'gru', "),
        ((str(HARBOUR), "--lanes", "5000"), 2, "5000 lanes"),
        ((str(HARBOUR), "--minutes", "0"), 2, "'--minutes': 0.0 is not in the range"),
        ((str(HARBOUR), "--minutes", "1", "--steps", "5"), 2, "--minutes and --steps exclude each other"),
        ((str(HARBOUR), "--dropout", "1"), 2, "'--dropout': 1.0 is not in the range"),
        ((str(HARBOUR), "--val-fraction", "1.5"), 2, "'--val-fraction': 1.5 is not in the range"),
        ((str(HARBOUR), "--min-count", "0"), 2, "'--min-count': 0 is not in the range"),
        ((str(HARBOUR), "--encoding", "klingon"), 2, "unknown encoding 'klingon'"),
        ((str(HARBOUR), "--device", "cuda"), 2, "no cuda device here"),
        ((str(HARBOUR), "--from", "nobody"), 1, "no model named 'nobody'"),
        ((str(HARBOUR), "--tied", "--embedding", "8"), 2, "tied weights"),
        ((str(HARBOUR), "--no-such-option"), 2, "No such option"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(charlm: Charlm, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    if says.startswith("no cuda") and pytest.importorskip("torch").cuda.is_available():
        pytest.skip("there is one")
    write_bad_inputs(tmp_path)
    assert_refused(charlm("train", *arguments), code, says)
    assert not list(tmp_path.glob("checkpoints/*.safetensors"))


def test_damaged_model_is_refused_with_a_sentence(charlm: Charlm, model: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / f"{model}.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for arguments in (("sample", model), ("train", HARBOUR, "--from", model, "-o", "x")):
        result = charlm(*arguments)
        assert_refused(result, 1, "not a model file, or")
        assert path.name in result.err
        assert len(result.err.strip().splitlines()) <= 3
    listed = charlm("models")
    assert listed.code == 0
    assert model in listed.out


def test_full_disk_is_reported_and_survived(charlm: Charlm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usual, full = os.fsync, False

    def fsync(handle: int) -> None:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        usual(handle)

    def fill(step: int) -> None:
        nonlocal full
        full = 10 < step <= 20

    monkeypatch.setattr(os, "fsync", fsync)
    in_each_step(monkeypatch, fill)
    result = charlm(*RUN, "--steps", "30", "--evaluations", "2", "--save-every", "0")
    assert result.code == 0
    assert "No space left on device" in result.err
    assert "the files of the last save are unchanged" in result.err
    assert checkpoint.load(tmp_path / "checkpoints" / "m.safetensors").record.steps == 30
    assert not list((tmp_path / "checkpoints").rglob("*.tmp"))


FAULT = 77  # exit code of a process that stopped before a write
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["charlm.training.run", "charlm.cli.dashboard", "matplotlib.figure"])


def _child(arguments: list[str], folder: Path, fault: int = 0) -> None:
    """Run a command quietly; with `fault`, exit just before the file of that number takes its place."""
    os.chdir(folder)
    os.close(2)
    os.open(os.devnull, os.O_WRONLY)
    replace, writes = Path.replace, 0

    def replace_or_exit(path: Path, target: Path) -> Path:
        nonlocal writes
        writes += 1
        if writes == fault:
            os._exit(FAULT)
        return replace(path, target)

    Path.replace = replace_or_exit  # type: ignore[method-assign, assignment]
    os._exit(run(arguments))


def begin_child(arguments: Sequence[str | Path], folder: Path, fault: int = 0) -> BaseProcess:
    process = PROCESSES.Process(target=_child, args=(list(map(str, arguments)), folder, fault))
    process.start()
    return process


def assert_same_run(model: Path, other: Path) -> None:
    assert checkpoint.load(model).fingerprint == checkpoint.load(other).fingerprint
    rows, expected = (read_metrics(path.with_suffix(".run")) for path in (model, other))
    for name in ("step", "epoch", "characters", "train", "validation", "learning_rate", "gradient_norm"):
        assert [row[name] for row in rows] == [row[name] for row in expected]


@pytest.mark.slow
def test_exit_before_each_write_loses_nothing(charlm: Charlm, tmp_path: Path) -> None:
    settings = [*TINY, "--steps", "4", "--evaluations", "2", "--dropout", "0.1", "--quiet"]
    assert charlm("train", HARBOUR, "-o", "whole", *settings).code == 0
    whole = tmp_path / "checkpoints" / "whole.safetensors"
    code, faults = FAULT, 0
    while code == FAULT:
        faults += 1
        name = f"m{faults}"
        process = begin_child(["train", HARBOUR, "-o", name, *settings], tmp_path, faults)
        process.join()
        assert process.exitcode is not None
        code = process.exitcode
        model = tmp_path / "checkpoints" / f"{name}.safetensors"
        if model.exists():
            checkpoint.load(model)
        if code == FAULT:
            resumes = model.with_suffix(".run").joinpath("resume.safetensors").exists()
            rest = ["--resume", name] if resumes else [HARBOUR, "-o", name, *settings, "--force"]
            result = charlm("train", *rest, "--quiet")
            assert result.code == 0 or "is finished" in result.err, result.err  # only the plot was missing
        assert_same_run(model, whole)
    assert code == 0
    assert faults > 10


@pytest.mark.campaign
def test_random_kills_lose_nothing(charlm: Charlm, tmp_path: Path) -> None:
    """SIGKILL at random moments: each file is always whole, and the finished run is bit-exact."""
    count = 25
    settings = [*TINY, "--steps", str(320 * count), "--evaluations", "12", "--dropout", "0.1", "--save-every", "0.05"]
    rng = random.Random(1)
    model, resume_file = (tmp_path / "checkpoints" / name for name in ("m.safetensors", "m.run/resume.safetensors"))

    def resumed_or_begun() -> list[str | Path]:
        resumed = ["train", "--resume", "m"]
        return resumed if resume_file.exists() else ["train", HARBOUR, "-o", "m", *settings, "--force"]

    kills, last_step, slowness = 0, 0, 1.0
    while kills < count:
        process = begin_child(resumed_or_begun(), tmp_path)
        process.join(timeout=slowness * rng.uniform(0.3, 1.2))
        if process.exitcode is not None:
            assert process.exitcode == 0, "it must not fail by itself"
            break
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kills += 1
        if model.exists():
            checkpoint.load(model)
        if resume_file.exists():
            from charlm.training import run_state

            step = run_state.load(resume_file).numbers["progress"]["step"]
            assert step >= last_step, "what was saved is never lost"
            last_step = step
        if last_step == 0 and kills % 3 == 0:  # on a busy machine a child may need longer to reach its first save
            slowness *= 2
    assert kills == count, "the run must be long enough to be killed so often"
    assert charlm(*resumed_or_begun(), "--quiet").code == 0
    assert charlm("train", HARBOUR, "-o", "whole", *settings, "--quiet").code == 0
    assert_same_run(model, model.with_name("whole.safetensors"))
    assert not [path for path in model.parent.rglob("*.ids") if path.stat().st_size == 0]


@pytest.mark.slow
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_in_a_process_saves_or_leaves_at_once(tmp_path: Path, presses: int) -> None:
    process = spawn(*RUN, "--steps", "100000", "--evaluations", "1000", cwd=tmp_path)
    assert process.stderr is not None
    while not (line := process.stderr.readline()).startswith("step "):
        assert line, "it ended before its first evaluation"
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    if presses == 1:
        assert process.returncode == 130
        assert "charlm train --resume m" in err
        assert "Traceback" not in err
    else:
        assert process.returncode in (130, -signal.SIGINT)  # the second may find the interpreter already leaving
    checkpoint.load(tmp_path / "checkpoints" / "m.safetensors")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard's own, not ours
def test_tensorboard_gets_every_evaluation(charlm: Charlm, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert charlm(*RUN, "--steps", "20", "--evaluations", "4", "--tensorboard", "--quiet").code == 0
    events = EventAccumulator(str(tmp_path / "checkpoints" / "m.run" / "tensorboard"))
    events.Reload()
    rows = read_metrics(tmp_path / "checkpoints" / "m.run")[:-1]
    for name in ("train", "validation", "learning_rate", "gradient_norm"):
        assert [scalar.step for scalar in events.Scalars(name)] == [5, 10, 15, 20]
        assert [scalar.value for scalar in events.Scalars(name)] == pytest.approx([float(row[name]) for row in rows])


def test_ctrl_c_while_reading_ends_at_once(charlm: Charlm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from charlm.text import dataset

    def interrupt(*args: Any) -> Iterator[str]:
        os.kill(os.getpid(), signal.SIGINT)
        return read_text(*args)

    read_text = dataset.read_text
    monkeypatch.setattr(dataset, "read_text", interrupt)
    result = charlm(*RUN, "--steps", "5")
    assert result.code == 130
    assert not (tmp_path / "checkpoints" / "m.safetensors").exists()
