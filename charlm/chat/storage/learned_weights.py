"""The learned weights of the last conversations, a file each.

A file is as large as the model, so it is not in the database, whose lock other processes wait for. Its name is the
digest of its content; the table `learned` lists those in use. A missing one costs time only: the model learns the same
weights again from the turns.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from charlm.errors import CheckpointError
from charlm.files import write_bytes

SUFFIX: Final = ".weights"
MAX_UNFINISHED_SECONDS: Final = 60.0  # age of a file that another process may still be writing

_INSERT: Final = (
    "INSERT OR REPLACE INTO learned SELECT :conversation, :turn, coalesce(max(written), 0) + 1, :digest, :bytes, :state"
    " FROM learned"
)
_DELETE: Final = """
    DELETE FROM learned WHERE conversation NOT IN (
        SELECT conversation FROM (
            SELECT conversation, row_number() OVER newest AS place, sum(bytes) OVER newest AS total
            FROM learned WINDOW newest AS (ORDER BY written DESC)
        ) WHERE place <= :max_count AND total <= :max_bytes
    )
"""


@dataclass(frozen=True)
class LearnedWeights:
    """The files in a folder, and which are kept."""

    folder: Path
    min_chars: int = 500  # of a conversation; a shorter one is learned again in about a second
    turns_between: int = 32  # between two savings of the same conversation
    max_count: int = 3
    max_bytes: int = 48 << 20  # of all of them

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}{SUFFIX}"

    def write(self, digest: str, weights: bytes) -> None:
        """Write a file; `list_file` must follow."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(self._path(digest), weights)

    def list_file(self, connection: sqlite3.Connection, columns: dict[str, object]) -> None:
        """Record a file in the table, and delete the files that are kept no longer."""
        connection.execute(_INSERT, columns)
        connection.execute(_DELETE, {"max_count": self.max_count, "max_bytes": self.max_bytes})
        self.prune(connection)

    def read(self, digest: str) -> bytes:
        """Return a file's content; raise CheckpointError if there is none."""
        try:
            return self._path(digest).read_bytes()
        except OSError as error:
            raise CheckpointError("the learned weights are gone") from error

    def prune(self, connection: sqlite3.Connection) -> None:
        """Delete the files that are not in the table."""
        used = {digest for (digest,) in connection.execute("SELECT digest FROM learned")}
        with contextlib.suppress(OSError):  # there is no folder, or another process deletes them too
            for path in self.folder.iterdir():
                is_finished = path.suffix == SUFFIX or time.time() - path.stat().st_mtime > MAX_UNFINISHED_SECONDS
                if is_finished and path.stem not in used:
                    path.unlink(missing_ok=True)
