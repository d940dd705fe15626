"""What a model is: the numbers that fix every tensor's shape. No torch, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from charlm.cells import CELLS
from charlm.errors import UsageError

MAX_LAYERS = 8
MAX_WIDTH = 16_384


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a character language model.

    Attributes:
        vocabulary: V, how many ids there are.
        cell: a key of `charlm.cells.CELLS`.
        embedding: E, the width of a character's vector.
        hidden: H, the width of each layer.
        layers: L, how many cells are stacked.
        residual: whether a layer's input is added to its output (where the widths agree; the first layer's may not).
        norm: whether layer norm follows each layer.
        tied: whether the output weights are the embedding's; then E must equal H.

    Raises:
        UsageError: a number out of range, or an impossible combination.
    """

    vocabulary: int
    cell: str = "lstm"
    embedding: int = 256
    hidden: int = 256
    layers: int = 2
    residual: bool = True
    norm: bool = True
    tied: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            expected = {"int": int, "str": str, "bool": bool}[str(field.type)]
            if type(value) is not expected:
                raise UsageError(f"{field.name} is of type {type(value).__name__}, but must be {expected.__name__}")
        if self.cell not in CELLS:
            raise UsageError(f"unknown cell {self.cell!r}", f"choose one of {', '.join(CELLS)}")
        for name, least, most in (
            ("vocabulary", 2, 0x110000 + 256),
            ("hidden", 1, MAX_WIDTH),
            ("embedding", 1, MAX_WIDTH),
            ("layers", 1, MAX_LAYERS),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise UsageError(f"{name} is {value}, but must lie between {least} and {most}")
        if self.tied and self.embedding != self.hidden:
            raise UsageError(
                f"tied weights need an embedding as wide as the layers, but {self.embedding} is not {self.hidden}",
                f"say --embedding {self.hidden}, or leave --tied out",
            )

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ModelConfig:
        """Read back what `to_dict` wrote.

        Raises:
            UsageError: an unknown or missing key, or a value out of range.
        """
        known = {field.name for field in fields(cls)}
        if set(document) != known:
            strange = ", ".join(sorted(known.symmetric_difference(document)))
            raise UsageError(f"the configuration has unknown or missing keys: {strange[:200]}")
        return cls(**document)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def inputs(self, layer: int) -> int:
        """The width of what a layer reads."""
        return self.embedding if layer == 0 else self.hidden

    def has_residual(self, layer: int) -> bool:
        """Whether a layer's input is added to its output."""
        return self.residual and self.inputs(layer) == self.hidden

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor of a model file.

        embedding                (V, E)
        layers.0.w_x             (GH, E), then (GH, H): G blocks of H rows, in the order of the cell's GATES
        layers.0.w_h             (GH, H)
        layers.0.b               (GH,)   and what else the cell's `shapes` names
        layers.0.norm_scale      (H,)    with `norm`
        layers.0.norm_shift      (H,)
        output.w                 (V, H)  unless `tied`
        output.b                 (V,)
        """
        shapes: dict[str, tuple[int, ...]] = {"embedding": (self.vocabulary, self.embedding)}
        for layer in range(self.layers):
            for name, shape in CELLS[self.cell].shapes(self.inputs(layer), self.hidden).items():
                shapes[f"layers.{layer}.{name}"] = shape
            if self.norm:
                shapes[f"layers.{layer}.norm_scale"] = (self.hidden,)
                shapes[f"layers.{layer}.norm_shift"] = (self.hidden,)
        if not self.tied:
            shapes["output.w"] = (self.vocabulary, self.hidden)
        shapes["output.b"] = (self.vocabulary,)
        return shapes

    def statistics(self) -> dict[str, tuple[int, ...]]:
        """The name and shape of every tensor that describes the size of training's gradients.

        A matrix of R rows and C columns has `NAME.rows`, (R,), and `NAME.columns`, (C,); a vector has its own shape.
        `charlm.adapt.gradient_rms` says what they hold.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in self.tensors().items():
            if len(shape) == 2:
                shapes[f"statistics.{name}.rows"], shapes[f"statistics.{name}.columns"] = shape[:1], shape[1:]
            else:
                shapes[f"statistics.{name}"] = shape
        return shapes

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        total = 0
        for shape in self.tensors().values():
            size = 1
            for extent in shape:
                size *= extent
            total += size
        return total
