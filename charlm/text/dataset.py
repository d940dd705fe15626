"""From files to one array of ids on disk.

Owns what becomes of the text that `charlm.text.inputs` and `charlm.text.decoding` read: its ids, their files, and the
split into training and validation text. Everything is streamed: a corpus may be larger than memory. Knows nothing of
lanes or models.

The text is read once, into a file of code points (`charlm.text.points`) that are then spelled as ids
(`charlm.text.shards`); an interrupted reading goes on where it was. The ids are kept beside the run under a name made
of the text's hash, and a resume that finds them there, and the files as they were, reads nothing again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.errors import CorpusError, UsageError
from charlm.files import atomic_writer, write_bytes
from charlm.text.decoding import BLOCK, check_encoding, read_from
from charlm.text.inputs import find_files
from charlm.text.points import Pages, TextSource, fingerprint
from charlm.text.shards import AnyIds, Shards, Store, check, number_for
from charlm.text.vocabulary import Vocabulary

TOLD = 1 << 24  # characters from which is found out how a text writes turns and who speaks
ROLES = ("text", "validation")
MOST_SOURCES = 1000
MOST_VALIDATION = (
    5_000_000  # characters; a share of a text far larger than that would take longer to read than to learn
)
# So few different characters are cheaper than the ids of 256 bytes, which hardly ever occur in such a text.
ALPHABET = 256
MIN_CHARACTERS = 200  # below this there is nothing to learn from and nothing to validate on


@dataclass(frozen=True)
class Corpus:
    """Text as ids, ready to be read in lanes.

    Attributes:
        vocabulary: the mapping that made the ids.
        train: ids to train on, (N,), memory-mapped, read-only; `Shards` where they are in several files.
        validation: ids to validate on, (M,), likewise.
        counts: how often each id occurs in `train` and `validation` together, (V,).
        sources: what it was read from.
        skipped: names of binary files that were passed over in folders.
        key: hash of the sources, the split and the vocabulary; equal keys mean equal ids.
    """

    vocabulary: Vocabulary
    train: AnyIds | Shards
    validation: AnyIds | Shards
    counts: NDArray[np.int64]
    sources: tuple[TextSource, ...]
    skipped: tuple[str, ...]
    key: str


def reading(
    paths: Sequence[str | Path],
    folder: Path,
    *,
    encoding: str = "utf-8",
    pattern: str = "*",
    min_count: int | None = None,
    val_fraction: float = 0.1,
    val_file: str | Path | None = None,
    base: Vocabulary | None = None,
    shards: int | None = None,
    on_text: Callable[[str], None] | None = None,
    on_damage: Callable[[str], None] | None = None,
) -> Generator[int, None, Corpus]:
    """Read text into a memory-mapped array of ids in `folder`, or find it there from an earlier run.

    Args:
        paths: files and folders; `-` reads standard input, which is kept in `folder` for a later resume.
        folder: where the ids are kept.
        encoding: how the files are encoded.
        pattern: which files of a folder count.
        min_count: characters seen less often are spelled in bytes; None keeps all while they are few, `ALPHABET`, and
            is 2 where there are more.
        val_fraction: the share of the text, from its end, that validates; at most `MOST_VALIDATION` characters of it.
        val_file: validates instead; then all of `paths` trains.
        base: a vocabulary to extend (fine-tuning); all its characters stay, but not at the same ids.
        shards: how many files the ids of `paths` are written into; None makes one of every `charlm.text.shards.MOST`
            characters.
        on_text: given the first `TOLD` characters of the text (without `val_file`'s), piece by piece; then the text is
            read even if its ids are there.
        on_damage: told in a sentence which ids of an earlier run are missing or damaged and are made again.

    Yields:
        How many bytes were read so far.

    Returns:
        The corpus.

    Raises:
        CorpusError: text that cannot be read, or is too short or too uniform to learn from.
        NotFoundError: a path that does not exist.
        UsageError: an impossible split or number of shards, or an unknown encoding.
    """
    check(shards)
    if not 0 < val_fraction < 1:
        raise UsageError(f"--val-fraction is {val_fraction}, but must lie between 0 and 1")
    if min_count is not None and min_count < 1:
        raise UsageError(f"--min-count is {min_count}, but must be at least 1")
    check_encoding(encoding)
    if [str(path) for path in paths].count("-") > 1:
        raise UsageError("standard input can be read only once", "say - once")
    files, skipped = find_files([_spool(folder) if str(path) == "-" else path for path in paths], pattern, encoding)
    texts = [files]
    if val_file is not None:
        texts.append(find_files([val_file], encoding=encoding)[0])
    for path in (path for text in texts for path in text):
        if not path.is_file():
            raise CorpusError(f"{path} is a pipe or device, which a resume cannot read", f"cat {path} | charlm train -")
    marks = [fingerprint(text, encoding) for text in texts]
    request = fingerprint([], *marks, min_count, val_fraction, base.fingerprint if base is not None else "")
    pages = [
        Pages(text, partial(read_from, encoding=encoding), folder / f"{role}.points", mark)
        for text, role, mark in zip(texts, ROLES, marks, strict=False)
    ]
    if on_text is None and (found := _find(folder, request, on_damage)) is not None:
        for one in pages:
            one.drop()  # left by a run that was killed between writing the last ids and this
        return found
    try:
        for one in pages:
            for _ in one.fill():
                yield sum(text.bytes for text in pages)
        if marks != [fingerprint(text, encoding) for text in texts]:
            raise CorpusError("the text changed while it was read", "train on a copy of it")
    except CorpusError:
        for one in pages:
            one.drop()
        raise
    if on_text is not None:
        _tell(pages[0], on_text)
    counts = [one.counts for one in pages]
    called = "the text" if len(paths) != 1 else "standard input" if str(paths[0]) == "-" else str(paths[0])
    for count, name in zip(counts, [called, str(val_file)], strict=False):
        _check_enough(count, name)
    vocabulary = _vocabulary(counts, min_count, base)
    sources = [one.sources for one in pages]
    key = _key(sources, vocabulary, encoding, val_fraction, int(counts[0].sum()))
    arrays: list[AnyIds | Shards] = []
    lengths: list[list[int]] = []
    for one, role, number in zip(pages, ROLES, (shards, None), strict=False):
        store = Store(folder, f"{role}-{key}", _dtype(vocabulary), number_for(int(one.counts.sum()), number))
        for _ in store.encode(one, vocabulary):
            yield sum(text.bytes for text in pages)
        lengths.append(store.lengths)
        arrays.append(store.open(store.lengths))
    train, validation = arrays if len(arrays) == 2 else _split(arrays[0], val_fraction)
    corpus = Corpus(
        vocabulary=vocabulary,
        train=train,
        validation=validation,
        counts=_id_counts(counts, vocabulary),
        sources=_folded(pages[0].sources),
        skipped=tuple(skipped),
        key=key,
    )
    _describe(corpus, folder, request, lengths)
    for one in pages:
        one.drop()
    return corpus


def _folded(sources: Sequence[TextSource]) -> tuple[TextSource, ...]:
    """So many sources as a model's card can hold: a great many become one."""
    if len(sources) <= MOST_SOURCES:
        return tuple(sources)
    digest = hashlib.sha256("".join(source.sha256 for source in sources).encode()).hexdigest()
    return (TextSource(f"{len(sources):,} files", digest, sum(source.bytes for source in sources)),)


def _tell(pages: Pages, on_text: Callable[[str], None]) -> None:
    told = 0
    for piece in pages.text():
        on_text(piece[: TOLD - told])
        told += len(piece)
        if told >= TOLD:
            break


def _describe(corpus: Corpus, folder: Path, request: str, lengths: list[list[int]]) -> None:
    """Write what the ids in `folder` mean beside them."""
    document = {
        "request": request,
        "characters": "".join(corpus.vocabulary.characters),
        "has_bytes": corpus.vocabulary.has_bytes,
        "train": len(corpus.train),
        "validation": len(corpus.validation),
        "lengths": lengths,
        "counts": corpus.counts.tolist(),
        "sources": [asdict(source) for source in corpus.sources],
        "skipped": corpus.skipped,
    }
    for old in folder.glob("text-*.json"):
        old.unlink()
    write_bytes(folder / f"text-{corpus.key}.json", json.dumps(document).encode())


def _find(folder: Path, request: str, on_damage: Callable[[str], None] | None) -> Corpus | None:
    """What an earlier reading of the same files, as they still are, has left."""
    for path in folder.glob("text-*.json"):
        document = json.loads(path.read_bytes())
        if document.get("request") == request and "lengths" in document:  # which older versions did not write
            try:
                return reopen(folder, path.stem.removeprefix("text-"))
            except CorpusError as error:
                if on_damage is not None:
                    on_damage(f"{error.message}; the text is read again")
    return None


def reopen(folder: Path, key: str) -> Corpus:
    """The corpus of that key which another process has read into `folder`.

    Raises:
        CorpusError: it is not there.
    """
    path = folder / f"text-{key}.json"
    if not path.exists():
        raise CorpusError(f"{path} is not there", "all machines of a run need the same disk at the same place")
    document = json.loads(path.read_bytes())
    vocabulary = Vocabulary(document["characters"], has_bytes=document["has_bytes"])
    texts = [
        Store(folder, f"{role}-{key}", _dtype(vocabulary), len(lengths)).open(lengths)
        for role, lengths in zip(ROLES, document["lengths"], strict=False)
    ]
    train, validation = texts if len(texts) == 2 else _cut(texts[0], document["train"])
    return Corpus(
        vocabulary=vocabulary,
        train=train,
        validation=validation,
        counts=np.array(document["counts"], dtype=np.int64),
        sources=tuple(TextSource(**source) for source in document["sources"]),
        skipped=tuple(document["skipped"]),
        key=key,
    )


def _dtype(vocabulary: Vocabulary) -> type[np.unsignedinteger[Any]]:
    return np.uint8 if len(vocabulary) <= 1 << 8 else np.uint16 if len(vocabulary) <= 1 << 16 else np.uint32


def prepare(*args: Any, **options: Any) -> Corpus:
    """As `reading`, without the progress."""
    reader = reading(*args, **options)
    while True:
        try:
            next(reader)
        except StopIteration as done:
            corpus: Corpus = done.value
            return corpus


def _spool(folder: Path) -> Path:
    # Standard input can be read once, but is needed twice, and again by a resume.
    path = folder / "stdin.txt"
    with atomic_writer(path) as file:
        shutil.copyfileobj(sys.stdin.buffer, file, BLOCK)
    return path


def _check_enough(counts: NDArray[np.int64], name: str) -> None:
    characters, distinct = int(counts.sum()), int(np.count_nonzero(counts))
    enough = f"at least {MIN_CHARACTERS} characters are needed; some tens of thousands make a model worth reading"
    if characters == 0:
        raise CorpusError(f"{name} is empty", enough)
    if characters < MIN_CHARACTERS:
        raise CorpusError(f"{name} has only {characters} character{'s' * (characters > 1)}", enough)
    if distinct < 2:
        raise CorpusError(f"{name} repeats a single character", "at least two different characters are needed")


def _vocabulary(counts: list[NDArray[np.int64]], min_count: int | None, base: Vocabulary | None) -> Vocabulary:
    if min_count is None:
        min_count = 1 if np.count_nonzero(counts[0]) <= ALPHABET else 2
    own = Vocabulary.from_counts(counts[0], min_count)
    known = set(own.characters) | (set(base.characters) if base else set())
    seen = set(map(chr, np.flatnonzero(sum(counts)).tolist()))
    has_bytes = not seen <= known or (base is not None and base.has_bytes)
    return Vocabulary(sorted(known), has_bytes=has_bytes)


def _id_counts(counts: list[NDArray[np.int64]], vocabulary: Vocabulary) -> NDArray[np.int64]:
    result = np.zeros(len(vocabulary), dtype=np.int64)
    total = sum(counts)
    for point in np.flatnonzero(total).tolist():
        np.add.at(result, vocabulary.encode(chr(point)), int(total[point]))  # type: ignore[index]  # sum of arrays, not 0
    return result


def _split(ids: AnyIds | Shards, fraction: float) -> tuple[AnyIds | Shards, AnyIds]:
    edge = max(int(len(ids) * (1 - fraction)), len(ids) - MOST_VALIDATION)
    if edge < MIN_CHARACTERS // 2 or len(ids) - edge < 2:
        raise CorpusError(
            f"a share of {fraction:g} leaves {edge} characters to train on and {len(ids) - edge} to validate",
            "give more text, or another --val-fraction",
        )
    return _cut(ids, edge)


def _cut(ids: AnyIds | Shards, edge: int) -> tuple[AnyIds | Shards, AnyIds]:
    return (ids.until(edge) if isinstance(ids, Shards) else ids[:edge]), ids[edge:]


def _key(
    sources: list[list[TextSource]], vocabulary: Vocabulary, encoding: str, fraction: float, characters: int
) -> str:
    hashes = [source.sha256 for text in sources for source in text]
    # The number of training files, because one that moves to the validation text leaves the hashes in the same order.
    split = f"{len(sources[0])} train" if len(sources) > 1 else repr(fraction)
    if len(sources) == 1 and fraction * characters > MOST_VALIDATION:
        split += f" at most {MOST_VALIDATION}"
    document = json.dumps([hashes, vocabulary.fingerprint, encoding, split])
    return hashlib.sha256(document.encode()).hexdigest()[:16]
