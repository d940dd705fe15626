"""Text to ids on disk: the ids spell the text, the split is its tail, and a second run finds the first one's work."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config import DataConfig
from charlm.errors import CorpusError, NotFoundError, OutputError, UsageError
from charlm.text import dataset
from charlm.text.dataset import MAX_ALPHABET, CacheRebuilt, Corpus, Reading, TextSource, open_corpus
from charlm.text.decoding import read_text
from charlm.text.format_detection import FormatDetector
from charlm.text.vocabulary import Vocabulary

TEXT = "Die Fähre legt um sieben ab.\nAm Kai steht niemand mehr.\n" * 8
CHARACTER = st.sampled_from("\nabcdé日か\u3099\u0301👩\u200d") | st.characters(
    exclude_categories=["Cs"], exclude_characters="\0\r\ufeff"
)


def make_file(path: Path, text: str = TEXT) -> Path:
    path.write_bytes(text.encode())
    return path


def read_corpus(
    paths: Sequence[Path | str], folder: Path, *, val_file: Path | None = None, **options: Any
) -> Generator[Reading | CacheRebuilt, None, Corpus]:
    arguments = {
        name: options.pop(name)
        for name in ("base", "detector", "max_validation_chars", "max_sources")
        if name in options
    }
    validation = None if val_file is None else str(val_file)
    return dataset.read_corpus(DataConfig(tuple(map(str, paths)), val_file=validation, **options), folder, **arguments)


def load_corpus(*args: Any, **options: Any) -> Corpus:
    reader = read_corpus(*args, **options)
    while True:
        try:
            next(reader)
        except StopIteration as done:
            return done.value


def decoded(corpus: Corpus) -> str:
    return corpus.vocabulary.decode(np.concatenate([corpus.train, corpus.validation]))


@given(st.lists(CHARACTER, min_size=1, max_size=60).map("".join), st.integers(1, 3), st.floats(0.05, 0.5))
@settings(max_examples=50)
def test_ids_decode_to_the_text_split_at_its_tail(text: str, min_count: int, val_fraction: float) -> None:
    text = text + TEXT
    with tempfile.TemporaryDirectory() as name:
        path = make_file(Path(name, "text.txt"), text)
        corpus = load_corpus([path], Path(name), min_count=min_count, val_fraction=val_fraction)
        assert decoded(corpus) == "".join(read_text(path))
        total = len(corpus.train) + len(corpus.validation)
        assert abs(len(corpus.validation) - val_fraction * total) <= 1
        ids = np.concatenate([corpus.train, corpus.validation])
        assert np.array_equal(corpus.counts, np.bincount(ids, minlength=len(corpus.vocabulary)))
        assert (corpus.counts[: len(corpus.vocabulary.characters)] >= min_count).all()


def test_ids_map_one_file_read_only(tmp_path: Path) -> None:
    corpus = load_corpus([make_file(tmp_path / "text.txt")], tmp_path / "run")
    ids, index = sorted((tmp_path / "run").iterdir())
    assert (ids.name, index.name) == (f"text-{corpus.key}.ids", f"text-{corpus.key}.json")
    for part in (corpus.train, corpus.validation):
        assert isinstance(part, np.memmap)
        assert part.dtype == np.uint8
        assert not part.flags.writeable
    assert corpus.train.tobytes() + corpus.validation.tobytes() == ids.read_bytes()


@pytest.mark.parametrize(
    ("size", "dtype"), [(256, np.uint8), (257, np.uint16), (1 << 16, np.uint16), ((1 << 16) + 1, np.uint32)]
)
def test_ids_have_the_smallest_dtype(tmp_path: Path, size: int, dtype: type) -> None:
    text = "ab\n" * 100
    base = Vocabulary([chr(0x30000 + index) for index in range(size - len(set(text)))], has_bytes=False)
    corpus = load_corpus([make_file(tmp_path / "text.txt", text)], tmp_path, base=base)
    assert len(corpus.vocabulary) == size
    assert corpus.train.dtype == corpus.validation.dtype == dtype
    assert decoded(corpus) == text


@pytest.mark.parametrize("val_file", [None, "validation"])
@pytest.mark.parametrize("characters", ["", "日本"])
def test_open_corpus_equals_read_corpus(tmp_path: Path, val_file: str | None, characters: str) -> None:
    make_file(tmp_path / "validation", TEXT * 2)
    path = make_file(tmp_path / "text", TEXT + characters)
    corpus = load_corpus([path], tmp_path / "run", val_file=val_file and tmp_path / val_file)
    opened = open_corpus(tmp_path / "run", corpus.key)
    for name in ("train", "validation", "counts"):
        assert np.array_equal(getattr(opened, name), getattr(corpus, name))
        assert getattr(opened, name).dtype == getattr(corpus, name).dtype
    for name in ("vocabulary", "sources", "skipped", "key"):
        assert getattr(opened, name) == getattr(corpus, name)
    with pytest.raises(CorpusError, match="is missing"):
        open_corpus(tmp_path, corpus.key)


def test_inputs_without_last_newline_are_joined_with_one(tmp_path: Path) -> None:
    names = ["one", "two", "empty", "three"]
    texts = [TEXT + "no newline", TEXT, "", "no newline either"]
    files = [make_file(tmp_path / name, text) for name, text in zip(names, texts, strict=True)]
    corpus = load_corpus(files, tmp_path / "run")
    assert decoded(corpus) == f"{TEXT}no newline\n{TEXT}no newline either"
    assert corpus.sources == tuple(
        TextSource(name, hashlib.sha256(text.encode()).hexdigest(), len(text.encode()))
        for name, text in zip(names, texts, strict=True)
    )


def test_mark_at_file_start_stays_apart(tmp_path: Path) -> None:
    files = [make_file(tmp_path / "one", TEXT + "e"), make_file(tmp_path / "two", "\u0301e\u0301")]
    assert decoded(load_corpus(files, tmp_path / "run")) == TEXT + "e\n\u0301é"


def test_folder_with_binary_file_reports_it(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    make_file(folder / "b.txt", "b" * 200)
    make_file(folder / "a.txt", "a" * 200)
    (folder / "c.bin").write_bytes(b"\0")
    corpus = load_corpus([folder], tmp_path / "run")
    assert decoded(corpus) == "a" * 200 + "\n" + "b" * 200
    assert corpus.skipped == (str(folder / "c.bin"),)


def make_damaged_folder(folder: Path) -> Path:
    folder.mkdir()
    for number in range(6):
        make_file(folder / f"{number}.txt", f"{number}{TEXT}")
    (folder / "1.txt").write_bytes(TEXT.encode() + b"\xff")
    (folder / "3.txt").write_bytes(TEXT.encode("cp1252"))
    (folder / "4.txt.gz").write_bytes(gzip.compress(TEXT.encode())[:-9])
    return folder


def test_files_that_cannot_be_read_are_listed_at_once(tmp_path: Path) -> None:
    folder = make_damaged_folder(tmp_path / "texts")
    with pytest.raises(CorpusError, match=r"^3 of 7 files cannot be read:\n") as caught:
        load_corpus([folder], tmp_path / "run")
    assert [line.split(f"{folder}/")[1][:3] for line in caught.value.message.split("\n")[1:]] == ["1.t", "3.t", "4.t"]
    assert "it looks like cp1252" in caught.value.message
    assert "--skip-bad" in (caught.value.hint or "")


def test_files_that_cannot_be_read_leave_nothing_if_skipped(tmp_path: Path) -> None:
    folder = make_damaged_folder(tmp_path / "texts")
    corpus = load_corpus([folder], tmp_path / "run", skip_bad=True)
    assert [source.name for source in corpus.sources] == ["0.txt", "2.txt", "4.txt", "5.txt"]
    assert decoded(corpus) == "".join(f"{number}{TEXT}" for number in (0, 2, 4, 5))
    assert np.array_equal(corpus.counts, np.bincount(np.concatenate([corpus.train, corpus.validation])))
    assert [str(folder / name) in problem for name, problem in zip("134", corpus.unreadable, strict=True)] == [True] * 3
    with pytest.raises(CorpusError, match="0xFF"):
        load_corpus([folder / "1.txt"], tmp_path / "run", skip_bad=True)


def test_one_encoding_of_all_files_is_the_hint(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_bytes(TEXT.encode("cp1252"))
    with pytest.raises(CorpusError, match="2 of 2 files") as caught:
        load_corpus([folder], tmp_path / "run")
    assert caught.value.hint == "use --encoding cp1252"


def test_damaged_byte_is_replaced_on_request(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(TEXT.encode() + b"\xff\0" + TEXT.encode())
    corpus = load_corpus([tmp_path / "text"], tmp_path / "run", encoding_errors="replace")
    assert decoded(corpus) == f"{TEXT}\ufffd\ufffd{TEXT}"


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8")
def test_file_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    make_file(folder / os.fsdecode(b"caf\xe9.txt"))
    corpus = load_corpus([folder], tmp_path / "run")
    assert [source.name for source in corpus.sources] == ["caf\ufffd.txt"]
    assert load_corpus([folder], tmp_path / "run").key == corpus.key


def test_chat_export_is_read_as_transcript(tmp_path: Path) -> None:
    talk = [("Anna", "Is the ferry late?"), ("Ben", "It is, as you know."), ("Anna", "Again?\nOn a Monday?")] * 20
    export = "".join(f"12/07/2017, 08:{n % 60:02} - {name}: {text}\n" for n, (name, text) in enumerate(talk))
    path = make_file(tmp_path / "text", "12/07/2017, 07:59 - Messages are now secured.\n" + export)
    transcript = "".join(f"{name}: {text}\n\n" for name, text in talk)
    for format_name, text, names in (("auto", transcript, ("Anna", "Ben")), ("plain", path.read_text(), ())):
        detector = FormatDetector(format_name)
        corpus = load_corpus([path], tmp_path / "run", detector=detector, format=format_name)
        assert decoded(corpus) == text
        assert detector.result().dialogue.names == names
    assert (
        load_corpus([path], tmp_path / "run").exports == "WhatsApp, 60 messages; without time stamps and 1 system line"
    )


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_encoding_applies_to_files_folders_and_validation(tmp_path: Path, encoding: str) -> None:
    for name in ("folder/text", "file", "validation"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(TEXT.encode(encoding))
    paths = [tmp_path / "folder", tmp_path / "file"]
    corpus = load_corpus(paths, tmp_path / "run", encoding=encoding, val_file=tmp_path / "validation")
    assert decoded(corpus) == TEXT * 3


def test_standard_input_is_kept_for_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(TEXT.replace("\n", "\r\n").encode())))
    first = load_corpus(["-"], tmp_path)
    assert decoded(first) == TEXT
    again = load_corpus([tmp_path / "stdin.txt"], tmp_path)
    assert again.key == first.key
    assert decoded(again) == TEXT
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO()))
    with pytest.raises(CorpusError, match=r"^standard input is empty"):
        load_corpus(["-"], tmp_path)


def test_validation_file_leaves_all_text_for_training(tmp_path: Path) -> None:
    train, validation = make_file(tmp_path / "train"), make_file(tmp_path / "validation", TEXT + "日日本語")
    corpus = load_corpus([train], tmp_path / "run", val_file=validation)
    assert corpus.vocabulary.decode(corpus.train.tolist()) == TEXT
    assert corpus.vocabulary.decode(corpus.validation.tolist()) == TEXT + "日日本語"
    assert set(corpus.vocabulary.characters) == set(TEXT), "a validation text adds no characters"
    assert corpus.vocabulary.has_bytes
    ids = np.concatenate([corpus.train, corpus.validation])
    assert np.array_equal(corpus.counts, np.bincount(ids, minlength=len(corpus.vocabulary)))
    assert [source.name for source in corpus.sources] == ["train"]


def test_rare_characters_are_spelled_in_bytes(tmp_path: Path) -> None:
    path = make_file(tmp_path / "text", TEXT + "日本日")
    for min_count, known in ((1, {"日", "本"}), (2, {"日"}), (3, set())):
        vocabulary = load_corpus([path], tmp_path / "run", min_count=min_count).vocabulary
        assert set(vocabulary.characters) == set(TEXT) | known
        assert vocabulary.has_bytes == (known != {"日", "本"})


@pytest.mark.parametrize("more", [0, 1])
def test_small_alphabet_is_kept_whole(tmp_path: Path, more: int) -> None:
    letters = "".join(chr(0x4E00 + number) for number in range(MAX_ALPHABET - len(set(TEXT)) + more))
    vocabulary = load_corpus([make_file(tmp_path / "text", TEXT + letters)], tmp_path / "run").vocabulary
    assert vocabulary.has_bytes == bool(more)
    assert set(vocabulary.characters) == set(TEXT) | (set() if more else set(letters))


@pytest.mark.parametrize("has_bytes", [False, True])
@pytest.mark.parametrize("more", ["", "日", "本", "本本"])
def test_base_vocabulary_keeps_its_characters(tmp_path: Path, has_bytes: bool, more: str) -> None:
    base = Vocabulary("xyzD日", has_bytes=has_bytes)
    vocabulary = load_corpus([make_file(tmp_path / "text", TEXT + more)], tmp_path, min_count=2, base=base).vocabulary
    assert set(vocabulary.characters) == set(TEXT) | set(base.characters) | ({"本"} if more == "本本" else set())
    assert vocabulary.has_bytes == (has_bytes or more == "本")


def test_second_run_reuses_ids(tmp_path: Path) -> None:
    # With a character in bytes, so that ids and characters differ in number.
    files = [make_file(tmp_path / "train", TEXT + "日"), make_file(tmp_path / "validation", "本" + TEXT)]
    run = tmp_path / "run"
    first = load_corpus(files[:1], run, val_file=files[1])
    before = {path: path.stat().st_ino for path in run.iterdir()}
    assert not list(read_corpus(files[:1], run, val_file=files[1])), "the text is read again"
    second = load_corpus(files[:1], run, val_file=files[1])
    assert {path: path.stat().st_ino for path in run.iterdir()} == before
    assert second.key == first.key
    assert decoded(second) == decoded(first) == f"{TEXT}日本{TEXT}"
    assert np.array_equal(second.counts, first.counts)
    assert second.sources == first.sources


@pytest.mark.parametrize(
    "change",
    [
        {"paths": ["other"]}, {"val_file": "other"}, {"val_fraction": 0.2}, {"min_count": 20},
        {"base": Vocabulary("日", has_bytes=False)},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_key_differs_for_other_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]) -> None:
    monkeypatch.chdir(tmp_path)
    make_file(Path("other"), TEXT.replace("sieben", "sechse"))
    text, run = {"paths": [make_file(Path("text"))]}, Path("run")
    first = load_corpus(folder=run, **text)
    second = load_corpus(folder=run, **text | change)
    assert second.key != first.key
    assert list(run.glob("text-*.ids")) == [run / f"text-{second.key}.ids"]


def test_key_differs_after_a_file_moves_to_validation(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for number, folder in enumerate(folders):
        folder.mkdir()
        make_file(folder / "text", TEXT + "abc"[number] * 2)
    base = Vocabulary(set(TEXT + "abc"), has_bytes=False)
    both = tmp_path / "both"
    both.mkdir()
    for name, folder in (("2", folders[1]), ("3", folders[2])):
        make_file(both / name, (folder / "text").read_text())
    fewer = load_corpus(folders[:1], tmp_path / "run", val_file=both, base=base)
    more = load_corpus(folders[:2], tmp_path / "run", val_file=folders[2], base=base)
    assert fewer.vocabulary == more.vocabulary
    assert fewer.key != more.key


@pytest.mark.parametrize("option", ["paths", "val_file"])
def test_pipes_are_refused(tmp_path: Path, option: str) -> None:
    """A resume would find a pipe empty, or block for ever."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    text = make_file(tmp_path / "text")
    with pytest.raises(CorpusError) as caught:
        load_corpus(**{"paths": [text], "folder": tmp_path, option: [path] if option == "paths" else path})
    assert str(path) in caught.value.message
    assert "charlm train -" in (caught.value.hint or "")


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    files = [make_file(tmp_path / name) for name in ("one", "two", "validation")]
    size = sum(path.stat().st_size for path in files)
    events = list(read_corpus(files[:2], tmp_path / "run", val_file=files[2]))
    seen = [event.bytes for event in events if isinstance(event, Reading)]
    assert seen == sorted(seen)
    assert seen[-1] == size


