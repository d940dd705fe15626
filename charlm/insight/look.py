"""A look into a model while it reads a text, for notebooks."""

from __future__ import annotations

from dataclasses import dataclass

from charlm.errors import UsageError
from charlm.inference.context import StaticModel, read_prompt
from charlm.inference.engine import Engine
from charlm.inference.scoring import CharScore, score_chars
from charlm.insight.activations import Recording, record
from charlm.insight.coloured_text import ColouredText, unit_text
from charlm.insight.plots import Picture, draw_heat_maps, signal_maps
from charlm.insight.probing import UnitIndex
from charlm.text.decoding import normalise
from charlm.text.surprise import surprise_html


@dataclass(frozen=True)
class Look:
    """A text as a model reads it after a newline. A notebook shows the surprise and alternatives of each character."""

    scores: list[CharScore]
    recording: Recording  # gates, cells and hidden states

    def _repr_html_(self) -> str:
        return surprise_html(self.scores)

    def gates(self, layer: int | None = None) -> Picture:
        """Return a picture of the signals of a layer, None for all; raise UsageError if there is no such layer."""
        return draw_heat_maps(signal_maps(self.recording, layer), self.recording.text)

    def unit(self, layer: int, signal: str, number: int) -> ColouredText:
        """Return the text coloured by a unit; raise UsageError if there is no such unit."""
        values = self.recording.signals.get((layer, signal))
        if values is None or not 0 <= number < values.shape[1]:
            raise UsageError(f"there is no unit {number} of {layer} {signal}", "recording.signals has all of them")
        return unit_text(self.recording, UnitIndex(layer, number, signal))


def look(engine: Engine, text: str, alternatives: int) -> Look:
    """Read a text; raise UsageError if it is empty."""
    text = normalise(text)
    if not text:
        raise UsageError("there is no text to look at")
    before, _ = read_prompt(StaticModel(engine), "\n")
    _, scores = score_chars(engine, before, text, alternatives)
    return Look(scores, record(engine, text, state=before.state))
