"""The learning rate over a run."""

from __future__ import annotations

import math

from charlm.config import TrainConfig


def learning_rate(progress: float, config: TrainConfig) -> float:
    """Linear warm-up, then a half cosine down to `final_rate` (Loshchilov and Hutter 2017).

    Args:
        progress: the share of the budget that is spent, [0, 1].
        config: the highest rate, its last share, and the warm-up's.
    """
    progress = min(max(progress, 0.0), 1.0)
    rising = min(1.0, (progress + 1e-3) / (config.warmup + 1e-3))
    falling = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * progress))
    return config.learning_rate * rising * falling
