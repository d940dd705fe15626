"""The wheel: what a person who does not clone gets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from pathlib import Path

import pytest

from charlm.checkpoint import load
from charlm.html.export import SCRIPTS, SERVED_SCRIPTS
from charlm.registry import BUNDLED
from tests.conftest import PATIENCE

ROOT = Path(__file__).parents[1]
LARGEST_MODEL, LARGEST_MATCHER, LARGEST_WHEEL = 8_000_000, 2_000_000, 45_000_000  # bytes


def included() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    targets: dict[str, str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    return targets


def test_bundled_models_are_small_and_complete() -> None:
    for source, target in included().items():
        path = ROOT / source
        assert target == f"charlm/checkpoints/{path.name}"
        assert path.stem in BUNDLED
        model = load(path)
        assert path.stat().st_size < LARGEST_MODEL + (LARGEST_MATCHER if model.matching else 0)
        assert model.record.validation is not None
        assert model.statistics is not None, "it could not learn at once"
        assert not any("/" in source["name"] for source in model.record.sources)


@pytest.mark.slow
def test_installed_wheel_works_without_torch(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE)
    (wheel,) = (tmp_path / "dist").iterdir()
    assert wheel.stat().st_size < LARGEST_WHEEL
    with zipfile.ZipFile(wheel) as archive:
        tables = {path.relative_to(ROOT).as_posix() for path in (ROOT / "charlm").rglob("*.toml")}
        page = {f"charlm/html/{name}" for name in (*SCRIPTS, *SERVED_SCRIPTS, "page.html", "style.css")}
        assert set(included().values()) | tables | page <= set(archive.namelist())
        archive.extractall(tmp_path / "site")
    # A Python without torch: an import raises.
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys; sys.modules['torch'] = None", encoding="utf-8")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "t.txt").write_text("It was a fine day.\n" * 20, encoding="utf-8")

    def start(*arguments: str) -> subprocess.Popen[str]:
        home = {"CHARLM_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path / "site")}
        command, pipe = [sys.executable, "-m", "charlm", *arguments], subprocess.PIPE
        environment = {**os.environ, **home}
        return subprocess.Popen(
            command, cwd=elsewhere, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    for line in (
        "chat --plain --no-save",
        "sample -n 20 --seed 1",
        "models",
        "eval smalltalk t.txt --dynamic",
        "score smalltalk t.txt",
        "xray smalltalk hello",
        "adapt smalltalk t.txt -o adapted",
    ):
        with start(*line.split()) as process:
            out, err = process.communicate("hello\n" * line.startswith("chat"), PATIENCE)
        assert process.returncode == 0, err
        assert out.strip(), line
        assert "smalltalk" in out or line != "models"
    with start("train", "t.txt") as process:
        assert "needs torch" in process.communicate(timeout=PATIENCE)[1]
    with start("serve", "smalltalk", "--port", "0") as process:
        assert process.stderr is not None
        found = re.search(r"(http://\S+)/v1", process.stderr.readline())
        assert found
        with urllib.request.urlopen(found[1], timeout=PATIENCE) as page:
            assert b"class ServedModel" in page.read()
        with urllib.request.urlopen(f"{found[1]}/v1/completions", b'{"max_tokens": 3}', PATIENCE) as answer:
            assert len(json.load(answer)["choices"][0]["text"]) == 3
        process.terminate()
