"""A saved model loads unchanged; any other file is refused in one sentence."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from charlm.cells import CELLS
from charlm.checkpoint import Checkpoint, Precision, TrainingRecord, load, read_header, save
from charlm.errors import CheckpointError, NotFoundError
from charlm.tensor_shapes import statistic_shapes
from charlm.text.dialogue import Dialogue
from charlm.text.vocabulary import Vocabulary

from .conftest import ALPHABET, RECORD, random_checkpoint, random_matching, random_pointer

DIALOGUE = Dialogue("transcript", ("Anna", "太郎"), "：", spaced=True)

Document = dict[str, Any]
PRECISIONS = ["full", "half", "int8"]
PARTS = ["config", "vocabulary", "record", "dialogue"]


@pytest.fixture
def checkpoint() -> Checkpoint:
    return random_checkpoint(hidden=6, embedding=5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def as_document(checkpoint: Checkpoint) -> Document:
    """The metadata of a valid file."""
    return {
        "format": 1,
        "config": checkpoint.config.to_dict(),
        "vocabulary": {
            "characters": "".join(checkpoint.vocabulary.characters),
            "bytes": checkpoint.vocabulary.has_bytes,
        },
        "record": asdict(checkpoint.record),
        "dialogue": checkpoint.dialogue.to_dict(),
    }


def write(path: Path, tensors: dict[str, NDArray[Any]], document: object) -> None:
    """A safetensors file with any description; a str is taken as it is."""
    text = document if isinstance(document, str) else json.dumps(document)
    path.write_bytes(safetensors.numpy.save(tensors, {"charlm": text}))


def refusal(path: Path, read: Callable[[Path], object] = load) -> CheckpointError:
    """Return the error of a refused file: one sentence with its path."""
    with pytest.raises(CheckpointError) as refused:
        read(path)
    error = refused.value
    assert error.message.startswith(str(path))
    assert error.message.isprintable()  # so it is one line, and moves no cursor
    assert not error.message.endswith(".")
    assert len(error.message) < len(str(path)) + 300
    return error


def refusal_of(checkpoint: Checkpoint, path: Path, document: object) -> CheckpointError:
    """Return the error of a file with the checkpoint's tensors and another description."""
    write(path, checkpoint.tensors, document)
    return refusal(path)


@pytest.mark.parametrize("has_bytes", [False, True])
@pytest.mark.parametrize("shape", [{}, {"norm": False, "layers": 3}, {"tied": True}, {"embedding": 3}])
@pytest.mark.parametrize("cell", CELLS)
def test_save_then_load_is_exact(path: Path, cell: str, shape: Document, has_bytes: bool) -> None:
    made = random_checkpoint(cell=cell, has_bytes=has_bytes, characters="aé日😀\n\0", **shape)
    checkpoint = replace(made, record=RECORD, dialogue=DIALOGUE)
    save(checkpoint, path)
    loaded = load(path)
    assert (loaded.config, loaded.vocabulary, loaded.record) == (made.config, made.vocabulary, RECORD)
    assert loaded.dialogue == DIALOGUE
    assert read_header(path) == (made.config, made.vocabulary, RECORD, DIALOGUE)
    assert loaded.tensors.keys() == made.tensors.keys()
    for name, tensor in made.tensors.items():
        assert loaded.tensors[name].dtype == np.float32
        assert loaded.tensors[name].tobytes() == tensor.tobytes()
    assert loaded.fingerprint == made.fingerprint
    assert as_document(checkpoint) == json.loads(safetensors.safe_open(path, "numpy").metadata()["charlm"])


