"""From text files to one array of ids on disk.

Owns the ids of a text, their file, and the split into training and validation text. Everything is streamed: a text may
be larger than memory. `charlm.text.inputs` finds the files and `charlm.text.decoding` decodes them.

The text is read once. Its characters are counted on the way into a temporary file of normalised UTF-8. The counts give
the vocabulary; then the temporary file is encoded as ids and deleted. A reading that was killed starts over. The ids
stay in the run's folder under a name made of the text's hash. A resume that finds them, and the text files unchanged,
reads nothing.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from charlm.config import DataConfig
from charlm.errors import CorpusError, OutputError, UsageError
from charlm.files import atomic_writer, write_bytes
from charlm.settings import plural
from charlm.text.chat_exports import ExportReader
from charlm.text.decoding import BLOCK_BYTES, Encoding, read_text
from charlm.text.format_detection import FormatDetector
from charlm.text.inputs import find_files
from charlm.text.sanitize import printable
from charlm.text.vocabulary import CODE_POINTS, CodePoints, Vocabulary, code_points

MAX_SOURCES = 1000  # listed in a model file; more become one entry
MAX_VALIDATION_CHARS = 5_000_000  # reading more would take longer than it teaches
MAX_ALPHABET = 256  # this many characters are cheaper than the ids of 256 bytes, which such a text hardly uses
MAX_LISTED_FILES = 20  # of those that cannot be read
MIN_CHARS = 200  # less text can neither train nor validate a model

IdType = np.unsignedinteger[Any]
Ids = NDArray[IdType]


@dataclass(frozen=True)
class TextSource:
    """One input file, as the model file lists it."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Corpus:
    """Text as ids, split for training and validation."""

    vocabulary: Vocabulary
    train: Ids  # (N,), memory-mapped, read-only
    validation: Ids  # (M,), memory-mapped, read-only
    counts: NDArray[np.int64]  # (V,), of each id in `train` and `validation` together
    sources: tuple[TextSource, ...]
    skipped: tuple[str, ...]  # binary files that were left out of folders
    unreadable: tuple[str, ...]  # why other files were left out
    exports: str  # the chat exports that were recognised; see `ExportReader.summary`
    key: str  # hash of sources, split and vocabulary: equal keys mean equal ids


@dataclass(frozen=True)
class Reading:
    """The text is being read."""

    bytes: int  # so far


@dataclass(frozen=True)
class CacheRebuilt:
    """Ids on disk are missing or damaged, and are made again from the text."""

    message: str


def read_corpus(
    data: DataConfig,
    folder: Path,
    *,
    base: Vocabulary | ChooseVocabulary | None = None,
    detector: FormatDetector | None = None,
    max_validation_chars: int = MAX_VALIDATION_CHARS,
    max_sources: int = MAX_SOURCES,
) -> Generator[Reading | CacheRebuilt, None, Corpus]:
    """Read text into a memory-mapped file of ids in `folder`, or open the ids of an earlier run there.

    Without a `min_count`, all characters of an alphabet up to `MAX_ALPHABET` are kept; for larger ones it is 2.

    Args:
        data: the text; standard input is copied into `folder` for a later resume.
        folder: where the ids are kept.
        base: a vocabulary to extend (fine-tuning). Its characters stay, but their ids may change. A function chooses it
            from the text, and needs a `detector`.
        detector: given the text of `data.paths`; then the text is read even if its ids are there.
        max_validation_chars: of a text that is split.
        max_sources: listed in the model file.

    Yields:
        Progress, and a message if ids of an earlier run are unusable.

    Returns:
        The corpus.

    Raises:
        CorpusError: the text cannot be read, or is too short or too uniform to learn from.
        NotFoundError: a path does not exist.
        UsageError: an unknown encoding, or standard input twice.
    """
    encoding = Encoding(data.encoding, data.encoding_errors)
    encoding.check()
    if data.paths.count("-") > 1:
        raise UsageError("standard input can be read only once", "give - once")
    inputs = [_copy_stdin(folder) if path == "-" else path for path in data.paths]
    files, skipped = find_files(inputs, data.pattern, encoding)
    texts = [files] if data.val_file is None else [files, find_files([data.val_file], encoding=encoding)[0]]
    known = base if isinstance(base, Vocabulary) else None
    request = _fingerprint(texts, data, known)
    if detector is None:
        for path in folder.glob("text-*.json"):
            if json.loads(path.read_bytes()).get("request") == request:
                try:
                    return open_corpus(folder, path.stem.removeprefix("text-"))
                except CorpusError as error:
                    yield CacheRebuilt(f"{error.message}; the text is read again")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:  # which deletes the files, as does the death of the process
        spools = [SpooledText(stack.enter_context(tempfile.TemporaryFile(dir=folder)), data) for _ in texts]
        unreadable = yield from _read(texts, spools, data.skip_bad)
        if request != _fingerprint(texts, data, known):
            raise CorpusError("the text changed while it was read", "train on a copy of it")
        name = "the text" if len(data.paths) > 1 else "standard input" if data.paths[0] == "-" else data.paths[0]
        for spool, its_name in zip(spools, [name, str(data.val_file)], strict=False):
            _check_size(spool.counts, its_name)
        if detector is not None:
            spools[0].detect(detector)
        if callable(base):
            known = base(spools[0])
            request = _fingerprint(texts, data, known)
        vocabulary = _choose_vocabulary([spool.counts for spool in spools], data.min_count, known)
        key = _key(spools, vocabulary, data, max_validation_chars)
        lengths = yield from _encode(spools, vocabulary, folder, key)
    edge = lengths[0] if len(lengths) > 1 else _edge(lengths[0], data.val_fraction, max_validation_chars)
    document = {
        "request": request,
        "characters": "".join(vocabulary.characters),
        "has_bytes": vocabulary.has_bytes,
        "train": edge,
        "validation": sum(lengths) - edge,
        "counts": _count_ids([spool.counts for spool in spools], vocabulary).tolist(),
        "sources": [asdict(source) for source in _merge_sources(spools[0].sources, max_sources)],
        "skipped": skipped,
        "unreadable": unreadable,
        "exports": spools[0].exports.summary,
    }
    write_bytes(folder / f"text-{key}.json", json.dumps(document).encode())
    return open_corpus(folder, key)


