"""Commands and examples of README and docs work, and every option that they name exists.

Commands in fenced blocks are run in order within a page, in a folder with the files they name; trainings are cut to two
steps of a tiny model. Commands that need the network, a person or a clock are only checked for their options.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import pytest

from charlm.checkpoint import save
from charlm.cli.main import cli
from charlm.text.dialogue import Dialogue

from .conftest import HARBOUR, TINY, Charlm, random_checkpoint

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:\.venv/bin/)?charlm [^`]+)`")
NOT_RUN = re.compile(r"^make |tail -f|corpora (build|show)|charlm serve|torchrun|<|eval smalltalk --dialogue")


def commands(page: Path) -> list[str]:
    """Return the command lines in fenced blocks of a page, without comments."""
    found = []
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in ("", "sh"):
            lines = block.replace("\\\n", " ").splitlines()
            found += [re.sub(r"\s{2,}#.*", "", line).strip() for line in lines if "charlm " in line]
    return [one for one in found if not one.startswith("#")]


def pythons(page: Path) -> list[str]:
    return [block for language, block in FENCE.findall(page.read_text(encoding="utf-8")) if language == "python"]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with the texts and models that the pages name."""
    text = HARBOUR.read_text(encoding="utf-8")
    (tmp_path / "corpora").mkdir()
    (tmp_path / "letters").mkdir()
    names = "your-text novel page poems letters draft chapter7 tinyshakespeare dream smalltalk"
    others = ["letters/one.txt", "app.log", "today.log", "corpora/harbour.txt", "corpora/python.txt"]
    for place in [*[f"{name}.txt" for name in names.split()], *others]:
        (tmp_path / place).write_text(text[:4000], encoding="utf-8")
    talks = [[f"turn {turn} of talk {talk}" for turn in range(6)] for talk in range(100)]
    (tmp_path / "smalltalk.txt").write_text("\n\n".join("\n".join(turns) for turns in talks), encoding="utf-8")
    (tmp_path / "notes.txt.gz").write_bytes(gzip.compress(text[:4000].encode()))
    (tmp_path / "checkpoints").mkdir()
    characters = "\n" + "".join(sorted(set(text) - {"\n"}))
    dialogues = dict.fromkeys(("novel", "tinyshakespeare", "python"), Dialogue())
    dialogues |= dict.fromkeys(("smalltalk", "nihongo"), Dialogue("lines"))
    dialogues["harbour"] = Dialogue("play", ("FERRYMAN", "KEEPER"))
    dialogues["shakespeare"] = Dialogue("play", ("ROMEO", "JULIET"))
    for name, dialogue in dialogues.items():
        made = replace(random_checkpoint(characters=characters), dialogue=dialogue)
        save(made, tmp_path / "checkpoints" / f"{name}.safetensors")
    return tmp_path


def cut(line: str) -> str:
    """Return the command with a tiny model and two steps."""
    if "charlm train" in line and "--resume" not in line:
        line = re.sub(r" --(minutes|steps|epochs) \S+", "", line)
        kept = [word for word in ("--cell", "--layers") if word in line]
        has_base = "--from" in line.replace("--from none", "")
        line = re.sub(r" --hidden \S+", "", line) if not has_base else line
        tiny = " ".join(TINY if "--layers" not in kept else [*TINY[:2], *TINY[4:]])
        shape = "--lanes 4 --chunk 16 --precision fp32 --threads 1" if has_base else tiny
        line = f"{line} --steps 2 --evaluations 1 --quiet --force {shape}"
    line = re.sub(r"--unit (\d):\d+", r"--unit \1:5", line)  # models of tests are narrow
    if "charlm compare" in line:
        line = re.sub(r" --minutes \S+", "", line)
        line += " --steps 2 --parameters 12000 --lanes 4 --chunk 16 --precision fp32 --threads 1"
    return line


def run_in_shell(line: str, folder: Path) -> None:
    shell = f'charlm() {{ {shlex.quote(sys.executable)} -m charlm "$@"; }}; {line}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", shell], cwd=folder, env=environment, capture_output=True, input=b"hello\n")
    assert done.returncode == 0, f"{line}\n{done.stderr.decode()[-2000:]}"


PIPELINE = re.compile(r"(?:(?P<source>.*) \| )?charlm (?P<arguments>[^|;<>]*)(?: > (?P<target>\S+))?")


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_commands_of_a_page_work(page: Path, study: Path, charlm: Charlm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLM_SAMPLE_CHARS", "20")
    monkeypatch.setenv("CHARLM_CHAT_LENGTH", "20")
    lines = [cut(line.replace(".venv/bin/", "")) for line in commands(page) if not NOT_RUN.search(line)]
    as_process = next((line for line in lines if " train " not in line), None)
    for line in lines:
        if line is as_process:
            run_in_shell(line, study)
            continue
        parts = PIPELINE.fullmatch(line)
        assert parts, f"{page.name}: write {line} as one pipeline that ends with charlm"
        source = parts["source"] or "echo 'hello there'"  # for the chats
        data = subprocess.run(["sh", "-c", source], cwd=study, capture_output=True, check=True).stdout
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        result = charlm(*shlex.split(parts["arguments"]))
        assert result.code == 0, f"{line}\n{result.err[-2000:]}"
        if parts["target"]:
            (study / parts["target"]).write_text(result.out, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if pythons(page)], ids=lambda page: page.name)
def test_python_examples_of_a_page_work(page: Path, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "\n".join(pythons(page)).replace("minutes=5", "steps=2, hidden=16, layers=1, lanes=4, chunk=16")
    code = code.replace('charlm.load("novel")', 'charlm.load("harbour")')  # one that has turns, for the chat
    monkeypatch.chdir(study)
    exec(code, {})


def test_options_of_a_page_exist() -> None:
    checked = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for line in [*commands(page), *INLINE.findall(text)]:
            for part in re.split(r"[|;&]", line):
                words = part.replace(".venv/bin/charlm", "charlm").split()
                if "charlm" in words:
                    check(words[words.index("charlm") + 1 :], f"{page.name}: {line}")
                    checked += 1
    assert checked > 50


def check(words: list[str], where: str) -> None:
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            assert command is not cli, f"{where}: no command {words[0]}"
            break
        command, words = found, words[1:]
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)} | {"--help", "-h"}
    for word in words:
        if re.fullmatch(r"--?[a-z][a-z-]*(=.*)?", word):
            assert word.split("=")[0] in known, f"{where}: no option {word}"


SCRIPTS = [*sorted((ROOT / "docs").rglob("*.py")), *sorted((ROOT / "tests" / "benchmarks").glob("[a-z]*.py"))]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_import(script: Path) -> None:
    runpy.run_path(str(script), run_name="imported")


def test_paths_named_in_contributing_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").replace("NAME.py", "")
    names = set(re.findall(r"[\w./-]*\w(?:\.py|\.toml|\.md|\.txt|/(?=[\s`]))", text))
    paths = [*ROOT.glob("*"), *(path for top in ("charlm", "tests", "docs") for path in (ROOT / top).rglob("*"))]
    known = [f"/{path.relative_to(ROOT)}" for path in paths]
    assert len(names) > 60
    assert [name for name in sorted(names) if not any(path.endswith(f"/{name.strip('/')}") for path in known)] == []
