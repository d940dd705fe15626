"""Configuration of a comparison of cells. Imports no torch, so that `charlm compare --help` answers at once."""

from dataclasses import dataclass
from typing import Annotated

from charlm.config import CELL_NAMES, MAX_LAYERS, PRECISIONS, ModelConfig
from charlm.errors import UsageError
from charlm.settings import Config, Setting


@dataclass(frozen=True)
class ComparisonConfig(Config):
    """The cells of a comparison, and the settings that all its runs share."""

    paths: tuple[str, ...]
    cells: tuple[str, ...] = CELL_NAMES
    parameters: Annotated[int, Setting("approximate number of parameters; the width follows from it", 1)] = 900_000
    seeds: Annotated[int, Setting("runs of each cell", 1, 100)] = 1
    minutes: Annotated[
        float | None, Setting("budget of each run in minutes of wall-clock time", 0, open=(0,), default_text="2")
    ] = None
    steps: Annotated[int | None, Setting("budget of each run in steps, instead", 1)] = None
    layers: Annotated[int, Setting("number of layers", 1, MAX_LAYERS)] = 2
    lanes: Annotated[int, Setting("batch size: stretches of text read in parallel", 1, 65_536)] = 32
    chunk: Annotated[int, Setting("steps of backpropagation through time", 1, 65_536)] = 64
    learning_rate: Annotated[float, Setting("peak learning rate", 1e-9, 10)] = 6e-3
    dropout: Annotated[float, Setting("locked dropout at all three places", 0, 1, open=(1,))] = 0.05
    precision: Annotated[str, Setting("number format; auto measures both", choices=PRECISIONS)] = "auto"
    threads: Annotated[int, Setting("processor threads; 0 leaves it to torch", 0, 4096)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.cells:
            raise UsageError("there is no cell to compare", f"choose from {', '.join(CELL_NAMES)}")
        for cell in self.cells:
            ModelConfig(vocabulary=2, cell=cell)  # refuses an unknown cell
        if len(set(self.cells)) < len(self.cells):
            raise UsageError("a cell is named twice", "add --seeds 2 to train each twice")
        if (self.minutes is None) == (self.steps is None):
            raise UsageError("a comparison has one budget", "use --minutes or --steps")

    def overrides(self, config: ModelConfig, seed: int) -> dict[str, object]:
        """Return the settings of a run that are not planned, see `charlm.training.autoconfig`."""
        budget = {"minutes": self.minutes} if self.minutes is not None else {"steps": self.steps}
        shape = {name: getattr(config, name) for name in ("cell", "hidden", "embedding", "layers")}
        names = ("lanes", "chunk", "learning_rate", "dropout", "precision", "threads")
        shared = {name: getattr(self, name) for name in names}
        return {**shape, **shared, **budget, "seed": seed, "patience": 0, "max_epochs": 0.0}
