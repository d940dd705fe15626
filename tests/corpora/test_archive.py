"""Texts are read from archives in memory, in a fixed order; errors are one sentence."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from charlm.corpora import archive
from charlm.errors import CorpusError

from .conftest import tarred, zipped

FILES = {"p/b.txt": "b\r\n", "p/a.txt": "\ufeffä", "p/sub/c.txt": "c", "p/a.py": "1/0", "LICENCE": "free"}
Make = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture(params=[(zipped, "x.whl"), (tarred, "x.tar.gz")], ids=["wheel", "sdist"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """A function that makes an archive, the only file in `tmp_path`."""
    write, name = request.param
    return lambda files: write(tmp_path / name, files)


def test_texts_come_in_order_of_patterns_then_paths(make: Make, tmp_path: Path) -> None:
    path = make(FILES)
    assert archive.texts(path, ["p/*.txt"]) == [("p/a.txt", "ä"), ("p/b.txt", "b\r\n"), ("p/sub/c.txt", "c")]
    assert archive.texts(path, ["p/sub/*", "p/a.txt"]) == [("p/sub/c.txt", "c"), ("p/a.txt", "ä")]
    assert list(tmp_path.iterdir()) == [path], "nothing is unpacked"


def test_path_outside_the_archive_is_not_read(make: Make) -> None:
    assert archive.texts(make({"../../evil.txt": "x", "good.txt": "y"}), ["*.txt"]) == [("good.txt", "y")]


@pytest.mark.parametrize(
    ("files", "pattern", "message"),
    [
        (FILES, "q/*", r"no file that matches q/\*"),
        ({"a.txt": b"\xe4"}, "*", r"a\.txt in x\..* is not UTF-8: byte 0xE4"),
    ],
)
def test_unusable_files_raise(make: Make, files: Mapping[str, str | bytes], pattern: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        archive.texts(make(files), [pattern])


def test_archive_over_the_size_limit_raises(make: Make) -> None:
    path = make({"a.txt": "x" * 600, "b.txt": "y" * 600})
    assert len(archive.texts(path, ["a.txt"], max_bytes=1000)) == 1
    with pytest.raises(CorpusError, match="more than 1,000 bytes"):
        archive.texts(path, ["*"], max_bytes=1000)


def test_damaged_archive_raises_with_its_name(make: Make) -> None:
    path = make({"a.txt": "over and back " * 5000})
    data = bytearray(path.read_bytes())
    for at in range(60, 120):
        data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(CorpusError, match=path.name):
        archive.texts(path, ["*"])


def test_links_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("passwd.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        plain = tarfile.TarInfo("a.txt")
        plain.size = 1
        tar.addfile(plain, io.BytesIO(b"a"))
    assert archive.texts(tmp_path / "x.tar.gz", ["*"]) == [("a.txt", "a")]


def test_file_that_is_no_archive_is_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("over", encoding="utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"back"))
    assert archive.texts(tmp_path / "a.txt", ["*"]) == [("a.txt", "over")]
    assert archive.texts(tmp_path / "b.txt.gz", ["*"]) == [("b.txt", "back")]
