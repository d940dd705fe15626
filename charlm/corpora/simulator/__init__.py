"""Simulated small talk between a person and the model. The model answers to the point and remembers facts.

The content is in text files: `LANGUAGE/topics/` has a file for each topic, `LANGUAGE/lists/` one for each kind of word.
Nothing lists these files. A topic consists of exchanges:

    === a dog's name                        its name; then options, such as `needs: my.pet`
    P:                                      the person's phrasings, one a line
    My [dog|puppy] is called {my.dogname}.
    B: -> age                               the model's, frequent ones first; the turn goes on at the block "age"
    {my.dogname}, what a [good|nice] name! How old is {my.dogname.he}?
    B: -> end                               blocks of one speaker in a row are alternatives
    Say hello to {my.dogname} from me.
    P: age                                  a label
    ---                                     the end of a path: no turn continues past it

`phrases` explains slots. `{my.x}` is a fact about the person. After the person has mentioned it, both know it. The
exchange with `recall: my.x` asks for it. `python -m charlm.corpora.simulator check` finds mistakes.
"""

from __future__ import annotations

from collections.abc import Iterator

from charlm.corpora.simulator.conversation import MIXES, Mix, SimulatedConversation, Simulator
from charlm.corpora.simulator.language import language
from charlm.corpora.simulator.script import load

__all__ = ["MIXES", "Mix", "SimulatedConversation", "Simulator", "conversations"]


def conversations(name: str, mix: Mix, seed: int, characters: int) -> Iterator[SimulatedConversation]:
    """Yield conversations in a language until their texts have a number of characters."""
    simulator = Simulator(load(name), language(name), mix, seed)
    while characters > 0:
        one = simulator.conversation()
        characters -= sum(len(turn) + 1 for turn in one.turns) + 1
        if one.turns:
            yield one
