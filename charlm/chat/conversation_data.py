"""The data of one conversation.

Owns the tree of turns, the head, and the history that undo and redo move along. A `Conversation` works on it, storage
saves and loads it, an export is made of it. Knows nothing of models, screens or databases.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from charlm.chat.reply_sampler import SamplerControls
from charlm.chat.turns import BOT, YOU, Turn, branch, upwards
from charlm.config import ChatConfig, check_seed
from charlm.errors import UsageError
from charlm.inference.generate import make_rng, new_seed
from charlm.text.dialogue import Dialogue, is_name

MAX_MOVES = 1000  # moves of the head that can be undone
MAX_REMEMBERED_CHARS = 4000  # of a person's turns: a reply costs the same after any number
# A capital inside a sentence; in Japanese katakana, and words before a copula or a suffix of names.
_NAME = re.compile(
    r"(?<=[^\s.!?\u2026] )[^\W\d_a-z][^\W\d_]{2,}|[\u30a1-\u30fa\u30fc]{2,}"
    r"|(?<![^\s\u306f\u3001\u3002\uff01\uff1f])(?:[\u4e00-\u9fff][\u3041-\u306e\u3070-\u3096\u4e00-\u9fff]{0,5}?|[\u3041-\u306e\u3070-\u3096]{2,6}?)"
    r"(?=\u3067\u3059|\u3060\u3088|\u3068(?:\u3044|\u7533|\u547c)|\u3063\u3066|\u3061\u3083\u3093|\u304f\u3093|\u3055\u3093|\u306b\u4f4f\u3093)"
)


@dataclass(eq=False)
class ConversationData:
    """One conversation: its turns, the head and the settings of its replies."""

    dialogue: Dialogue  # how the text writes turns
    you: str  # the speaker that a person plays
    bot: str  # the speaker that the model plays
    controls: SamplerControls  # settings and random number generator of the next draw
    seed: int  # the last seed of that generator
    title: str = ""  # empty until a person gives one
    forgets: bool = False  # whether the model drops its learned weights before the next turn
    root: Turn = field(default_factory=lambda: Turn(0, None, "", ""))
    turns: list[Turn] = field(default_factory=list)  # all but the root, oldest first: parents before children
    head: Turn = field(init=False)  # the last visible turn
    moves: list[Turn] = field(init=False)  # heads so far; those before the cursor can be undone, those after it redone
    cursor: int = 0
    number: int | None = None  # in the database; None until the first turn is saved
    model: str = ""  # name of the model that replied last
    fingerprint: str = ""  # of that model
    created: float = field(default_factory=time.time)  # seconds since 1970
    updated: float = field(default_factory=time.time)
    last_id: int = 0  # of the turns so far

    def __post_init__(self) -> None:
        self.head = self.root
        self.moves = [self.root]

    @classmethod
    def start(
        cls,
        dialogue: Dialogue | None = None,
        you: str | None = None,
        bot: str | None = None,
        dials: ChatConfig | None = None,
        seed: int | None = None,
    ) -> ConversationData:
        """Return a conversation without turns. Speakers are by default the most frequent ones; a seed is drawn."""
        dialogue = dialogue or Dialogue()
        you, bot = choose_speakers(dialogue, you, bot)
        seed = new_seed() if seed is None else seed
        check_seed(seed)
        return cls(dialogue, you, bot, SamplerControls(dials or ChatConfig(), make_rng(seed)), seed)

    @property
    def path(self) -> list[Turn]:
        """The visible turns, from the first to the head."""
        return list(upwards(self.head))[::-1]

    def text_up_to(self, turn: Turn) -> str:
        """Return a turn and those before it, in the dialogue's format."""
        return "".join([self.lead(one) + one.text for one in list(upwards(turn))[::-1]])

    def remembered_turns(self, turn: Turn) -> list[Turn]:
        """Return the person's last turns up to a turn, the last first, since the model forgot what it had learned."""
        found, characters = [], 0
        for one in upwards(turn):
            if one.author == YOU:
                found.append(one)
                characters += len(one.text)
            if one.policy.forget or characters >= MAX_REMEMBERED_CHARS:
                break
        return found

    def your_names(self, turn: Turn) -> list[str]:
        """Return the names in the turns that are remembered."""
        return list(dict.fromkeys(name for one in self.remembered_turns(turn) for name in _NAME.findall(one.text)))

    def lead(self, turn: Turn) -> str:
        """Return the text between the turn before and this one: the end of that turn, and the speaker."""
        first = turn.parent is None or turn.parent.parent is None
        return ("" if first else self.dialogue.closing) + self.dialogue.opening(turn.name)

    def attach(self, turn: Turn) -> None:
        """Add a turn to the tree. Its id becomes unique in this conversation, and stays what it is."""
        assert turn.parent is not None
        self.last_id += 1
        turn.id = self.last_id
        turn.depth = turn.parent.depth + 1
        turn.parent.children.append(turn)
        self.turns.append(turn)
        self.count(turn)

    def count(self, turn: Turn) -> None:
        """Set the number of characters of the context up to the end of a turn."""
        assert turn.parent is not None
        turn.characters = turn.parent.characters + len(self.lead(turn)) + len(turn.text)

    def detach(self, turn: Turn) -> None:
        """Take back the newest turn."""
        assert turn.parent is not None
        turn.parent.children.remove(turn)
        self.turns.remove(turn)

    def move(self, head: Turn, *, joins: bool = False) -> None:
        """Move the head, and record the move. With `joins` it is undone together with the last one."""
        if not joins:
            self.cursor += 1
        del self.moves[self.cursor :]
        self.moves.append(head)
        if len(self.moves) > MAX_MOVES:
            del self.moves[0]
            self.cursor -= 1
        self.show(head)

    def show(self, head: Turn) -> None:
        """Make a turn the last visible one."""
        for turn in branch(self.head, head):
            assert turn.parent is not None
            turn.parent.visited = turn
        self.head = head


def choose_speakers(dialogue: Dialogue, you: str | None, bot: str | None) -> tuple[str, str]:
    """Return the names of the person and of the model; raise UsageError if one is invalid, or both are the same."""
    if not dialogue.has_names:
        return you or YOU, bot or BOT
    chosen = []
    for name, option in ((you, "--you"), (bot, "--bot")):
        if name is not None and not is_name(name.strip()):
            raise UsageError(f"{name!r} cannot be the name of a speaker", f"{option} takes a short name")
        chosen.append(dialogue.speaker(name.strip()) if name is not None else None)
    free = [name for name in dialogue.names if name not in chosen] + ["YOU", "BOT"]
    bot_name = chosen[1] or free.pop(0)  # the most frequent speaker, whom the model knows best
    you_name = chosen[0] or next(name for name in free if name != bot_name)
    if you_name == bot_name:
        raise UsageError(f"both speakers are {you_name}", "choose two with --you and --bot")
    return you_name, bot_name
