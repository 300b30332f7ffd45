"""What all parts of the dashboard stand on: its panes, its state, and work in threads that nobody waits for."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.containers import Container, Vertical
from textual.css.query import NoMatches
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Static

from svcdoctor.finding import Status, Summary
from svcdoctor.text import printable
from svcdoctor.widgets.detail import Body, Detail
from svcdoctor.widgets.entries import Notice
from svcdoctor.widgets.filter import FilterBar, FilterError, Matches, parse
from svcdoctor.widgets.outline import Outline
from svcdoctor.widgets.source import OpenSource, Source, SourceRequest, Update
from svcdoctor.widgets.status import Hint, HintLine, ListTitle, Shown, StatusLine
from svcdoctor.widgets.themes import THEMES, theme_for

SMALLEST = (60, 16)


class Arrived(Message):
    """The source posted something."""


class Broken(Message):
    """What should not happen did, in a thread; `source` where it was the one that brings the data."""

    def __init__(self, error: Exception, source: bool) -> None:
        super().__init__()
        self.error = error
        self.source = source


class Happened(Message):
    """A thread has something to be done here."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self.act = act


class Frame(App[None]):
    """What all parts of the dashboard stand on. It owns no cluster state but the last update."""

    TITLE = "svcdoctor"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - as Textual declares it
        (0, "-tiny"),
        (SMALLEST[0], "-narrow"),
        (80, "-stacked"),
        (120, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (SMALLEST[1], "-tall")]  # noqa: RUF012

    def __init__(
        self,
        open_source: OpenSource,
        contexts: Sequence[str] = (),
        *,
        context: str = "",
        namespace: str | None = "",
        client: str = "",
        ascii: bool = False,
        theme: str | None = None,
        login: Callable[[str], str] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        update_interval: float = 0.05,
        detail_delay: float = 0.1,
    ) -> None:
        # Textual takes an empty NO_COLOR for a set one, which it is not (no-color.org).
        if os.environ.get("NO_COLOR") == "":
            del os.environ["NO_COLOR"]
        # With the terminal's own colours Textual leaves all colour out, without them it only greys.
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.animation_level = "none"
        self.open_source = open_source
        self.contexts = list(contexts)
        self.request = SourceRequest(context, namespace, client)
        self.ascii = ascii
        self.login = login
        self.clock = clock
        self.update_interval = update_interval
        self.detail_delay = detail_delay
        self.source: Source | None = None
        self.update: Update | None = None
        self.problem: Notice | None = None
        self.paused = False
        self.faults_only = False
        self.filter_text = ""
        self.mouse_is_on = True
        self.crash: Exception | None = None
        self.crash_file: Path | None = None
        self._generation = 0
        self._pending: Update | None = None
        self._pending_lock = threading.Lock()
        self._last_shown = self._took = 0.0
        self._detail_timer: Timer | None = None
        self._update_timer: Timer | None = None
        self._asked_for: Detail.Wanted | None = None
        self._lending = threading.Lock()
        self.threads: list[threading.Thread] = []
        for own in THEMES:
            self.register_theme(own)
        self.theme = theme or theme_for(os.environ)

    def compose(self) -> ComposeResult:
        yield StatusLine(ascii=self.ascii, id="status")
        with Container(id="panes"):
            with Vertical(id="list"):
                yield ListTitle(id="list-title")
                yield Outline(ascii=self.ascii, id="outline")
            yield Detail(ascii=self.ascii, id="detail")
        yield FilterBar(id="filter")
        yield HintLine(id="hints")
        yield Static(id="too-small")

    @property
    def outline(self) -> Outline:
        return self.base.query_one(Outline)

    @property
    def detail(self) -> Detail:
        return self.base.query_one(Detail)

    @property
    def base(self) -> Screen[Any]:
        """The dashboard itself, under whatever dialog is open."""
        return self.screen_stack[0]

    def _aside(self, act: Callable[[], object]) -> None:
        """Does something in a thread that nobody waits for, not even the end of the program."""

        def run() -> None:
            try:
                act()
            except Exception as error:
                self.post_message(Broken(error, False))

        self.threads = [thread for thread in self.threads if thread.is_alive()]
        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def _then(self, act: Callable[[], object]) -> None:
        """From a thread: does something here, where the widgets are."""
        self.post_message(Happened(act))

    def on_happened(self, message: Happened) -> None:
        message.act()

    # --- the lines around the panes

    def _show_detail(self) -> None:
        rows = self.outline.rows
        services = self.update.diagnosis.services if self.update else ()
        self.detail.show(rows.selected, rows.entry_of(rows.selected), services)

    def _show_status(self) -> None:
        try:
            line = self.base.query_one(StatusLine)
        except NoMatches:
            return
        update = self.update
        context = update.diagnosis.context if update and update.diagnosis.context else printable(self.request.context)
        shown = Shown(
            context,
            None if self.request.namespace is None else printable(self.request.namespace) or "-",
            update.diagnosis.summary if update else Summary(),
            len(update.checking) if update else 0,
            update.diagnosis.observed_at if update else "",
            update.streams if update else (),
            self.paused,
            update is None and self.problem is not None and self.problem.status is Status.SKIP,
            update.moment if update else None,
        )
        line.show(shown, self.clock())

    def _show_title(self) -> None:
        outline = self.outline
        rows = outline.rows
        sort = "" if rows.sort == "status" and not rows.reverse else rows.sort + (" reversed" if rows.reverse else "")
        place = outline.cursor + 1 if len(rows) else 0
        title = self.base.query_one(ListTitle)
        title.show(place, len(rows), self.faults_only, self.filter_text, sort, rows.new_faults)

    def _show_hints(self) -> None:
        reading = isinstance(self.focused, Body)
        first = [Hint("esc", "list", "up")] if reading else [Hint("enter", "open", "open_row")]
        moment = self.update.moment if self.update else None
        pause = Hint("p", "pause", "pause")
        plays = bool(moment and moment[1] > 1)
        hints = [
            *first,
            *([pause, Hint(".", "next moment", "moment(1)")] if plays else ()),
            Hint("/", "filter", "filter"),
            Hint("f", "faults", "faults_only"),
            Hint("n", "namespace", "namespace"),
            Hint("c", "context", "context"),
            Hint("y", "copy", "copy"),
            Hint("x", "explain", "explain"),
            *(() if plays else (Hint("r", "run again", "run_again"), pause)),
            Hint("w", "write", "write"),
            Hint("?", "help", "help"),
        ]
        self.base.query_one(HintLine).show(hints)

    def _filter(self, text: str) -> None:
        labels = getattr(self.source, "labels", None)
        bar = self.base.query_one(FilterBar)
        try:
            matches: Matches | None = parse(text, labels)
        except FilterError as error:
            bar.say(str(error))
            return
        bar.say("")
        self.filter_text = text.strip()
        self.outline.filter(matches, self.faults_only)