def test_half_precision_rounds_once(path: Path) -> None:
    checkpoint = random_checkpoint(hidden=64)
    save(checkpoint, path)
    whole = path.stat().st_size
    save(checkpoint, path, "half")
    assert path.stat().st_size < 0.55 * whole
    loaded = load(path)
    for name, tensor in checkpoint.tensors.items():
        assert loaded.tensors[name].dtype == np.float32
        np.testing.assert_array_equal(loaded.tensors[name], tensor.astype(np.float16))
        np.testing.assert_allclose(loaded.tensors[name], tensor, rtol=2**-11, atol=2**-25)
    save(loaded, path, "half")
    assert load(path).fingerprint == loaded.fingerprint  # nothing more is lost


def test_int8_takes_a_quarter_and_rounds_each_row_once(path: Path) -> None:
    made = random_checkpoint(hidden=64)
    made.tensors["embedding"][1] = 0  # a row without a scale
    save(made, path)
    whole = path.stat().st_size
    save(made, path, "int8")
    assert path.stat().st_size < 0.32 * whole  # the header and the vectors are small only in larger models
    loaded = load(path)
    for name, tensor in made.tensors.items():
        assert loaded.tensors[name].dtype == np.float32
        steps = np.abs(tensor).max(axis=-1, keepdims=True) / 127 if tensor.ndim == 2 else 2**-10 * np.abs(tensor)
        assert (np.abs(loaded.tensors[name] - tensor) <= 0.501 * steps + 1e-7).all(), name
    save(loaded, path, "int8")
    for name, tensor in load(path).tensors.items():
        np.testing.assert_allclose(tensor, loaded.tensors[name], rtol=1e-6)  # nothing more is lost


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"scales.embedding": None}, "'scales.embedding' is missing"),
        ({"scales.embedding": np.ones(3, np.float32)}, "has the shape"),
        ({"scales.embedding": np.ones(len(ALPHABET), np.float16)}, "is F16, but should be F32"),
        ({"scales.embedding": np.full(len(ALPHABET), np.inf, np.float32)}, "not finite"),
        ({"output.b": np.ones(len(ALPHABET), np.int8)}, "is I8, but should be F32 or F16"),
        ({"scales.output.b": np.ones(len(ALPHABET), np.float32)}, "does not belong"),
    ],
)
def test_wrong_int8_is_refused(
    checkpoint: Checkpoint, path: Path, changes: dict[str, NDArray[Any] | None], complaint: str
) -> None:
    save(checkpoint, path, "int8")
    tensors = {**safetensors.numpy.load_file(path), **changes}
    write(path, {name: one for name, one in tensors.items() if one is not None}, as_document(checkpoint))
    assert complaint in refusal(path).message


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("cell", CELLS)
def test_statistics_are_saved_next_to_the_weights(path: Path, cell: str, precision: Precision) -> None:
    made = random_checkpoint(cell=cell)
    save(made, path, precision)
    without = load(path)
    assert without.statistics is None
    checkpoint = replace(made, statistics=make_statistics(made))
    save(checkpoint, path, precision)
    loaded = load(path)
    assert loaded.statistics is not None
    assert list(loaded.statistics) == list(statistic_shapes(made.config))
    for name, tensor in make_statistics(made).items():
        assert loaded.statistics[name].tobytes() == tensor.tobytes()  # in full, also where the weights are not
    assert loaded.fingerprint == without.fingerprint
    assert read_header(path).config == made.config


