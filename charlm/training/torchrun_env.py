"""Which of several processes this one is, as torchrun says. No torch: the command line asks before it is imported."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TorchrunEnv:
    """A process's place among those that train one model.

    Attributes:
        rank: its number; 0 reads the text, shows and writes.
        size: how many there are.
        local_rank: its number on this machine; which graphics card is its own.
        identity: names this launch, the same when torchrun begins anew after a death; empty without torchrun.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    identity: str = ""

    @classmethod
    def of(cls, environment: Mapping[str, str] | None = None) -> TorchrunEnv:
        """Read what torchrun has put into the environment; without torchrun a process is alone."""
        said = os.environ if environment is None else environment
        run = said.get("TORCHELASTIC_RUN_ID")
        if run is None:
            return cls()
        return cls(
            rank=int(said.get("RANK", 0)),
            size=int(said.get("WORLD_SIZE", 1)),
            local_rank=int(said.get("LOCAL_RANK", 0)),
            identity=f"{run} of {socket.gethostname()}, process {_parent()}",
        )


def _parent() -> str:
    """The launcher's own process, which stays the same through all restarts: its number, and when it began."""
    number = os.getppid()
    try:
        fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:  # not Linux
        return str(number)
    return f"{number} of {fields[19]}"  # proc(5): starttime