def load_corpus(data: DataConfig, folder: Path, *, base: Vocabulary | None = None) -> Corpus:
    """Return what `read_corpus` does, without its progress."""
    reader = read_corpus(data, folder, base=base)
    while True:
        try:
            next(reader)
        except StopIteration as done:
            corpus: Corpus = done.value
            return corpus


def open_corpus(folder: Path, key: str) -> Corpus:
    """Open the corpus of that key, which `read_corpus` has written into `folder`.

    Raises:
        CorpusError: its files are missing, or of another size.
    """
    path = folder / f"text-{key}.json"
    if not path.exists():
        raise CorpusError(f"{path} is missing", "all machines of a run need the same disk at the same place")
    document = json.loads(path.read_bytes())
    vocabulary = Vocabulary(document["characters"], has_bytes=document["has_bytes"])
    ids = _open_ids(folder / f"text-{key}.ids", _dtype(vocabulary), document["train"] + document["validation"])
    return Corpus(
        vocabulary=vocabulary,
        train=ids[: document["train"]],
        validation=ids[document["train"] :],
        counts=np.array(document["counts"], dtype=np.int64),
        sources=tuple(TextSource(**source) for source in document["sources"]),
        skipped=tuple(document["skipped"]),
        unreadable=tuple(document["unreadable"]),
        exports=document["exports"],
        key=key,
    )


