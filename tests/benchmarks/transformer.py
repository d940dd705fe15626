"""Train the small transformer that nanoGPT's readme recommends for CPUs, for comparison with `charlm train`.

    python -m tests.benchmarks.transformer TEXT [--steps 2000] [--seed 1]

4 layers, 4 heads, 128 channels, windows of 64 characters, batches of 12, AdamW at 1e-3 with a cosine to 1e-4, no
dropout. The last tenth of the text is held out, as by `charlm train`; it is read in windows that do not overlap.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYERS, HEADS, CHANNELS, WINDOW, BATCH = 4, 4, 128, 64, 12
RATE, FINAL_RATE, WARMUP, WEIGHT_DECAY, BETAS = 1e-3, 1e-4, 100, 0.1, (0.9, 0.99)


class Layer(nn.Module):
    """Causal self-attention and a network of two products, each normalised first and added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS, bias=False) for _ in range(2))
        self.attention = nn.Linear(CHANNELS, 3 * CHANNELS, bias=False)
        self.projection = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.wide = nn.Linear(CHANNELS, 4 * CHANNELS, bias=False)
        self.narrow = nn.Linear(4 * CHANNELS, CHANNELS, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform x, (batch, window, channels)."""
        heads = self.attention(self.norms[0](x)).unflatten(2, (3 * HEADS, -1)).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(*heads.chunk(3, dim=1), is_causal=True)
        x = x + self.projection(mixed.transpose(1, 2).flatten(2))
        return x + self.narrow(F.gelu(self.wide(self.norms[1](x))))


class Transformer(nn.Module):
    """Logits of the next character."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(vocabulary, CHANNELS)
        self.places = nn.Embedding(WINDOW, CHANNELS)
        self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)), nn.LayerNorm(CHANNELS, bias=False))
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(weight, std=0.02)
        for layer in self.layers[:-1]:
            for product in (layer.projection, layer.narrow):
                nn.init.normal_(product.weight, std=0.02 / math.sqrt(2 * LAYERS))

    def loss(self, text: Tensor, begins: Tensor) -> Tensor:
        """Return the mean loss of the windows that begin at `begins`, nats per character."""
        windows = text[begins[:, None] + torch.arange(WINDOW + 1)]
        x = self.characters(windows[:, :-1]) + self.places.weight
        logits = self.layers(x) @ self.characters.weight.T
        return F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def main() -> None:
    """Train, and print the loss on the held-out tenth after every fifth of the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    text = options.text.read_text(encoding="utf-8")
    alphabet = {character: index for index, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([alphabet[character] for character in text])
    held_out = max(len(ids) // 10, WINDOW + 1)
    train, validation = ids[:-held_out], ids[-held_out:]
    windows = torch.arange(0, len(validation) - WINDOW, WINDOW)
    model = Transformer(len(alphabet))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=BETAS, weight_decay=WEIGHT_DECAY)
    begun = time.monotonic()
    for step in range(1, options.steps + 1):
        falling = FINAL_RATE + (RATE - FINAL_RATE) * (1 + math.cos(math.pi * step / options.steps)) / 2
        optimizer.param_groups[0]["lr"] = RATE * step / WARMUP if step < WARMUP else falling
        loss = model.loss(train, torch.randint(len(train) - WINDOW, (BATCH,)))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % max(1, options.steps // 5) == 0:
            seconds = time.monotonic() - begun
            with torch.no_grad():
                losses = [model.loss(validation, part) * len(part) for part in windows.split(256)]
            total = float(torch.stack(losses).sum()) / len(windows)
            print(f"step {step}: {seconds:.0f} s, held out {total:.4f} nats/char")


if __name__ == "__main__":
    main()
