"""The resume file: a `Snapshot` on disk, in safetensors, so that a run goes on to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
import safetensors.torch

from charlm.errors import CheckpointError, TrainingError
from charlm.files import write_bytes
from charlm.training.snapshot import Snapshot

_KEY = "charlm-resume"


def save(snapshot: Snapshot, path: Path) -> None:
    """Write a snapshot atomically.

    Raises:
        OutputError: it cannot be written; the file that was there still is.
    """
    tensors = {name: tensor.contiguous() for name, tensor in snapshot.tensors.items()}
    # Two names for one tensor's memory are refused by safetensors; a fresh state shares its zeros.
    tensors = {name: tensor.clone() if name.startswith("state.") else tensor for name, tensor in tensors.items()}
    write_bytes(path, safetensors.torch.save(tensors, {_KEY: json.dumps(snapshot.numbers)}))


def load(path: Path) -> Snapshot:
    """Read a snapshot.

    Raises:
        TrainingError: none was saved.
        CheckpointError: the file is damaged.
    """
    if not path.exists():
        raise TrainingError(f"nothing to resume: {path} is not there", "charlm train FILE begins a run")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            numbers = json.loads((file.metadata() or {})[_KEY])
            return Snapshot({name: file.get_tensor(name) for name in file.keys()}, numbers)  # noqa: SIM118  # no dict
    except (safetensors.SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} is not a resume file, or a damaged one ({error})") from error
