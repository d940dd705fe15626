"""Cells that torch has no kernel for, over a whole chunk, with hand-written derivatives.

Each function computes what the cell of the same name in `charlm.cells` computes step by step; tests compare the two.

Why the loops are fast: one product for the whole chunk, made outside, gives the input of every step, and another the
gradient of each recurrent matrix. The forward pass writes into memory that exists already. The few operations on (B, H)
next to the one product that is left in the loop find their operands in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LayerState = tuple[Tensor, ...]  # (B, H) each, in the order of the cell's State
Loop = Callable[[Tensor, LayerState, Mapping[str, Tensor]], tuple[Tensor, LayerState]]
"""From a layer's input, (T, B, I), the state before the chunk and the layer's weights, to h after every step,
(T, B, H), and the state after the last. Under autocast the input is of bf16, but the state need not be."""


def peephole(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through a peephole LSTM layer, see `Loop`."""
    peepholes = torch.stack([weights[name] for name in ("p_i", "p_f", "p_o")])
    return _lstm(_input_proj(x, weights), state, weights["w_h"], peepholes=peepholes)


def cifg(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through a CIFG layer, see `Loop`."""
    return _lstm(_input_proj(x, weights), state, weights["w_h"])


def multiplicative(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through a multiplicative LSTM layer, see `Loop`."""
    w_h = weights["w_h"]
    input_proj, scale = _input_proj(x, weights).tensor_split((len(w_h),), dim=-1)
    return _lstm(input_proj, state, w_h, scale=scale, w_m=weights["w_m"])


def slstm(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through an sLSTM layer, see `Loop`."""
    # Exponentials of sums over a text need the precision of the weights, also under autocast.
    w_h = weights["w_h"]
    parts = [part.to(w_h.dtype) for part in (_input_proj(x, weights), w_h, *state)]
    hs, c, n, m = _SLSTM.apply(*parts)  # type: ignore[no-untyped-call]  # torch's
    return hs, (hs[-1], c, n, m)


CELLS: Final[Mapping[str, Loop]] = {
    "peephole": peephole,
    "cifg": cifg,
    "multiplicative": multiplicative,
    "slstm": slstm,
}


def _input_proj(x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Return W_x x + b, (T, B, GH); all runs in its precision."""
    return F.linear(x, weights["w_x"], weights["b"])


def _lstm(
    input_proj: Tensor,
    state: LayerState,
    w_h: Tensor,
    peepholes: Tensor | None = None,
    scale: Tensor | None = None,
    w_m: Tensor | None = None,
) -> tuple[Tensor, LayerState]:
    parts = [None if part is None else part.to(input_proj.dtype) for part in (w_h, *state, peepholes, scale, w_m)]
    hs, c = _LSTM.apply(input_proj, *parts)  # type: ignore[no-untyped-call]  # torch's
    return hs, (hs[-1], c)


class _Step(NamedTuple):
    """Views of one step in the memory of a chunk, (B, H) unless noted."""

    a: Tensor  # (B, GH) pre-activations, then gates
    sigmoids: Tensor  # (B, G - 1, H) all gates but the candidate
    i: Tensor  # with coupled gates the same as f
    f: Tensor
    o: Tensor
    g: Tensor
    h: Tensor  # before the step
    c: Tensor
    next_h: Tensor  # after the step
    next_c: Tensor
    tanh_c: Tensor


class _Chunk(NamedTuple):
    """Values of all steps of a chunk."""

    gates: Tensor  # (T, B, G, H) i, f, o, g, or without i if it is coupled to f
    h: Tensor  # (T + 1, B, H) before the first step and after each
    c: Tensor  # (T + 1, B, H)
    tanh_c: Tensor  # (T, B, H)

    @classmethod
    def empty(cls, input_proj: Tensor, h: Tensor, c: Tensor) -> _Chunk:
        steps, batch, rows = input_proj.shape
        gates = input_proj.new_empty(steps, batch, rows // h.shape[1], h.shape[1])
        chunk = cls(gates, *(input_proj.new_empty(size, *h.shape) for size in (steps + 1, steps + 1, steps)))
        chunk.h[0], chunk.c[0] = h, c
        return chunk

    def steps(self) -> Iterator[_Step]:
        """Yield the steps. All views are made at once, which is faster than by index."""
        gates, h, c, tanh_c = self
        blocks = [gates[:, :, block] for block in (0, -3, -2, -1)]
        parts = (gates.flatten(2), gates[:, :, :-1], *blocks, h[:-1], c[:-1], h[1:], c[1:], tanh_c)
        return map(_Step._make, zip(*[part.unbind() for part in parts], strict=True))


def _minus_product(one: Tensor, two: Tensor, three: Tensor) -> Tensor:
    """Return one - two * three, in one pass through memory."""
    return torch.addcmul(one, two, three, value=-1)


def _weight_grad(d_a: Tensor, source: Tensor) -> Tensor:
    """Return the gradient of a recurrent matrix, (R, H): one product for all steps."""
    return d_a.flatten(0, 1).flatten(1).T @ source.flatten(0, 1)


class _LSTM(Function):
    """The LSTM over a chunk with up to three options.

    With three blocks of rows the gates are coupled, i = 1 - f. The rows of `peepholes`, (3, H), are p_i, p_f and p_o.
    With `scale`, (T, B, H), and `w_m`, (H, H), the recurrent input is m = scale * (w_m h) instead of h.
    """

    @staticmethod
    def forward(
        ctx: Any,
        input_proj: Tensor,
        w_h: Tensor,
        h: Tensor,
        c: Tensor,
        peepholes: Tensor | None,
        scale: Tensor | None,
        w_m: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        chunk, w_h_t = _Chunk.empty(input_proj, h, c), w_h.T
        is_coupled = chunk.gates.shape[2] == 3
        p_if, p_o = (None, None) if peepholes is None else (peepholes[:2], peepholes[2])
        w_m_h, m = (input_proj.new_empty(0 if scale is None else scale.shape) for _ in range(2))
        for t, (projected, at) in enumerate(zip(input_proj.unbind(), chunk.steps(), strict=True)):
            source = at.h
            if scale is not None and w_m is not None:
                source = torch.mul(scale[t], torch.mm(at.h, w_m.T, out=w_m_h[t]), out=m[t])
            torch.addmm(projected, source, w_h_t, out=at.a)
            at.g.tanh_()
            if p_if is None:
                at.sigmoids.sigmoid_()
            else:
                at.sigmoids[:, :2].addcmul_(p_if, at.c.unsqueeze(1)).sigmoid_()
            if is_coupled:
                torch.lerp(at.g, at.c, at.f, out=at.next_c)  # g + f * (c - g)
            else:
                torch.mul(at.f, at.c, out=at.next_c).addcmul_(at.i, at.g)
            if p_o is not None:
                at.o.addcmul_(p_o, at.next_c).sigmoid_()
            torch.tanh(at.next_c, out=at.tanh_c)
            torch.mul(at.o, at.tanh_c, out=at.next_h)
        ctx.save_for_backward(w_h, peepholes, scale, w_m, w_m_h, m, *chunk)
        return chunk.h[1:].clone(), chunk.c[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hs: Tensor, d_c: Tensor) -> tuple[Tensor | None, ...]:
        w_h, peepholes, scale, w_m, w_m_h, m, *values = ctx.saved_tensors
        chunk = _Chunk(*values)
        is_coupled = chunk.gates.shape[2] == 3
        p_i, p_f, p_o = peepholes.unbind() if peepholes is not None else [w_h] * 3  # unused without peepholes
        d_a = torch.empty_like(chunk.gates)
        rows, blocks = d_a.flatten(2).unbind(), [block.unbind() for block in d_a.unbind(2)]
        d_m, d_w_m_h = torch.empty_like(m), torch.empty_like(m)
        d_c, d_h = d_c.clone(), torch.zeros_like(d_c)
        for t, at in reversed(list(enumerate(chunk.steps()))):
            # Partial derivatives; those of a gate s are s (1 - s), those of a tanh 1 - t^2.
            h_by_c, h_by_o = _minus_product(at.o, at.next_h, at.tanh_c), _minus_product(at.next_h, at.next_h, at.o)
            c_by_c = at.f
            if is_coupled:
                kept = at.f * (at.c - at.g)
                c_by_a = [_minus_product(kept, kept, at.f), None, (1 - at.f) * (1 - at.g * at.g)]
            else:
                written, kept = at.i * at.g, at.f * at.c
                by_i, by_f = _minus_product(written, written, at.i), _minus_product(kept, kept, at.f)
                c_by_a = [by_i, by_f, None, _minus_product(at.i, written, at.g)]
                if peepholes is not None:
                    h_by_c = h_by_c + h_by_o * p_o
                    c_by_c = at.f + by_i * p_i + by_f * p_f
            d_h = d_h + d_hs[t]
            d_c.addcmul_(d_h, h_by_c)
            for block, by in zip(blocks, c_by_a, strict=True):
                torch.mul(d_h if by is None else d_c, h_by_o if by is None else by, out=block[t])
            d_c.mul_(c_by_c)
            if w_m is None:
                d_h = rows[t] @ w_h
            else:
                torch.mm(rows[t], w_h, out=d_m[t])
                d_h = torch.mul(d_m[t], scale[t], out=d_w_m_h[t]) @ w_m
        d_peepholes = d_scale = d_w_m = None
        if peepholes is not None:
            cells = (chunk.c[:-1], chunk.c[:-1], chunk.c[1:])
            d_peepholes = torch.stack([(d_a[:, :, gate] * c).sum((0, 1)) for gate, c in enumerate(cells)])
        if w_m is not None:
            d_scale, d_w_m = d_m * w_m_h, _weight_grad(d_w_m_h, chunk.h[:-1])
        d_w_h = _weight_grad(d_a, chunk.h[:-1] if w_m is None else m)
        return d_a.flatten(2), d_w_h, d_h, d_c, d_peepholes, d_scale, d_w_m


class _SLSTM(Function):
    """The sLSTM over a chunk, with blocks i, f, o, z."""

    @staticmethod
    def forward(
        ctx: Any, input_proj: Tensor, w_h: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor
    ) -> tuple[Tensor, ...]:
        steps, batch, rows = input_proj.shape
        gates = input_proj.new_empty(steps, batch, 4, rows // 4)
        hs, cs, ns = (input_proj.new_empty(steps + 1, *h.shape) for _ in range(3))
        hs[0], cs[0], ns[0] = h, c, n
        log_f, v = (input_proj.new_empty(steps, *h.shape) for _ in range(2))
        is_empty = n <= 0
        for t in range(steps):
            a = gates[t]
            torch.addmm(input_proj[t], hs[t], w_h.T, out=a.flatten(1))
            log_f[t] = F.logsigmoid(a[:, 1])
            torch.add(m, log_f[t], out=a[:, 1])
            if t == 0:  # after the first step n is at least 1
                a[:, 1].masked_fill_(is_empty, -torch.inf)
            m = torch.maximum(a[:, 1], a[:, 0])
            a[:, :2].sub_(m.unsqueeze(1)).exp_()
            a[:, 2].sigmoid_()
            a[:, 3].tanh_()
            torch.mul(a[:, 1], cs[t], out=cs[t + 1]).addcmul_(a[:, 0], a[:, 3])
            torch.addcmul(a[:, 0], a[:, 1], ns[t], out=ns[t + 1])
            torch.div(cs[t + 1], ns[t + 1], out=v[t])
            torch.mul(a[:, 2], v[t], out=hs[t + 1])
        ctx.save_for_backward(w_h, gates, hs, cs, ns, log_f, v)
        return hs[1:].clone(), cs[-1].clone(), ns[-1].clone(), m

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hs: Tensor, d_c: Tensor, d_n: Tensor, d_m: Tensor) -> tuple[Tensor, ...]:
        w_h, gates, h, c, n, log_f, v = ctx.saved_tensors
        i, f, o, z = gates.unbind(2)
        d_a = torch.empty_like(gates)
        h_by_c, h_by_a_o = o / n[1:], v * o * (1 - o)
        c_by_log_i, c_by_log_f, n_by_log_f, c_by_a_z = z * i, c[:-1] * f, n[:-1] * f, i * (1 - z * z)
        log_f_by_a_f = -torch.expm1(log_f)
        f_is_one = i < 1
        d_h, d_c, d_n = torch.zeros_like(d_c), d_c.clone(), d_n.clone()
        for t in reversed(range(len(d_hs))):
            d_h = d_h + d_hs[t]
            torch.mul(d_h, h_by_a_o[t], out=d_a[t, :, 2])
            d_v = d_h * h_by_c[t]
            d_c.add_(d_v)
            d_n.addcmul_(d_v, v[t], value=-1)
            d_log_i = (d_c * c_by_log_i[t]).addcmul_(d_n, i[t])
            d_log_f = (d_c * c_by_log_f[t]).addcmul_(d_n, n_by_log_f[t])
            # The stabiliser equals one of the two logarithms; that one only has the gradient through the stabiliser.
            torch.where(f_is_one[t], d_log_i, d_m - d_log_f, out=d_a[t, :, 0])
            d_m = torch.where(f_is_one[t], d_m - d_log_i, d_log_f)
            torch.mul(d_m, log_f_by_a_f[t], out=d_a[t, :, 1])
            torch.mul(d_c, c_by_a_z[t], out=d_a[t, :, 3])
            d_c.mul_(f[t])
            d_n.mul_(f[t])
            d_h = d_a[t].flatten(1) @ w_h
        return d_a.flatten(2), _weight_grad(d_a, h[:-1]), d_h, d_c, d_n, d_m
