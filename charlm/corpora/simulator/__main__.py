"""Command for writers of topics: `python -m charlm.corpora.simulator check|sample|speed LANGUAGE`."""

from __future__ import annotations

import argparse
import sys
import time

from charlm.corpora.simulator import MIXES
from charlm.corpora.simulator.check import problems
from charlm.corpora.simulator.conversation import Simulator
from charlm.corpora.simulator.language import language
from charlm.corpora.simulator.script import load
from charlm.errors import CharlmError


def main() -> int:
    """Check or show the simulator's data."""
    parser = argparse.ArgumentParser(prog="python -m charlm.corpora.simulator")
    parser.add_argument("action", choices=("check", "sample", "speed"))
    parser.add_argument("language", nargs="?", default="english")
    parser.add_argument("--topic", help="only this topic, with greetings")
    parser.add_argument("--mix", choices=sorted(MIXES), default="talk")
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    script = load(options.language)
    if options.action == "check":
        found = [one for one in problems(script) if not options.topic or options.topic in one]
        print("\n".join(found) or f"{len(script.exchanges)} exchanges, no problems")
        return bool(found)
    if options.topic:
        script.exchanges = [one for one in script.exchanges if one.topic == options.topic or one.place != "any"]
    simulator = Simulator(script, language(options.language), MIXES[options.mix], options.seed)
    if options.action == "sample":
        for _ in range(options.count):
            print("\n".join(simulator.conversation().turns), end="\n\n")
        return 0
    start, characters = time.process_time(), 0
    while characters < 1_000_000:
        characters += sum(len(turn) + 1 for turn in simulator.conversation().turns)
    print(f"{characters / (time.process_time() - start):,.0f} characters a second")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CharlmError as error:
        sys.exit(f"error: {error}")
