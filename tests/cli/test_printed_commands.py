"""Every command that charlm prints works as printed, in the folder where it was printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from .conftest import HARBOUR, TINY, Charlm, Result

PRINTED = re.compile(
    r"(?:next|resume|hint): +(?:.*with )?(charlm .*|--(?:resume|from) .*?)(?=, or | and another|$)", re.M
)


def printed(result: Result) -> list[str]:
    """Return the arguments of the one command or option that was printed."""
    (command,) = PRINTED.findall(result.err)
    return shlex.split(command.removeprefix("charlm "))


@pytest.mark.parametrize(
    ("output", "model"),
    [
        ("first", "checkpoints/first"),
        ("out/first", "out/first"),
        ("out/my first.v2", "out/my first.v2"),
        ("first.safetensors", "first"),
        ("-x", "checkpoints/-x"),
        ("text", "checkpoints/text"),  # a file of that name is here
        ("out/text", "out/text"),
        ("{here}/it's", "it's"),
        ("checkpoints/sub/first", "checkpoints/sub/first"),
    ],
)
def test_commands_of_a_run_work_as_printed(charlm: Charlm, tmp_path: Path, output: str, model: str) -> None:
    (tmp_path / "out").mkdir()
    for text in ("text", "out/text"):
        (tmp_path / text).write_bytes(HARBOUR.read_bytes())
    train = ("train", "text", f"-o{output.format(here=tmp_path)}", *TINY, "--steps", "2")
    trained = charlm(*train)
    assert trained.code == 0, trained.err
    assert (tmp_path / f"{model}.safetensors").exists()
    sampled = charlm(*printed(trained), "-n", "5")
    assert (sampled.code, len(sampled.out.removesuffix("\n")) in (4, 5)) == (0, True), sampled.err
    finished = charlm("train", *printed(charlm(*train)))
    assert "is finished" in finished.err
    more = charlm("train", "text", "-o", "more", *printed(finished), "--steps", "2")
    assert more.code == 0, more.err


def test_command_of_a_stopped_run_works_as_printed(
    charlm: Charlm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from charlm.training.loop import Trainer

    step = Trainer._step

    def stop(trainer: Trainer, rate: float) -> float:
        trainer.request_stop()
        return step(trainer, rate)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_step", stop)
        stopped = charlm("train", HARBOUR, "-o", "out/my first", *TINY, "--steps", "2")
    assert stopped.code == 130
    resumed = charlm(*printed(stopped))
    assert resumed.code == 0, resumed.err
    assert charlm(*printed(resumed), "-n", "5").code == 0


def test_command_to_build_a_corpus_is_that_of_the_list(charlm: Charlm) -> None:
    shown = charlm("corpora", "show", "kjv")
    assert shown.err == "it is not built yet; charlm corpora build kjv\n"
    assert charlm("train", "kjv").err.endswith("hint: charlm corpora build kjv\n")
    assert "charlm corpora build kjv" in charlm("corpora", "build", "--help").out
