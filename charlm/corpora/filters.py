"""Which turns of a conversation cannot be used, and why.

What people said to each other on the website where these conversations were held, and would not say elsewhere: about
the website, its contest and its prizes, or whether the other is still there. What a small model must not learn:
personal data, crude words, remarks about groups of people, which it would put together anyhow. And what it cannot learn
from: other languages, nonsense, repetition.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from charlm.corpora import normalise_english, pii


def _any_of(alternatives: str) -> re.Pattern[str]:
    """A pattern that finds one of these as whole words in lower case; one a line, or several with | between."""
    return re.compile(rf"\b(?:{'|'.join(line.strip() for line in alternatives.strip().splitlines())})\b")


WEBSITE: Final = _any_of(r"""
    prompts?|jaezo|glitch\w*|bug(?:gy|ged)|disconnect\w*|reconnect\w*|refresh(?:ed|ing)? (?:the|my|it)
    log(?:ged|ging) (?:in|out|off|on)
    raffles?|prizes?|contests?|gift ?cards?|leader ?boards?|alexa
    (?:million|thousand|more|many|get|bonus|your|you're|my|his|of) points
    (?:1st|first|2nd|second|3rd|third|4th) place|user ?names?|typ(?:ing|os?)|my messages?|last message|doing this
    on here
    this (?:web)?(?:site|chat|app|program|platform|interface)|the (?:chats?|website|site|bubbles?|leader)
    chats|chit[ -]?chat\w*|chat ?(?:window|box|room|bot|partner|thing)s?|been chatting|spamm(?:ed|ing)
    (?:new|another|other|one|our|your|my|these|each|end(?:ed|ing)?|open(?:ed|ing)?|close[ds]?|start(?:ed|ing)?) chats?
    (?:other|my|your|the|new|that|two|multiple) (?:windows?|tabs?)
    (?:the|your|my|chat) bots?|bots?\?|are you (?:a |an )?(?:bot|robot|human|real|person|computer|ai)
    met (?:before|already)|talked (?:before|already|earlier|yesterday)|(?:we|you) already talked|you again
    (?:talk|chat)(?:ed|t?ing) (?:to|with) (?:someone|somebody|anyone|people|other|another|different|random|the same)
""")
MAYBE_WEBSITE: Final = _any_of(r"""
    points|point wise|scores?|scored|ranks?|ranked|ranking|spam|convos?|conversations|chat|chatting|chatted|messages?
    challenge|competition|competing|win|winning|winner|data|ahead|beat|beating|ipad|nintendo|accounts?|screen|connection
    wifi|loading|load|site|type|typed|typer|words? counts?|(?:he|she|been|was|is) on all|kicked (?:me |you )?off|log in
    crash\w*|froze\w*|reset|started over|random people|strangers?|stop (?:talking|responding)|respon\w+
""")
"""What may be about the website; it is, if the turns around it are."""
REACH: Final = 3  # turns
NUDGE: Final = _any_of(r"""
    (?:are|r) (?:you|u|ya)(?: guys| all)? (?:(?:still|even|actually) )?(?:there|here|alive|with me|on|gone)
    still (?:there|here)|you there|(?:any|some)(?:one|body) (?:there|here|home|out there)|where did you go|come back
    did (?:you|i) (?:leave|lose)|i(?:'ll| will) be (?:right )?back|brb
""")
CRUDE: Final = _any_of(r"""
    f+u+c+k\w*|fck\w*|sh[i!]t\w*|bullshit|bitch\w*|cunts?|ass|asses|asshole\w*|dicks?|pissed?|damn\w*|hell|bastards?
    sex\w*|porn\w*|penis|vagina|whore\w*|slut\w*|horny|naked|nudes?|condoms?|orgasm\w*|erotic|masturbat\w*|stripper\w*
    tits|boob\w*|hooker\w*
    rape\w*|rapist|molest\w*|incest|pedo\w*|suicid\w*|kill(?:ing|ed)? (?:my|your|him|her)self|cocaine|heroin|meth
    nigg\w*|fag\w*|retard\w*|lynch\w*|nazis?|hitler|genocide|holocaust|terrorists?|isis|abortions?
    blacks|gays?|lesbians?|transgender\w*|muslims?|jews?|illegal immigrants?
""")
FOREIGN: Final = _any_of(r"""
    hola|como|estas?|esto|que|qué|gracias|muy|pero|para|porque|donde|soy|espanol|tengo|buenos?|voce|obrigad[oa]|nao
    tudo|isso|bonjour|je|suis|vous|mais|avec|c'est|oui|ouais|ich|nicht|und|ist|ein|ciao|sono|molto|ni ?hao|wo|annyeong
""")
ENGLISH: Final = normalise_english.word_set("""
    the a an i you it is to and of in that my me so do for on have but be not what was are with like at your just or if
    no yes yeah how about haha oh well good i'm that's it's don't they he she we this can would think know really too
    all one there some from get go up out then when who why where did had has him her them been more love fun cool nice
""")
"""Words so common that eight words of English have one of them."""

_SIGN = re.compile(r"[^\w\s.,?!'\"()]")
_LONGEST_WORD = 22  # characters


def why(
    turn: str, raw: str, words: Sequence[str], website: bool, counts: Mapping[str, int], said: Collection[str]
) -> str | None:
    """Why a turn cannot be used, if so: a reason for the tally.

    Args:
        turn: made regular.
        raw: as it was typed.
        words: of the turn, in lower case.
        website: whether it is one of those that `about_website` finds.
        counts: how often the corpus has each word.
        said: the earlier turns of the conversation.
    """
    if kind := pii.found(raw) or pii.found(turn):
        return f"turns with {kind}"
    raw = raw.lower()
    if not words:
        return "turns without words"
    if CRUDE.search(raw):
        return "turns that are crude or about groups of people"
    if website:
        return "turns about the website and its contest"
    if NUDGE.search(raw) or raw.startswith("hello?"):
        return "turns that ask whether somebody is there"
    if is_foreign(raw, words):
        return "turns in other languages"
    if is_nonsense(raw, words, counts):
        return "nonsense"
    if len(turn) > 20 and turn in said:
        return "turns that repeat an earlier one"
    return None


def about_website(turns: Sequence[str]) -> list[bool]:
    """Which turns of a conversation are about the website: those that say so, and those that may be if another is near.

    Args:
        turns: as they were typed.
    """
    says = [WEBSITE.search(turn.lower()) is not None for turn in turns]
    may = [MAYBE_WEBSITE.search(turn.lower()) is not None for turn in turns]
    return [
        said or (may[at] and any(says[max(0, at - REACH) : at] + says[at + 1 : at + 1 + REACH]))
        for at, said in enumerate(says)
    ]


def is_foreign(raw: str, words: Sequence[str]) -> bool:
    """Whether a turn is in another language than English."""
    foreign = len(FOREIGN.findall(raw))
    english = sum(word in ENGLISH for word in words)
    return (foreign >= 2 and foreign >= english) or foreign == len(words) or (len(words) >= 8 and english == 0)


def is_nonsense(raw: str, words: Sequence[str], counts: Mapping[str, int]) -> bool:
    """Whether a turn is mostly words that nobody else uses, signs, figures, or the same over and over."""
    rare = sum(counts.get(word, 0) <= 2 for word in words)
    return (
        (rare >= 2 and rare > 0.3 * len(words))
        or (rare == len(words) and len(words[0]) > 3)
        or len(_SIGN.findall(raw)) > max(6, 0.15 * len(raw))
        or sum(map(str.isdigit, raw)) > max(4, 0.3 * len(raw))
        or (len(words) >= 10 and len(set(words)) < 0.5 * len(words))
        or any(len(word) > _LONGEST_WORD for word in words)
    )
