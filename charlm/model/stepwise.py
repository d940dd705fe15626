"""The cells that torch has no fused kernel for, over a whole chunk, with the way back written by hand.

Owns the arithmetic. Each function computes what the module of the same name in `charlm.cells` computes step by step;
tests hold the two together.

What makes a loop over steps quick enough: what comes from below is one product for the whole chunk, made outside; going
forward writes into memory that is there already; and whatever of the way back does not depend on the gradient that
comes from later (slopes of gates, what a cell was) is worked out for all steps at once. What is left in the loop are a
product and a handful of operations on (B, H).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LayerState = tuple[Tensor, ...]  # (B, H) each, as the fields of the cell's State


def peephole(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through an LSTM layer with peepholes.

    Args:
        x: (T, B, I).
        state: h and c before it.
        weights: as `charlm.cells.peephole.shapes` says.

    Returns:
        h after every step, (T, B, H), and the state after the last.
    """
    below, w_h = _from_below(x, weights, output=2), _output_first(weights["w_h"], 2, state[0].shape[1])
    parts = _like(below, w_h, weights["p_i"], weights["p_f"], weights["p_o"], *state)
    hs, c = _Peephole.apply(below, *parts)  # type: ignore[no-untyped-call]  # torch\'s
    return hs, (hs[-1], c)