@pytest.mark.parametrize("precision", ["full", "half"])
def test_matcher_and_pointer_are_saved_in_half_precision(
    checkpoint: Checkpoint, path: Path, precision: Precision
) -> None:
    save(checkpoint, path, precision)
    without, size = load(path), path.stat().st_size
    assert without.matching is without.pointer is None
    matching, pointer = random_matching(), random_pointer(checkpoint.config)
    save(replace(checkpoint, matching=matching, pointer=pointer), path, precision)
    loaded = load(path)
    assert path.stat().st_size - size < 2_100_000
    for found, expected in ((loaded.matching, matching), (loaded.pointer, pointer)):
        assert found is not None
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            np.testing.assert_array_equal(found[name], tensor)
    assert loaded.fingerprint != without.fingerprint
    assert read_header(path).config == checkpoint.config


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (None, "is missing"),
        (np.zeros((9, 60), np.float16), "has the shape"),
        (np.zeros((8192, 60)), "is F64"),
        (np.full((8192, 60), np.nan, np.float16), "not finite"),
    ],
)
@pytest.mark.parametrize("name", ["matching.reply", "pointer.query"])
def test_wrong_matcher_or_pointer_is_refused(
    checkpoint: Checkpoint, path: Path, name: str, value: NDArray[Any] | None, complaint: str
) -> None:
    parts = random_matching() | random_pointer(checkpoint.config)
    tensors: dict[str, NDArray[Any]] = {**checkpoint.tensors, **parts}
    if value is not None and value.shape == parts["matching.reply"].shape:
        value = np.full(parts[name].shape, value[0, 0], value.dtype)
    del tensors[name]
    write(path, tensors | ({} if value is None else {name: value}), as_document(checkpoint))
    assert complaint in refusal(path).message


def test_tensors_in_any_memory_order_are_saved(checkpoint: Checkpoint, path: Path) -> None:
    tensors = {name: np.asfortranarray(tensor) for name, tensor in checkpoint.tensors.items()}
    save(replace(checkpoint, tensors=tensors), path)
    loaded = load(path)
    assert loaded.record == TrainingRecord()
    for name, tensor in loaded.tensors.items():
        np.testing.assert_array_equal(tensor, checkpoint.tensors[name])


def test_fingerprint_covers_all_that_decides_the_output(checkpoint: Checkpoint) -> None:
    others = []
    for name, tensor in checkpoint.tensors.items():
        changed = tensor.copy()
        changed.flat[-1] = np.nextafter(changed.flat[-1], np.float32(9))
        others.append(replace(checkpoint, tensors={**checkpoint.tensors, name: changed}))
    first, second, *rest = checkpoint.vocabulary.characters
    others += [
        replace(checkpoint, vocabulary=Vocabulary([second, first, *rest], has_bytes=False)),
        replace(checkpoint, vocabulary=Vocabulary(["X", second, *rest], has_bytes=False)),
        replace(checkpoint, config=replace(checkpoint.config, residual=False)),
        replace(checkpoint, config=replace(checkpoint.config, cell="gru")),
    ]
    fingerprints = [each.fingerprint for each in (checkpoint, *others)]
    assert len(set(fingerprints)) == len(fingerprints)
    assert replace(checkpoint, record=RECORD).fingerprint == checkpoint.fingerprint
    assert replace(checkpoint, dialogue=DIALOGUE).fingerprint == checkpoint.fingerprint
    assert replace(checkpoint, tensors=dict(reversed(checkpoint.tensors.items()))).fingerprint == fingerprints[0]


def make_statistics(checkpoint: Checkpoint) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(5)
    return {
        name: rng.uniform(0, 1e-6, shape).astype(np.float32)
        for name, shape in statistic_shapes(checkpoint.config).items()
    }


@pytest.mark.parametrize("read", [load, read_header])
def test_missing_file_is_not_found(tmp_path: Path, read: Callable[[Path], object]) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path / "no" / "folder"):
        with pytest.raises(NotFoundError) as error:
            read(path)
        assert str(path) in error.value.message


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0", b"\0" * 7, b"\0" * 8, b"\0" * 1000, b"\xff" * 1000, b"Once upon a time there was a harbour. " * 50,
        b"PK\3\4" + b"\0" * 100,  # a pickle of torch's
        struct.pack("<Q", 10 * 2**30) + b"{}", struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 2) + b"\xff\xff",
        struct.pack("<Q", 100_000) + b"[" * 100_000, struct.pack("<Q", 60_000) + b'{"a":' * 12_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("read", [load, read_header])
def test_foreign_file_is_refused(path: Path, content: bytes, read: Callable[[Path], object]) -> None:
    path.write_bytes(content)
    refusal(path, read)


