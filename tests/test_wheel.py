"""The wheel: what a person who does not clone gets."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from charlm.checkpoint import load
from charlm.html.export import SCRIPTS
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
def test_installed_wheel_works_in_any_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE)
    (wheel,) = (tmp_path / "dist").iterdir()
    assert wheel.stat().st_size < LARGEST_WHEEL
    with zipfile.ZipFile(wheel) as archive:
        tables = {path.relative_to(ROOT).as_posix() for path in (ROOT / "charlm").rglob("*.toml")}
        page = {f"charlm/html/{name}" for name in (*SCRIPTS, "page.html", "style.css")}
        assert set(included().values()) | tables | page <= set(archive.namelist())
        archive.extractall(tmp_path / "site")
    home = {"CHARLM_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path / "site")}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for arguments, typed in (
        (["chat", "--plain", "--no-save"], "hello\n"),
        (["sample", "-n", "20", "--seed", "1"], ""),
        (["models"], ""),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "charlm", *arguments],
            cwd=elsewhere,
            env={**os.environ, **home},
            input=typed,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
        assert "smalltalk" in done.stdout or arguments[0] != "models"