def cifg(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through a layer with coupled gates; as `peephole`."""
    below, w_h = _from_below(x, weights, output=1), _output_first(weights["w_h"], 1, state[0].shape[1])
    hs, c = _Cifg.apply(below, *_like(below, w_h, *state))  # type: ignore[no-untyped-call]  # torch\'s
    return hs, (hs[-1], c)


def multiplicative(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through a multiplicative layer; as `peephole`."""
    below, w_h = _from_below(x, weights, output=2), _output_first(weights["w_h"], 2, state[0].shape[1])
    gates = len(w_h)
    parts = _like(below, w_h, weights["w_m"], *state)
    hs, c = _Multiplicative.apply(below[..., :gates], below[..., gates:], *parts)  # type: ignore[no-untyped-call]  # torch\'s
    return hs, (hs[-1], c)


def slstm(x: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through an sLSTM layer; as `peephole`, with h, c, n and m for a state."""
    # Exponentials of what adds up over a text: in the weights' own precision, whatever the products run in.
    below = F.linear(x, weights["w_x"], weights["b"]).to(weights["w_h"].dtype)
    hs, c, n, m = _SLSTM.apply(below, weights["w_h"], *_like(below, *state))  # type: ignore[no-untyped-call]  # torch\'s
    return hs, (hs[-1], c, n, m)


def _from_below(x: Tensor, weights: Mapping[str, Tensor], output: int) -> Tensor:
    """W_x x + b, (T, B, GH), the output gate's block first; in the precision of the product, as is all that follows."""
    hidden = weights["w_h"].shape[1]
    w_x, b = (_output_first(weights[name], output, hidden) for name in ("w_x", "b"))
    return F.linear(x, w_x, b)


def _like(one: Tensor, *others: Tensor) -> list[Tensor]:
    """The others in the precision of one."""
    return [other.to(one.dtype) for other in others]


def _output_first(rows: Tensor, output: int, hidden: int) -> Tensor:
    """Blocks of H rows with number `output` moved to the front, so that the gates adjoin, and what writes the cell."""
    blocks = list(rows.chunk(len(rows) // hidden))
    return torch.cat([blocks.pop(output), *blocks])


class _Chunk:
    """Memory for a chunk through a cell with h and c.

    Attributes:
        a: (T, B, G, H) pre-activations, which become the gates, the output gate first and the candidate last.
        h: (T + 1, B, H) before the first step and after each, as the next.
        c: the cell.
        tanh_c: (T, B, H) of the cell after each step.
    """

    def __init__(self, below: Tensor, h: Tensor, c: Tensor) -> None:
        steps, batch, rows = below.shape
        self.a = below.new_empty(steps, batch, rows // h.shape[1], h.shape[1])
        self.h, self.c = below.new_empty(steps + 1, *h.shape), below.new_empty(steps + 1, *c.shape)
        self.h[0], self.c[0] = h, c
        self.tanh_c = below.new_empty(steps, *c.shape)

    def show(self, step: int) -> None:
        """From the cell to what it shows."""
        torch.tanh(self.c[step + 1], out=self.tanh_c[step])
        torch.mul(self.a[step, :, 0], self.tanh_c[step], out=self.h[step + 1])


def _cell_back(
    d_hs: Tensor,
    d_c: Tensor,
    d_a: Tensor,
    shows: Tensor,
    opens: Tensor,
    writes: Tensor,
    keeps: Tensor,
    to_h: Callable[[int], Tensor],
) -> tuple[Tensor, Tensor]:
    """Back through time for a cell with h and c.

    Args:
        d_hs: (T, B, H) gradient with respect to each h, as far as it comes from above.
        d_c: (B, H) with respect to the last c; overwritten.
        d_a: (T, B, G, H) takes the gradient with respect to the pre-activations, the output gate's first.
        shows: (T, B, H) d h / d c, through the tanh.
        opens: (T, B, H) d h / d a_o.
        writes: (T, B, G - 1, H) d c / d a, of the other blocks.
        keeps: (T, B, H) d c_t / d c_(t-1).
        to_h: from a step, for which `d_a` is there, to the gradient with respect to the h before it.

    Returns:
        The gradient with respect to h and c before the first step.
    """
    d_h = torch.zeros_like(d_c)
    for step in reversed(range(len(d_hs))):
        d_h = d_h + d_hs[step]
        d_c.addcmul_(d_h, shows[step])
        torch.mul(d_h, opens[step], out=d_a[step, :, 0])
        torch.mul(d_c.unsqueeze(1), writes[step], out=d_a[step, :, 1:])
        d_c.mul_(keeps[step])
        d_h = to_h(step)
    return d_h, d_c


def _product(d_a: Tensor, h: Tensor) -> Tensor:
    """The gradient of a recurrent matrix: one product for all steps, (R, H)."""
    return d_a.flatten(0, 1).flatten(1).T @ h.flatten(0, 1)


class _Peephole(Function):
    """Blocks o, i, f, g."""

    @staticmethod
    def forward(
        ctx: Any, below: Tensor, w_h: Tensor, p_i: Tensor, p_f: Tensor, p_o: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        chunk, looks = _Chunk(below, h, c), torch.stack((p_i, p_f))  # (2, H)
        for step in range(len(below)):
            a, c = chunk.a[step], chunk.c[step]
            torch.addmm(below[step], chunk.h[step], w_h.T, out=a.flatten(1))
            a[:, 1:3].addcmul_(looks, c.unsqueeze(1)).sigmoid_()
            a[:, 3].tanh_()
            torch.mul(a[:, 2], c, out=chunk.c[step + 1]).addcmul_(a[:, 1], a[:, 3])
            a[:, 0].addcmul_(p_o, chunk.c[step + 1]).sigmoid_()
            chunk.show(step)
        ctx.save_for_backward(w_h, p_i, p_f, p_o, chunk.a, chunk.h, chunk.c, chunk.tanh_c)
        return chunk.h[1:].clone(), chunk.c[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hs: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        w_h, p_i, p_f, p_o, gates, h, c, tanh_c = ctx.saved_tensors
        o, i, f, g = gates.unbind(2)
        d_a = torch.empty_like(gates)
        opens = tanh_c * o * (1 - o)
        writes = torch.stack((g * i * (1 - i), c[:-1] * f * (1 - f), i * (1 - g * g)), dim=2)
        shows = o * (1 - tanh_c * tanh_c) + opens * p_o
        keeps = f + writes[:, :, 0] * p_i + writes[:, :, 1] * p_f
        d_h0, d_c0 = _cell_back(
            d_hs, d_c.clone(), d_a, shows, opens, writes, keeps, lambda step: d_a[step].flatten(1) @ w_h
        )
        d_p = [(d_a[:, :, block] * cell).sum((0, 1)) for block, cell in ((1, c[:-1]), (2, c[:-1]), (0, c[1:]))]
        return d_a.flatten(2), _product(d_a, h[:-1]), *d_p, d_h0, d_c0


class _Cifg(Function):
    """Blocks o, f, g."""

    @staticmethod
    def forward(ctx: Any, below: Tensor, w_h: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        chunk = _Chunk(below, h, c)
        for step in range(len(below)):
            a = chunk.a[step]
            torch.addmm(below[step], chunk.h[step], w_h.T, out=a.flatten(1))
            a[:, :2].sigmoid_()
            a[:, 2].tanh_()
            torch.lerp(a[:, 2], chunk.c[step], a[:, 1], out=chunk.c[step + 1])  # g + f * (c - g)
            chunk.show(step)
        ctx.save_for_backward(w_h, chunk.a, chunk.h, chunk.c, chunk.tanh_c)
        return chunk.h[1:].clone(), chunk.c[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hs: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        w_h, gates, h, c, tanh_c = ctx.saved_tensors
        o, f, g = gates.unbind(2)
        d_a = torch.empty_like(gates)
        writes = torch.stack(((c[:-1] - g) * f * (1 - f), (1 - f) * (1 - g * g)), dim=2)
        shows, opens = o * (1 - tanh_c * tanh_c), tanh_c * o * (1 - o)
        d_h0, d_c0 = _cell_back(
            d_hs, d_c.clone(), d_a, shows, opens, writes, f, lambda step: d_a[step].flatten(1) @ w_h
        )
        return d_a.flatten(2), _product(d_a, h[:-1]), d_h0, d_c0


class _Multiplicative(Function):
    """Blocks o, i, f, g; what turns the past comes by itself."""

    @staticmethod
    def forward(
        ctx: Any, below: Tensor, by: Tensor, w_h: Tensor, w_m: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        chunk = _Chunk(below, h, c)
        turned, m = chunk.h.new_empty(by.shape), chunk.h.new_empty(by.shape)
        for step in range(len(below)):
            a = chunk.a[step]
            torch.mm(chunk.h[step], w_m.T, out=turned[step])
            torch.mul(by[step], turned[step], out=m[step])
            torch.addmm(below[step], m[step], w_h.T, out=a.flatten(1))
            a[:, :3].sigmoid_()
            a[:, 3].tanh_()
            torch.mul(a[:, 2], chunk.c[step], out=chunk.c[step + 1]).addcmul_(a[:, 1], a[:, 3])
            chunk.show(step)
        ctx.save_for_backward(w_h, w_m, by, turned, m, chunk.a, chunk.h, chunk.c, chunk.tanh_c)
        return chunk.h[1:].clone(), chunk.c[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hs: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        w_h, w_m, by, turned, m, gates, h, c, tanh_c = ctx.saved_tensors
        o, i, f, g = gates.unbind(2)
        d_a, d_m, d_turned = torch.empty_like(gates), torch.empty_like(m), torch.empty_like(m)
        writes = torch.stack((g * i * (1 - i), c[:-1] * f * (1 - f), i * (1 - g * g)), dim=2)
        shows, opens = o * (1 - tanh_c * tanh_c), tanh_c * o * (1 - o)

        def to_h(step: int) -> Tensor:
            torch.mm(d_a[step].flatten(1), w_h, out=d_m[step])
            d_h: Tensor = torch.mul(d_m[step], by[step], out=d_turned[step]) @ w_m
            return d_h

        d_h0, d_c0 = _cell_back(d_hs, d_c.clone(), d_a, shows, opens, writes, f, to_h)
        d_w_m = d_turned.flatten(0, 1).T @ h[:-1].flatten(0, 1)
        return d_a.flatten(2), d_m * turned, _product(d_a, m), d_w_m, d_h0, d_c0


class _SLSTM(Function):
    """Blocks i, f, o, z."""

    @staticmethod
    def forward(ctx: Any, below: Tensor, w_h: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor) -> tuple[Tensor, ...]:
        steps, batch, rows = below.shape
        gates = below.new_empty(steps, batch, 4, rows // 4)
        hs, cs, ns = (below.new_empty(steps + 1, *h.shape) for _ in range(3))
        hs[0], cs[0], ns[0] = h, c, n
        log_f, v = (below.new_empty(steps, *h.shape) for _ in range(2))
        nothing_yet = n <= 0
        for step in range(steps):
            a = gates[step]
            torch.addmm(below[step], hs[step], w_h.T, out=a.flatten(1))
            log_f[step] = F.logsigmoid(a[:, 1])
            torch.add(m, log_f[step], out=a[:, 1])
            if step == 0:  # later there is always something to keep
                a[:, 1].masked_fill_(nothing_yet, -torch.inf)
            m = torch.maximum(a[:, 1], a[:, 0])
            a[:, :2].sub_(m.unsqueeze(1)).exp_()
            a[:, 2].sigmoid_()
            a[:, 3].tanh_()
            torch.mul(a[:, 1], cs[step], out=cs[step + 1]).addcmul_(a[:, 0], a[:, 3])
            torch.addcmul(a[:, 0], a[:, 1], ns[step], out=ns[step + 1])
            torch.div(cs[step + 1], ns[step + 1], out=v[step])
            torch.mul(a[:, 2], v[step], out=hs[step + 1])
        ctx.save_for_backward(w_h, gates, hs, cs, ns, log_f, v)
        return hs[1:].clone(), cs[-1].clone(), ns[-1].clone(), m

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hs: Tensor, d_c: Tensor, d_n: Tensor, d_m: Tensor) -> tuple[Tensor, ...]:
        w_h, gates, h, c, n, log_f, v = ctx.saved_tensors
        i, f, o, z = gates.unbind(2)
        d_a = torch.empty_like(gates)
        shows, opens = o / n[1:], v * o * (1 - o)
        i_of_c, f_of_c, f_of_n, writes = z * i, c[:-1] * f, n[:-1] * f, i * (1 - z * z)
        closed = -torch.expm1(log_f)
        keeps = i < 1
        d_h, d_c, d_n = torch.zeros_like(d_c), d_c.clone(), d_n.clone()
        for step in reversed(range(len(d_hs))):
            d_h = d_h + d_hs[step]
            torch.mul(d_h, opens[step], out=d_a[step, :, 2])
            d_v = d_h * shows[step]
            d_c.add_(d_v)
            d_n.addcmul_(d_v, v[step], value=-1)
            d_log_i = (d_c * i_of_c[step]).addcmul_(d_n, i[step])
            d_log_f = (d_c * f_of_c[step]).addcmul_(d_n, f_of_n[step])
            # The stabiliser is one of the two logarithms: that one has no gradient but what comes through it.
            torch.where(keeps[step], d_log_i, d_m - d_log_f, out=d_a[step, :, 0])
            d_m = torch.where(keeps[step], d_m - d_log_i, d_log_f)
            torch.mul(d_m, closed[step], out=d_a[step, :, 1])
            torch.mul(d_c, writes[step], out=d_a[step, :, 3])
            d_c.mul_(f[step])
            d_n.mul_(f[step])
            d_h = d_a[step].flatten(1) @ w_h
        return d_a.flatten(2), _product(d_a, h[:-1]), d_h, d_c, d_n, d_m
