"""Rejects turns of a conversation, with the reason.

Three kinds are rejected. Turns that belong to the website of these conversations: about the website, its contest and
prizes, or asking if the other is still there. Turns that a small model must not learn from: personal data, crude words,
remarks about groups of people. And turns that it cannot learn from: other languages, nonsense, repetition.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from charlm.corpora import normalise_english, pii


def _any_of(alternatives: str) -> re.Pattern[str]:
    """Return a pattern for whole words in lower case; alternatives are separated by | or line ends."""
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
"""About the website only if turns nearby are."""
WEBSITE_REACH_TURNS: Final = 3  # turns
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
"""Common words: eight words of English contain one of them."""

_SIGN = re.compile(r"[^\w\s.,?!'\"()]")
_MAX_WORD_CHARS = 22  # characters


def rejection_reason(
    turn: str, raw: str, words: Sequence[str], website: bool, counts: Mapping[str, int], earlier: Collection[str]
) -> str | None:
    """Return the reason to reject a turn, for the report, or None.

    Args:
        turn: normalised.
        raw: as typed.
        words: of the turn, in lower case.
        website: `about_website` found the turn.
        counts: of each word in the corpus.
        earlier: turns of the conversation.
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
        return "turns that ask if the other is there"
    if is_foreign(raw, words):
        return "turns in other languages"
    if is_nonsense(raw, words, counts):
        return "nonsense"
    if len(turn) > 20 and turn in earlier:
        return "turns that repeat an earlier one"
    return None


def about_website(turns: Sequence[str]) -> list[bool]:
    """Return for each turn if it is about the website: by its words, or by doubtful words with such a turn nearby.

    Args:
        turns: as typed.
    """
    says = [WEBSITE.search(turn.lower()) is not None for turn in turns]
    may = [MAYBE_WEBSITE.search(turn.lower()) is not None for turn in turns]
    return [
        said
        or (may[at] and any(says[max(0, at - WEBSITE_REACH_TURNS) : at] + says[at + 1 : at + 1 + WEBSITE_REACH_TURNS]))
        for at, said in enumerate(says)
    ]


def is_foreign(raw: str, words: Sequence[str]) -> bool:
    """Return whether a turn is not in English."""
    foreign = len(FOREIGN.findall(raw))
    english = sum(word in ENGLISH for word in words)
    return (foreign >= 2 and foreign >= english) or foreign == len(words) or (len(words) >= 8 and english == 0)


def is_nonsense(raw: str, words: Sequence[str], counts: Mapping[str, int]) -> bool:
    """Return whether a turn is mostly rare words, signs, digits or repetition."""
    rare = sum(counts.get(word, 0) <= 2 for word in words)
    return (
        (rare >= 2 and rare > 0.3 * len(words))
        or (rare == len(words) and len(words[0]) > 3)
        or len(_SIGN.findall(raw)) > max(6, 0.15 * len(raw))
        or sum(map(str.isdigit, raw)) > max(4, 0.3 * len(raw))
        or (len(words) >= 10 and len(set(words)) < 0.5 * len(words))
        or any(len(word) > _MAX_WORD_CHARS for word in words)
    )
