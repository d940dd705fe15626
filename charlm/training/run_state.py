"""A run between two steps, as a value and as a safetensors file; a run resumes from it to the bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from charlm.errors import CheckpointError, TrainingError
from charlm.files import write_bytes

_KEY = "charlm-resume"


@dataclass(frozen=True)
class Snapshot:
    """Everything that a run depends on, between two steps."""

    tensors: dict[str, Tensor]  # weights, the optimizer's moments, the carried state, the best weights, torch's RNG
    numbers: dict[str, Any]  # the rest, as data that JSON keeps exactly


def save(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot atomically; raise OutputError, with the old file unchanged, if that fails."""
    tensors = {name: tensor.contiguous() for name, tensor in snapshot.tensors.items()}
    # safetensors refuses two names for one tensor's memory; the layers of a fresh state share their zeros.
    tensors = {name: tensor.clone() if name.startswith("state.") else tensor for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(tensors, {_KEY: json.dumps(snapshot.numbers)}))


def load(path: Path) -> Snapshot:
    """Read a snapshot; raise TrainingError if there is none, CheckpointError if it is damaged."""
    if not path.exists():
        raise TrainingError(f"nothing to resume: {path} is missing", "start a run with charlm train FILE")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            numbers = json.loads((file.metadata() or {})[_KEY])
            return Snapshot({name: file.get_tensor(name) for name in file.keys()}, numbers)  # noqa: SIM118  # no dict
    except (safetensors.SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} is not a resume file, or a damaged one ({error})") from error