class SpooledText:
    """Normalised UTF-8 of several files in one temporary file, a newline after each, and the characters' counts."""

    def __init__(self, file: IO[bytes], data: DataConfig) -> None:
        self.counts: NDArray[np.int64] = np.zeros(CODE_POINTS, dtype=np.int64)
        self.sources: list[TextSource] = []
        self.exports = ExportReader(data.format)
        self._encoding = Encoding(data.encoding, data.encoding_errors)
        self._file = file

    def piece(self, share: float, length: int) -> str:
        """Return at most `length` characters, from that share of the text on."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(int(share * size))
        block = self._file.read(4 * length + 3)  # a character has at most four bytes; the first may be cut
        return block.decode(errors="ignore")[:length]

    def add(self, path: Path, *, is_last: bool) -> Iterator[int]:
        """Read a file; yields how many of its bytes are read, again and again.

        Raises:
            CorpusError: the file cannot be read; nothing of it stays.
            OutputError: the disk is full.
        """
        digest, size, last, begin = hashlib.sha256(), 0, "\n", self._file.tell()

        def take(block: bytes) -> None:
            nonlocal size
            digest.update(block)
            size += len(block)

        try:
            for piece in self.exports.read(read_text(path, self._encoding, take)):
                self._write(piece)
                last = piece[-1]
                yield size
        except CorpusError:
            for piece in self.pieces(begin):
                self._count(piece, -1)
            self._file.seek(begin)
            self._file.truncate()
            raise
        if last != "\n" and not is_last:
            self._write("\n")
        self.sources.append(TextSource(printable(path.name), digest.hexdigest(), size))

    def _write(self, text: str) -> None:
        self._count(text)
        try:
            self._file.write(text.encode())
        except OSError as error:
            raise OutputError(f"cannot copy the text: {error.strerror or error}", "make room on the disk") from error

    def pieces(self, begin: int = 0) -> Iterator[str]:
        """Yield the text from a place in the file on."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        self._file.seek(begin)
        while block := self._file.read(BLOCK_BYTES):
            yield decoder.decode(block)

    def detect(self, detector: FormatDetector) -> None:
        """Show the text to a detector. It believes chat exports if they are most of the text."""
        for format_name, characters in self.exports.characters.most_common(1):
            if characters > self.counts.sum() / 2:
                detector.assume(format_name)
        for piece in self.pieces():
            detector.update(piece)
            if detector.is_full:
                break

    def _count(self, text: str, sign: int = 1) -> None:
        counts = _count(code_points(text))
        self.counts[: len(counts)] += sign * counts


ChooseVocabulary = Callable[[SpooledText], Vocabulary | None]


def _count(points: CodePoints) -> NDArray[np.int64]:
    """Return how often each code point occurs."""
    if points.dtype != np.uint8:
        return np.bincount(points)
    # Counting pairs takes a third of the time.
    even = len(points) // 2 * 2
    pairs = np.bincount(points[:even].view(np.uint16), minlength=1 << 16).reshape(256, 256)
    counts: NDArray[np.int64] = pairs.sum(axis=0) + pairs.sum(axis=1)
    counts[points[even:]] += 1
    return counts


def _copy_stdin(folder: Path) -> Path:
    path = folder / "stdin.txt"
    with atomic_writer(path) as file:
        shutil.copyfileobj(sys.stdin.buffer, file, BLOCK_BYTES)
    return path


def _fingerprint(texts: Sequence[Sequence[Path]], data: DataConfig, base: Vocabulary | None) -> str:
    """Return a hash of the files as they are now, by their paths, sizes and times, and of how they are read."""
    options = [
        *(data.encoding, data.encoding_errors, data.skip_bad, data.format, data.min_count, data.val_fraction),
        base.fingerprint if base is not None else "",
    ]
    digest = hashlib.sha256(json.dumps(options).encode())
    for text in texts:
        digest.update(b"\n")
        for path in text:
            if not path.is_file():
                problem = f"{path} is a pipe or device, which a resume cannot read"
                raise CorpusError(problem, f"cat {shlex.quote(str(path))} | charlm train -")
            stat = path.stat()
            digest.update(os.fsencode(f"\n{path.absolute()} {stat.st_size} {stat.st_mtime_ns}"))
    return digest.hexdigest()[:16]


def _read(
    texts: Sequence[Sequence[Path]], spools: Sequence[SpooledText], skip_bad: bool
) -> Generator[Reading, None, list[str]]:
    """Read all files, even after one that cannot be read; return the problems of those that were left out."""
    done, errors = 0, []
    for text, spool in zip(texts, spools, strict=True):
        for number, path in enumerate(text, start=1):
            size = 0
            try:
                for size in spool.add(path, is_last=number == len(text)):
                    yield Reading(done + size)
            except CorpusError as error:
                errors.append(error)
            done += size
    if errors and not (skip_bad and all(spool.sources for spool in spools)):
        raise _merge_errors(errors, sum(map(len, texts)))
    return [printable(error.message) for error in errors]


def _merge_errors(errors: Sequence[CorpusError], files: int) -> CorpusError:
    if len(errors) == files == 1:
        return errors[0]
    rest = len(errors) - MAX_LISTED_FILES
    lines = [error.message for error in errors[:MAX_LISTED_FILES]] + [f"and {rest:,} more"] * (rest > 0)
    hints = {error.hint for error in errors if len(errors) == files}
    hint = hints.pop() if len(hints) == 1 else "leave them out with --skip-bad, or convert them to UTF-8"
    count = f"{len(errors):,} of {plural(files, 'file')} cannot be read"
    return CorpusError("\n  ".join([f"{count}:", *lines]), hint)


