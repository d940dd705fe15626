"""The torch model: every option has its documented effect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from charlm.cells import CELLS
from charlm.config import ModelConfig
from charlm.model.lm import CharLM, Dropout, load_tensors, to_tensors


def make(dropout: Dropout | None = None, max_one_hot_share: float = 0.5, **shape: Any) -> CharLM:
    torch.manual_seed(0)
    config = ModelConfig(**{"vocabulary": 11, "embedding": 8, "hidden": 8, "layers": 2, **shape})
    model = CharLM(config, dropout, max_one_hot_share)
    if model.output.w is not None:  # it starts at zero, which gives all models the same logits
        torch.nn.init.normal_(model.output.w)
    return model


IDS = torch.from_numpy(np.random.default_rng(0).integers(0, 11, (20, 3)))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "shape", [{}, {"norm": False}, {"residual": False}, {"tied": True}, {"layers": 4}, {"embedding": 5}]
)
def test_chunk_read_in_parts_equals_whole_chunk(cell: str, shape: dict[str, Any]) -> None:
    model = make(cell=cell, **shape).eval()
    whole, last = model(IDS, model.start(3))
    state, parts = model.start(3), []
    for first in range(0, 20, 7):
        logits, state = model(IDS[first : first + 7], state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-5, atol=1e-5)
    for layer, other in zip(state, last, strict=True):
        for part, same in zip(layer, other, strict=True):
            torch.testing.assert_close(part, same, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("shape", [{}, {"residual": False}, {"tied": True}])
def test_one_hot_first_layer_equals_embedding(cell: str, shape: dict[str, Any]) -> None:
    config = {"cell": cell, "vocabulary": 11, "embedding": 16, "hidden": 16, **shape}
    outcomes = []
    for max_share in (float("inf"), 0.0):
        model = make(max_one_hot_share=max_share, **config)
        logits, after = model(IDS, model.start(3))
        model.zero_grad()
        (logits.logsumexp(-1).sum() + after[0][0].sum()).backward()
        outcomes.append((logits, *[parameter.grad for parameter in model.parameters()]))
    for one_hot, embedded in zip(*outcomes, strict=True):
        torch.testing.assert_close(one_hot, embedded, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_bf16_model_is_close_to_fp32(cell: str) -> None:
    model = make(cell=cell, hidden=32, embedding=32).eval()
    exact, _ = model(IDS, model.start(3))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, after = model(IDS, model.start(3))
    assert rounded.dtype == torch.bfloat16
    assert (rounded - exact).abs().mean() < 0.02 * exact.abs().mean()
    _, again = model(IDS, after)  # the state fits the next chunk
    assert all(part.isfinite().all() for layer in again for part in layer)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "option", [{"norm": False}, {"residual": False}, {"tied": True}, {"layers": 3}, {"hidden": 9, "embedding": 9}]
)
def test_config_option_changes_the_model(cell: str, option: dict[str, Any]) -> None:
    usual, other = make(cell=cell), make(cell=cell, **option)
    for name, tensor in usual.state_dict().items():
        if name in other.state_dict() and other.state_dict()[name].shape == tensor.shape:
            other.state_dict()[name].copy_(tensor)
    one, _ = usual.eval()(IDS, usual.start(3))
    another, _ = other.eval()(IDS, other.start(3))
    assert not torch.allclose(one, another, atol=1e-4)


def test_initial_weights_follow_their_distributions() -> None:
    model = make(hidden=32, embedding=32)
    for layer in range(2):
        tensors = {name: model.state_dict()[f"layers.{layer}.{name}"] for name in ("w_x", "w_h", "b")}
        i, f, o, g = tensors["b"].chunk(4)
        assert (f == 1).all()
        assert not i.any()
        assert not o.any()
        assert not g.any()
        for block in tensors["w_h"].chunk(4):
            torch.testing.assert_close(block @ block.T, torch.eye(32), atol=1e-5, rtol=0)
        limit = (6 / 64) ** 0.5  # Glorot and Bengio (2010), for each block
        assert 0.9 * limit < tensors["w_x"].abs().max() <= limit


def test_output_bias_starts_at_log_frequencies() -> None:
    model = make(tied=True)
    counts = np.array([1000, 500, *[10] * 8, 0])
    model.init_output_bias(counts)
    p = torch.softmax(model.output.b, dim=0)
    np.testing.assert_allclose(p.detach().numpy(), (counts + 0.1) / (counts + 0.1).sum(), rtol=1e-5)


@pytest.mark.parametrize("place", ["input", "hidden", "output", "weight"])
def test_dropout_applies_in_training_only(place: str) -> None:
    plain, dropped = make(), make(Dropout(**{place: 0.5}))
    dropped.load_state_dict(plain.state_dict())
    expected, _ = plain(IDS, plain.start(3))
    trained, _ = dropped.train()(IDS, dropped.start(3))
    assert not torch.allclose(trained, expected, atol=1e-3)
    used, _ = dropped.eval()(IDS, dropped.start(3))
    torch.testing.assert_close(used, expected)


def test_locked_dropout_is_constant_over_steps() -> None:
    model = make(Dropout(output=0.3), hidden=200, embedding=200, vocabulary=200, layers=1, residual=False)
    state = model.state_dict()
    state["layers.0.norm_scale"].zero_()
    state["layers.0.norm_shift"].fill_(1)  # the layer's output is 1, and the logits are what dropout makes of it
    state["output.w"].copy_(torch.eye(200))
    y, _ = model.train()(IDS, model.start(3))
    assert (y == y[:1]).all()
    assert not (y[:, 0] == y[:, 1]).all()
    torch.testing.assert_close(y.unique(), torch.tensor([0.0, 1 / 0.7]))
    assert y.mean().item() == pytest.approx(1, abs=0.1)


def test_weight_drop_draws_one_mask_per_chunk() -> None:
    model = make(Dropout(weight=0.5), layers=1)
    outputs = [model(IDS, model.start(3))[0] for _ in range(2)]
    assert not torch.allclose(*outputs)
    torch.testing.assert_close(outputs[0][0], outputs[1][0])  # the first step has no recurrence to drop


def test_tensors_round_trip_through_model() -> None:
    model, other = make(), make(cell="lstm")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)
    load_tensors(other, to_tensors(model.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    tensors = to_tensors(model.state_dict())
    tensors["embedding"][:] = 0
    assert model.embedding.any()
