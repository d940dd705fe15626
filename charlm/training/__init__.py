"""Training: the loop, the plan of a run, and its files. Needs torch."""

import importlib.util
import sys
from pathlib import Path

from charlm.errors import TrainingError

CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # builds for CPUs; a plain install brings gigabytes for GPUs


def require_torch() -> None:
    """Raise TrainingError if torch is not installed. Does not import it."""
    if importlib.util.find_spec("torch") is None:
        raise TrainingError("training needs torch, which is not installed", _install_command(Path(sys.prefix)))


def _install_command(environment: Path) -> str:
    """Return the command that installs a torch for CPUs into an environment of pipx, uv or pip."""
    if (environment / "pipx_metadata.json").is_file():
        return f"pipx inject charlm torch --index-url {CPU_INDEX}"
    if (environment / "uv-receipt.toml").is_file():  # it has no pip
        return f"uv pip install --python {environment} --torch-backend cpu torch"
    return f"pip install torch --index-url {CPU_INDEX}"
