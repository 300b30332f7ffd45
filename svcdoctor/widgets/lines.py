"""What the two panes have in common: lines that scroll, and are painted as they come into view."""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip


class Lines(ScrollView):
    """A ScrollView without borders that costs the lines that are painted, and tells a terminal little.

    Textual's own has the whole screen arranged and painted anew when the number of its lines changes, and sends each
    line through a cache of styles that is of no use to lines without a border.
    """

    virtual_size = Reactive(Size(0, 0))  # nothing but the scroll bar follows from it

    def watch_virtual_size(self, size: Size) -> None:
        self._scroll_update(size)

    def render_lines(self, crop: Region) -> list[Strip]:
        filters = self.get_line_filters()
        background = self.background_colors[1]
        blank = self.rich_style
        first, last = crop.column_span
        height = self.size.height
        strips = []
        for y in crop.line_range:
            strip = self.render_line(y) if y < height else Strip.blank(last, blank)
            for line_filter in filters:
                strip = strip.apply_filter(line_filter, background)
            strips.append(Strip(joined(strip)).crop_extend(first, last, blank))
        return strips


def joined(segments: Iterable[Segment]) -> list[Segment]:
    """Blanks join what stands before them on the same ground: their own colour shows nowhere, and takes 40 bytes."""
    found: list[Segment] = []
    for segment in segments:
        text, style, _ = segment
        if found and style and not text.strip(" ") and not segment.control:
            before = found[-1]
            if before.style and before.style.bgcolor == style.bgcolor and not _marks_blanks(before.style, style):
                found[-1] = Segment(before.text + text, before.style)
                continue
        found.append(segment)
    return found


def _marks_blanks(*styles: Style) -> bool:
    return any(style.underline or style.reverse or style.strike or style.overline for style in styles)
