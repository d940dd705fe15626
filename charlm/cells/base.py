"""The contract of a recurrent cell, and the few functions that the cells share.

A cell owns the arithmetic of one layer at one time step, forward and backward. It knows nothing of text, files,
sampling or of how layers are stacked. B is the batch, I the number of inputs, H the number of hidden units and G the
number of blocks of H rows in W_x.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Final, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

Factors = tuple[Array, Array]
"""Gradient of a matrix as two factors: left (N, R) and right (N, C), for left.T @ right."""

Units = NDArray[np.intp]
"""Indices of hidden units, (U,)."""

UNBOUNDED: Final = float("inf")

_HALF: Final = np.float32(0.5)  # exact in every precision; NumPy takes it faster than a Python float


class Signal(NamedTuple):
    """Quantity to observe in a running cell: one number per unit and step."""

    meaning: str
    low: float  # least possible value, or minus infinity
    high: float  # greatest possible value, or infinity

    @property
    def is_gate(self) -> bool:
        return (self.low, self.high) == (0.0, 1.0)


def gate(meaning: str) -> Signal:
    """Return a signal between 0, closed, and 1, open."""
    return Signal(meaning, 0.0, 1.0)


class ArrayTuple(Protocol):
    """A NamedTuple of arrays."""

    @property
    def _fields(self) -> tuple[str, ...]: ...
    def __iter__(self) -> Iterator[Array]: ...


class LayerState(ArrayTuple, Protocol):
    """State of one layer: arrays of (B, H), the hidden state first. Zeros are the state before any input."""

    @property
    def h(self) -> Array: ...


class Trace(ArrayTuple, Protocol):
    """Values of one step, (B, H) each, that the backward pass and the signals need."""

    @property
    def h_prev(self) -> Array: ...


S = TypeVar("S", bound=LayerState)
T = TypeVar("T", bound=Trace)
D = TypeVar("D", bound=ArrayTuple)
A = TypeVar("A", bound=ArrayTuple)

StepGrads = tuple[Array, Array, S]
"""Gradients with respect to W_x x + b, to the recurrent products and to the state before a step."""

Weights = Mapping[str, Array]
"""Tensors of a layer by name, see `Cell.shapes`. A cell reads all but w_x and b."""


class Cell(ABC, Generic[S, T, D]):
    """A recurrent cell. S is its state, T the trace of a step, D the partial derivatives of a step."""

    GATES: ClassVar[tuple[str, ...]]  # names of the blocks of H rows in W_x and b, in order
    FORGET_GATE: ClassVar[str | None]  # the gate whose bias starts at 1 in training, so that the cell starts by keeping
    SIGNALS: ClassVar[Mapping[str, Signal]]  # each is a field of the state, or else of the trace
    MEMORY: ClassVar[str]  # the signal that the cell carries from step to step
    State: type[S]

    @property
    def state_fields(self) -> tuple[str, ...]:
        return tuple(self.State.__annotations__)

    def shapes(self, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of each tensor of a layer, as a model file stores them."""
        rows = len(self.GATES) * hidden
        return {"w_x": (rows, inputs), "w_h": (rows, hidden), "b": (rows,)}

    @abstractmethod
    def step(self, weights: Weights, input_proj: Array, state: S) -> tuple[S, T]:
        """Read one input, W_x x + b, (B, GH); return the next state and the trace. No state is changed in place."""

    @abstractmethod
    def clamp_units(self, state: S, trace: T, units: Units, values: Array) -> S:
        """Return the state after a step with the memory of U units set to values, (U,), and h to match."""

    @abstractmethod
    def local_derivatives(self, trace: T) -> D:
        """Return the partial derivatives of a step. Its trace, or that of N stacked steps, suffices."""

    @abstractmethod
    def step_backward(self, weights: Weights, derivatives: D, d_after: S) -> StepGrads[S]:
        """Carry the gradient of the loss back through one step.

        Args:
            weights: those of `step`.
            derivatives: of this step.
            d_after: gradient with respect to the state after it. Its `h` includes the gradient from the layer above.

        Returns:
            The gradients with respect to W_x x + b, (B, GH), to the recurrent products, side by side, and to the state
            before the step.
        """

    @abstractmethod
    def weight_grads(self, trace: T, d_recurrent: Array) -> dict[str, Factors | Array]:
        """Return the gradient of each recurrent weight, summed over N steps; trace and `d_recurrent` are stacked."""

    def read_signals(self, trace: T, state: S) -> dict[str, Array]:
        """Return the signals of a step, or of N stacked steps, from the trace and the state after it."""
        return {name: getattr(state if name in state._fields else trace, name) for name in self.SIGNALS}


class FusableCell(Cell[S, T, D]):
    """A cell that uses W_x x and W_h h only as their sum: both may be one product, [W_x W_h] [x; h]."""

    @abstractmethod
    def activate(self, weights: Weights, a: Array, state: S) -> tuple[S, T]:
        """Finish a step from its pre-activations a = W_x x + b + W_h h, (B, GH), which are overwritten."""

    def step(self, weights: Weights, input_proj: Array, state: S) -> tuple[S, T]:
        a = state.h.dot(weights["w_h"].T)  # (B, GH)
        a += input_proj
        return self.activate(weights, a, state)

    def weight_grads(self, trace: T, d_recurrent: Array) -> dict[str, Factors | Array]:
        return {"w_h": (d_recurrent, trace.h_prev)}


def with_arrays(record: A, arrays: Iterable[Array]) -> A:
    """Return a NamedTuple of the same type with other arrays."""
    make: Callable[..., A] = type(record)
    return make(*arrays)


def stack(steps: Sequence[A]) -> A:
    """Return N steps as one, each array (N * B, H)."""
    return with_arrays(steps[0], map(np.concatenate, zip(*steps, strict=True)))


def sigmoid(a: Array) -> Array:
    """Return 1 / (1 + exp(-a)), by tanh: exact at both ends, where exp overflows."""
    half: Array = np.tanh(a * 0.5)
    half *= 0.5
    half += 0.5
    return half


def activate_inplace(a: Array, gates: int) -> None:
    """Apply sigma to the first `gates` columns and tanh to the others, by sigma(a) = (1 + tanh(a / 2)) / 2.

    One call of tanh for all: on the small arrays of one stream a call costs more than its arithmetic.
    """
    left = a[:, :gates]
    left *= _HALF
    np.tanh(a, a)
    left *= _HALF
    left += _HALF
