"""The pane beside the outline: the diagnosis of what is selected, and what kubectl would show of it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.visual import RenderOptions
from textual.widgets import Static

from svcdoctor.finding import ClientDiagnosis, Finding, MissingName, ServiceDiagnosis
from svcdoctor.widgets import verdict
from svcdoctor.widgets.entries import Entry, Gaps, Key, NamespaceEntry, Notice, ServiceEntry
from svcdoctor.widgets.lines import Lines
from svcdoctor.widgets.source import Logged

TABS = ("diagnosis", "endpoints", "yaml", "events", "logs", "commands")
FETCHED = ("yaml", "events", "logs")  # what the source is asked for, one object at a time
LINES_KEPT = 2000


class Fetched(NamedTuple):
    """What came back for a tab, or why nothing did."""

    key: Key
    lines: tuple[str, ...]
    said: str = ""


class TabBar(Static):
    """One line with the names of the tabs; a click chooses."""

    class Chosen(Message):
        def __init__(self, tab: str) -> None:
            super().__init__()
            self.tab = tab

    def show(self, current: str) -> None:
        self.current = current
        full = sum(len(tab) + 4 for tab in TABS) <= self.size.width
        self.places: list[tuple[int, str]] = []
        parts: list[tuple[str, str]] = []
        end = 0
        for number, tab in enumerate(TABS, 1):
            text = f" {number} {tab} " if full or tab == current else f" {number} "
            parts.append((text, "bold reverse" if tab == current else "dim"))
            end += len(text)
            self.places.append((end, tab))
        self.update(Content.assemble(*parts), layout=False)

    def on_click(self, event: events.Click) -> None:
        tab = next((tab for end, tab in self.places if event.x < end), None)
        if tab:
            self.post_message(self.Chosen(tab))


class Body(Lines, can_focus=True):
    """Lines that scroll: painted as they come into view, and never laid out. Its keys are a pager's."""

    HELP = """\
What is known of the selected row: the walk with a verdict at each step, the evidence, the one cause and its fix.

Select text with the mouse and copy it with ctrl+c, or press y for the parts worth copying. esc goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Scroll down", id="detail.down", tooltip="A line on", show=False),
        Binding("k", "scroll_up", "Scroll up", id="detail.up", tooltip="A line back", show=False),
        Binding("ctrl+f,space", "page_down", "Scroll a page", id="detail.page-down", tooltip="On", show=False),
        Binding("ctrl+b", "page_up", "Scroll a page back", id="detail.page-up", tooltip="Back", show=False),
        Binding("g", "scroll_home", "To the top", id="detail.top", tooltip="To the first line", show=False),
        Binding("G", "scroll_end", "To the end", id="detail.end", tooltip="To the last line", show=False),
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[Content] = []

    @property
    def text(self) -> str:
        return "\n".join(line.plain for line in self.lines)

    def show(self, lines: list[Content], *, from_top: bool) -> None:
        """These lines instead of what stood here: those that are the same are not painted again."""
        before, self.lines = self.lines, lines
        self.forget_painted()
        self.virtual_size = Size(self.scrollable_content_region.width, len(lines))
        if from_top:
            self.scroll_to(y=0, animate=False, immediate=True)
        top = self.scroll_offset.y
        for y in range(top, top + self.size.height):
            if not _is_same(before[y : y + 1], lines[y : y + 1]):
                self.refresh_line(y)

    def look(self, y: int) -> Hashable:
        x, top = self.scroll_offset
        selection = self.text_selection
        return x, y + top, selection.get_span(y + top) if selection else None

    def render_line(self, y: int) -> Strip:
        x, top = self.scroll_offset
        width = self.size.width
        y += top
        style = self.visual_style
        if y >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        selection = self.text_selection
        span = selection.get_span(y) if selection else None
        line = self.lines[y]
        if span is not None:
            start, end = span
            line = line.stylize(self.screen.get_visual_style("screen--selection"), start, None if end == -1 else end)
        strip = line.render_strips(width, 1, style, RenderOptions(self._get_style, {}))[0]
        return strip.crop_extend(x, x + width, self.rich_style).apply_offsets(x, y)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract(self.text), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()


def _is_same(before: list[Content], now: list[Content]) -> bool:
    """Equal Contents may be styled differently."""
    return before == now and [line.spans for line in before] == [line.spans for line in now]


class Detail(Vertical):
    class Wanted(Message):
        """A tab is shown whose text only the source has."""

        def __init__(self, tab: str, key: Key) -> None:
            super().__init__()
            self.tab = tab
            self.key = key

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ascii = ascii
        self.tab = "diagnosis"
        self.key: Key | None = None
        self.entry: Entry | None = None
        self.services: Sequence[ServiceDiagnosis] = ()
        self.log_entries: Sequence[Logged] = ()
        self.fetched: dict[str, Fetched] = {}
        self._painted: object = None
        self._tab_shown = ""

    def compose(self) -> ComposeResult:
        yield TabBar(id="tabs")
        yield Body(id="body")

    # --- what there is to show

    def show(self, key: Key | None, entry: Entry | None, services: Sequence[ServiceDiagnosis] = ()) -> None:
        changed = key != self.key
        self.key, self.entry, self.services = key, entry, services
        self.paint(from_top=changed and self.tab != "commands")
        if changed:
            self.ask()

    def show_log(self, log: Sequence[Logged]) -> None:
        self.log_entries = log
        if self.tab == "commands":
            self.paint()

    def choose(self, tab: str) -> None:
        changed = tab != self.tab
        self.tab = tab
        self.paint(from_top=changed)
        self.ask()

    def ask(self) -> None:
        if self.tab in FETCHED and self.key is not None:
            self.post_message(self.Wanted(self.tab, self.key))

    def take(self, tab: str, fetched: Fetched) -> None:
        """What the source said about an object; it is kept while the cursor stays there."""
        if fetched.key == self.key:
            self.fetched[tab] = fetched
            if tab == self.tab:
                self.paint()

    # --- painting

    def on_resize(self) -> None:
        self.query_one(TabBar).show(self.tab)
        self.paint()

    def paint(self, *, from_top: bool = False) -> None:
        """Writes the pane, unless what it shows is what stands there."""
        if not self.is_mounted or not self.display:
            return
        body = self.query_one(Body)
        width = body.scrollable_content_region.width
        what: object = self.entry.about if self.entry else None
        if isinstance(self.entry, NamespaceEntry):
            what = tuple(self.entry.counts.items())
        if self.tab == "commands":
            what = self.log_entries
        state = isinstance(self.entry, ServiceEntry) and self.entry.checking, self.entry and self.entry.gone
        painted = (self.tab, self.key, id(what) if self.tab != "diagnosis" else what, state, width)
        fetched = self.fetched.get(self.tab)
        now = (painted, id(fetched))
        if now == self._painted:
            return
        self._painted = now
        at_end = body.scroll_offset.y >= body.max_scroll_y
        page = verdict.Page(width, self.ascii)
        self._write(page)
        if self.tab != self._tab_shown:
            self._tab_shown = self.tab
            self.query_one(TabBar).show(self.tab)
        body.show(page.wrapped(), from_top=from_top)
        if at_end and self.tab in ("logs", "commands"):
            body.scroll_end(animate=False)

    def _write(self, page: verdict.Page) -> None:
        entry, key = self.entry, self.key
        if self.tab == "commands":
            verdict.write_log(page, self.log_entries)
        elif key is None or entry is None:
            page.line(("nothing is selected", "dim"))
        elif self.tab == "endpoints":
            if isinstance(entry, ServiceEntry):
                verdict.write_endpoints(page, entry.service)
            else:
                page.line(("only a Service has endpoints", "dim"))
        elif self.tab in FETCHED:
            self._write_fetched(page, key)
        else:
            self._write_diagnosis(page, entry, key)

    def _write_fetched(self, page: verdict.Page, key: Key) -> None:
        fetched = self.fetched.get(self.tab)
        if key.service is None:
            page.line((f"only a Service has {self.tab} here", "dim"))
        elif fetched is None or fetched.key != key:
            page.line(("..", "dim"))
        else:
            if fetched.said:
                page.hang([], fetched.said, "dim")
            verdict.write_text(page, fetched.lines[-LINES_KEPT:])

    def _write_diagnosis(self, page: verdict.Page, entry: Entry, key: Key) -> None:
        about = entry.about
        if entry.gone:
            page.line(("-- this has gone from the cluster; move on and it goes from the list", "bold"))
            page.blank()
        if isinstance(entry, NamespaceEntry):
            mine = (service for service in self.services if service.namespace == key.namespace)
            verdict.write_namespace(page, entry, mine)
        elif isinstance(entry, ServiceEntry):
            verdict.write_service(page, entry.service, entry.checking, key)
        elif isinstance(about, Finding):
            verdict.write_findings(page, "cluster", "what all Services share", [about])
        elif isinstance(about, MissingName):
            verdict.write_missing(page, about)
        elif isinstance(about, ClientDiagnosis):
            verdict.write_client(page, about)
        elif isinstance(about, Gaps):
            verdict.write_gaps(page, about)
        elif isinstance(about, Notice):
            verdict.write_notice(page, about)
