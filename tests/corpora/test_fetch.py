"""Files are fetched by pip or from an address, and another file than the known one is refused.

pip is real here but asks a folder instead of an index; addresses are of a server that a test starts on the loopback.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from charlm.corpora import catalogue, fetch
from charlm.corpora.catalogue import CorpusSource
from charlm.errors import CharlmError, CorpusError, NotFoundError, OutputError

from .conftest import sha256, source, tarred, zipped

TEXT = b"The ferry goes over.\n" * 500


@pytest.fixture
def to(tmp_path: Path) -> Path:
    """An empty folder to fetch into."""
    path = tmp_path / "to"
    path.mkdir()
    return path


class TestIndex:
    """Packages, by pip."""

    @pytest.fixture
    def index(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder that pip takes packages from, and nowhere else."""
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        folder = tmp_path / "index"
        folder.mkdir()
        for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}.items():
            monkeypatch.setenv(name, value)
        return folder

    @pytest.fixture
    def wheel(self, index: Path) -> Path:
        """A package in that folder, which would tell if it were imported."""
        about = "harbour_text-1.0.dist-info"
        files = {
            "harbour_text/a.txt": "Over and back.\n",
            "harbour_text/__init__.py": "raise SystemExit('imported')\n",
            f"{about}/METADATA": "Metadata-Version: 2.1\nName: harbour-text\nVersion: 1.0\nRequires-Python: >=99\n"
            "Requires-Dist: nothing-of-this-name\n",
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        hashes = {
            name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            for name, text in files.items()
        }
        record = "".join(f"{name},sha256={digest},\n" for name, digest in hashes.items()) + f"{about}/RECORD,,\n"
        return zipped(index / "harbour_text-1.0-py3-none-any.whl", files | {f"{about}/RECORD": record})

    def known(self, wheel: Path) -> CorpusSource:
        return source(wheel, package="harbour-text", version="1.0")

    def test_a_wheel_is_brought_and_nothing_of_it_is_installed(self, wheel: Path, to: Path) -> None:
        path = fetch.download(self.known(wheel), to)
        assert path.read_bytes() == wheel.read_bytes()
        assert path.parent.parent == to

    def test_an_sdist_whose_backend_cannot_run_here(self, index: Path, to: Path) -> None:
        files = {
            "PKG-INFO": "Metadata-Version: 2.1\nName: tide-text\nVersion: 1.0\n",
            "pyproject.toml": '[build-system]\nrequires = ["no_compiler"]\nbuild-backend = "no_compiler"\n'
            '[project]\nname = "tide-text"\nversion = "1.0"\n',
            "tides.txt": "In and out.\n",
        }
        sdist = tarred(index / "tide_text-1.0.tar.gz", {f"tide_text-1.0/{name}": text for name, text in files.items()})
        known = source(sdist, package="tide-text", version="1.0", kind="sdist", backend="no_compiler")
        assert fetch.download(known, to).read_bytes() == sdist.read_bytes()

    def test_another_file_is_refused(self, wheel: Path, to: Path) -> None:
        with pytest.raises(CorpusError, match=r"harbour-text 1\.0 with another sha256 than charlm knows"):
            fetch.download(replace(self.known(wheel), sha256="0" * 64), to)

    def test_a_package_that_is_not_there(self, wheel: Path, to: Path) -> None:
        with pytest.raises(CorpusError, match=r"the package index has no wheel of harbour-text 2\.0"):
            fetch.download(replace(self.known(wheel), version="2.0"), to)

    def test_no_connection(self, wheel: Path, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PIP_NO_INDEX", "0")
        monkeypatch.setenv("PIP_FIND_LINKS", "")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(CorpusError, match=r"no connection to the package index .*: connection refused") as caught:
            fetch.download(self.known(wheel), to)
        assert "--from FOLDER" in str(caught.value.hint)

    @pytest.mark.parametrize(
        ("said", "kind", "message"),
        [
            ("/usr/bin/python: No module named pip", CorpusError, "this Python has no pip"),
            ("ERROR: OSError: [Errno 28] No space left on device", OutputError, "no room"),
            ("WARNING: Retrying (...) Temporary failure in name resolution\nERROR: No matching", CorpusError,
             "no connection to the package index for harbours 1: temporary failure in name resolution"),
            ("WARNING: x\nERROR: hats are wrong\nmore", CorpusError, "pip could not fetch harbours 1: hats are wrong"),
            ("", CorpusError, "pip could not fetch harbours 1: no message"),
        ],
    )  # fmt: skip
    def test_what_pip_says_comes_to_a_sentence(self, said: str, kind: type[CharlmError], message: str) -> None:
        found = fetch._pip_error(CorpusSource("CC0", "nobody", package="harbours", version="1", sha256="0" * 64), said)
        assert isinstance(found, kind)
        assert message in found.message
        assert "\n" not in found.message
        assert found.hint

    @pytest.mark.skipif(
        os.environ.get("CHARLM_TEST_NETWORK") != "1", reason="CHARLM_TEST_NETWORK=1 asks the real index"
    )
    @pytest.mark.parametrize(
        "name", [name for name, recipe in catalogue.built_in().items() if recipe.sources[0].package]
    )
    def test_the_built_in_packages_are_there(self, name: str, tmp_path: Path) -> None:
        for number, one in enumerate(catalogue.built_in()[name].sources):
            folder = tmp_path / str(number)
            folder.mkdir()
            assert sha256(fetch.download(one, folder)) == one.sha256


def test_a_folder_of_files_serves_by_sha256(tmp_path: Path, to: Path) -> None:
    files = tmp_path / "files"
    (files / "sub").mkdir(parents=True)
    for name in ("a.whl", "b.whl"):
        (files / name).write_text(name, encoding="utf-8")
    take = fetch.from_folder(files)
    assert take(source(files / "b.whl"), to) == files / "b.whl"
    with pytest.raises(NotFoundError, match=r"no file with the sha256 of some-text 1\.0"):
        take(replace(source(files / "b.whl"), sha256="0" * 64), to)
    with pytest.raises(NotFoundError):
        fetch.from_folder(tmp_path / "nowhere")(source(files / "b.whl"), to)


class Handler(http.server.BaseHTTPRequestHandler):
    """A text at /text.txt, and ways to get at it or not."""

    asked: list[tuple[str, dict[str, str], bytes]]

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).asked.append((self.path, dict(self.headers), body))
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


class TestAddress:
    """Plain files, from an address."""

    @pytest.fixture
    def server(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
        """The address of a server on the loopback, which ends with the test."""
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            monkeypatch.delenv(name)
        Handler.asked = []
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
            thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            try:
                yield f"http://127.0.0.1:{running.server_port}"
            finally:
                running.shutdown()
                thread.join()

    def at(self, address: str, size: int = 10**6) -> CorpusSource:
        return CorpusSource("CC0", "nobody", url=address, sha256=hashlib.sha256(TEXT).hexdigest(), bytes=size)

    def test_a_text_is_brought_and_nothing_is_told(self, server: str, to: Path) -> None:
        path = fetch.download(self.at(f"{server}/text.txt"), to)
        assert path == to / "text.txt"
        assert path.read_bytes() == TEXT
        [(_, headers, body)] = Handler.asked
        assert set(headers) <= {"Host", "User-Agent", "Accept-Encoding", "Connection"}
        assert headers["User-Agent"] == "charlm"
        assert body == b""

    def test_a_redirect_is_followed_on_the_web_only(self, server: str, to: Path) -> None:
        assert fetch.download(self.at(f"{server}/moved"), to).read_bytes() == TEXT
        with pytest.raises(CorpusError, match=r"file:///etc/passwd.* is not allowed"):
            fetch.download(self.at(f"{server}/moved-out"), to)

    def test_another_file_is_refused(self, server: str, to: Path) -> None:
        with pytest.raises(CorpusError, match="is not the one that charlm knows") as caught:
            fetch.check(replace(self.at(""), sha256="0" * 64), fetch.download(self.at(f"{server}/text.txt"), to))
        assert "sha256" in caught.value.message

    @pytest.mark.parametrize("size", [1, len(TEXT) - 1])
    def test_what_is_larger_than_it_may_be_is_not_read_to_its_end(self, server: str, to: Path, size: int) -> None:
        with pytest.raises(CorpusError, match=f"larger than its limit of {size:,} bytes"):
            fetch.download(self.at(f"{server}/text.txt", size), to)

    def test_the_very_size_is_allowed(self, server: str, to: Path) -> None:
        assert fetch.download(self.at(f"{server}/text.txt", len(TEXT)), to).read_bytes() == TEXT

    def test_what_is_not_there(self, server: str, to: Path) -> None:
        with pytest.raises(CorpusError, match=r"/none answered 404"):
            fetch.download(self.at(f"{server}/none"), to)

    def test_a_connection_that_breaks(self, server: str, to: Path) -> None:
        with pytest.raises(CorpusError, match="the connection broke"):
            fetch.download(self.at(f"{server}/text.txt?short"), to)

    def test_nobody_answers(self, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            monkeypatch.delenv(name)
        with pytest.raises(CorpusError, match=r"cannot fetch http://127\.0\.0\.1:9/x: .*refused"):
            fetch.download(self.at("http://127.0.0.1:9/x"), to)

    @pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "x"])
    def test_nothing_but_the_web_is_asked(self, address: str, to: Path) -> None:
        with pytest.raises(CorpusError, match="cannot fetch"):
            fetch.from_url(self.at(address), to)
        assert list(to.iterdir()) == []

    @pytest.mark.parametrize("path", ["/text.txt/../../../x", "/text.txt%2f..%2f..%2fevil", "/text.txt/.."])
    def test_a_name_stays_in_the_folder(self, server: str, to: Path, path: str) -> None:
        assert fetch.from_url(self.at(server + path), to).parent == to

    def test_a_full_disk(self, server: str, to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
        usual: Callable[..., object] = Path.open

        class Full:
            def __init__(self, path: Path) -> None:
                self.path = path
                path.touch()

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *_: object) -> None:
                pass

            def write(self, data: bytes) -> None:
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(
            Path, "open", lambda path, mode="r", **rest: Full(path) if mode == "wb" else usual(path, mode, **rest)
        )
        with pytest.raises(OutputError, match="no room on the disk"):
            fetch.from_url(self.at(f"{server}/text.txt"), to)
