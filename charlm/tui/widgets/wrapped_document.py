"""The prompt's text, folded to its width as the transcript's is.

Textual folds long words code point by code point: a family of emoji is measured as its members side by side and cut
between them, and a Japanese sentence counts as one word. This folds as `wrapping` does, and finds columns by clusters,
so that a click and the arrow keys land where they seem to.

It fills in the tables that `WrappedDocument` looks things up in. All lines are folded again at every edit; the prompt
keeps its text short.
"""

from __future__ import annotations

from itertools import pairwise

from textual.document._document import Location
from textual.document._wrapped_document import WrappedDocument

from charlm.tui.graphemes import clusters
from charlm.tui.widgets.wrapping import LEAST_WIDTH, lay_out, wrap


class ClusterWrappedDocument(WrappedDocument):
    """A document as it is folded on the screen."""

    def wrap(self, width: int, tab_width: int | None = None) -> None:
        """Fold every line.

        Args:
            width: cells; 0 folds nowhere.
            tab_width: cells between tab stops; None leaves it as it is.
        """
        self._width = width
        self._tab_width = tab_width or self._tab_width
        self._wrap_offsets = []
        self._tab_width_cache = []
        self._offset_to_line_info = []
        self._line_index_to_offsets = []
        for index, line in enumerate(self.document.lines):
            places = wrap(line, max(width, LEAST_WIDTH))[1:] if width else []
            top = len(self._offset_to_line_info)
            self._wrap_offsets.append(places)
            self._line_index_to_offsets.append(list(range(top, top + len(places) + 1)))
            self._offset_to_line_info.extend((index, section) for section in range(len(places) + 1))
            self._tab_width_cache.append(
                [
                    cell.cells
                    for row in self.get_sections(index)
                    for cell in lay_out(row, width)
                    if row[cell.start] == "\t"
                ]
                if "\t" in line
                else []
            )

    def wrap_range(self, start: Location, old_end: Location, new_end: Location) -> None:
        """Fold again after an edit."""
        self.wrap(self._width)

    def get_sections(self, line_index: int) -> list[str]:
        """A line's text, row by row."""
        line = self.document[line_index]
        places = [0, *self._wrap_offsets[line_index], len(line)]
        return [line[start:end] for start, end in pairwise(places)]

    def get_target_document_column(self, line_index: int, x_offset: int, y_offset: int) -> int:
        """The place in a line that is drawn at `x_offset` cells of its row `y_offset`."""
        sections = self.get_sections(line_index)
        y_offset %= len(sections)
        before = sum(map(len, sections[:y_offset]))
        section, column = sections[y_offset], 0
        for start, _, taken in clusters(section):
            column += self._tab_width - column % self._tab_width if section[start] == "\t" else taken
            if column > x_offset:
                return before + start
        # At the end of a row that goes on below, the cursor stays on the last character: the place after it is below.
        last = y_offset == len(sections) - 1
        return before + (len(section) if last or not section else clusters(section)[-1].start)