def test_detector_gets_the_text_though_ids_exist(tmp_path: Path) -> None:
    play = "ANNA:\nWhere is the ferry?\n\nPAUL:\nIt left an hour ago, I am sorry.\n\n" * 20
    paths = [make_file(tmp_path / name, text) for name, text in (("play", play), ("validation", TEXT))]
    for _ in range(2):
        detector = FormatDetector()
        load_corpus(paths[:1], tmp_path / "run", val_file=paths[1], detector=detector)
        assert detector.result().dialogue.names == ("ANNA", "PAUL")


@given(
    texts=st.lists(
        st.lists(CHARACTER | st.sampled_from(["\r", "\r\n", "\ufeff"])).map("".join), min_size=1, max_size=4
    ),
    stop=st.integers(1, 6),
)
@settings(max_examples=25)
def test_interrupted_reading_starts_over_with_equal_ids(texts: list[str], stop: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        files = [make_file(Path(name, f"{number}.txt"), text) for number, text in enumerate([TEXT, *texts])]
        whole = load_corpus(files, Path(name, "whole"))
        reader = read_corpus(files, Path(name, "run"))
        for _ in range(stop):
            next(reader, None)
        reader.close()
        again = load_corpus(files, Path(name, "run"))
        for field in ("vocabulary", "sources", "key"):
            assert getattr(again, field) == getattr(whole, field)
        assert decoded(again) == decoded(whole)
        assert len(list(Path(name, "run").iterdir())) == 2


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(("damage", "message"), [(Path.unlink, "is missing"), (cut, "is damaged")])
def test_damaged_ids_are_reported_and_rebuilt(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    path, run = make_file(tmp_path / "text", TEXT + "日"), tmp_path / "run"
    key = load_corpus([path], run).key
    ids = run / f"text-{key}.ids"
    before = ids.read_bytes()
    damage(ids)
    with pytest.raises(CorpusError, match=f"{ids} {message}") as caught:
        open_corpus(run, key)
    first, *others = read_corpus([path], run)
    assert first == CacheRebuilt(f"{caught.value.message}; the text is read again")
    assert all(isinstance(event, Reading) for event in others)
    assert ids.read_bytes() == before


def test_text_changed_during_reading_is_refused(tmp_path: Path) -> None:
    path = make_file(tmp_path / "text")
    reader = read_corpus([path], tmp_path / "run")
    next(reader)
    make_file(path, TEXT + TEXT)
    with pytest.raises(CorpusError, match="changed while it was read"):
        list(reader)
    assert not list((tmp_path / "run").iterdir())


def test_validation_text_is_bounded(tmp_path: Path) -> None:
    corpus = load_corpus([make_file(tmp_path / "text")], tmp_path / "run", max_validation_chars=20)
    assert len(corpus.validation) == 20
    assert decoded(corpus) == TEXT


def test_many_sources_become_one(tmp_path: Path) -> None:
    files = [make_file(tmp_path / name) for name in "abc"]
    two, three = (load_corpus(files[:count], tmp_path / "run", max_sources=2) for count in (2, 3))
    assert [source.name for source in two.sources] == ["a", "b"]
    [source] = three.sources
    assert (source.name, source.bytes) == ("3 files", 3 * len(TEXT.encode()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text is empty"),
        ("\ufeff", "text is empty"),
        ("a", "text has only 1 character"),
        ("0123456789", "text has only 10 characters"),
        ("ab" * 99 + "a", "text has only 199 characters"),
        ("\r\n" * 199, "text has only 199 characters"),
        ("a" * 10_000, "text repeats a single character"),
    ],
)
def test_short_or_uniform_text_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = make_file(tmp_path / "text", text)
    with pytest.raises(CorpusError) as caught:
        load_corpus([path], tmp_path / "run")
    assert caught.value.message.endswith(message)
    assert caught.value.message.startswith(str(path))
    assert caught.value.hint
    train = make_file(tmp_path / "train")
    with pytest.raises(CorpusError) as as_validation:
        load_corpus([train], tmp_path / "run", val_file=path)
    assert as_validation.value.message == caught.value.message


def test_shortest_text_is_accepted(tmp_path: Path) -> None:
    corpus = load_corpus([make_file(tmp_path / "text", "ab" * 100)], tmp_path)
    assert (len(corpus.train), len(corpus.validation)) == (180, 20)


@pytest.mark.parametrize("val_fraction", [0.9, 0.0001])
def test_split_with_too_little_text_is_refused(tmp_path: Path, val_fraction: float) -> None:
    with pytest.raises(CorpusError) as caught:
        load_corpus([make_file(tmp_path / "text")], tmp_path, val_fraction=val_fraction)
    assert f"{val_fraction:g}" in caught.value.message
    assert "--val-fraction" in (caught.value.hint or "")


def test_missing_files_and_unknown_encodings_are_refused(tmp_path: Path) -> None:
    path, missing = make_file(tmp_path / "text"), tmp_path / "nothing"
    with pytest.raises(NotFoundError):
        load_corpus([missing], tmp_path)
    with pytest.raises(NotFoundError):
        load_corpus([path], tmp_path, val_file=missing)
    with pytest.raises(UsageError, match="unknown encoding 'utf-9'"):
        load_corpus([path], tmp_path / "run", encoding="utf-9")


def test_files_left_by_a_kill_are_deleted(tmp_path: Path) -> None:
    source, run = make_file(tmp_path / "text.txt"), tmp_path / "run"
    left = [run / ".text-0123456789abcdef.ids.abc.tmp", run / "text-0123456789abcdef.ids"]
    run.mkdir()
    for path in left:
        path.write_bytes(b"{}")
    load_corpus([source], run)
    assert not any(path.exists() for path in left)


def test_full_disk_is_an_output_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullDisk(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: FullDisk())
    with pytest.raises(OutputError, match="No space left"):
        load_corpus([make_file(tmp_path / "text.txt")], tmp_path / "run")
