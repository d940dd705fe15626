"""The pointer learns what replies copy, and its forward pass agrees with that of a chat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charlm import checkpoint
from charlm.checkpoint import Checkpoint
from charlm.errors import CorpusError
from charlm.inference.engine import Engine
from charlm.inference.pointer import Memory, Pointer
from charlm.inference.sampling import log_softmax
from charlm.model.lm import CharLM, load_tensors
from charlm.text.conversations import Utterance
from charlm.text.dialogue import Dialogue
from charlm.training.pointer import PointerStep, TrainedPointer, batch_of, main, train_pointer

from ..chat.models import random_checkpoint, random_pointer

TURNS = {
    "lines": ("hi, i am bob", "hello bob", "a cat", "so", "who", "bob."),
    "transcript": ("hi", "well", "who are you"),
}


def model_of(kind: str, cell: str = "lstm") -> Checkpoint:
    names = ("A", "B") if kind == "transcript" else ()
    made = random_checkpoint(cell=cell, scale=0.5)
    return replace(made, dialogue=Dialogue(kind, names), pointer=random_pointer(made.config))


@pytest.mark.parametrize(("kind", "cell"), [("lines", "lstm"), ("transcript", "lstm"), ("lines", "slstm")])
def test_trained_and_used_pointer_give_the_same_distribution(kind: str, cell: str) -> None:
    model = model_of(kind, cell)
    assert model.pointer is not None
    turns = [
        Utterance("BA"[place % 2] if model.dialogue.has_names else "", text) for place, text in enumerate(TURNS[kind])
    ]
    other = [Utterance(turn.name, "oh") for turn in turns[:4]]  # is padded
    batch = batch_of([turns, other], model)
    trained = TrainedPointer(model).eval()
    trained.load_state_dict(
        {name.removeprefix("pointer."): torch.from_numpy(part) for name, part in model.pointer.items()}
    )
    network, hidden = CharLM(model.config), list[torch.Tensor]()
    load_tensors(network, model.tensors)
    with torch.no_grad():
        logits, _ = network(batch.ids.T, network.start(2), hidden)
        found, plain, is_target = trained(batch, torch.cat(hidden, -1).transpose(0, 1), logits.transpose(0, 1))

    engine, pointer, expected, expected_plain = Engine(model), Pointer(model.pointer), [], []
    encode, dialogue = model.vocabulary.encode, model.dialogue
    state, logits = engine.prefill(engine.start(), encode(dialogue.beginning))
    memories: list[Memory] = []
    for place, turn in enumerate(turns):
        for index in encode(dialogue.opening(turn.name)).tolist():
            state, logits = engine.step(state, index)
        ids = encode(turn.text)
        if place % 2 == 0:
            memories.append(pointer.remember(engine.hidden_states(state, ids), ids))
        for number, index in enumerate([*ids.tolist(), *encode(dialogue.closing).tolist()]):
            if place % 2 == 1 and number <= len(ids):
                expected.append(Memory.join(memories, 1.0).mix(state.hidden, logits[None])[0][0, index])
                expected_plain.append(log_softmax(logits)[index])
            state, logits = engine.step(state, index)
    np.testing.assert_allclose(found[0][is_target[0]].exp().numpy(), np.exp(expected), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(plain[0][is_target[0]].numpy(), expected_plain, rtol=0, atol=1e-4)


def conversations(count: int) -> str:
    """Return conversations in which a word is stated and asked for."""
    rng, words = np.random.default_rng(1), ["cab", "dig", "fun", "hot", "jam", "kit", "lot", "map"]
    chosen = [words[rng.integers(len(words))] for _ in range(count)]
    return "\n\n".join(f"it is {word}\nok\nwhat is it?\n{word}" for word in chosen)


@pytest.mark.slow
def test_training_learns_to_copy_what_was_said() -> None:
    model = replace(random_checkpoint(hidden=32, scale=0.5), dialogue=Dialogue("lines"))
    torch.manual_seed(1)
    progress = list(train_pointer(model, TrainedPointer(model), conversations(12_000), seed=1))
    assert progress[-1].plain > 2  # a random model
    assert progress[-1].loss < 0.6 * progress[-1].plain


def test_command_writes_the_pointer_into_the_model_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, text = tmp_path / "m.safetensors", tmp_path / "text.txt"
    made = replace(random_checkpoint(), dialogue=Dialogue("lines"))
    checkpoint.save(made, path)
    text.write_text(conversations(200))
    main(str(path), str(text))
    found = checkpoint.load(path)
    assert found.pointer is not None
    assert found.record.pointer_characters > 0
    assert found.fingerprint != made.fingerprint
    text.write_text("no\nturns")
    with pytest.raises(CorpusError, match="no conversations of 4 turns"):
        main(str(path), str(text))


def test_interrupted_command_writes_what_was_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, text = tmp_path / "m.safetensors", tmp_path / "text.txt"
    checkpoint.save(replace(random_checkpoint(), dialogue=Dialogue("lines")), path)
    text.write_text(conversations(200))
    steps = train_pointer

    def interrupted(*arguments: Any) -> Iterator[PointerStep]:
        yield next(steps(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr("charlm.training.pointer.train_pointer", interrupted)
    main(str(path), str(text))
    first = checkpoint.load(path).record.pointer_characters
    monkeypatch.undo()
    main(str(path), str(text))
    assert checkpoint.load(path).record.pointer_characters > first > 0
