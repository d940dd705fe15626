"""Make the pictures of docs/how-an-lstm-remembers.md from trained models.

python docs/images/remember.py LSTM GRU RNN TEXT UNIT

Each picture is the output of one command, which the page names. The models must not be trained on TEXT. UNIT is
the unit, as LAYER:INDEX, that `charlm xray LSTM TEXT --find` names for the position in the line. The brackets are of
the bundled Python model.
"""

from __future__ import annotations

import sys
from pathlib import Path

from charlm.cli.main import run

HERE = Path(__file__).parent
BILL = """\
def total(prices, tax=0.2):
    \"\"\"What it costs.\"\"\"
    bill = [round(price * (1 + tax), 2) for price in prices]
    return sum(bill), len(bill)
"""
VERSE = "ROMEO:\nBut soft, what light through yonder window breaks?\n\nJULIET:\nO Romeo"


def make(*arguments: str) -> None:
    """Run a command; exit if it fails."""
    if code := run(arguments):
        sys.exit(code)


if __name__ == "__main__":
    lstm, gru, rnn, text, unit = sys.argv[1:]
    make("xray", lstm, VERSE, "--gates", "--layer", "0", "--plot", str(HERE / "gates.png"))
    make("xray", lstm, VERSE, "--unit", unit, "--plot", str(HERE / "unit.svg"))
    make("xray", "python", BILL, "--unit", "0:101", "--plot", str(HERE / "brackets.svg"))
    make("gradients", lstm, gru, rnn, "--text", text, "--plot", str(HERE / "reach.svg"))
    make("memory", lstm, text, "--max-context", "1024", "--no-recall", "--plot", str(HERE / "context.svg"))
