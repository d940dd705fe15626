"""Training: the loop, the plan of a run, and its files. Needs torch."""

import importlib.util

from charlm.errors import TrainingError


def require_torch() -> None:
    """Raise TrainingError if torch is not installed. Does not import it."""
    if importlib.util.find_spec("torch") is None:
        raise TrainingError("training needs torch, which is not installed", "pip install torch")