def test_header_too_long_for_memory_is_refused(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 10 * 2**30))
    with path.open("r+b") as file:
        file.truncate(11 * 2**30)  # sparse: as long as it says, and on disk next to nothing
    assert "more than any model's" in refusal(path).message


def test_truncated_file_is_refused(checkpoint: Checkpoint, path: Path) -> None:
    save(checkpoint, path)
    data = path.read_bytes()
    for length in {*range(0, len(data), 41), *range(24), *range(len(data) - 24, len(data))}:
        path.write_bytes(data[:length])
        refusal(path)
        refusal(path, read_header)
    path.write_bytes(data + b"\0")
    refusal(path)
    assert "folder" in refusal(path.parent).message


def test_foreign_safetensors_file_is_refused(checkpoint: Checkpoint, path: Path) -> None:
    for metadata in (None, {}, {"format": "pt"}):
        path.write_bytes(safetensors.numpy.save(checkpoint.tensors, metadata))
        assert "not a charlm model" in refusal(path).message


def change_tensors(**changes: NDArray[Any] | None) -> Callable[[dict[str, NDArray[Any]]], dict[str, NDArray[Any]]]:
    """Replace, add, or with None take away; a double underscore stands for a dot."""
    named = {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return lambda tensors: {name: each for name, each in {**tensors, **named}.items() if each is not None}


SIZE = 32  # of the fixture's vocabulary


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (change_tensors(output__b=np.zeros(SIZE + 1, np.float32)), "'output.b' has the shape"),
        (change_tensors(output__b=np.zeros((SIZE, 1), np.float32)), "'output.b' has the shape"),
        (change_tensors(output__b=np.zeros((), np.float32)), "'output.b' has the shape"),
        (change_tensors(layers__1__w_h=np.zeros((24, 7), np.float32)), "'layers.1.w_h' has the shape"),
        (change_tensors(extra=np.zeros(1, np.float32)), "'extra' does not belong"),
        (change_tensors(layers__2__b=np.zeros(24, np.float32)), "'layers.2.b' does not belong"),
        (change_tensors(**{"x\n\x1b[2J" * 500: np.zeros(1, np.float32)}), "does not belong"),
        (change_tensors(embedding=None), "'embedding' is missing"),
        (change_tensors(layers__0__norm_shift=None), "'layers.0.norm_shift' is missing"),
        (change_tensors(output__b=np.zeros(SIZE)), "'output.b' is F64"),
        (change_tensors(output__b=np.zeros(SIZE, np.int32)), "'output.b' is I32"),
        (change_tensors(output__b=np.zeros(SIZE, np.bool_)), "'output.b' is BOOL"),
    ],
)
@pytest.mark.parametrize("read", [load, read_header])
def test_wrong_tensors_are_refused(
    checkpoint: Checkpoint,
    path: Path,
    change: Callable[[dict[str, NDArray[Any]]], dict[str, NDArray[Any]]],
    complaint: str,
    read: Callable[[Path], object],
) -> None:
    assert len(checkpoint.vocabulary) == SIZE
    write(path, change(dict(checkpoint.tensors)), as_document(checkpoint))
    assert complaint in refusal(path, read).message


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused(checkpoint: Checkpoint, path: Path, value: float, dtype: type[np.floating[Any]]) -> None:
    for name in checkpoint.tensors:
        tensors = {each: tensor.astype(dtype) for each, tensor in checkpoint.tensors.items()}
        tensors[name].flat[-1] = value
        write(path, tensors, as_document(checkpoint))
        message = refusal(path).message
        assert "not finite" in message
        assert repr(name) in message


