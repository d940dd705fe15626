"""Tensor shapes of a model configuration agree with the torch model."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.cells import CELLS
from charlm.config import MAX_LAYERS, MAX_WIDTH, ModelConfig
from charlm.errors import UsageError
from charlm.model.lm import CharLM
from charlm.tensor_shapes import parameter_count, tensor_shapes


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
def test_tensor_shapes_equal_the_torch_model(config: ModelConfig) -> None:
    model = CharLM(config)
    assert tensor_shapes(config) == {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert parameter_count(config) == sum(parameter.numel() for parameter in model.parameters())


@given(config=configs(widest=6, most=9))
@settings(max_examples=30)
def test_inputs_and_residuals_agree_with_shapes(config: ModelConfig) -> None:
    for layer in range(config.layers):
        assert tensor_shapes(config)[f"layers.{layer}.w_x"][1] == config.inputs(layer)
        assert config.has_residual(layer) == (config.residual and config.inputs(layer) == config.hidden)


@pytest.mark.parametrize("cell", CELLS)
def test_residual_is_added_where_widths_agree(cell: str) -> None:
    # With a norm that gives zero a layer's output is nothing but its input, if that is added at all.
    for embedding, expected in ((6, [True, True]), (5, [False, True])):
        config = ModelConfig(4, cell, embedding=embedding, hidden=6, layers=2)
        assert [config.has_residual(layer) for layer in range(2)] == expected
        model = CharLM(config)
        with torch.no_grad():
            for layer, adds in zip(model.layers, expected, strict=True):
                x = torch.randn(3, 1, layer.get_parameter("w_x").shape[1])
                layer.get_parameter("norm_scale").zero_()
                output, _ = layer(x, model.start(1)[0], 0.0)
                assert torch.equal(output, x if adds else torch.zeros(3, 1, 6))


def test_tied_weights_with_unequal_widths_are_refused() -> None:
    with pytest.raises(UsageError, match="tied") as refused:
        ModelConfig(5, embedding=24, hidden=32, tied=True)
    assert "--embedding 32" in (refused.value.hint or "")
    tied, untied = (ModelConfig(5, embedding=32, hidden=32, tied=tied) for tied in (True, False))
    assert parameter_count(untied) - parameter_count(tied) == 5 * 32
