"""A larger vocabulary keeps the rows of a base and gives new characters the rows of similar ones."""

from __future__ import annotations

import numpy as np
import pytest

from charlm.model.lm import CharLM, to_tensors
from charlm.tensor_shapes import tensor_shapes
from charlm.text.vocabulary import Vocabulary
from charlm.training.extension import extend
from tests.chat.models import CHARACTERS, random_checkpoint

NEW = "ÀÉéz?;0\u3042あ日€"


@pytest.mark.parametrize("has_bytes", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_extended_vocabulary_keeps_old_rows(has_bytes: bool, tied: bool) -> None:
    base = random_checkpoint(has_bytes=has_bytes, tied=tied)
    vocabulary = Vocabulary(sorted({*CHARACTERS, *NEW}), has_bytes=True)
    config = base.config.changed(vocabulary=len(vocabulary))
    fresh = to_tensors(CharLM(config).state_dict())
    counts = np.arange(1, len(vocabulary) + 1)
    tensors = extend(base, vocabulary, counts, fresh)
    assert {name: tensor.shape for name, tensor in tensors.items()} == tensor_shapes(config)
    for name in {"embedding", "output.w", "output.b"} & tensors.keys():
        old, new = base.tensors[name], tensors[name]
        for index, character in enumerate(base.vocabulary.characters):
            np.testing.assert_array_equal(new[vocabulary.encode(character)[0]], old[index])
        expected = old[len(CHARACTERS) :] if has_bytes else fresh[name][-256:]
        np.testing.assert_array_equal(new[-256:], expected)


def test_new_character_begins_as_a_similar_one() -> None:
    base = random_checkpoint()
    vocabulary = Vocabulary(sorted({*CHARACTERS, *NEW}), has_bytes=False)
    fresh = to_tensors(CharLM(base.config.changed(vocabulary=len(vocabulary))).state_dict())
    counts = np.full(len(vocabulary), 50)
    counts[vocabulary.encode("é")[0]] = 5
    tensors = extend(base, vocabulary, counts, fresh)

    def row(name: str, character: str) -> np.ndarray:
        return tensors[name][vocabulary.encode(character)[0]]

    for name in ("embedding", "output.w"):
        for new, old in (("À", "A"), ("é", "e"), ("É", "e")):
            np.testing.assert_array_equal(row(name, new), row(name, old))
        punctuation = np.mean([row(name, old) for old in "!,.:?"], axis=0)
        np.testing.assert_allclose(row(name, ";"), punctuation, atol=1e-6)
        np.testing.assert_array_equal(row(name, "€"), fresh[name][vocabulary.encode("€")[0]])
    assert row("output.b", "À") == row("output.b", "A")
    assert row("output.b", "é") < row("output.b", "e") - 2


@pytest.mark.parametrize("tied", [False, True])
def test_new_character_of_a_script_begins_as_its_mean(tied: bool) -> None:
    base = random_checkpoint(characters="、。あいアイ山川麦", tied=tied)
    vocabulary = Vocabulary(sorted({*base.vocabulary.characters, *"漫ヴゑ"}), has_bytes=False)
    fresh = to_tensors(CharLM(base.config.changed(vocabulary=len(vocabulary))).state_dict())
    tensors = extend(base, vocabulary, np.full(len(vocabulary), 9), fresh)
    for new, script in (("漫", "山川麦"), ("ヴ", "アイ"), ("ゑ", "あい")):
        expected = base.tensors["embedding"][base.vocabulary.encode(script)].mean(axis=0)
        np.testing.assert_allclose(tensors["embedding"][vocabulary.encode(new)[0]], expected, atol=1e-6)
