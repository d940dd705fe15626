"""Write docs/smalltalk-samples.md: fifty openings and five conversations with the bundled model, unedited.

    charlm corpora build smalltalk && python docs/make_samples.py [MODEL]

Each opening begins a new conversation at default settings. Its seed is `SEED` plus its number; the conversations have
the seeds 1 to 5. A word counts as misspelled if it is not in the training text.
"""

from __future__ import annotations

import sys
from pathlib import Path

import charlm
from charlm.corpora import registry
from charlm.files import write_bytes
from charlm.insight.reply_metrics import ReplyPair, converse, measure, split_words

SEED = 1
OPENINGS = """\
hello
hi, how are you?
Good morning!
hey, what's up?
What is your name?
Where are you from?
How old are you?
What do you like to do?
Do you have any hobbies?
What kind of music do you like?
I just came back from a long walk.
It has been raining all day here.
What did you do today?
Do you like to cook?
What is your favorite food?
I had pizza for dinner.
Have you seen any good movies lately?
What was the last book you read?
Do you have any brothers or sisters?
I have two cats and a dog.
Do you like animals?
Are you a student?
What do you study?
I have an exam tomorrow and I am nervous.
What do you want to be when you grow up?
My job is so boring.
Do you play any instruments?
I am learning to play the guitar.
Do you like sports?
Who is your favorite football team?
Where would you like to travel?
I am going to Japan next summer!
What is the weather like where you live?
I love the snow.
What are you doing this weekend?
Do you want to go out for coffee?
I can't sleep.
I feel a little sad today.
Tell me something interesting.
Tell me a joke.
Are you a robot?
Can you help me with something?
What do you think about love?
Do you believe in ghosts?
What is the meaning of life?
You are funny.
I don't understand.
That's not what I asked.
Thank you, it was nice talking to you.
Goodbye!
""".splitlines()

CONVERSATIONS = """\
hi there
I'm Tom
not bad, just got home from work
I'm a bus driver
long shifts, but I like the people
do you like music?
I mostly listen to jazz
can you guess what I do for a living?
and what's my name?
ok, I have to cook dinner now. bye!

Good evening!
I had a terrible day.
I lost my keys and had to wait outside in the rain for two hours.
My sister came with the spare key in the end. Her name is Paula.
She is a nurse and always busy.
Tell me a joke, I need one.
haha, that's a bad one
Do you have a sister?
What was my sister's name again?
Thanks, that helped. Good night!

hey
what can you do?
are you a real person?
where do you live?
I live in Norwich
I have a cat, his name is Biscuit
he sleeps all day
what's my cat called?
where do I live?
see you tomorrow

Hello, my name is Nadia.
I'm learning to play the piano.
It is hard, my fingers don't do what I want.
What do you do all day?
Do you ever get bored?
What is 4 + 5?
What is the capital of France?
Tell me a story.
Do you remember my name?
It was nice talking to you.

i cant sleep
my head is full of stuff, exam tomorrow
maths
i hate it
whats your favourite food
mine is lasagna
tell me something interesting
what do i like to eat
you're funny
ok im tired now, good night
"""
TALKS = [talk.splitlines() for talk in CONVERSATIONS.split("\n\n")]


def replies(model: charlm.Model) -> list[ReplyPair]:
    """Return the reply to each opening, each in a new conversation."""
    return [converse(model.chat(seed=SEED + number), [line])[0] for number, line in enumerate(OPENINGS)]


def conversations(model: charlm.Model) -> list[list[ReplyPair]]:
    """Return the five conversations."""
    return [converse(model.chat(seed=number), talk) for number, talk in enumerate(TALKS, 1)]


def page(model: charlm.Model, exchanges: list[ReplyPair], talks: list[list[ReplyPair]]) -> str:
    """Return the page in Markdown."""
    known = frozenset(split_words(registry.find("smalltalk").read_text(encoding="utf-8")))
    found = measure(exchanges, known)
    assert found.unknown is not None
    rows = [f"| {cell(one.message)} | {cell(one.reply)} |" for one in exchanges]
    return "\n".join(
        [
            "# Fifty openings",
            "",
            f"Replies of `{model.name}` to a first line, at default settings, each with another seed, unedited.",
            "`python docs/make_samples.py` made this page.",
            "",
            f"Words misspelled: {found.unknown:.1%}. Echoes: {found.echoes:.0%}. Replies that repeat themselves: "
            f"{found.repeats:.0%}. Empty: {found.empty:.0%}. Mean length: {found.length:.0f} characters.",
            "",
            "| you | reply |",
            "|---|---|",
            *rows,
            "",
            "# Five conversations",
            "",
            "The person's lines were written before the model's replies.",
            *(line for number, talk in enumerate(talks, 1) for line in conversation(number, talk)),
            "",
        ]
    )


def conversation(number: int, talk: list[ReplyPair]) -> list[str]:
    """Return the lines of a conversation's part of the page."""
    rows = [f"| {cell(one.message)} | {cell(one.reply)} |" for one in talk]
    return ["", f"## {number}", "", "| you | reply |", "|---|---|", *rows]


def cell(text: str) -> str:
    """Return text for a cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    chosen = charlm.load(sys.argv[1] if len(sys.argv) > 1 else "smalltalk")
    text = page(chosen, replies(chosen), conversations(chosen))
    write_bytes(Path(__file__).parent / "smalltalk-samples.md", text.encode())
