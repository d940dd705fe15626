"""The cells over a whole chunk in loops of our own, with the way back written by hand.

Owns the arithmetic. Each function computes what the module of the same name in `charlm.cells` computes step by step;
tests hold the two together.

What makes a loop over steps quick enough: what comes from below is one product for the whole chunk, made outside; so is
the gradient of a recurrent matrix; going forward writes into memory that is there already; and the few operations on
(B, H) beside the one product that is left in the loop find everything in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

LayerState = tuple[Tensor, ...]  # (B, H) each, as the fields of the cell's State
Loop = Callable[[Tensor, LayerState, Mapping[str, Tensor]], tuple[Tensor, LayerState]]


def peephole(below: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through an LSTM layer with peepholes.

    Args:
        below: W_x x + b, (T, B, GH), in the precision in which everything is to run.
        state: h and c before it.
        weights: the recurrent ones, as `charlm.cells.peephole.Weights` names them; others may be there.

    Returns:
        h after every step, (T, B, H), and the state after the last.
    """
    parts = _like(below, *[weights[name] for name in ("w_h", "p_i", "p_f", "p_o")], *state)
    hs, c = _Peephole.apply(below, *parts)  # type: ignore[no-untyped-call]  # torch's
    return hs, (hs[-1], c)


def cifg(below: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through a layer with coupled gates; as `peephole`."""
    hs, c = _Cifg.apply(below, *_like(below, weights["w_h"], *state))  # type: ignore[no-untyped-call]  # torch's
    return hs, (hs[-1], c)


def multiplicative(below: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through a multiplicative layer; as `peephole`."""
    gates = len(weights["w_h"])
    parts = _like(below, weights["w_h"], weights["w_m"], *state)
    hs, c = _Multiplicative.apply(below[..., :gates], below[..., gates:], *parts)  # type: ignore[no-untyped-call]  # torch's
    return hs, (hs[-1], c)


def slstm(below: Tensor, state: LayerState, weights: Mapping[str, Tensor]) -> tuple[Tensor, LayerState]:
    """Run a chunk through an sLSTM layer; as `peephole`, with h, c, n and m for a state."""
    # Exponentials of what adds up over a text: in the weights' own precision, whatever the products run in.
    below = below.to(weights["w_h"].dtype)
    hs, c, n, m = _SLSTM.apply(below, weights["w_h"], *_like(below, *state))  # type: ignore[no-untyped-call]  # torch's
    return hs, (hs[-1], c, n, m)


LOOPS: Final[Mapping[str, Loop]] = MappingProxyType(
    {"peephole": peephole, "cifg": cifg, "multiplicative": multiplicative, "slstm": slstm}
)


def _like(one: Tensor, *others: Tensor) -> list[Tensor]:
    """The others in the precision of one."""
    return [other.to(one.dtype) for other in others]


class _Chunk:
    """Memory for a chunk through a cell with h and c, and views of it step by step.

    Attributes:
        a: (T, B, G, H) pre-activations, which become the gates: those that write, the output gate, the candidate.
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

    def __iter__(self) -> Iterator[_Step]:
        a, h, c = self.a, self.h, self.c
        parts = (a.flatten(2), a[:, :, :-1], a[:, :, -2], a[:, :, -1], h[:-1], c[:-1], h[1:], c[1:], self.tanh_c)
        return map(_Step._make, zip(*[part.unbind() for part in parts], strict=True))


class _Step(NamedTuple):
    """What `_Chunk` holds of one step: all of it views."""

    a: Tensor  # (B, GH)
    gates: Tensor  # (B, G - 1, H) all but the candidate
    o: Tensor  # (B, H) output gate, and so the others
    g: Tensor  # candidate
    h: Tensor  # before the step
    c: Tensor
    next_h: Tensor  # after it
    next_c: Tensor
    tanh_c: Tensor

    def write(self, i: Tensor, f: Tensor) -> None:
        """From an LSTM's pre-activations, of which i and f are two, to its gates, cell and what it shows."""
        self.gates.sigmoid_()
        self.g.tanh_()
        torch.mul(f, self.c, out=self.next_c).addcmul_(i, self.g)
        self.show()

    def show(self) -> None:
        """From the cell to what it shows."""
        torch.tanh(self.next_c, out=self.tanh_c)
        torch.mul(self.o, self.tanh_c, out=self.next_h)


class _Slopes(NamedTuple):
    """How what a step of a cell with h and c gives follows what it was made of, (B, H) each."""

    shows: Tensor  # d h' / d c'
    opens: Tensor  # d h' / d a_o
    writes: tuple[Tensor, ...]  # d c' / d a of the other blocks
    keeps: Tensor  # d c' / d c


def _cell_back(
    d_hs: Tensor, d_c: Tensor, d_a: Tensor, slopes: Callable[[int], _Slopes], to_h: Callable[[int], Tensor]
) -> tuple[Tensor, Tensor]:
    """Back through time for a cell with h and c.

    Args:
        d_hs: (T, B, H) gradient with respect to each h, as far as it comes from above.
        d_c: (B, H) with respect to the last c.
        d_a: (T, B, G, H) takes the gradient with respect to the pre-activations, in the order of the gates.
        slopes: those of a step. Worked out step by step they stay in the processor's cache.
        to_h: from a step, for which `d_a` is there, to the gradient with respect to the h before it.

    Returns:
        The gradient with respect to h and c before the first step.
    """
    d_c, d_h = d_c.clone(), torch.zeros_like(d_c)
    *writers, output, candidate = (block.unbind() for block in d_a.unbind(2))
    written = (*writers, candidate)
    for step in reversed(range(len(d_hs))):
        slope = slopes(step)
        d_h = d_h + d_hs[step]
        d_c.addcmul_(d_h, slope.shows)
        torch.mul(d_h, slope.opens, out=output[step])
        for d_block, writes in zip(written, slope.writes, strict=True):
            torch.mul(d_c, writes, out=d_block[step])
        d_c.mul_(slope.keeps)
        d_h = to_h(step)
    return d_h, d_c


def _minus_product(one: Tensor, two: Tensor, three: Tensor) -> Tensor:
    """One - two * three, going through memory once."""
    return torch.addcmul(one, two, three, value=-1)


def _lstm_slopes(i: Tensor, f: Tensor, o: Tensor, g: Tensor, c: Tensor, next_h: Tensor, tanh_c: Tensor) -> _Slopes:
    """Of c' = f c + i g and h' = o tanh(c'), where s (1 - s) is the slope of a gate and 1 - t^2 that of a tanh."""
    written, kept = i * g, f * c
    return _Slopes(
        shows=_minus_product(o, next_h, tanh_c),
        opens=_minus_product(next_h, next_h, o),
        writes=(_minus_product(written, written, i), _minus_product(kept, kept, f), _minus_product(i, written, g)),
        keeps=f,
    )


def _unbound(*parts: Tensor) -> list[tuple[Tensor, ...]]:
    """Views of each part step by step: quicker to get all at once than by index."""
    return [part.unbind() for part in parts]


def _product(d_a: Tensor, h: Tensor) -> Tensor:
    """The gradient of a recurrent matrix: one product for all steps, (R, H)."""
    return d_a.flatten(0, 1).flatten(1).T @ h.flatten(0, 1)


class _Peephole(Function):
    """Blocks i, f, o, g."""

    @staticmethod
    def forward(
        ctx: Any, below: Tensor, w_h: Tensor, p_i: Tensor, p_f: Tensor, p_o: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        chunk, looks, w_h_t = _Chunk(below, h, c), torch.stack((p_i, p_f)), w_h.T  # looks: (2, H)
        for step, (from_below, at) in enumerate(zip(below.unbind(), chunk, strict=True)):
            i, f = chunk.a[step, :, 0], chunk.a[step, :, 1]
            torch.addmm(from_below, at.h, w_h_t, out=at.a)
            at.gates[:, :2].addcmul_(looks, at.c.unsqueeze(1)).sigmoid_()
            at.g.tanh_()
            torch.mul(f, at.c, out=at.next_c).addcmul_(i, at.g)
            at.o.addcmul_(p_o, at.next_c).sigmoid_()
            at.show()
        ctx.save_for_backward(w_h, p_i, p_f, p_o, chunk.a, chunk.h, chunk.c, chunk.tanh_c)
        return chunk.h[1:].clone(), chunk.c[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hs: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        w_h, p_i, p_f, p_o, gates, h, c, tanh_c = ctx.saved_tensors
        d_a = torch.empty_like(gates)
        rows, parts = d_a.flatten(2).unbind(), _unbound(*gates.unbind(2), c[:-1], h[1:], tanh_c)

        def slopes(step: int) -> _Slopes:
            plain = _lstm_slopes(*[part[step] for part in parts])
            of_i, of_f, _ = plain.writes
            return plain._replace(shows=plain.shows + plain.opens * p_o, keeps=plain.keeps + of_i * p_i + of_f * p_f)

        d_h0, d_c0 = _cell_back(d_hs, d_c, d_a, slopes, lambda step: rows[step] @ w_h)
        d_p = [(d_a[:, :, block] * cell).sum((0, 1)) for block, cell in ((0, c[:-1]), (1, c[:-1]), (2, c[1:]))]
        return d_a.flatten(2), _product(d_a, h[:-1]), *d_p, d_h0, d_c0


class _Cifg(Function):
    """Blocks f, o, g."""

    @staticmethod
    def forward(ctx: Any, below: Tensor, w_h: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        chunk, w_h_t = _Chunk(below, h, c), w_h.T
        f = chunk.a[:, :, 0].unbind()
        for step, (from_below, at) in enumerate(zip(below.unbind(), chunk, strict=True)):
            torch.addmm(from_below, at.h, w_h_t, out=at.a)
            at.gates.sigmoid_()
            at.g.tanh_()
            torch.lerp(at.g, at.c, f[step], out=at.next_c)  # g + f * (c - g)
            at.show()
        ctx.save_for_backward(w_h, chunk.a, chunk.h, chunk.c, chunk.tanh_c)
        return chunk.h[1:].clone(), chunk.c[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hs: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        w_h, gates, h, c, tanh_c = ctx.saved_tensors
        d_a = torch.empty_like(gates)
        rows, parts = d_a.flatten(2).unbind(), _unbound(*gates.unbind(2), c[:-1], h[1:], tanh_c)

        def slopes(step: int) -> _Slopes:
            f, o, g, before, next_h, tanh = (part[step] for part in parts)
            kept, coupled = f * (before - g), 1 - f
            return _Slopes(
                shows=_minus_product(o, next_h, tanh),
                opens=_minus_product(next_h, next_h, o),
                writes=(_minus_product(kept, kept, f), coupled * (1 - g * g)),
                keeps=f,
            )

        d_h0, d_c0 = _cell_back(d_hs, d_c, d_a, slopes, lambda step: rows[step] @ w_h)
        return d_a.flatten(2), _product(d_a, h[:-1]), d_h0, d_c0


class _Multiplicative(Function):
    """Blocks i, f, o, g; what turns the past comes by itself."""

    @staticmethod
    def forward(
        ctx: Any, below: Tensor, by: Tensor, w_h: Tensor, w_m: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        chunk, w_h_t, w_m_t = _Chunk(below, h, c), w_h.T, w_m.T
        turned, m = chunk.h.new_empty(by.shape), chunk.h.new_empty(by.shape)
        i, f = (chunk.a[:, :, block].unbind() for block in (0, 1))
        for step, (from_below, at) in enumerate(zip(below.unbind(), chunk, strict=True)):
            torch.mm(at.h, w_m_t, out=turned[step])
            torch.mul(by[step], turned[step], out=m[step])
            torch.addmm(from_below, m[step], w_h_t, out=at.a)
            at.write(i[step], f[step])
        ctx.save_for_backward(w_h, w_m, by, turned, m, chunk.a, chunk.h, chunk.c, chunk.tanh_c)
        return chunk.h[1:].clone(), chunk.c[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_hs: Tensor, d_c: Tensor) -> tuple[Tensor, ...]:
        w_h, w_m, by, turned, m, gates, h, c, tanh_c = ctx.saved_tensors
        d_a, d_m, d_turned = torch.empty_like(gates), torch.empty_like(m), torch.empty_like(m)
        rows, parts = d_a.flatten(2).unbind(), _unbound(*gates.unbind(2), c[:-1], h[1:], tanh_c)

        def to_h(step: int) -> Tensor:
            torch.mm(rows[step], w_h, out=d_m[step])
            d_h: Tensor = torch.mul(d_m[step], by[step], out=d_turned[step]) @ w_m
            return d_h

        d_h0, d_c0 = _cell_back(d_hs, d_c, d_a, lambda step: _lstm_slopes(*[part[step] for part in parts]), to_h)
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
