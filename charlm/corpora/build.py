"""Makes a corpus: fetches its sources, reads them, cleans them, writes the text and the manifest.

The same sources give the same bytes: nothing depends on time, chance, the order of folders or the hashes of a process.
Text and manifest are put in place together once both are written; a kill between the two leaves a manifest that does
not fit, which counts as none.
"""

from __future__ import annotations

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
from charlm.corpora.documents import Clean, CleaningReport, Document, Files, split
from charlm.errors import CorpusError, OutputError
from charlm.files import atomic_writer

SMALLEST = 200  # characters; below that a recipe has found nothing


def build(
    recipe: Recipe,
    *,
    download: fetch.Download = fetch.download,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Build a corpus into `registry.folder()`.

    Args:
        recipe: what to build.
        download: how a source's file is fetched.
        report: told what is going on, a line at a time.

    Returns:
        The manifest.

    Raises:
        CorpusError: a source cannot be had or is not what it should be; nothing was written.
        OutputError: the text cannot be written; what stood there still stands.
    """
    sources: dict[str, Files] = {}
    described = []
    for number, source in enumerate(recipe.sources):
        report(
            f"{recipe.name}: reading {source.name}" if source.interpreter else f"{recipe.name}: fetching {source.name}"
        )
        files, about = _read(source, download)
        sources[f"{number} {source.name}"] = files
        described.append(about)
    report(f"{recipe.name}: cleaning")
    tally = CleaningReport()
    text, held_out = assemble(_cleaning(recipe)(sources, tally, recipe.options))
    if len(text) < SMALLEST:
        raise CorpusError(f"nothing of {recipe.name} is left once it is cleaned", "is it the right kind of cleaning?")
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
        **tally.to_dict(),
        "sources": described,
    }
    document = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    with (
        atomic_writer(registry.manifest_path(recipe.name)) as notes,
        atomic_writer(registry.text_path(recipe.name)) as file,
    ):
        file.write(data)
        notes.write(document.encode())
        notes.flush()  # if there is no room for both, neither is put in place
    return manifest


def assemble(units: list[Document]) -> tuple[str, dict[str, Any]]:
    """Pieces as one text, with blank lines between them, the held-out ones last.

    Returns:
        The text, and where its held-out part begins and how long it is.
    """
    trained, held_out = split(units)
    text = "\n\n".join(unit.text for unit in trained + held_out) + "\n"
    begins = len("\n\n".join(unit.text for unit in trained)) + 2 * bool(trained) if held_out else len(text)
    about = {
        "begins": begins,
        "characters": len(text) - begins,
        "share": round((len(text) - begins) / len(text), 4),
        "pieces": len(held_out),
        "of": len(units),
    }
    return text, about


def _cleaning(recipe: Recipe) -> Clean:
    found: Clean = importlib.import_module(f"charlm.corpora.{recipe.cleaning}").units
    return found


def _read(source: CorpusSource, download: fetch.Download) -> tuple[Files, dict[str, Any]]:
    """A source's texts, and what the manifest says of it."""
    about: dict[str, Any] = {"licence": source.licence, "attribution": source.attribution}
    if source.interpreter:
        files = standard_library()
        digest = hashlib.sha256(json.dumps(list(files.items())).encode()).hexdigest()
        return files, {"name": f"Python {platform.python_version()}", "sha256": digest, **about}
    try:
        folder = tempfile.TemporaryDirectory(prefix="charlm-")
    except OSError as error:
        raise OutputError(
            f"no room for a temporary folder: {error.strerror}", "TMPDIR says where it is made"
        ) from error
    with folder as temporary:
        path = download(source, Path(temporary))
        fetch.check(source, path)
        files = archive.texts(path, source.files)
        return files, {"name": source.name, "file": path.name, "sha256": source.sha256, **about}


def standard_library() -> dict[str, str]:
    """The sources of the running interpreter's standard library by path, in order; read, never imported."""
    root = Path(sysconfig.get_path("stdlib"))
    found = {}
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if not name.startswith(("site-packages/", "dist-packages/", "test/")):
            try:
                found[name] = path.read_bytes().decode("utf-8-sig")
            except (OSError, UnicodeDecodeError):
                continue  # a few test files are in other encodings on purpose
    if not found:
        raise CorpusError(f"the standard library has no source files in {root}", "they come with most Pythons")
    return found
