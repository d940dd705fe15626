"""The matcher learns from a text which reply belongs to which context."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm import checkpoint
from charlm.errors import CorpusError
from charlm.inference.matching import Matcher
from charlm.text.dialogue import Dialogue
from charlm.text.vocabulary import Vocabulary
from charlm.training.matching import STRETCH_CHARS, TrainedMatcher, main, train_matching

from ..conftest import random_checkpoint

LINES = Dialogue("lines")
MIN_PAIRS = 1_500
TOPICS = ("cats", "rain", "tea", "chess", "trains", "snow", "bread", "music", "birds", "ships")


def talk(pairs: int, seed: int = 0) -> str:
    """Conversations about TOPICS: the first word of a reply belongs to the last word before it."""
    rng = np.random.default_rng(seed)
    conversations = []
    for _ in range(pairs):
        topic = TOPICS[rng.integers(len(TOPICS))]
        asks = ("so what about {}", "tell me of {}", "and do you like {}")[rng.integers(3)]
        conversations.append(f"{asks.format(topic)}\n{topic[::-1]} it is, {'oh ' * rng.integers(3)}well")
    return "\n\n".join(conversations)


def train(text: str, seed: int = 1, **options: Any) -> TrainedMatcher | None:
    vocabulary = Vocabulary(sorted(set(text)), has_bytes=False)
    return train_matching(vocabulary.encode(text), vocabulary, LINES, seed, **{"min_pairs": MIN_PAIRS, **options})


@pytest.fixture(scope="module")
def trained() -> TrainedMatcher:
    found = train(talk(5_000))
    assert found is not None
    return found


def test_fitting_reply_ranks_above_others(trained: TrainedMatcher) -> None:
    matcher = Matcher(*trained.tensors.values())
    replies = [f"{topic[::-1]} it is, well" for topic in TOPICS]
    for number, topic in enumerate(TOPICS):
        assert matcher.similarity([f"tell me of {topic}"], replies).argmax() == number


def test_turn_that_states_a_claim_supports_it() -> None:
    rng, conversations = np.random.default_rng(1), []
    for _ in range(4_000):
        topic, name = TOPICS[rng.integers(len(TOPICS))], "".join(rng.choice(list("bdfgklmnprst"), 6))
        tell = ("my {} are called {}", "i call the {} {}")[rng.integers(2)].format(topic, name)
        conversations.append(f"{tell}\nfine\nwhat about the {topic}\nthe {topic} are {name}")
    found = train("\n\n".join(conversations))
    assert found is not None
    assert found.statements >= 3_000
    matcher = Matcher(*found.tensors.values(), has_statements=True)
    for topic, other in pairwise(TOPICS):
        turns = [f"i call the {one} mipps" for one in (topic, other)]
        reply, question = f"the {topic} are mipps", f"what about the {topic}"
        right, wrong = (matcher.support(reply, [1.0] * len(reply), [turn], question) for turn in turns)
        assert right is not None
        assert wrong is not None
        assert right > wrong + 0.2


def test_training_is_deterministic_for_a_seed(trained: TrainedMatcher) -> None:
    again, other = train(talk(5_000)), train(talk(5_000), seed=2)
    assert again is not None
    assert other is not None
    for name, tensor in trained.tensors.items():
        assert again.tensors[name].tobytes() == tensor.tobytes()
        assert not np.array_equal(other.tensors[name], tensor)
        assert np.array_equal(tensor.astype(np.float16).astype(np.float32), tensor)  # a model file loses nothing


def test_training_begins_with_the_base_and_leaves_it_as_it_is(trained: TrainedMatcher) -> None:
    before = {name: tensor.copy() for name, tensor in trained.tensors.items()}
    further = train(talk(2_500), base=trained)
    assert further is not None
    for name, tensor in trained.tensors.items():
        assert np.array_equal(tensor, before[name])
        assert 0 < np.abs(further.tensors[name] - tensor).mean() < 0.02


@pytest.mark.parametrize(
    ("pairs", "options"), [(1_000, {}), (3_000, {"time_share": lambda: 1.0})], ids=["text", "time"]
)
def test_too_few_pairs_train_nothing(pairs: int, options: dict[str, Any]) -> None:
    assert train(talk(pairs), **options) is None


def test_training_reads_as_much_as_it_may() -> None:
    text = talk(5_000)
    whole, part = train(text), train(text, max_chars=STRETCH_CHARS)
    assert whole is not None
    assert part is not None
    assert 0.9 * 5_000 < whole.pairs <= 5_000
    assert whole.statements == 0, "there are no words from an earlier turn"
    assert part.pairs <= STRETCH_CHARS * 5_000 // len(text)


@pytest.mark.parametrize("dialogue", [LINES, Dialogue("plain")], ids=lambda one: one.format)
def test_main_refuses_a_text_with_few_turns(dialogue: Dialogue, tmp_path: Path) -> None:
    model, text = tmp_path / "m.safetensors", tmp_path / "prose.txt"
    checkpoint.save(replace(random_checkpoint(), dialogue=dialogue), model)
    text.write_text("It was a dark night.", encoding="utf-8")
    with pytest.raises(CorpusError, match=f"fewer than 3,000 replies in the model's format, {dialogue.format}"):
        main(str(model), str(text))


def test_main_writes_a_matcher_into_a_model_file(tmp_path: Path) -> None:
    model, text = tmp_path / "m.safetensors", tmp_path / "talk.txt"
    checkpoint.save(replace(random_checkpoint(), dialogue=LINES), model)
    text.write_text(talk(4_000), encoding="utf-8")
    before = checkpoint.load(model)
    main(str(model), str(text))
    after = checkpoint.load(model)
    assert after.matching is not None
    assert after.record.matching_pairs > 0
    assert replace(after, matching=None).fingerprint == before.fingerprint
