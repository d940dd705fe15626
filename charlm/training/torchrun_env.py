"""The rank that torchrun has given this process. No torch: the command line asks before it imports torch."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TorchrunEnv:
    """A process's place among those that train one model."""

    rank: int = 0  # rank 0 reads the text, reports and writes
    size: int = 1  # number of processes
    local_rank: int = 0  # number on this machine, which selects the graphics card
    identity: str = ""  # names this launch, also after restarts by torchrun; empty without torchrun

    @classmethod
    def of(cls, environment: Mapping[str, str] | None = None) -> TorchrunEnv:
        """Read torchrun's environment variables; without torchrun the process is alone."""
        environment = os.environ if environment is None else environment
        run = environment.get("TORCHELASTIC_RUN_ID")
        if run is None:
            return cls()
        return cls(
            rank=int(environment.get("RANK", 0)),
            size=int(environment.get("WORLD_SIZE", 1)),
            local_rank=int(environment.get("LOCAL_RANK", 0)),
            identity=f"{run} of {socket.gethostname()}, process {_parent()}",
        )


def _parent() -> str:
    """Return the launcher's process number and start time, which stay the same through all restarts."""
    number = os.getppid()
    try:
        fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:  # not Linux
        return str(number)
    return f"{number} of {fields[19]}"  # proc(5): starttime
