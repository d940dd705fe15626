"""The files of a run: NAME.safetensors, the model, and the folder NAME.run next to it.

The folder holds:

    config.json          the request and the plan, so that a resume needs nothing but the name
    resume.safetensors   the whole run at its last save
    metrics.csv          a row for each evaluation, losses in nats per character; the last row is the model file's
    samples.txt          a text that the model wrote at each evaluation
    loss.svg             the loss curve
    text-KEY.ids         the text as ids
    text-KEY.json        the vocabulary, split and sources of these ids
    launch.txt           the torchrun launch that owns the run, so that a restart of torchrun resumes it

Owns names and formats; every write is atomic. No torch.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from charlm.errors import CheckpointError, OutputError, TrainingError
from charlm.files import SUFFIX, write_bytes
from charlm.registry import LOCAL, command_name, is_path

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


class RunDir:
    """A run's files: the model file, and the folder next to it."""

    def __init__(self, model: Path) -> None:
        self.model = model
        self.path = model.with_suffix(".run")
        self.resume_file = self.path / "resume.safetensors"
        self.metrics_file = self.path / "metrics.csv"
        self.plot_file = self.path / "loss.svg"
        self._config_file = self.path / "config.json"
        self._samples_file = self.path / "samples.txt"
        self._owner_file = self.path / "launch.txt"
        self.rows: list[dict[str, object]] = []  # of metrics.csv
        self._samples: list[tuple[int, str]] = []

    @classmethod
    def named(cls, name: str) -> RunDir:
        """Return the run of that name: a path if it has the suffix or a slash, else a name in ./checkpoints."""
        path = Path(name) if is_path(name) else LOCAL / name
        return cls(path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX))

    @property
    def name(self) -> str:
        return self.model.stem

    @property
    def reference(self) -> str:
        """The name or path that finds the run on the command line, quoted for a shell."""
        return command_name(self.model)

    def write_owner(self, launch: str) -> None:
        """Record the launch that trains this run; see `charlm.training.torchrun_env`."""
        if launch:
            write_bytes(self._owner_file, launch.encode())

    def is_owned_by(self, launch: str) -> bool:
        """Return whether this launch has started or resumed the run."""
        path = self._owner_file
        return bool(launch) and path.exists() and path.read_text(encoding="utf-8") == launch

    @property
    def can_resume(self) -> bool:
        return self._config_file.exists() and self.resume_file.exists()

    def create(self, *, force: bool) -> None:
        """Make the folder and delete the files of an older run; raise OutputError if one exists and `force` is false.

        A folder without config.json is used: the text was being read when the run was interrupted.
        """
        if (self.model.exists() or self._config_file.exists()) and not force:
            raise OutputError(
                f"{self.model if self.model.exists() else self.path} already exists",
                f"choose another name with -o, resume it with --resume {self.reference}, or overwrite it with --force",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for old in (self.resume_file, self.metrics_file, self.plot_file, self._samples_file):
                old.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot write to {self.path}: {error.strerror or error}", "choose another place with -o"
            ) from error

    def write_config(self, document: dict[str, object]) -> None:
        write_bytes(self._config_file, json.dumps({"format": FORMAT, **document}, indent=1).encode())

    def read_config(self) -> dict[str, Any]:
        """Return what `write_config` wrote; raise TrainingError if there is none, CheckpointError if it is damaged."""
        path = self._config_file
        if not path.exists():
            raise TrainingError(f"there is no run named {self.name!r} to resume ({self.path} is missing)")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document.pop("format") != FORMAT:
                raise CheckpointError(f"{path} is of another version of charlm")
        except (ValueError, KeyError, AttributeError) as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error
        assert isinstance(document, dict)
        return document

    def add_row(self, row: dict[str, object]) -> None:
        self.rows.append({name: row[name] for name in METRICS})
        text = io.StringIO()
        writer = csv.DictWriter(text, METRICS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_bytes(self.metrics_file, text.getvalue().encode())

    def add_sample(self, step: int, text: str) -> None:
        self._samples.append((step, text))
        document = "\n\n".join(f"--- step {step} ---\n{text}" for step, text in self._samples)
        write_bytes(self._samples_file, (document + "\n").encode())

    def truncate(self, step: int) -> None:
        """Read metrics and samples back, without those after `step`, which a resume writes again."""
        if self.metrics_file.exists():
            with self.metrics_file.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            kept = [row for row in rows if row.get("step", "").isdigit() and int(row["step"]) <= step]
            # The last row of a finished run repeats the step of its last evaluation.
            self.rows = list({row["step"]: row for row in reversed(kept)}.values())[::-1]
        if self._samples_file.exists():
            text = self._samples_file.read_text(encoding="utf-8")
            for part in text.removesuffix("\n").split("--- step ")[1:]:
                number, _, sample = part.partition(" ---\n")
                if number.isdigit() and int(number) <= step:
                    self._samples.append((int(number), sample.removesuffix("\n\n")))
