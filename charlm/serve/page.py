"""Answers for the page of the server alone: the card of a model, and a look at a text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from charlm.html.export import card as card_of
from charlm.inference.context import encode_lossy
from charlm.inference.prefix_cache import PrefixCache
from charlm.inference.sampling import log_softmax
from charlm.serve.answers import score
from charlm.serve.errors import ApiError, dumps
from charlm.serve.formats import log
from charlm.serve.requests import LookRequest
from charlm.serve.scheduler import Cancel

ALTERNATIVES: Final = 8
SIGNAL_DECIMALS: Final = 3


def card(cache: PrefixCache, name: str, request: LookRequest, max_chars: int, cancel: Cancel) -> Iterator[bytes]:
    """Yield all that the page needs to know of a model."""
    yield dumps(card_of(cache.model.base.checkpoint, name))


def look(cache: PrefixCache, name: str, request: LookRequest, max_chars: int, cancel: Cancel) -> Iterator[bytes]:
    """Yield a document in parts: scores of the characters, the likeliest next ones, and the signals of the last step.

    A score has the character, log p, and its alternatives as pairs with log p.
    """
    model, text = cache.model.base, request.text
    if not text:
        raise ApiError(400, "the text is empty", "text")
    before = cache.read(text[:-1], cancel)
    yield b'{"scores":['
    for place, one in enumerate(score(cache, text, request.first, ALTERNATIVES, cancel)):
        alternatives = [[other.text, log(other.probability)] for other in one.alternatives]
        yield b"," * (place > 0) + dumps([one.text, one.logprob, alternatives])
    after = model.forward_with_activations(before.state, encode_lossy(model.vocabulary, text[-1]))
    log_p = log_softmax(after.logits[-1])
    likeliest = np.argsort(-log_p, kind="stable")[:ALTERNATIVES].tolist()
    document = {
        "next": [[model.vocabulary.label(index), float(log_p[index])] for index in likeliest],
        "signals": [
            {name: values[-1].round(SIGNAL_DECIMALS).tolist() for name, values in layer.items()}
            for layer in after.signals
        ],
    }
    yield b"]," + dumps(document)[1:]
