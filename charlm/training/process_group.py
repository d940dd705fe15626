"""Several processes that train one model, started by torchrun.

Owns all communication between them: gradients, sums, decisions, the parts of a snapshot. Each process (a *rank*) reads
lanes of its own and makes the same step on the same weights. All ranks must therefore decide alike: the clock, a
request to stop and the loss are shared. In a group of one, every method returns its argument.

Documents travel as JSON: nothing is unpickled.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous as torch_rendezvous
from torch.nn.parallel import DistributedDataParallel

from charlm.errors import TrainingError
from charlm.training.run_state import Snapshot
from charlm.training.torchrun_env import TorchrunEnv

# Long enough for rank 0 to read 100 GB of text. A process that dies is noticed at once: its connections close.
TIMEOUT = timedelta(days=1)
POLL_SECONDS = 0.02
_PER_RANK = ("state.", "rng.")  # tensors of a snapshot that differ from rank to rank
_PEER_ERRORS = ("gloo", "nccl", "connection", "peer", "socket", "timed out")


class ProcessGroup:
    """One rank's connection to the others."""

    def __init__(self, env: TorchrunEnv | None = None, device: torch.device | None = None) -> None:
        env = env or TorchrunEnv()
        self.rank, self.size = env.rank, env.size
        if self.size > 1:
            on_card = device is not None and device.type == "cuda"
            backend = "cpu:gloo,cuda:nccl" if on_card else "gloo"
            store, _, _ = next(iter(torch_rendezvous("env://", self.rank, self.size, timeout=TIMEOUT)))
            store = PrefixStore(rendezvous(store, self.rank, self.size), store)
            with self.translate_peer_errors():
                distributed.init_process_group(
                    backend, timeout=TIMEOUT, store=store, rank=self.rank, world_size=self.size
                )

    @property
    def is_first(self) -> bool:
        """This rank reads the text, reports and writes."""
        return self.rank == 0

    def close(self) -> None:
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the model with its gradients averaged over all ranks at the end of each backward pass."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, gradient_as_bucket_view=True)

    def sum(self, *values: float) -> tuple[float, ...]:
        """Return each value's sum over all ranks, in double precision."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(total)
        return tuple(total.tolist())

    def broadcast(self, document: object = None) -> Any:
        """Return rank 0's document on every rank; it holds what JSON can."""
        if self.size == 1:
            return document
        data = torch.frombuffer(bytearray(json.dumps(document).encode()), dtype=torch.uint8)
        size = torch.tensor([len(data)])
        distributed.broadcast(size, 0)
        if not self.is_first:
            data = torch.empty(int(size), dtype=torch.uint8)
        distributed.broadcast(data, 0)
        return json.loads(data.numpy().tobytes())

    def wait(self) -> None:
        """Return when all ranks have called this."""
        self.sum(0.0)

    def gather(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot of the whole run, with the parts of other ranks named `rank.N.NAME`.

        Every rank must call this; only rank 0 gets the other parts.
        """
        tensors = dict(snapshot.tensors)
        for name, tensor in snapshot.tensors.items():
            if self.size > 1 and name.startswith(_PER_RANK):
                parts = [torch.empty_like(tensor) for _ in range(self.size)] if self.is_first else None
                distributed.gather(tensor.contiguous(), parts)
                tensors |= {f"rank.{rank}.{name}": part for rank, part in enumerate(parts or ()) if rank}
        return Snapshot(tensors, snapshot.numbers)

    @contextmanager
    def translate_peer_errors(self) -> Iterator[None]:
        """Raise a TrainingError in one sentence for torch's errors about a broken connection."""
        try:
            yield
        except RuntimeError as error:
            if self.size > 1 and any(word in str(error).lower() for word in _PEER_ERRORS):
                raise TrainingError(
                    f"process {self.rank} of {self.size} has lost the others",
                    "with torchrun --max-restarts 3 ... a run continues by itself from its last save",
                ) from error
            raise


def local_part(snapshot: Snapshot, rank: int) -> Snapshot:
    """Return the tensors that one rank needs of a snapshot that `ProcessGroup.gather` made."""
    prefix = f"rank.{rank}."
    common = {name: tensor for name, tensor in snapshot.tensors.items() if not name.startswith("rank.")}
    own = {name.removeprefix(prefix): part for name, part in snapshot.tensors.items() if name.startswith(prefix)}
    return Snapshot(common | own, snapshot.numbers)


def rendezvous(store: Store, rank: int, size: int) -> str:
    """Return a name for this start of the processes, the same on all ranks.

    torchrun restarts all processes on the same store, which still holds the addresses of dead ones. So every rank
    publishes a random word, and rank 0 repeats the words until each rank has seen its own.
    """
    word = secrets.token_hex(8)
    store.set(f"hello/{rank}", word)
    while True:
        if rank == 0:
            words = [store.get(f"hello/{other}").decode() for other in range(size)]  # blocks until each is there
            store.set("welcome", json.dumps(words))
        words = json.loads(store.get("welcome"))
        if words[rank] == word:
            store.set(f"{words[0]}/{rank}", "here")
            if rank or store.check([f"{word}/{other}" for other in range(size)]):
                return str(words[0])
        time.sleep(POLL_SECONDS)
