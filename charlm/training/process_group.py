"""Several processes that train one model, started by torchrun.

Owns all talk between them: gradients, sums, decisions, the parts of a snapshot. Each process (a *rank*) reads lanes of
its own and makes the same step on the same weights, so whatever decides what happens next (the clock, a wish to stop, a
loss) must be the same on all of them; `ProcessGroup` makes it so. Alone, every method gives back what it is given.

Documents travel as JSON: nothing is unpickled here either.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from charlm.errors import TrainingError
from charlm.training.snapshot import Snapshot
from charlm.training.torchrun_env import TorchrunEnv

# The others wait while rank 0 reads the text, which may be a hundred gigabytes. Who died is noticed at once all the
# same: its connections close, and torchrun ends the rest.
PATIENCE = timedelta(days=1)
_OWN = ("state.", "rng.")  # what of a snapshot differs from rank to rank


class ProcessGroup:
    """This process among its likes.

    Args:
        launch: which it is.
        device: what it trains on.
    """

    def __init__(self, launch: TorchrunEnv | None = None, device: torch.device | None = None) -> None:
        self.launch = launch or TorchrunEnv()
        self.rank, self.size = self.launch.rank, self.launch.size
        if self.size > 1:
            on_card = device is not None and device.type == "cuda"
            backend = "cpu:gloo,cuda:nccl" if on_card else "gloo"
            store, _, _ = next(iter(rendezvous("env://", self.rank, self.size, timeout=PATIENCE)))
            store = PrefixStore(_meet(store, self.rank, self.size), store)
            with self.together():
                distributed.init_process_group(
                    backend, timeout=PATIENCE, store=store, rank=self.rank, world_size=self.size
                )

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def leave(self) -> None:
        """Close the connections."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as one whose gradients are the means over all ranks once a backward pass is done."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, gradient_as_bucket_view=True)

    def sum(self, *values: float) -> tuple[float, ...]:
        """Each value's sum over all ranks, in double precision."""
        if self.size == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(total)
        return tuple(total.tolist())

    def share(self, document: Any = None) -> Any:
        """Rank 0's document, on every rank; what JSON can hold."""
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
        """Go on when all ranks are here."""
        self.sum(0.0)

    def gather(self, snapshot: Snapshot) -> Snapshot:
        """A snapshot of the whole run: rank 0's, and what is its own of every other, named `rank.N.NAME`.

        Every rank must call this; only rank 0 gets the whole.
        """
        tensors = dict(snapshot.tensors)
        for name, tensor in snapshot.tensors.items():
            if self.size > 1 and name.startswith(_OWN):
                parts = [torch.empty_like(tensor) for _ in range(self.size)] if self.is_first else None
                distributed.gather(tensor.contiguous(), parts)
                tensors |= {f"rank.{rank}.{name}": part for rank, part in enumerate(parts or ()) if rank}
        return Snapshot(tensors, snapshot.numbers)

    def own(self, snapshot: Snapshot) -> Snapshot:
        """What of a whole run's snapshot is for this rank."""
        return Snapshot(own(snapshot.tensors, self.rank), snapshot.numbers)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Say in a sentence that another rank is gone, instead of how the connection to it broke.

        Raises:
            TrainingError: it is.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size > 1 and any(word in str(error).lower() for word in _BROKEN):
                raise TrainingError(
                    f"process {self.rank} of {self.size} has lost the others",
                    "torchrun --max-restarts 3 ... begins again from the last save by itself",
                ) from error
            raise


def _meet(store: Store, rank: int, size: int) -> str:
    """Find out who is here now; a name that all of them, and none that came before, have in common.

    After a death torchrun starts all processes again on the same store, where the addresses of the dead still stand. So
    everybody says hello with a word that nobody has used before, and rank 0 repeats the words that it sees until each
    has found its own among them and has said so.
    """
    word = secrets.token_hex(8)
    store.set(f"hello/{rank}", word)
    while True:
        if rank == 0:
            words = [store.get(f"hello/{other}").decode() for other in range(size)]  # waits for who never was here
            store.set("welcome", json.dumps(words))
        words = json.loads(store.get("welcome"))
        if words[rank] == word:
            store.set(f"{words[0]}/{rank}", "here")
            if rank or store.check([f"{word}/{other}" for other in range(size)]):
                return str(words[0])
        time.sleep(0.02)


_BROKEN = ("gloo", "nccl", "connection", "peer", "socket", "timed out")


def own(tensors: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """What of a whole run's tensors, named as `ProcessGroup.gather` does, is for one rank."""
    prefix = f"rank.{rank}."
    common = {name: tensor for name, tensor in tensors.items() if not name.startswith("rank.")}
    return common | {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
