"""Names and shapes of the tensors in a model file."""

from __future__ import annotations

import math

from charlm.cells import CELLS
from charlm.config import ModelConfig

Shapes = dict[str, tuple[int, ...]]

MATCHING_BUCKETS = 8192  # words and word pairs share this many vectors
MATCHING_WIDTH = 60  # of a vector; both tables take 2 MB in half precision
POINTER_WIDTH = 64  # of a query, a key and a value


def tensor_shapes(config: ModelConfig) -> Shapes:
    """Return the name and shape of every weight. The cell has G gates; their blocks of H rows follow its GATES."""
    shapes: Shapes = {"embedding": (config.vocabulary, config.embedding)}  # (V, E)
    for layer in range(config.layers):
        # w_x (GH, E), from the second layer on (GH, H); w_h (GH, H); b (GH,); and further tensors of the cell
        for name, shape in CELLS[config.cell].shapes(config.inputs(layer), config.hidden).items():
            shapes[f"layers.{layer}.{name}"] = shape
        if config.norm:
            shapes[f"layers.{layer}.norm_scale"] = (config.hidden,)
            shapes[f"layers.{layer}.norm_shift"] = (config.hidden,)
    if not config.tied:
        shapes["output.w"] = (config.vocabulary, config.hidden)  # (V, H)
    shapes["output.b"] = (config.vocabulary,)
    return shapes


def statistic_shapes(config: ModelConfig) -> Shapes:
    """Return the name and shape of every tensor that holds mean squares of gradients.

    A matrix of R rows and C columns has `statistics.NAME.rows`, (R,), and `statistics.NAME.columns`, (C,). A vector has
    its own shape. `charlm.adapt.gradient_rms` computes them.
    """
    shapes: Shapes = {}
    for name, shape in tensor_shapes(config).items():
        if len(shape) == 2:
            shapes[f"statistics.{name}.rows"], shapes[f"statistics.{name}.columns"] = shape[:1], shape[1:]
        else:
            shapes[f"statistics.{name}"] = shape
    return shapes


def matching_shapes() -> Shapes:
    """Return the name and shape of the word vectors of `charlm.inference.matching`."""
    return dict.fromkeys(("matching.context", "matching.reply"), (MATCHING_BUCKETS, MATCHING_WIDTH))


def pointer_shapes(config: ModelConfig) -> Shapes:
    """Return the name and shape of the weights of `charlm.inference.pointer`."""
    width = config.layers * config.hidden
    return {
        "pointer.query": (3 * POINTER_WIDTH + 2, width),  # copy, look, hidden layer of the look, both sentinels
        "pointer.bias": (POINTER_WIDTH + 2,),  # of the hidden layer and of both sentinels
        "pointer.memory": (12 * POINTER_WIDTH, width),  # four blocks of two keys and a value
        "pointer.output": (config.vocabulary, POINTER_WIDTH),
    }


def parameter_count(config: ModelConfig) -> int:
    """Return the number of trained weights."""
    return sum(math.prod(shape) for shape in tensor_shapes(config).values())
