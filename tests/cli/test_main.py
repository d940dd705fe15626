"""The `charlm` command itself: help, exit codes, sentences, the environment, completion."""

from __future__ import annotations

import errno
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

import charlm as package
from charlm.cli.common import stop_on_interrupt
from charlm.cli.main import COMMANDS, cli
from tests.conftest import PATIENCE

from .conftest import Charlm, SaveModel
from .terminal import environment, into_head, run_charlm

# Help


def test_help_shows_examples_then_every_command(charlm: Charlm) -> None:
    result = charlm("--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.index("Examples:") < result.out.index("Options:") < result.out.index("Commands:")
    for name, meaning in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(meaning)}$", result.out, re.MULTILINE)
    assert charlm("-h").out == result.out


@pytest.mark.parametrize("name", COMMANDS)
def test_command_help_shows_examples_first(charlm: Charlm, name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    parts = {name: command} | {f"{name} {part}": one for part, one in getattr(command, "commands", {}).items()}
    for words, part in parts.items():
        result = charlm(*words.split(), "--help")
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith(f"Usage: charlm {words} ")
        assert f"charlm {words}" in result.out[result.out.index("Examples:") : result.out.index("Options:")]
        assert charlm(*words.split(), "-h").out == result.out
        assert all(one.help for one in part.params if isinstance(one, click.Option))
        if words == "models":
            assert re.search("^  show +Print", result.out, re.MULTILINE)


def test_version_option_prints_the_version(charlm: Charlm) -> None:
    assert charlm("--version").out == f"charlm, version {package.__version__}\n"


# What goes wrong


@pytest.mark.parametrize(
    ("said", "meant"), [("sampel", "sample"), ("trian", "train"), ("model", "models"), ("scores", "score")]
)
def test_unknown_command_suggests_the_nearest(charlm: Charlm, said: str, meant: str) -> None:
    result = charlm(said)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"error: no command {said!r}\nhint: did you mean {meant}?\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "Commands:"),
        (("qqqqqqqq",), 2, "charlm --help lists them"),
        (("completion", "tcsh"), 2, "'bash', 'zsh', 'fish'"),
        (("sample", "It was a dark night. " * 1000), 1, "no model named"),
    ],
)
def test_wrong_use_is_explained(charlm: Charlm, arguments: tuple[str, ...], code: int, says: str) -> None:
    result = charlm(*arguments)
    assert result.code == code
    assert says in result.out + result.err
    assert "Traceback" not in result.err


BROKEN = "something broke inside charlm"


def break_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("charlm.cli.models.model_cards", broken)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (AssertionError("no"), 1, f"error: {BROKEN}: AssertionError: no\nhint: charlm --debug ... shows where"),
        (PermissionError(errno.EACCES, "No entry", "secret\x1b[2J"), 1, "error: secret\u241b[2J: No entry"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
    ],
)
def test_broken_command_prints_one_sentence(
    charlm: Charlm, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, says: str
) -> None:
    break_with(monkeypatch, error)
    result = charlm("models")
    assert (result.code, result.out, result.err.strip()) == (code, "", says)


@pytest.mark.parametrize("way", ["option", "environment"])
@pytest.mark.parametrize("error", [AssertionError("ours"), package.CharlmError("yours"), OSError(errno.ENOSPC, "full")])
def test_debug_raises_the_error(charlm: Charlm, monkeypatch: pytest.MonkeyPatch, way: str, error: Exception) -> None:
    break_with(monkeypatch, error)
    assert charlm("models").code == 1
    if way == "environment":
        monkeypatch.setenv("CHARLM_DEBUG", "1")
    with pytest.raises(type(error), match=str(error.args[-1])):
        charlm(*["--debug"] * (way == "option"), "models")


