"""A configuration is possible or refused, and it names exactly the tensors of the torch model."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.cells import CELLS
from charlm.config import MAX_LAYERS, MAX_WIDTH, ModelConfig
from charlm.errors import UsageError
from charlm.model.lm import CharLM

NAMES = ["vocabulary", "cell", "embedding", "hidden", "layers", "residual", "norm", "tied"]


@st.composite
def configs(draw: st.DrawFn, widest: int = MAX_WIDTH, most: int = 0x110000 + 256) -> ModelConfig:
    hidden, tied = draw(st.integers(1, widest)), draw(st.booleans())
    return ModelConfig(
        vocabulary=draw(st.integers(2, most)),
        cell=draw(st.sampled_from(sorted(CELLS))),
        embedding=hidden if tied else draw(st.integers(1, widest)),
        hidden=hidden,
        layers=draw(st.integers(1, MAX_LAYERS)),
        residual=draw(st.booleans()),
        norm=draw(st.booleans()),
        tied=tied,
    )


@given(config=configs(widest=12, most=20))
@settings(max_examples=60)
def test_its_tensors_are_the_torch_model_s(config: ModelConfig) -> None:
    model = CharLM(config)
    assert config.tensors() == {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert config.parameters == sum(parameter.numel() for parameter in model.parameters())


@given(config=configs(widest=6, most=9))
@settings(max_examples=30)
def test_widths_and_residuals_are_what_the_layers_read(config: ModelConfig) -> None:
    for layer in range(config.layers):
        assert config.tensors()[f"layers.{layer}.w_x"][1] == config.inputs(layer)
        assert config.has_residual(layer) == (config.residual and config.inputs(layer) == config.hidden)


@pytest.mark.parametrize("cell", CELLS)
def test_a_residual_is_added_where_it_says_so(cell: str) -> None:
    # With a norm that gives zero a layer's output is nothing but its input, if that is added at all.
    for embedding, expected in ((6, [True, True]), (5, [False, True])):
        config = ModelConfig(4, cell, embedding, hidden=6, layers=2)
        assert [config.has_residual(layer) for layer in range(2)] == expected
        model = CharLM(config)
        with torch.no_grad():
            for layer, adds in zip(model.layers, expected, strict=True):
                x = torch.randn(3, 1, layer.get_parameter("w_x").shape[1])
                layer.get_parameter("norm_scale").zero_()
                output, _ = layer(x, model.start(1)[0], 0.0)
                assert torch.equal(output, x if adds else torch.zeros(3, 1, 6))


@given(config=configs())
def test_it_survives_being_plain_data(config: ModelConfig) -> None:
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert list(config.to_dict()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_unknown_and_missing_keys_are_named(name: str) -> None:
    document = ModelConfig(5).to_dict()
    with pytest.raises(UsageError, match="colour"):
        ModelConfig.from_dict({**document, "colour": 1})
    del document[name]
    with pytest.raises(UsageError, match=name):
        ModelConfig.from_dict(document)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("vocabulary", [1, 0, -1, 0x110000 + 257, 10**30, 5.0, True, None, "5"]),
        ("cell", ["", "LSTM", "transformer", None, 1]),
        ("embedding", [0, -1, MAX_WIDTH + 1, 2.0, True, None]),
        ("hidden", [0, -1, MAX_WIDTH + 1, 2.0, False, "256"]),
        ("layers", [0, -1, MAX_LAYERS + 1, 1.0, True, [1]]),
        ("residual", [0, 1, None, "true"]),
        ("norm", [0, 1, None, "false"]),
        ("tied", [0, 1, None, ""]),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(UsageError, match=name):
            ModelConfig(**{"vocabulary": 5, name: value})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("vocabulary", [2, 0x110000 + 256]),
        ("embedding", [1, MAX_WIDTH]),
        ("hidden", [1, MAX_WIDTH]),
        ("layers", [1, MAX_LAYERS]),
    ],
)
def test_the_ends_of_every_range_are_allowed(name: str, values: list[int]) -> None:
    for value in values:
        assert getattr(ModelConfig(**{"vocabulary": 5, name: value}), name) == value


def test_tied_weights_need_equal_widths() -> None:
    with pytest.raises(UsageError, match="tied") as refused:
        ModelConfig(5, embedding=24, hidden=32, tied=True)
    assert "--embedding 32" in (refused.value.hint or "")
    tied, untied = (ModelConfig(5, embedding=32, hidden=32, tied=tied) for tied in (True, False))
    assert untied.parameters - tied.parameters == 5 * 32
