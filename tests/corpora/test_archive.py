"""Texts are read out of archives in memory, in a fixed order; errors are one sentence."""

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


@pytest.mark.parametrize(("make", "name"), [(zipped, "x.whl"), (tarred, "x.tar.gz")])
class TestBothKinds:
    """A wheel and an sdist read alike."""

    def test_what_matches_is_read_in_order(
        self, make: Callable[[Path, Mapping[str, str]], Path], name: str, tmp_path: Path
    ) -> None:
        path = make(tmp_path / name, FILES)
        assert archive.texts(path, ["p/*.txt"]) == [
            ("p/a.txt", "ä"),
            ("p/b.txt", "b\r\n"),
            ("p/sub/c.txt", "c"),
        ]
        assert archive.texts(path, ["p/sub/*", "p/a.txt"]) == [("p/sub/c.txt", "c"), ("p/a.txt", "ä")]
        assert list(tmp_path.iterdir()) == [path], "nothing is unpacked"

    def test_nothing_that_matches_is_an_error(
        self, make: Callable[[Path, Mapping[str, str]], Path], name: str, tmp_path: Path
    ) -> None:
        with pytest.raises(CorpusError, match=r"no file that matches q/\*"):
            archive.texts(make(tmp_path / name, FILES), ["q/*"])

    def test_a_path_out_of_the_archive_is_not_read(
        self, make: Callable[[Path, Mapping[str, str]], Path], name: str, tmp_path: Path
    ) -> None:
        path = make(tmp_path / name, {"../../evil.txt": "x", "good.txt": "y"})
        assert archive.texts(path, ["*.txt"]) == [("good.txt", "y")]

    def test_other_encodings_are_said(
        self, make: Callable[[Path, Mapping[str, bytes]], Path], name: str, tmp_path: Path
    ) -> None:
        with pytest.raises(CorpusError, match=r"a\.txt in x\..* is not UTF-8: byte 0xE4"):
            archive.texts(make(tmp_path / name, {"a.txt": b"\xe4"}), ["*"])

    def test_a_bomb_is_not_read_to_its_end(
        self,
        make: Callable[[Path, Mapping[str, str]], Path],
        name: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        path = make(tmp_path / name, {"a.txt": "x" * 600, "b.txt": "y" * 600})
        assert len(archive.texts(path, ["a.txt"], max_bytes=1000)) == 1
        with pytest.raises(CorpusError, match="more than 1,000 bytes"):
            archive.texts(path, ["*"], max_bytes=1000)

    def test_damage_is_said(self, make: Callable[[Path, Mapping[str, str]], Path], name: str, tmp_path: Path) -> None:
        path = make(tmp_path / name, {"a.txt": "over and back " * 5000})
        data = bytearray(path.read_bytes())
        for at in range(60, 120):
            data[at] ^= 0xFF
        path.write_bytes(data)
        with pytest.raises(CorpusError, match=f"{name}"):
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


def test_a_file_that_is_no_archive_is_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("over", encoding="utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"back"))
    assert archive.texts(tmp_path / "a.txt", ["*"]) == [("a.txt", "over")]
    assert archive.texts(tmp_path / "b.txt.gz", ["*"]) == [("b.txt", "back")]