def test_debug_shows_a_traceback(tmp_path: Path) -> None:
    for arguments, shown in ((["--debug", "sample", "nobody"], True), (["sample", "nobody"], False)):
        done = run_charlm(*arguments, cwd=tmp_path)
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) == shown
        assert "no model named 'nobody'" in done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_output_that_is_not_utf_8_gets_stand_ins(save_model: SaveModel, tmp_path: Path, encoding: str) -> None:
    save_model("kana", characters="\nあい")
    variables = environment(PYTHONUTF8="0", PYTHONIOENCODING=encoding)
    for arguments in (("models", "show", "kana"), ("sample", "kana", "-n", "40", "--seed", "1")):
        done = run_charlm(*arguments, cwd=tmp_path, env=variables)
        assert (done.returncode, "??" in done.stdout) == (0, True), done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_full_disk_prints_one_sentence(model: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = run_charlm("sample", model, "--seed", "1", cwd=tmp_path, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


@pytest.mark.parametrize("arguments", [("--help",), ("sample", "--help"), ("completion", "bash")])
def test_closed_pipe_is_not_an_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    piped = into_head(*arguments, cwd=tmp_path, bytes_read=1)
    assert piped.err == ""
    assert piped.codes[0] in (0, 141)


# The environment


def test_environment_sets_options(charlm: Charlm, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = charlm("sample", model, "-n", "30", "--seed", "4", "-t", "1.5", "--no-echo", "-p", "the ")
    for name, value in {"CHARS": "30", "SEED": "4", "TEMPERATURE": "1.5", "ECHO": "0", "PROMPT": "the "}.items():
        monkeypatch.setenv(f"CHARLM_SAMPLE_{name}", value)
    assert charlm("sample", model).out == said.out
    assert charlm("sample", model, "--seed", "5").out != said.out, "the command line counts more"
    monkeypatch.setenv("CHARLM_SAMPLE_TOP_P", "7")
    assert charlm("sample", model).code == 2
    monkeypatch.setenv("CHARLM_MODELS_SHOW_JSON", "1")
    assert charlm("models", "show", model).out.startswith("{")
    monkeypatch.setenv("CHARLM_MODELS_JSON", "1")
    assert charlm("models").out.startswith("[")


def test_environment_has_flag_name(charlm: Charlm, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("a.txt", "b.md"):
        (tmp_path / "folder" / name).write_text("the ferry")
    for command in ("EVAL", "SCORE", "SAMPLE"):
        monkeypatch.setenv(f"CHARLM_{command}_JSON", "1")
    monkeypatch.setenv("CHARLM_EVAL_GLOB", "*.md")
    monkeypatch.setenv("CHARLM_SAMPLE_TOP_K", "1")
    assert [one["path"] for one in json.loads(charlm("eval", model, "folder").out)["files"]] == ["folder/b.md"]
    assert json.loads(charlm("score", model, "folder/a.txt").out)["line"] == 1
    greedy = json.loads(charlm("sample", model, "--seed", "1").out)
    monkeypatch.setenv("CHARLM_SAMPLE_TOP_K", "0")
    assert json.loads(charlm("sample", model, "-t", "0", "--seed", "1").out)["text"] == greedy["text"]


def test_environment_flag_accepts_0(charlm: Charlm, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = charlm("sample", model, "--seed", "4").out
    monkeypatch.setenv("CHARLM_SAMPLE_JSON", "0")
    assert charlm("sample", model, "--seed", "4").out == plain


# Completion


@pytest.mark.parametrize(("shell", "mark"), [("bash", "complete -o"), ("zsh", "#compdef charlm"), ("fish", "complete")])
def test_completion_prints_a_script(charlm: Charlm, shell: str, mark: str) -> None:
    result = charlm("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert mark in result.out
    assert f"_CHARLM_COMPLETE={shell}_complete" in result.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("charlm sa", {"sample"}),
        ("charlm sample no", {"noise"}),
        ("charlm models show no", {"noise"}),
        ("charlm sample --top-", {"--top-k", "--top-p"}),
        ("charlm score noise --order ", {"line", "max", "mean", "total", "words"}),
    ],
)
def test_completion_finds_words(model: str, tmp_path: Path, words: str, expected: set[str]) -> None:
    assert model == "noise"
    asked = {"_CHARLM_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", "from charlm.cli.main import main; main()"],
        cwd=tmp_path, env=environment(**asked), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stderr == ""
    found = {line.partition(",")[2] for line in done.stdout.splitlines() if line.startswith("plain,")}
    assert found == expected


def test_completion_script_is_valid_bash(charlm: Charlm, tmp_path: Path) -> None:
    script = charlm("completion", "bash").out
    check = subprocess.run(["bash", "-n"], input=script, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert (check.returncode, check.stderr) == (0, "")


# Ways in


def test_entry_points_behave_the_same(tmp_path: Path) -> None:
    ways = [[sys.executable, "-m", "charlm"], [sys.executable, "-c", "from charlm.cli.main import main; main()"]]
    if (script := Path(sys.executable).parent / "charlm").exists():
        ways.append([str(script)])
    outs = [
        subprocess.run(
            [*way, "models"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE
        )
        for way in ways
    ]
    assert {(one.returncode, one.stdout, one.stderr) for one in outs} == {(0, outs[0].stdout, "")}
    assert "smalltalk" in outs[0].stdout, "a folder without models and a home of its own hide no bundled model"


def test_exit_codes_reach_the_shell(tmp_path: Path) -> None:
    for arguments, code in ((["--help"], 0), (["sample", "nobody"], 1), (["sample", "-n", "-1"], 2), (["nothing"], 2)):
        assert run_charlm(*arguments, cwd=tmp_path).returncode == code


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_a_long_command_unless_it_was_ignored(number: signal.Signals) -> None:
    stops: list[str] = []
    before = signal.getsignal(number)
    try:
        for handler, expected in ((signal.default_int_handler, ["stop"]), (signal.SIG_IGN, [])):
            signal.signal(number, handler)
            stops.clear()
            with stop_on_interrupt(lambda: stops.append("stop")):
                signal.raise_signal(number)
            assert stops == expected
            assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
