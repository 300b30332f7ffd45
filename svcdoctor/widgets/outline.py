"""The outline: a tree of Services painted line by line, whose cursor is an identity.

Textual's own Tree walks all visible lines at each change; this widget asks Rows for the few lines on the screen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from svcdoctor.finding import Diagnosis, Status
from svcdoctor.widgets import marks
from svcdoctor.widgets.entries import RANK, Entry, Key, NamespaceEntry, Notice, Row, ServiceEntry
from svcdoctor.widgets.lines import Lines
from svcdoctor.widgets.rows import Rows
from svcdoctor.widgets.source import ServiceName, Stream

INDENT = 2


class Outline(Lines, can_focus=True):
    HELP = """\
The Services, what is open under them, and above them what concerns all.

Each line says its status first. Faults come first until you move; from then on the order holds, and a line at the
top counts faults that came up since. What you selected stays selected, also when it has gone from the cluster."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", id="outline.down", tooltip="To the next row", show=False),
        Binding("up,k", "move(-1)", "Up", id="outline.up", tooltip="To the row above", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", id="outline.page-down", tooltip="A screen on", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", id="outline.page-up", tooltip="A screen back", show=False),
        Binding("home,g", "edge(0)", "First row", id="outline.first", tooltip="To the first row", show=False),
        Binding("end,G", "edge(1)", "Last row", id="outline.last", tooltip="To the last row", show=False),
        Binding("right,l", "expand", "Expand", id="outline.expand", tooltip="Open what is under this row", show=False),
        Binding("left,h", "collapse", "Collapse, or to the parent", id="outline.collapse", tooltip="Close", show=False),
        Binding(
            "space", "open_or_close", "Expand or collapse", id="outline.toggle", tooltip="Open or close", show=False
        ),
        Binding("enter", "open", "Open", id="outline.open", tooltip="Go into the details of this row"),
        Binding("asterisk", "open_faults", "Expand all faults", id="outline.open-faults", tooltip="Open each fault"),
        Binding("minus", "close_all", "Collapse all", id="outline.close-all", tooltip="Close every Service"),
        Binding("right_square_bracket", "fault(1)", "Next fault", id="outline.next-fault", tooltip="To the next fault"),
        Binding(
            "left_square_bracket", "fault(-1)", "Previous fault", id="outline.previous-fault", tooltip="One fault back"
        ),
    ]

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "outline--cursor",
        "outline--dim",
        "outline--gone",
        "outline--name",
        "outline--row",
        "outline--pass",
        "outline--fail",
        "outline--warn",
        "outline--unknown",
        "outline--skip",
        "outline--note",
        "outline--checking",
    }

    cursor: reactive[int] = reactive(0, repaint=False)

    class Selected(Message):
        """The cursor stands on another row, or what it stands on has changed."""

        def __init__(self, key: Key | None) -> None:
            super().__init__()
            self.key = key

    class Opened(Message):
        """The person wants to see more of a row."""

    class Rearranged(Message):
        """Rows came, went or moved: counts in the title are to be said anew."""

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows = Rows()
        self.ascii = ascii
        self._styles: dict[str, Style] = {}

    # --- what the cluster does

    def update_rows(
        self,
        diagnosis: Diagnosis,
        streams: Sequence[Stream],
        checking: AbstractSet[ServiceName],
        notices: Sequence[Notice] = (),
    ) -> None:
        anchor = self._anchor()
        before = self._visible()
        self.rows.notices = list(notices)
        self.rows.update(diagnosis, streams, checking)
        if not self.rows.settled and self._follow_worst():
            anchor = None
        self._settle(anchor, before)

    def forget(self) -> None:
        """Another place is looked at: what was selected is not there, and the order is not the person's yet."""
        self.rows.selected = None
        self.rows.settled = False

    def _follow_worst(self) -> bool:
        """Until a person moves, the cursor waits on the first of the worst, and leaves it for a worse one only."""
        worst = min(self.rows.shown, key=severity, default=None)
        here = self.rows.entry_of(self.rows.selected)
        if worst is None or (here is not None and not here.gone and severity(here) <= severity(worst)):
            return False
        self.rows.selected = worst.key
        return True

    def _anchor(self) -> tuple[Key, int] | None:
        """A row that must stay where it is on the screen: the cursor's, or else the topmost."""
        top = self.scroll_offset.y
        if top <= self.cursor < top + max(self.size.height, 1) and self.rows.selected:
            return self.rows.selected, self.cursor - top
        row = self.rows.row(top)
        return (row.key, 0) if row else None

    def _visible(self) -> list[object]:
        """What the screen shows, line by line, with all that a line's look depends on."""
        top, cursor, width = self.scroll_offset.y, self.cursor, self.rows.label_width
        return [(self.rows.row(y), y == cursor, width) for y in range(top, top + self.size.height)]

    def _settle(self, anchor: tuple[Key, int] | None, before: list[object] | None = None) -> None:
        """After rows came, went or moved: the cursor finds its row again, and the screen its place.

        Only the lines that are not what they were `before` are painted again.
        """
        self._resize_contents()
        index = self.rows.index_of(self.rows.selected)
        if index is None:
            index = min(self.cursor, max(len(self.rows) - 1, 0))
            row = self.rows.row(index)
            self.rows.selected = row.key if row else None
        self.set_reactive(Outline.cursor, index)
        if anchor:
            key, line = anchor
            place = self.rows.index_of(key)
            if place is not None:
                self.scroll_to(y=max(place - line, 0), animate=False, force=True)
        now = self._visible()
        if before is None or len(before) != len(now):
            self.refresh()
        else:
            for line, (old, new) in enumerate(zip(before, now, strict=True)):
                if old != new:
                    self.refresh_line(self.scroll_offset.y + line)
        self.post_message(self.Rearranged())
        self.post_message(self.Selected(self.rows.selected))

    def _resize_contents(self) -> None:
        size = Size(self.scrollable_content_region.width, len(self.rows))
        if size != self.virtual_size:
            self.virtual_size = size

    # --- what the person does

    def settle_order(self) -> None:
        """The person has moved: from here on the order is theirs."""
        self.rows.settled = True

    def select(self, key: Key | None, *, center: bool = False) -> None:
        index = self.rows.index_of(key)
        if index is not None:
            self._go(index, center=center)

    def _go(self, index: int, *, center: bool = False) -> None:
        self.settle_order()
        index = max(0, min(index, len(self.rows) - 1))
        row = self.rows.row(index)
        if row is None:
            return
        if self.rows.release(row.key):
            line = index - self.scroll_offset.y
            index = self.rows.index_of(row.key) or 0
            self._resize_contents()
            if 0 <= line < self.size.height:
                self.scroll_to(y=max(index - line, 0), animate=False, force=True)
            self.refresh()
            self.post_message(self.Rearranged())
        self.cursor = index
        self._show_cursor(center)

    def _show_cursor(self, center: bool = False) -> None:
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if top <= self.cursor < top + height:
            return
        middle = self.cursor - height // 2
        nearest = self.cursor if self.cursor < top else self.cursor - height + 1
        target = middle if center else nearest
        self.scroll_to(y=max(target, 0), animate=False, force=True)

    def watch_cursor(self, old: int, new: int) -> None:
        self.refresh_line(old)
        self.refresh_line(new)
        self.post_message(self.Selected(self.rows.selected))

    def action_move(self, step: int) -> None:
        self._go(self.cursor + step)

    def action_page(self, step: int) -> None:
        height = max(self.scrollable_content_region.height - 1, 1)
        line = self.cursor - self.scroll_offset.y
        self._go(self.cursor + step * height)
        # The cursor keeps its line on the screen where there is room.
        self.scroll_to(y=max(self.cursor - line, 0), animate=False, force=True)

    def action_edge(self, last: int) -> None:
        self._go(len(self.rows) - 1 if last else 0)

    def action_open_or_close(self) -> None:
        self._toggle(self.rows.row(self.cursor))

    def action_expand(self) -> None:
        row = self.rows.row(self.cursor)
        if row and row.open is False:
            self._toggle(row)
        elif row and row.open:
            self._go(self.cursor + 1)

    def action_collapse(self) -> None:
        row = self.rows.row(self.cursor)
        if row and row.open:
            self._toggle(row)
        elif row:
            self.select(self.rows.parent_of(row.key))

    def _toggle(self, row: Row | None) -> None:
        if row is None or row.open is None:
            return
        self.settle_order()
        self.rows.toggle(row.key)
        self._settle((row.key, self.cursor - self.scroll_offset.y))

    def action_open(self) -> None:
        self.settle_order()
        self.post_message(self.Opened())

    def action_open_faults(self) -> None:
        self._rearrange(self.rows.open_faults)

    def action_close_all(self) -> None:
        key = self.rows.selected
        if key and key.service:
            # What is selected closes into its Service.
            self.select(Key("service", *key.service))
        self._rearrange(self.rows.close_all)

    def action_fault(self, step: int) -> None:
        before = len(self.rows)
        key = self.rows.next_fault(self.rows.selected, step)
        if len(self.rows) != before:
            self._resize_contents()
            self.refresh()
        if key is None:
            self.app.notify("no fault in this list", markup=False)
        else:
            self.select(key, center=True)

    def _rearrange(self, change: Callable[[], None]) -> None:
        self.settle_order()
        anchor = self._anchor()
        change()
        self._settle(anchor)
        self._show_cursor()

    def filter(self, matches: Callable[[Entry], bool] | None, faults_only: bool) -> None:
        """Lists what matches alone. The selection stays while it matches, else it is the first that does."""

        def change() -> None:
            rows = self.rows
            rows.matches = matches
            rows.faults_only = faults_only
            entry, selected = rows.entry_of(rows.selected), rows.selected
            if entry is not None and not rows.passes(entry):
                rows.selected = None
            rows.lay_out()
            if rows.selected is None or rows.index_of(rows.selected) is None:
                worst = min(rows.shown, key=severity, default=None)
                rows.selected = worst.key if worst else selected

        self._rearrange(change)

    def sort(self, by: str, reverse: bool) -> None:
        def change() -> None:
            self.rows.sort, self.rows.reverse = by, reverse
            self.rows.rank()
            self.rows.lay_out()

        self._rearrange(change)

    def on_click(self, event: events.Click) -> None:
        index = event.y + self.scroll_offset.y
        row = self.rows.row(index)
        if row is None:
            return
        self._go(index)
        marker = row.depth * INDENT
        if event.chain == 2 or (event.chain == 1 and marker <= event.x < marker + 2):
            self._toggle(self.rows.row(self.cursor))

    def on_mouse_scroll_down(self) -> None:
        self.settle_order()

    def on_mouse_scroll_up(self) -> None:
        self.settle_order()

    # --- painting

    def on_resize(self) -> None:
        self._resize_contents()
        self._show_cursor()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def on_focus(self) -> None:
        self.refresh_line(self.cursor)

    def on_blur(self) -> None:
        self.refresh_line(self.cursor)

    @property
    def base_style(self) -> Style:
        """Of the widget itself; Textual makes it anew from its stylesheet whenever it is asked."""
        if "" not in self._styles:
            self._styles[""] = self.rich_style
        return self._styles[""]

    def style_of(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = self.get_component_rich_style(f"outline--{name}")
        return self._styles[name]

    def look(self, y: int) -> Hashable:
        index = y + self.scroll_offset.y
        cursor = index == self.cursor and (True, self.app.focused is self)
        return self.rows.row(index), cursor, self.rows.label_width

    def render_line(self, y: int) -> Strip:
        index = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        row = self.rows.row(index)
        base = self.base_style
        if row is None:
            return Strip.blank(width, base)
        entry = self.rows.entry_at(index)
        strip = Strip([Segment(text, base + self.style_of(name)) for text, name in self._pieces(row, entry, width)])
        strip = strip.crop_extend(0, width, base)
        if index == self.cursor:
            cursor = self.style_of("cursor")
            if self.app.focused is not self:
                cursor = Style(bold=True, underline=True)
            strip = Strip([Segment(text, (style or base) + cursor) for text, style, _ in strip], width)
        return strip

    def _pieces(self, row: Row, entry: Entry | None, width: int) -> list[tuple[str, str]]:
        """The parts of a row, each with its component class, from what must be seen to what may be cut off."""
        opened, closed = (marks.OPEN_ASCII, marks.CLOSED_ASCII) if self.ascii else (marks.OPEN, marks.CLOSED)
        marker = " " if row.open is None else opened if row.open else closed
        status = "gone" if row.gone else marks.word(row.status)
        indent = " " * (row.depth * INDENT)
        label = row.label
        lead = row.depth * INDENT + 5
        if isinstance(entry, ServiceEntry) and row.key.kind == "service":
            room = min(self.rows.label_width, max(width - lead - 14, 12))
            label = _fitted(label, room)
        elif row.key.kind == "namespace":
            label = _fitted(label, max(self.rows.label_width + 2, 12))
        elif row.key.kind in ("endpoint", "port"):
            label = label.ljust(18)
        elif row.key.kind == "gap" and row.words:
            # What helps stands last and must be seen; what is missing is all said in the pane.
            room = max(width - lead - 2 - cell_len(row.words), 12)
            label = _fitted(label, room) if cell_len(label) > room else label
        pieces = [
            (f"{indent}{marker} ", "dim"),
            (set_cell_size(marks.glyph(row.status, self.ascii), 2) + " ", status),
            (label, "gone" if row.gone else "name" if row.key.kind in ("service", "missing", "namespace") else "row"),
        ]
        if row.key.kind == "service":
            pieces.append((f"  {row.tally:>5}", "gone" if row.gone else "dim"))
        elif row.tally:
            pieces.append((f"  {row.tally}", "dim"))
        if row.words:
            good = row.status is Status.PASS and row.key.kind != "service"
            pieces.append((f"  {row.words}", "gone" if row.gone else "dim" if good else status))
        if row.more and row.status is not Status.PASS:
            used = sum(cell_len(text) for text, _ in pieces)
            room = width - used - 2
            if room > 10:
                pieces.append((f"  {row.more if cell_len(row.more) <= room else _fitted(row.more, room)}", "dim"))
        return pieces


def severity(entry: Entry) -> int:
    """Where an entry stands among all, the worst first; headers and notices come last."""
    if isinstance(entry, NamespaceEntry) or isinstance(entry.about, Notice):
        return len(RANK) + 1
    return RANK[entry.status]


def _fitted(label: str, room: int) -> str:
    """The label in exactly `room` cells; too long a one ends in two dots."""
    if cell_len(label) > room:
        label = set_cell_size(label, max(room - 2, 0)) + ".."
    return set_cell_size(label, room)
