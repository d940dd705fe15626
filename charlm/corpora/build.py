"""Builds a corpus: fetches its sources, reads and cleans them, writes the text and the manifest.

The same sources give the same bytes: the result is independent of time, chance, the order of folders and hash seeds.
Text and manifest are moved into place together. A kill between the two leaves a manifest of another text, which counts
as missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import platform
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from charlm.corpora import archive, fetch, registry
from charlm.corpora.catalogue import CorpusSource, Recipe
from charlm.corpora.documents import CleaningReport, Document, Files, split
from charlm.errors import CorpusError, OutputError
from charlm.files import atomic_writer
from charlm.settings import plural

MIN_CHARS = 200  # a smaller result is an error


def build(
    recipe: Recipe,
    *,
    download: fetch.Download = fetch.download,
    on_progress: Callable[[str, str], None] = lambda message, detail: None,
) -> dict[str, Any]:
    """Build a corpus into `registry.folder()`, and return its manifest.

    Args:
        recipe: what it is made of.
        download: gets the file of a source.
        on_progress: called with a message and a detail; the messages of a stage are the same.

    Raises:
        CorpusError: a source is not available or not the expected one; nothing was written.
        OutputError: the text cannot be written; an old one is unchanged.
    """
    files: list[tuple[str, str]] = []
    described = []
    for number, source in enumerate(recipe.sources, start=1):
        verb, names = "reading" if source.interpreter else "fetching", (source.name, "")
        if len(recipe.sources) > 1:
            names = plural(len(recipe.sources), "file"), f", {number}: {source.name}"
        on_progress(f"{recipe.name}: {verb} {names[0]}", names[1])
        texts, about = _read(source, download)
        files += texts
        described.append(about)
    on_progress(f"{recipe.name}: cleaning", "")
    report = CleaningReport()
    cleaning = importlib.import_module(f"charlm.corpora.{recipe.cleaning}")
    text, held_out = assemble(list(cleaning.documents(files, report, **recipe.options)))
    if len(text) < MIN_CHARS:
        raise CorpusError(f"cleaning leaves nothing of {recipe.name}", "check its cleaning in sources.toml")
    data = text.encode()
    manifest = {
        "name": recipe.name,
        "title": recipe.title,
        "language": recipe.language,
        "format": recipe.format,
        "text": {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "characters": len(text),
            "distinct": len(set(text)),
            "lines": text.count("\n"),
        },
        "held_out": held_out,
        "licence": recipe.licences,
        "cleaned": list(recipe.cleaned),
        **report.to_dict(),
        "sources": described,
    }
    with (
        atomic_writer(registry.manifest_path(recipe.name)) as notes,
        atomic_writer(registry.text_path(recipe.name)) as file,
    ):
        file.write(data)
        notes.write(json.dumps(manifest, indent=1, ensure_ascii=False).encode() + b"\n")
        notes.flush()  # if there is no room for both, neither is moved into place
    return manifest


def assemble(documents: list[Document]) -> tuple[str, dict[str, Any]]:
    """Return the text of documents, the held-out ones last, and the position and length of the held-out part."""
    trained, held_out = split(documents)
    text = "\n\n".join(document.text for document in trained + held_out) + "\n"
    characters = len("\n\n".join(document.text for document in held_out)) + 1 if held_out else 0
    about = {
        "begins": len(text) - characters,
        "characters": characters,
        "share": round(characters / len(text), 4),
        "pieces": len(held_out),
        "of": len(documents),
    }
    return text, about


def _read(source: CorpusSource, download: fetch.Download) -> tuple[Files, dict[str, Any]]:
    """Return a source's texts, and its entry in the manifest."""
    about: dict[str, Any] = {"licence": source.licence, "attribution": source.attribution}
    if source.interpreter:
        files = standard_library()
        digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
        return files, {"name": f"Python {platform.python_version()}", "sha256": digest, **about}
    try:
        folder = tempfile.TemporaryDirectory(prefix="charlm-")
    except OSError as error:
        message = f"no room for a temporary folder: {error.strerror}"
        raise OutputError(message, "choose another disk with TMPDIR") from error
    with folder as temporary:
        path = download(source, Path(temporary))
        fetch.check(source, path)
        files = archive.texts(path, source.files, encoding=source.encoding)
        if source.path:
            files = [(source.path, text) for _, text in files]
        about |= {key: value for key in ("title", "url") if (value := getattr(source, key))}
        return files, {"name": source.name, "file": path.name, "sha256": source.sha256, **about}


def standard_library() -> list[tuple[str, str]]:
    """Return path and text of each source file of the interpreter's standard library, in order; none is imported."""
    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(("site-packages/", "dist-packages/", "test/")):
            with contextlib.suppress(OSError, UnicodeDecodeError):  # a few test files are in other encodings on purpose
                found.append((name, path.read_bytes().decode("utf-8-sig")))
    if not found:
        raise CorpusError(f"the standard library has no source files in {root}", "they come with most Pythons")
    return found