def _encode(
    spools: Sequence[SpooledText], vocabulary: Vocabulary, folder: Path, key: str
) -> Generator[Reading, None, list[int]]:
    """Write the ids of all texts, one after the other; return how many each has."""
    size = sum(source.bytes for spool in spools for source in spool.sources)
    for pattern in ("text-*.ids", "text-*.json", ".text-*.tmp"):  # of another text, or what a kill left
        for old in folder.glob(pattern):
            old.unlink()
    lengths = [0] * len(spools)
    with atomic_writer(folder / f"text-{key}.ids") as file:
        for number, spool in enumerate(spools):
            for piece in spool.pieces():
                ids = vocabulary.encode_points(code_points(piece))
                file.write(ids.astype(_dtype(vocabulary), copy=False).data)
                lengths[number] += len(ids)
                yield Reading(size)
    return lengths


def _open_ids(path: Path, dtype: type[IdType], length: int) -> Ids:
    expected = length * np.dtype(dtype).itemsize
    try:
        size = path.stat().st_size
        if size != expected:
            raise CorpusError(f"{path} is damaged: it has {size:,} bytes instead of {expected:,}")
        return np.memmap(path, dtype=dtype, mode="r")
    except FileNotFoundError as error:
        raise CorpusError(f"{path} is missing") from error
    except OSError as error:
        raise CorpusError(f"cannot open {path}: {error.strerror}") from error


def _dtype(vocabulary: Vocabulary) -> type[IdType]:
    return np.uint8 if len(vocabulary) <= 1 << 8 else np.uint16 if len(vocabulary) <= 1 << 16 else np.uint32


def _check_size(counts: NDArray[np.int64], name: str) -> None:
    characters, distinct = int(counts.sum()), int(np.count_nonzero(counts))
    hint = f"at least {MIN_CHARS} characters are needed; some tens of thousands make a model worth reading"
    if characters == 0:
        raise CorpusError(f"{name} is empty", hint)
    if characters < MIN_CHARS:
        raise CorpusError(f"{name} has only {plural(characters, 'character')}", hint)
    if distinct < 2:
        raise CorpusError(f"{name} repeats a single character", "at least two different characters are needed")


def _choose_vocabulary(counts: list[NDArray[np.int64]], min_count: int | None, base: Vocabulary | None) -> Vocabulary:
    if min_count is None:
        min_count = 1 if np.count_nonzero(counts[0]) <= MAX_ALPHABET else 2
    known = set(map(chr, np.flatnonzero(counts[0] >= min_count).tolist())) | set(base.characters if base else ())
    seen = set(map(chr, np.flatnonzero(sum(counts)).tolist()))
    has_bytes = not seen <= known or (base is not None and base.has_bytes)
    return Vocabulary(sorted(known), has_bytes=has_bytes)


def _count_ids(counts: list[NDArray[np.int64]], vocabulary: Vocabulary) -> NDArray[np.int64]:
    result = np.zeros(len(vocabulary), dtype=np.int64)
    total = np.sum(counts, axis=0)
    for point in np.flatnonzero(total).tolist():
        np.add.at(result, vocabulary.encode(chr(point)), int(total[point]))
    return result


def _edge(length: int, fraction: float, max_validation_chars: int) -> int:
    """Return how many ids train."""
    edge = max(int(length * (1 - fraction)), length - max_validation_chars)
    if edge < MIN_CHARS // 2 or length - edge < 2:
        raise CorpusError(
            f"a share of {fraction:g} leaves {edge} characters to train on and {length - edge} to validate",
            "give more text, or another --val-fraction",
        )
    return edge


def _merge_sources(sources: Sequence[TextSource], most: int) -> Sequence[TextSource]:
    if len(sources) <= most:
        return sources
    digest = hashlib.sha256("".join(source.sha256 for source in sources).encode()).hexdigest()
    return [TextSource(f"{len(sources):,} files", digest, sum(source.bytes for source in sources))]


def _key(spools: Sequence[SpooledText], vocabulary: Vocabulary, data: DataConfig, max_validation_chars: int) -> str:
    hashes = [source.sha256 for spool in spools for source in spool.sources]
    # The number of training files: a file that moves to the validation text leaves the hashes in the same order.
    split = [data.val_fraction, max_validation_chars] if len(spools) == 1 else [len(spools[0].sources)]
    exports = [spool.exports.summary for spool in spools]
    parts = [hashes, vocabulary.fingerprint, data.encoding, data.encoding_errors, exports, split]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