ROWS = "statistics.layers.1.w_h.rows"


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        (ROWS, None, "is missing"),
        ("statistics.output.b", None, "is missing"),
        (ROWS, np.zeros(25, np.float32), "has the shape"),
        (ROWS, np.zeros((24, 1), np.float32), "has the shape"),
        (ROWS, np.zeros(24, np.float16), "is F16, but should be F32"),
        (ROWS, np.zeros(24), "is F64"),
        (ROWS, np.full(24, -1e-9, np.float32), "below zero"),
        (ROWS, np.full(24, np.inf, np.float32), "not finite"),
        (ROWS, np.full(24, np.nan, np.float32), "not finite"),
        ("statistics.layers.2.b", np.zeros(24, np.float32), "does not belong"),
        ("statistics.embedding", np.zeros((SIZE, 5), np.float32), "does not belong"),
    ],
)
def test_wrong_statistics_are_refused(
    checkpoint: Checkpoint, path: Path, name: str, value: NDArray[Any] | None, complaint: str
) -> None:
    found: dict[str, NDArray[Any]] = {**checkpoint.tensors, **make_statistics(checkpoint), name: value}  # type: ignore[dict-item]
    write(path, {each: tensor for each, tensor in found.items() if tensor is not None}, as_document(checkpoint))
    assert complaint in refusal(path).message
    only = {**checkpoint.tensors, "statistics.output.b": np.zeros(SIZE, np.float32)}
    write(path, only, as_document(checkpoint))
    assert "missing" in refusal(path).message  # all or none


@pytest.mark.parametrize("version", [2, 10**30, 0, -1, 1.0, True, "1", "2\n\x1b[2J", None, [], {}, [[1] * 1000]])
def test_other_format_version_is_refused(checkpoint: Checkpoint, path: Path, version: object) -> None:
    error = refusal_of(checkpoint, path, {**as_document(checkpoint), "format": version})
    assert "version" in error.message
    assert error.hint == ("a newer charlm wrote it: upgrade" if version in (2, 10**30) else None)


@pytest.mark.parametrize(
    "description",
    [
        "", "{", "null", "1", "[]", '"charlm"', "{}", '{"format": 1', "[" * 100_000, "[" * 500 + "]" * 500,
        '{"format":' * 100_000, '{"format": 1, "config": {}}', "9" * 5000, '{"format": ' + "9" * 5000 + "}",
    ],
)  # fmt: skip
def test_damaged_description_is_refused(checkpoint: Checkpoint, path: Path, description: str) -> None:
    refusal_of(checkpoint, path, description)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", ['"format": 1', '"hidden": 6'])
def test_deeply_nested_description_is_refused(checkpoint: Checkpoint, path: Path, value: str) -> None:
    # At the edge of the recursion limit, where further use of the value may exceed it too deep.
    text, name = json.dumps(as_document(checkpoint)), value.split(":")[0]
    assert value in text
    for depth in range(850, 1000):
        refusal_of(checkpoint, path, text.replace(value, f"{name}: {'[' * depth}{']' * depth}"))


JUNK = [
    None, True, -1, 0, 0.5, 1e300, 10**30, "", "x" * 10_000, "\n\x1b[2J", "\ud800", [], {}, {"a\nb": 1}, nested(400),
]  # fmt: skip


def test_file_without_dialogue_is_plain(checkpoint: Checkpoint, path: Path) -> None:
    document = as_document(replace(checkpoint, dialogue=DIALOGUE))
    del document["dialogue"]
    write(path, checkpoint.tensors, document)
    assert load(path).dialogue == read_header(path).dialogue == Dialogue()


def test_chat_of_a_file_without_primer_is_primed_in_its_language(path: Path) -> None:
    for characters, language in ((ALPHABET, "en"), (ALPHABET + "の", "ja")):
        made = random_checkpoint(characters=characters)
        for dialogue in (Dialogue("lines"), Dialogue("play", ("ANNA",))):
            document = as_document(replace(made, dialogue=dialogue))
            del document["dialogue"]["primer"]
            write(path, made.tensors, document)
            assert load(path).dialogue.primer == dialogue.primed(language).primer
    saved = Dialogue("lines", primer="hello?\nhi.\n\n")
    save(replace(made, dialogue=saved), path)
    assert load(path).dialogue.primer == saved.primer


