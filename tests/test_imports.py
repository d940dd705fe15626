"""Commands start fast: a fresh interpreter imports torch only for training.

A linter sees the imports of a file; only a run shows the effects of lazy ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from charlm import train
from charlm.checkpoint import save
from charlm.cli.main import COMMANDS
from charlm.errors import TrainingError
from charlm.training import CPU_INDEX

from .conftest import PATIENCE, Charlm, random_checkpoint

HEAVY = ("torch", "torch._dynamo", "numpy", "textual", "rich", "matplotlib", "safetensors")

RUN = """
from charlm.cli.main import run
code = run(arguments)
assert code == 0, code
"""


def imported(code: str, folder: Path, *arguments: str) -> set[str]:
    """Return the heavy packages that a fresh interpreter imports while it runs some code."""
    report = folder / "modules.json"
    program = (
        f"import json, sys\narguments = {list(arguments)!r}\n{code}\n"
        f"json.dump(list(sys.modules), open({str(report)!r}, 'w'))\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=folder, env=environment, input="the ferry\n", capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return set(HEAVY) & set(json.loads(report.read_text()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model and a text."""
    (tmp_path / "checkpoints").mkdir()
    save(random_checkpoint(), tmp_path / "checkpoints" / "m.safetensors")
    (tmp_path / "t.txt").write_text("the ferry\nthe town\n", encoding="utf-8")
    (tmp_path / "long.txt").write_text("the ferry\nthe town\n" * 20, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_command_without_subcommand_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    assert imported(RUN, tmp_path, *arguments) == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_no_torch(tmp_path: Path, command: str) -> None:
    assert not imported(RUN, tmp_path, command, "--help") & {"torch", "textual", "rich", "matplotlib"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "m", "-n", "5"),
        ("sample", "m", "-n", "5", "--heat", "--count", "2"),
        ("sample", "m", "-n", "5", "--beam", "2"),
        ("eval", "m", "t.txt"),
        ("score", "m", "t.txt"),
        ("eval", "m", "t.txt", "--dynamic"),
        ("score", "m", "t.txt", "--dynamic"),
        ("sample", "m", "-n", "5", "--learn", "t.txt"),
        ("adapt", "m", "t.txt", "-o", "adapted"),
        ("models",),
        ("models", "show", "m"),
        ("chat", "m", "--length", "5"),
        ("chat", "m", "--plain", "--json", "--length", "5"),
        ("conversations",),
        ("conversations", "list", "--json"),
        ("conversations", "search", "ferry"),
        ("conversations", "path"),
        ("corpora",),
        ("corpora", "show", "kjv"),
        ("completion", "bash"),
        ("xray", "m", "the ferry"),
        ("xray", "m", "the ferry", "--unit", "0:3"),
        ("gradients", "m", "--text", "long.txt", "--steps", "5"),
        ("memory", "m", "long.txt", "--max-context", "8", "--blocks", "2"),
    ],
    ids=" ".join,
)
def test_running_imports_no_torch(folder: Path, arguments: tuple[str, ...]) -> None:
    assert not imported(RUN, folder, *arguments) & {"torch", "textual", "rich", "matplotlib"}


def test_training_imports_no_compiler(folder: Path) -> None:
    assert "torch._dynamo" not in imported(RUN, folder, "train", "long.txt", "--steps", "2", "--from", "none")


def test_app_import_loads_only_textual_and_rich(tmp_path: Path) -> None:
    """The worker that loads the model imports the slow packages, after the first paint."""
    code = "import charlm.tui.app, sys\nassert 'charlm.config' not in sys.modules"
    assert imported(code, tmp_path) == {"textual", "rich"}


def test_server_imports_no_torch(tmp_path: Path) -> None:
    assert not imported("import charlm.serve.run", tmp_path) & {"torch", "textual", "rich", "matplotlib"}


def test_package_imports_nothing_and_model_no_torch(folder: Path) -> None:
    assert imported("import charlm", folder) == set()
    used = "import charlm\nmodel = charlm.load('m')\nassert len(model.generate('the', max_chars=7)) == 7"
    found = imported(used, folder)
    assert "numpy" in found
    assert not found & {"torch", "textual", "rich", "matplotlib"}


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # an import raises, as if torch were not installed
from charlm.cli.main import run
for line in arguments:
    assert run(line.split()) == 0, line
import charlm.tui.app
from starlette.testclient import TestClient
from charlm.config import ServeConfig
from charlm.registry import find_model
from charlm.serve.app import Service
with TestClient(Service([find_model("m")], ServeConfig()).app(), base_url="http://127.0.0.1:8765") as client:
    answer = client.post("/v1/completions", json={"prompt": "the", "max_tokens": 5})
    assert answer.status_code == 200, answer.text
"""


@pytest.mark.slow
def test_all_but_training_works_without_torch(folder: Path) -> None:
    lines = (
        "chat m --plain --length 5",
        "sample m -n 5",
        "eval m t.txt --dynamic",
        "score m t.txt",
        "xray m the",
        "xray m long.txt --find",
        "memory m long.txt --max-context 8 --blocks 2",
        "adapt m t.txt -o adapted",
        "models export m -o m.html",
        "models card m --chars 5",
    )
    imported(WITHOUT_TORCH, folder, *lines)  # checks its exit code


@pytest.mark.parametrize(
    ("receipt", "hint"),
    [
        ("pipx_metadata.json", f"pipx inject charlm torch --index-url {CPU_INDEX}"),
        ("uv-receipt.toml", "uv pip install --python {} --torch-backend cpu torch"),
    ],
)
def test_missing_torch_has_the_command_of_the_installer(
    receipt: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / receipt).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TrainingError) as caught:
        train("t.txt")
    assert caught.value.hint == hint.format(tmp_path)


@pytest.mark.usefixtures("folder")
def test_missing_torch_is_one_sentence(charlm: Charlm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for arguments in (("train", "t.txt"), ("compare", "t.txt"), ("bench",)):
        done = charlm(*arguments)
        assert done.code == 1
        hint = f"pip install torch --index-url {CPU_INDEX}"
        assert done.err == f"error: training needs torch, which is not installed\nhint: {hint}\n"
    with pytest.raises(TrainingError, match="needs torch"):
        train("t.txt")
