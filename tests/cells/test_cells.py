"""Every cell equals its torch kernel, forward and backward, and changes nothing in place."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from charlm.cells import CELLS
from charlm.cells.base import Cell, FusableCell, sigmoid, stack
from charlm.config import CELL_NAMES
from charlm.model import kernels

Array = NDArray[np.float64]

every_cell = pytest.mark.parametrize("cell", CELLS)


class Case(NamedTuple):
    """A layer with its input and initial state. All arrays are read-only, so that a write is an error."""

    tensors: dict[str, Array]
    weights: Any
    xs: Array  # (T, B, I)
    state: Any


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Draw T, B, I, H and a seed."""
    steps, batch, inputs, hidden = (draw(st.integers(1, 7)) for _ in range(4))
    return steps, batch, inputs, hidden, draw(st.integers(0, 2**32 - 1))


def make_case(cell: str, size: tuple[int, int, int, int, int], scale: float = 1.0) -> Case:
    steps, batch, inputs, hidden, seed = size
    rng = np.random.default_rng(seed)
    module = CELLS[cell]
    tensors = {name: frozen(rng.normal(0, scale, shape)) for name, shape in module.shapes(inputs, hidden).items()}
    return Case(
        tensors=tensors,
        weights={name: tensor for name, tensor in tensors.items() if name not in ("w_x", "b")},
        xs=frozen(rng.normal(0, scale, (steps, batch, inputs))),
        state=random_state(cell, rng, (batch, hidden)),
    )


def random_state(cell: str, rng: np.random.Generator, shape: tuple[int, int]) -> Any:
    """Return a random state that reading can lead to: a normaliser is at least 1."""
    module = CELLS[cell]
    parts = {name: rng.normal(0, 1, shape) for name in module.state_fields}
    return module.State(**{name: frozen(1 + abs(part) if name == "n" else part) for name, part in parts.items()})


def frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array


def input_proj(case: Case) -> Array:
    return frozen(case.xs @ case.tensors["w_x"].T + case.tensors["b"])


def forward(cell: str, case: Case) -> tuple[Array, Any, list[Any]]:
    """Return the hidden states (T, B, H), the last state and the traces."""
    state, hs, traces = case.state, [], []
    for below in input_proj(case):
        state, trace = CELLS[cell].step(case.weights, below, state)
        for part in (*state, *trace[1:]):
            frozen(part)
        hs.append(state.h)
        traces.append(trace)
    return np.stack(hs), state, traces


