"""`llm -m charlm/NAME` writes what charlm writes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from charlm import load
from charlm.checkpoint import save
from charlm.plugins.llm import CharlmModel, register_models

from ..chat.models import DIALOGUES
from ..conftest import PATIENCE, Charlm, random_checkpoint


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save(replace(random_checkpoint(), dialogue=DIALOGUES["lines"]), tmp_path / "checkpoints" / "talk.safetensors")
    return tmp_path


@pytest.fixture
def model(folder: Path) -> CharlmModel:
    found: list[CharlmModel] = []
    register_models(found.append)
    assert [one.model_id for one in found] == ["charlm/talk"]
    return found[0]


def test_prompt_equals_sample(charlm: Charlm, folder: Path, model: CharlmModel) -> None:
    done = charlm("sample", "talk", "-p", "the", "-n", "30", "--seed", "4", "--top-k", "5", "--json")
    answer = model.prompt("the", seed=4, chars=30, top_k=5)
    assert answer.text() == json.loads(done.out)["text"]
    assert "".join(model.prompt("the", seed=4, chars=30, top_k=5)) == answer.text()
    assert (answer.usage().input, answer.usage().output) == (3, 30)


def test_conversation_equals_chat(model: CharlmModel) -> None:
    chat, conversation = load("talk").chat(seed=1, learn=False), model.conversation()
    for text in ("hello", "and then?"):
        chat.reseed(1)
        assert conversation.prompt(text, seed=1).text() == chat.say(text).text


def test_chat_option_overrides_the_kind(model: CharlmModel) -> None:
    said = load("talk").chat(seed=1, learn=False).say("hello").text
    assert model.prompt("hello", seed=1, chat=True).text() == said
    text = load("talk").generate("hello", seed=1)
    assert model.conversation().prompt("hello", seed=1, chat=False).text() == text


def test_value_out_of_range_is_one_sentence(model: CharlmModel) -> None:
    with pytest.raises(Exception, match="temperature is -1, but must be at least 0"):
        model.prompt("a", temperature=-1).text()


def test_registration_loads_no_model_code(folder: Path) -> None:
    code = (
        "import sys, charlm.plugins.llm as plugin\nfound = []\nplugin.register_models(found.append)\n"
        "assert found and not {'charlm.checkpoint', 'charlm.inference', 'safetensors', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=PATIENCE)