@pytest.mark.parametrize("name", DIALOGUE.to_dict())
def test_wrong_dialogue_is_refused(checkpoint: Checkpoint, path: Path, name: str) -> None:
    for junk in (*JUNK, ["\x1b[2J"], [""], ["A\nB"], [1], ["A"] * 100_000, "sonnet"):
        if (name, junk) in (("names", []), ("spaced", True), ("primer", "")):
            continue
        document = as_document(replace(checkpoint, dialogue=DIALOGUE))
        document["dialogue"][name] = junk
        assert "dialogue" in refusal_of(checkpoint, path, document).message


@pytest.mark.parametrize(
    ("part", "change"),
    [*product(PARTS, ["unknown", "not an object"]), *product(PARTS[:3], ["missing"])],
)
def test_wrong_parts_are_refused(checkpoint: Checkpoint, path: Path, part: str, change: str) -> None:
    for junk in JUNK:
        document = as_document(checkpoint)
        if change == "missing":
            del document[part]
        elif change == "unknown":
            document[part]["strange\nkey" * 100] = junk
        elif not isinstance(junk, dict):
            document[part] = junk
        else:
            continue
        refusal_of(checkpoint, path, document)


@pytest.mark.parametrize("name", ["vocabulary", "cell", "embedding", "hidden", "layers", "residual", "norm", "tied"])
def test_wrong_configuration_is_refused(checkpoint: Checkpoint, path: Path, name: str) -> None:
    for junk in (*JUNK, 16_385, 9, 10**30, "LSTM"):
        if type(junk) is bool and name in ("residual", "norm"):
            continue
        document = as_document(checkpoint)
        document["config"][name] = junk
        refusal_of(checkpoint, path, document)
    document = as_document(checkpoint)
    del document["config"][name]
    assert name in refusal_of(checkpoint, path, document).message


@pytest.mark.parametrize(
    ("characters", "complaint"),
    [
        ("aa" + "bcdefghijklmnopqrstuvwxyz12345", "twice"),
        ("\ud800" + "abcdefghijklmnopqrstuvwxyz12345", "cannot be a character"),
        ("abcdefghijklmnopqrstuvwxyz12345" + "\udfff", "cannot be a character"),
        ("abc", "3 entries"),
        ("", "0 entries"),
        ("abcdefghijklmnopqrstuvwxyz1234567", "33 entries"),
        (list("abcdefghijklmnopqrstuvwxyz123456"), "vocabulary is damaged"),
        (None, "vocabulary is damaged"),
    ],
)
def test_wrong_vocabulary_is_refused(checkpoint: Checkpoint, path: Path, characters: object, complaint: str) -> None:
    document = as_document(checkpoint)
    document["vocabulary"]["characters"] = characters
    assert complaint in refusal_of(checkpoint, path, document).message
    for has_bytes in (True, None, 0, 1, "", "false", []):
        document["vocabulary"] = {"characters": "".join(checkpoint.vocabulary.characters), "bytes": has_bytes}
        refusal_of(checkpoint, path, document)


@pytest.mark.parametrize("name", asdict(RECORD))
def test_wrong_record_is_refused(checkpoint: Checkpoint, path: Path, name: str) -> None:
    right = type(asdict(RECORD)[name])
    for junk in (True, "x", 1, 0.5, [], {}, None):
        allowed = isinstance(junk, right) or (right is float and isinstance(junk, int))
        if (allowed and junk is not True) or (junk is None and name in ("validation", "base")):
            continue
        document = as_document(checkpoint)
        document["record"][name] = junk
        assert name in refusal_of(checkpoint, path, document).message


def test_hostile_header_gets_a_printable_message(checkpoint: Checkpoint, path: Path) -> None:
    # The safetensors library quotes what it does not know.
    header = json.dumps({"embedding": {"dtype": "F\n\x1b[2J" * 500, "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 4)
    refusal(path)
