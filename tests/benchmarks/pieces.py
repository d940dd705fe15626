"""Whether what the bundled models write holds together: Python that tokenizes, Japanese in whole characters.

    OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.pieces [--python MODEL] [--nihongo MODEL]

Python is drawn as `charlm sample python --count 200 --chars 400` draws it, and each piece is cut at its last newline;
the cut may fall within brackets or a string, which counts against the model. Japanese is streamed.
"""

from __future__ import annotations

import argparse
import io
import tokenize
from collections import Counter

import charlm

PIECES, CHARACTERS = 200, 400
STREAMED = 20_000
REPLACEMENT = "\ufffd"  # what stands where bytes spell nothing


def complaint(source: str) -> str:
    """What `tokenize` says against a piece of Python; empty if it has nothing to say."""
    try:
        for _ in tokenize.generate_tokens(io.StringIO(source).readline):
            pass
    except (tokenize.TokenError, SyntaxError) as error:
        return str(error.args[0])
    return ""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default="python")
    parser.add_argument("--nihongo", default="nihongo")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    model = charlm.load(arguments.python)
    texts = [one.text for one in model.generate_many("", PIECES, max_chars=CHARACTERS, seed=arguments.seed)]
    complaints = Counter(complaint(text[: text.rfind("\n") + 1]) for text in texts)
    print(f"{model.name}: {complaints.pop('', 0) / len(texts):.1%} of {len(texts)} pieces pass tokenize")
    for message, count in complaints.most_common(5):
        print(f"  {count:3}  {message}")

    model = charlm.load(arguments.nihongo)
    pieces = [piece.text for piece in model.stream("", max_chars=STREAMED, seed=arguments.seed)]
    text = "".join(pieces)
    broken = sum(REPLACEMENT in piece or piece.encode(errors="replace").decode() != piece for piece in pieces)
    print(f"{model.name}: {len(text):,} characters in {len(pieces):,} pieces, {broken} of them broken")


if __name__ == "__main__":
    main()
