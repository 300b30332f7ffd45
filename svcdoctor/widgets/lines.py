"""What the two panes have in common: lines that scroll, and are painted as they come into view."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from rich.segment import Segment
from rich.style import Style
from textual.filter import LineFilter
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

PAINTED = 1000  # lines that are kept as they were painted


class Lines(ScrollView):
    """A ScrollView without borders that costs the lines that are painted, and tells a terminal little.

    Textual's own has the whole screen arranged and painted anew when the number of its lines changes, and asks for all
    lines between two that have changed. Here a line that looks as it did before is not made again.
    """

    virtual_size = Reactive(Size(0, 0))  # nothing but the scroll bar follows from it

    _painted: dict[Hashable, Strip]
    _painted_for: object = None

    def look(self, y: int) -> Hashable:
        """All that the line in this place of the screen depends on, but for styles; render_line makes it."""
        raise NotImplementedError

    def watch_virtual_size(self, size: Size) -> None:
        self._scroll_update(size)

    def render_lines(self, crop: Region) -> list[Strip]:
        filters = self.get_line_filters()
        width = self.region.width
        surroundings = (self.size, width, self.background_colors, filters)
        if surroundings != self._painted_for:
            self._painted_for = surroundings
            self.forget_painted()
        strips = [self._line(y, width, filters) for y in crop.line_range]
        if crop.column_span != (0, width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def forget_painted(self) -> None:
        self._painted = {}

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self.forget_painted()

    def _line(self, y: int, width: int, filters: Iterable[LineFilter]) -> Strip:
        look = self.look(y)
        found = self._painted.get(look)
        if found is None:
            found = self.render_line(y)
            for line_filter in filters:
                found = found.apply_filter(line_filter, self.background_colors[1])
            found = Strip(joined(found)).crop_extend(0, width, self.rich_style)
            if len(self._painted) >= PAINTED:
                self._painted.clear()
            self._painted[look] = found
        return found


def joined(segments: Iterable[Segment]) -> list[Segment]:
    """Blanks join what stands before them on the same ground: their own colour shows nowhere, and takes 40 bytes."""
    found: list[Segment] = []
    for segment in segments:
        text, style, control = segment
        if found and style and not text.strip(" ") and not control:
            before = found[-1]
            if before.style and before.style.bgcolor == style.bgcolor and not _marks_blanks(before.style, style):
                found[-1] = Segment(before.text + text, before.style)
                continue
        found.append(segment)
    return found


def _marks_blanks(*styles: Style) -> bool:
    return any(style.underline or style.reverse or style.strike or style.overline for style in styles)
