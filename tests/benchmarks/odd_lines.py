"""How well each order of `charlm score` finds odd lines that were put into a text. Prints a table.

python -m tests.benchmarks.odd_lines novel NOVEL FOLDER   # 20 typos, 2 foreign sentences in the last 12 %
python -m tests.benchmarks.odd_lines log FOLDER           # 20,000 lines of a server, five of them odd
charlm train FOLDER/before.txt -o FOLDER/odd              # as a user would
python -m tests.benchmarks.odd_lines rank FOLDER/odd.safetensors FOLDER
"""

from __future__ import annotations

import random
import re
import sys
from pathlib import Path

from charlm import checkpoint
from charlm.inference.engine import Engine
from charlm.inference.scoring import LineScorer

FOREIGN = ("Er ging langsam durch den dunklen Wald nach Hause.", "Elle ne savait plus que dire a sa mere.")
TYPOS = 20
LOG_LINES = 20_000
ODD_MESSAGES = (
    "kernel: Oops: 0002 [#1] SMP PTI",
    "sshd[811]: Accepted password for root from 203.0.113.9 port 4444",
    "api[402]: GET /orders/1187 200 in 48211 ms",
    "db[77]: checkpiont complete: wrote 311 buffers",
    "api[402]: Traceback (most recent call last):",
)


def typo(word: str, rng: random.Random) -> str:
    """Swap, drop, double or replace a letter inside a word."""
    place = rng.randrange(1, len(word) - 2)
    first, second = word[place], word[place + 1]
    typed = rng.choice([second + first, second, first * 2 + second, rng.choice("etaoinshrdlu") + second])
    changed = word[:place] + typed + word[place + 2 :]
    return changed if changed != word else typo(word, rng)


def spoil(lines: list[str], rng: random.Random) -> list[int]:
    """Put typos and foreign sentences into lines, in place. Returns the numbers of these lines, from 1."""
    long = [number for number, line in enumerate(lines) if re.search(r"\b[a-z]{5,}\b", line)]
    places = rng.sample(long, TYPOS + len(FOREIGN))
    for place, sentence in zip(places, FOREIGN, strict=False):
        lines[place] = sentence
    for place in places[len(FOREIGN) :]:
        word = rng.choice(list(re.finditer(r"\b[a-z]{5,}\b", lines[place])))
        lines[place] = lines[place][: word.start()] + typo(word.group(), rng) + lines[place][word.end() :]
    return [place + 1 for place in places]


def log_line(number: int, rng: random.Random) -> str:
    """Return a usual line of a server's log."""
    day, second = divmod(13 * number, 86400)
    stamp = f"2026-03-{day + 1:02} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02} web-{rng.randint(1, 4)} "
    address = f"10.0.{rng.randrange(256)}.{rng.randrange(256)}"
    user, item = rng.choice(["anna", "ben", "carla", "dario", "eve"]), rng.randrange(100_000)
    return (
        stamp
        + rng.choices(
            [
                f"api[402]: GET /orders/{item} 200 in {rng.randint(2, 90)} ms",
                f"api[402]: POST /orders 201 in {rng.randint(9, 300)} ms trace={rng.getrandbits(64):016x}",
                f"sshd[811]: Accepted publickey for {user} from {address} port {rng.randint(30000, 60999)}",
                f"db[77]: checkpoint complete: wrote {rng.randrange(2000)} buffers",
                f"api[402]: WARN retry {rng.randint(1, 3)} of job {rng.getrandbits(32):08x}",
            ],
            [50, 20, 5, 10, 3],
        )[0]
    )


def write(folder: Path, before: list[str], after: list[str], odd: list[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in (("before", before), ("after", after), ("odd", [str(number) for number in sorted(odd)])):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_novel(novel: Path, folder: Path) -> None:
    text = novel.read_text(encoding="utf-8").replace("\r\n", "\n")
    body = re.split(r"\*\*\* (?:START|END) OF.*\n", text)
    lines = body[1 if len(body) > 2 else 0].strip().split("\n")
    cut = int(len(lines) * 0.88)
    before, after = lines[:cut], lines[cut:]
    odd = spoil(after, random.Random(1))
    write(folder, before, after, odd)


def make_log(folder: Path) -> None:
    rng = random.Random(1)
    before, after = ([log_line(number + part * LOG_LINES, rng) for number in range(LOG_LINES)] for part in (0, 1))
    odd = rng.sample(range(LOG_LINES), len(ODD_MESSAGES))
    for place, message in zip(odd, ODD_MESSAGES, strict=True):
        after[place] = " ".join([*after[place].split(" ")[:3], message])
    write(folder, before, after, [place + 1 for place in odd])


def rank(model: Path, folder: Path) -> None:
    odd = set(map(int, (folder / "odd.txt").read_text().split()))
    scorer = LineScorer.static(Engine(checkpoint.load(model)))
    lines = (folder / "after.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    scores = [scorer.push(line) for line in lines]
    print(f"{len(odd)} odd lines among {len(scores):,}: how many of them are among the first")
    print("order      15   40  100")
    for order in ("words", "mean", "max", "total"):
        ranked = [one.number in odd for one in sorted(scores, key=lambda one: -scorer.evidence(one, order))]
        print(f"{order:8}" + "".join(f"{sum(ranked[:top]):5}" for top in (15, 40, 100)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["novel", novel, folder]:
            make_novel(Path(novel), Path(folder))
        case ["log", folder]:
            make_log(Path(folder))
        case ["rank", model, folder]:
            rank(Path(model), Path(folder))
        case _:
            sys.exit(__doc__)
