"""Measures whether `charlm train` chooses the better start: trains from a base and from scratch. Prints the table.

    python -m tests.benchmarks.base_grid TEXTS grid.tsv --kinds prose,dna --sizes 10000,100000 --minutes 1,4
    python -m tests.benchmarks.base_grid TEXTS grid.tsv --minutes ''     # only judges the rule by what is measured

TEXTS is a folder with a file for each kind: prose.txt, verse.txt, chat.txt, code.txt, japanese.txt, language.txt. The
kinds log, bytes and dna are generated. The first characters of a file are trained on. A cell that grid.tsv has already
is not measured again; one that its file is too short for is left out.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import tempfile
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from charlm import registry
from charlm.config import DataConfig
from charlm.text.dataset import SpooledText
from charlm.training.base_selection import NONE, best_base, find_base, is_good_start, ngram_loss, sample
from charlm.training.events import Ended
from charlm.training.run import Request, Run

KINDS = ("prose", "verse", "chat", "code", "japanese", "language", "log", "bytes", "dna")
TIE = 0.01  # nats per character


@dataclass(frozen=True)
class Cell:
    """A row of the table. Losses are in nats per character."""

    kind: str
    size: int
    minutes: float
    seed: int
    base: str  # the best one
    before: float  # its loss before training
    ngrams: float
    from_base: float
    from_scratch: float

    @property
    def key(self) -> tuple[object, ...]:
        return self.kind, self.size, self.minutes, self.seed

    @property
    def chooses_base(self) -> bool:
        return is_good_start(self.before, self.ngrams)

    @property
    def is_right(self) -> bool:
        chosen, other = (self.from_base, self.from_scratch)[:: 1 if self.chooses_base else -1]
        return chosen <= other + TIE


def text_of(kind: str, size: int, folder: Path) -> str:
    """Return the text of a cell; shorter if its file is."""
    rng = random.Random(kind)
    if kind == "log":
        return "".join(_log_lines(rng, size))[:size]
    if kind == "bytes":
        return "".join(rng.choices([chr(code) for code in (*range(0x20, 0x7F), *range(0xA1, 0x142))], k=size))
    if kind == "dna":
        return "".join(rng.choices("ACGT", k=size))
    with (folder / f"{kind}.txt").open(encoding="utf-8") as file:
        return file.read(size)


def _log_lines(rng: random.Random, size: int) -> Iterator[str]:
    """Yield the lines of a web server's log."""
    paths = [f"/{rng.choice(['api', 'static', 'user', 'img'])}/{rng.choice('abcdef')}{n}" for n in range(40)]
    agents = ["Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X)"]
    seconds = 0
    while size > 0:
        seconds += rng.randrange(1, 30)
        day, clock = 1 + seconds // 86_400 % 28, f"{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        address = ".".join(str(rng.choice([10, 172, 192, rng.randrange(256)])) for _ in range(4))
        method, status = rng.choices(["GET", "POST"], [9, 1])[0], rng.choices([200, 304, 404, 500], [80, 12, 6, 2])[0]
        line = f'{address} - - [{day:02}/Mar/2026:{clock} +0000] "{method} {rng.choice(paths)} HTTP/1.1" {status} '
        line += f'{rng.randrange(200, 90_000)} "-" "{rng.choice(agents)}"\n'
        size -= len(line)
        yield line


def validation_loss(path: Path, base: str, minutes: float, seed: int) -> float:
    """Train and return the loss over the last tenth."""
    with tempfile.TemporaryDirectory() as folder:
        request = Request(DataConfig((str(path),)), f"{folder}/m", {"minutes": minutes, "seed": seed}, base)
        *_, ended = Run(request).events()
    assert isinstance(ended, Ended)
    assert ended.validation is not None
    return ended.validation


def measure(kind: str, text: str, minutes: float, seed: int) -> Cell:
    """Train from the best base and from scratch."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{kind}.txt"
        path.write_text(text, encoding="utf-8")
        spool = SpooledText(io.BytesIO(), DataConfig())
        for _ in spool.add(path, is_last=True):
            pass
        pieces = sample(spool, 0.9)
        names = [name for name in registry.BASES if (registry.bundled_folder() / f"{name}.safetensors").is_file()]
        best, before = best_base({name: find_base(name) for name in names}, pieces)
        results = [validation_loss(path, base, minutes, seed) for base in (best, NONE)]
    rounded = [round(loss, 4) for loss in (before, ngram_loss(pieces), *results)]
    return Cell(kind, len(text), minutes, seed, best, *rounded)


def read(table: Path) -> list[Cell]:
    """Return the cells of a table."""
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))[1:]
    return [Cell(row[0], int(row[1]), float(row[2]), int(row[3]), row[4], *map(float, row[5:])) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--sizes", default="10000,100000,1000000,5000000")
    parser.add_argument("--minutes", default="1,4,20")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cells = read(options.table)
    known = {cell.key for cell in cells}
    if not cells:
        options.table.write_text("\t".join(field.name for field in fields(Cell)) + "\n", encoding="utf-8")
    for minutes in map(float, filter(None, options.minutes.split(","))):
        for size in map(int, options.sizes.split(",")):
            for kind in options.kinds.split(","):
                if (kind, size, minutes, options.seed) in known:
                    continue
                text = text_of(kind, size, options.texts)
                if len(text) == size:
                    cells.append(measure(kind, text, minutes, options.seed))
                    with options.table.open("a", encoding="utf-8") as file:
                        file.write("\t".join(map(str, astuple(cells[-1]))) + "\n")
    for cell in cells:
        choice = "base" if cell.chooses_base else "none"
        print(*astuple(cell), choice, "right" if cell.is_right else "WRONG", sep="\t")
    if cells:
        print(f"right: {sum(cell.is_right for cell in cells)} of {len(cells)}")


if __name__ == "__main__":
    main()