def assert_torch_agrees(cell: str, case: Case, tolerance: float) -> None:
    hs, state, _ = forward(cell, case)
    expected_hs, expected_state = kernels.CELLS[cell](
        torch.tensor(case.xs),
        tuple(map(torch.tensor, case.state)),
        {name: torch.tensor(tensor) for name, tensor in case.tensors.items()},
    )
    np.testing.assert_allclose(hs, expected_hs, rtol=0, atol=tolerance)
    for part, expected in zip(state, expected_state, strict=True):
        np.testing.assert_allclose(part, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("cell", [name for name, module in CELLS.items() if isinstance(module, FusableCell)])
@given(size=sizes())
@settings(max_examples=20)
def test_fused_product_equals_sum_of_two_products(cell: str, size: tuple[int, int, int, int, int]) -> None:
    case, module = make_case(cell, size, 0.5), CELLS[cell]
    w_xh = frozen(np.concatenate((case.tensors["w_x"], case.tensors["w_h"]), axis=1))
    x_and_h = frozen(np.concatenate((case.xs[0], case.state.h), axis=1))
    apart, _ = module.step(case.weights, input_proj(case)[0], case.state)
    at_once, _ = module.activate(case.weights, x_and_h @ w_xh.T + case.tensors["b"], case.state)
    for part, expected in zip(at_once, apart, strict=True):
        np.testing.assert_allclose(part, expected, rtol=0, atol=1e-12)


@every_cell
@given(size=sizes(), scale=st.sampled_from([0.1, 0.5]))
@example(size=(100, 3, 5, 9, 1), scale=0.4)
@settings(max_examples=40)
def test_cell_forward_equals_torch(cell: str, size: tuple[int, int, int, int, int], scale: float) -> None:
    assert_torch_agrees(cell, make_case(cell, size, scale), 1e-12)


@every_cell
@given(size=sizes())
@settings(max_examples=40)
def test_cell_forward_extremes_equal_torch(cell: str, size: tuple[int, int, int, int, int]) -> None:
    case = make_case(cell, size, 3.0)
    zero = type(case.state)(*[frozen(np.zeros_like(part)) for part in case.state])
    assert_torch_agrees(cell, case._replace(state=zero), 1e-11)
    # Saturated: sums reach 1e5. A unit that happens not to be saturated differs by their last bit, 1e-11.
    assert_torch_agrees(cell, make_case(cell, (1, 3, 5, 5, size[-1]), scale=100), 1e-9)


@every_cell
@given(size=sizes())
@example(size=(40, 3, 5, 9, 1))
@settings(max_examples=40)
def test_step_backward_equals_autograd(cell: str, size: tuple[int, int, int, int, int]) -> None:
    case = make_case(cell, size, 0.5)
    module, rng = CELLS[cell], np.random.default_rng(size[-1] + 1)
    hs, state, traces = forward(cell, case)
    d_hs = frozen(rng.normal(size=hs.shape))  # the loss depends on every hidden state and on the last state
    d_last = module.State(*[frozen(rng.normal(size=part.shape)) for part in state])

    d_input_projs, d_recurrents, d_state = [], [], d_last
    for trace, d_h in zip(reversed(traces), d_hs[::-1], strict=True):
        d_after = d_state._replace(h=frozen(d_state.h + d_h))
        d_below, d_recurrent, d_state = module.step_backward(case.weights, module.local_derivatives(trace), d_after)
        for part in (d_below, d_recurrent, *d_state):
            frozen(part)
        d_input_projs.append(d_below)
        d_recurrents.append(d_recurrent)
    d_weights = module.weight_grads(stack(traces), np.concatenate(d_recurrents[::-1]))

    # With W_x the identity and no bias, W_x x + b is the input itself, and their gradients are equal.
    below = torch.tensor(input_proj(case), requires_grad=True)
    before = [torch.tensor(part, requires_grad=True) for part in case.state]
    weights = {name: torch.tensor(tensor, requires_grad=True) for name, tensor in case.tensors.items()}
    weights |= {"w_x": torch.eye(below.shape[-1], dtype=torch.float64), "b": torch.zeros_like(below[0, 0])}
    torch_hs, torch_state = kernels.CELLS[cell](below, tuple(before), weights)
    loss = (torch_hs * torch.tensor(d_hs)).sum()
    for part, d_part in zip(torch_state, d_last, strict=True):
        loss = loss + (part * torch.tensor(d_part)).sum()
    loss.backward()

    np.testing.assert_allclose(np.stack(d_input_projs[::-1]), below.grad, rtol=1e-10, atol=1e-10)
    assert d_weights.keys() == set(case.weights)
    for name, d_weight in d_weights.items():
        found = d_weight[0].T @ d_weight[1] if isinstance(d_weight, tuple) else d_weight
        np.testing.assert_allclose(found, weights[name].grad, rtol=1e-10, atol=1e-10)
    for part, torch_part in zip(d_state, before, strict=True):
        np.testing.assert_allclose(part, torch_part.grad, rtol=1e-10, atol=1e-10)


@every_cell
def test_cell_float32_stays_float32(cell: str) -> None:
    case = make_case(cell, (1, 2, 3, 4, 0))
    module = CELLS[cell]
    weights = {name: weight.astype(np.float32) for name, weight in case.weights.items()}
    state = module.State(*[part.astype(np.float32) for part in case.state])
    after, trace = module.step(weights, input_proj(case)[0].astype(np.float32), state)
    d_below, d_recurrent, d_before = module.step_backward(weights, module.local_derivatives(trace), after)
    d_weights = [part for d_weight in module.weight_grads(trace, d_recurrent).values() for part in d_weight]
    parts = (*after, *trace[1:], d_below, d_recurrent, *d_before, *d_weights)
    assert {part.dtype for part in parts} == {np.dtype(np.float32)}


@every_cell
def test_cell_sets_every_attribute_of_the_contract(cell: str) -> None:
    assert [name for name in Cell.__annotations__ if not hasattr(CELLS[cell], name)] == []
    assert CELLS[cell].FORGET_GATE in (None, *CELLS[cell].GATES)


def test_training_knows_every_cell() -> None:
    assert set(kernels.CELLS) == set(CELLS) == set(CELL_NAMES)


@every_cell
def test_cell_shapes_have_a_block_of_rows_per_gate(cell: str) -> None:
    module = CELLS[cell]
    shapes = module.shapes(5, 7)
    assert shapes["w_x"] == (7 * len(module.GATES), 5)
    assert shapes["b"] == (7 * len(module.GATES),)
    recurrent = [shape for name, shape in shapes.items() if name != "w_x" and len(shape) == 2]
    assert sum(rows for rows, _ in recurrent) == len(module.GATES) * 7
    assert module.state_fields[0] == "h"


@every_cell
@given(size=sizes(), scale=st.sampled_from([0.5, 5.0]))
@settings(max_examples=20)
def test_signals_stay_within_declared_bounds(cell: str, size: tuple[int, int, int, int, int], scale: float) -> None:
    case, module = make_case(cell, size, scale), CELLS[cell]
    state = module.State(*[np.zeros_like(part) for part in case.state])
    assert module.MEMORY in module.SIGNALS
    for below in input_proj(case):
        state, trace = module.step(case.weights, below, state)
        seen = module.read_signals(trace, state)
        assert seen.keys() == module.SIGNALS.keys()
        for name, signal in module.SIGNALS.items():
            assert seen[name].shape == state.h.shape
            assert (seen[name] >= signal.low).all(), name
            assert (seen[name] <= signal.high).all(), name


@every_cell
def test_torch_cell_passes_gradcheck(cell: str) -> None:
    case = make_case(cell, (4, 2, 3, 3, 5), 0.7)
    names = list(case.tensors)

    def run(x: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        weights, state = dict(zip(names, rest, strict=False)), rest[len(names) :]
        hs, after = kernels.CELLS[cell](x, state, weights)
        return hs, *after

    inputs = [torch.tensor(part, requires_grad=True) for part in (case.xs, *case.tensors.values(), *case.state)]
    assert torch.autograd.gradcheck(run, inputs)


def test_slstm_output_is_weighted_mean_of_candidates() -> None:
    """The output is the mean of the candidates under exponential weights, computed by hand."""
    module, rng = CELLS["slstm"], np.random.default_rng(0)
    below = rng.normal(0, 2, (30, 1, 4))  # one unit without recurrence
    state = module.State(*np.zeros((4, 1, 1)))
    a_i, log_f = below[:, 0, 0], np.log(expit(below[:, 0, 1]))
    for step in range(30):
        state, trace = module.step({"w_h": np.zeros((4, 1))}, below[step], state)
        later = np.concatenate((np.cumsum(log_f[step:0:-1])[::-1], [0.0]))  # log of the decay of each weight since
        weights = np.exp(a_i[: step + 1] + later)
        mean = (weights * np.tanh(below[: step + 1, 0, 3])).sum() / weights.sum()
        np.testing.assert_allclose(trace.v, [[mean]], rtol=1e-12)
        np.testing.assert_allclose(state.h, [[expit(below[step, 0, 2]) * mean]], rtol=1e-12)
        assert state.n >= 1


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1.5e-7), (np.float64, 3e-16)])
def test_sigmoid_extreme_values_equal_logistic(dtype: type[np.floating[Any]], tolerance: float) -> None:
    greatest = np.finfo(dtype).max
    a = np.concatenate((np.linspace(-60, 60, 10_001), [-greatest, -1e4, 1e4, greatest])).astype(dtype)
    result = sigmoid(a)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, expit(a.astype(np.float64)), rtol=0, atol=tolerance)
    assert (result[-4:] == [0, 0, 1, 1]).all()
