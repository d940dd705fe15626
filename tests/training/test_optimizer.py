"""AdamW of PyTorch is the reference."""

from __future__ import annotations

import torch
from torch import nn

from charlm.training.optimizer import AdamW


def test_adamw_equals_that_of_torch() -> None:
    torch.manual_seed(1)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    optimizer = AdamW(ours, 0.9, 0.99, 0.3)
    groups = [{"params": [theirs.weight], "weight_decay": 0.3}, {"params": [theirs.bias], "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)
    for step in range(5):
        x = torch.randn(4, 5)
        for model in (ours, theirs):
            model.zero_grad()
            torch.autograd.backward(model(x).square().sum())
        rate = 0.01 / (1 + step)
        for group in reference.param_groups:
            group["lr"] = rate
        optimizer.step(rate)
        reference.step()
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)
