"""What a run leaves on disk: NAME.safetensors, the model, and NAME.run/ beside it.

    config.json          what was asked for, so that a resume needs nothing but the name
    resume.safetensors   the whole run at its last save
    metrics.csv          one row an evaluation, losses in nats per character; the last row is the model file's
    samples.txt          what the model wrote at each evaluation
    loss.svg             the curve
    text-KEY.ids         the text as ids
    text-KEY.json        what the ids mean: vocabulary, split, sources
    launch.txt           whose run it is, if torchrun began it, so that it may go on with it after a death

Owns names and formats; every write is atomic. Knows nothing of torch.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charlm.checkpoint import SUFFIX
from charlm.errors import CheckpointError, OutputError, TrainingError
from charlm.files import write_bytes
from charlm.registry import LOCAL

METRICS = (
    "step",
    "epoch",
    "seconds",
    "characters",
    "train",
    "validation",
    "validation_characters",
    "learning_rate",
    "gradient_norm",
    "characters_per_second",
)
FORMAT = 1


@dataclass
class RunDir:
    """A run's files.

    Args:
        model: where the model file goes; the folder stands beside it.
    """

    model: Path
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _samples: list[tuple[int, str]] = field(default_factory=list)

    @classmethod
    def named(cls, name: str) -> RunDir:
        """The run of that name: a bare name stands in ./checkpoints, anything with a folder in it where it says."""
        path = Path(name)
        if path.suffix != SUFFIX:
            path = path.with_name(path.name + SUFFIX)
        return cls(path if path.parent != Path() or name.startswith("./") else LOCAL / path)

    @property
    def name(self) -> str:
        """How the model is called."""
        return self.model.stem

    @property
    def path(self) -> Path:
        """The folder."""
        return self.model.with_suffix(".run")

    @property
    def resume_file(self) -> Path:
        """The whole run at its last save."""
        return self.path / "resume.safetensors"

    @property
    def metrics_file(self) -> Path:
        """One row an evaluation."""
        return self.path / "metrics.csv"

    @property
    def plot_file(self) -> Path:
        """The curve."""
        return self.path / "loss.svg"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What metrics.csv holds."""
        return self._rows

    def sign(self, launch: str) -> None:
        """Say which launch of several processes the run is of, see `charlm.training.torchrun_env`."""
        if launch:
            write_bytes(self.path / "launch.txt", launch.encode())

    def is_signed(self, launch: str) -> bool:
        """Whether this launch has begun the run, or taken it up."""
        path = self.path / "launch.txt"
        return bool(launch) and path.exists() and path.read_text(encoding="utf-8") == launch

    @property
    def can_go_on(self) -> bool:
        """Whether enough is saved to resume."""
        return (self.path / "config.json").exists() and self.resume_file.exists()

    def claim(self, *, force: bool) -> None:
        """Make the folder; refuse if a model or run of this name is there already.

        A folder in which no run was begun, since the reading of the text was interrupted, is taken up.

        Raises:
            OutputError: it is, and `force` is not set; or the folder cannot be made.
        """
        begun = self.path / "config.json"
        if (self.model.exists() or begun.exists()) and not force:
            raise OutputError(
                f"{self.model if self.model.exists() else self.path} is there already",
                f"choose another name with -o, go on with --resume {self.name}, or overwrite with --force",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for old in (self.resume_file, self.metrics_file, self.plot_file, self.path / "samples.txt"):
                old.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot write to {self.path}: {error.strerror or error}", "choose another place with -o"
            ) from error

    def write_config(self, document: dict[str, Any]) -> None:
        """Keep what was asked for."""
        write_bytes(self.path / "config.json", json.dumps({"format": FORMAT, **document}, indent=1).encode())

    def read_config(self) -> dict[str, Any]:
        """What was asked for.

        Raises:
            TrainingError: there is no such run.
            CheckpointError: the file is damaged.
        """
        path = self.path / "config.json"
        if not path.exists():
            raise TrainingError(f"there is no run named {self.name!r} to resume ({self.path} is not there)")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document.pop("format") != FORMAT:
                raise CheckpointError(f"{path} is of another version of charlm")
        except (ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error
        assert isinstance(document, dict)
        return document

    def add_row(self, row: dict[str, Any]) -> None:
        """Write a row of metrics.csv."""
        self._rows.append({name: row[name] for name in METRICS})
        text = io.StringIO()
        writer = csv.DictWriter(text, METRICS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_bytes(self.metrics_file, text.getvalue().encode())

    def add_sample(self, step: int, text: str) -> None:
        """Write a text of the model's into samples.txt."""
        self._samples.append((step, text))
        document = "\n\n".join(f"--- step {step} ---\n{text}" for step, text in self._samples)
        write_bytes(self.path / "samples.txt", (document + "\n").encode())

    def rewind(self, step: int) -> None:
        """Read metrics and samples back and drop what a resume from `step` will write again."""
        if self.metrics_file.exists():
            with self.metrics_file.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            self._rows = []
            for row in rows:
                is_final = self._rows and row["step"] == self._rows[-1]["step"]  # the end of the run writes it again
                if row.get("step", "").isdigit() and int(row["step"]) <= step and not is_final:
                    self._rows.append(row)
        samples = self.path / "samples.txt"
        if samples.exists():
            for part in samples.read_text(encoding="utf-8").removesuffix("\n").split("--- step ")[1:]:
                number, _, text = part.partition(" ---\n")
                if number.isdigit() and int(number) <= step:
                    self._samples.append((int(number), text.removesuffix("\n\n")))
