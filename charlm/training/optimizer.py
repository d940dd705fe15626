"""AdamW (Loshchilov and Hutter 2019), with PyTorch's fused kernel.

`torch.optim` has the same, but imports PyTorch's compiler before its first step: two seconds of every start.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-8


class AdamW:
    """The optimizer of a model. Weight decay is for matrices only."""

    def __init__(self, model: nn.Module, beta1: float, beta2: float, weight_decay: float) -> None:
        self._parameters = dict(model.named_parameters())
        self._beta1, self._beta2, self._weight_decay = beta1, beta2, weight_decay
        self.state: dict[str, dict[str, Tensor]] = {}  # by parameter: step, exp_avg, exp_avg_sq; empty before a step

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move the weights along their gradients."""
        if not self.state:
            for name, weight in self._parameters.items():
                moments = {"exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
                self.state[name] = {"step": torch.zeros((), device=weight.device), **moments}
        for is_matrix in (True, False):
            names = [name for name, weight in self._parameters.items() if (weight.dim() > 1) == is_matrix]
            states = [self.state[name] for name in names]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                [self._parameters[name] for name in names],
                [self._gradient(name) for name in names],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                steps,
                lr=rate,
                beta1=self._beta1,
                beta2=self._beta2,
                weight_decay=self._weight_decay if is_matrix else 0.0,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
            )

    def _gradient(self, name: str) -> Tensor:
        gradient = self._parameters[name].grad
        assert gradient is not None
        return gradient
