"""The dashboard without its keys: the panes, the source that feeds them, and how an update gets on the screen."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
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

from svcdoctor.dashboard.crash import keep_traceback, without_secrets
from svcdoctor.finding import Diagnosis, Status, Summary
from svcdoctor.text import printable
from svcdoctor.widgets.detail import Body, Detail
from svcdoctor.widgets.entries import Notice
from svcdoctor.widgets.filter import FilterBar, FilterError, Matches, parse
from svcdoctor.widgets.outline import Outline
from svcdoctor.widgets.source import OpenSource, Source, SourceRequest, Update
from svcdoctor.widgets.standstill import standstill
from svcdoctor.widgets.status import Hint, HintLine, ListTitle, Shown, StatusLine
from svcdoctor.widgets.themes import THEMES, theme_for

SMALLEST = (60, 16)
PACE = 20  # how many times as long as an update takes there is none


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


class Base(App[None]):
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

    def on_mount(self) -> None:
        if self.ascii:
            self.screen.add_class("-ascii")
        self.outline.focus()
        self._show_hints()
        self.set_interval(1.0, self._show_status)
        if not self.is_headless:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit, None, 128 + signal.SIGTERM)
        self.call_after_refresh(self.open, self.request)

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

    # --- the source

    def open(self, request: SourceRequest) -> None:
        """Leaves what is shown and looks elsewhere; nobody waits for what is left."""
        old, self.source = self.source, None
        self._generation += 1
        if (request.context, request.namespace) != (self.request.context, self.request.namespace):
            self.outline.forget()
        self.request = request
        self.update = self._pending = None
        self.paused = False
        if old is not None:
            self._aside(old.stop)
        self._say(Notice(Status.SKIP, f"connecting to {printable(request.context) or 'the cluster'} .."))
        generation = self._generation
        self._aside(lambda: self._connect(request, generation))

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

    def _connect(self, request: SourceRequest, generation: int) -> None:
        def post(update: Update) -> None:
            with self._pending_lock:
                if generation != self._generation:
                    return
                waiting, self._pending = self._pending is not None, update
            if not waiting:
                self.post_message(Arrived())

        try:
            source = self.open_source(request, post)
        except Exception as error:
            words = str(error) or type(error).__name__
            self._then(lambda: self._could_not_open(generation, words))
            return
        if generation != self._generation:
            source.stop()
            return
        self.source = source
        source.start()
        self._then(lambda: self._opened(source))

    def _opened(self, source: Source) -> None:
        if source is self.source:
            self.request = self.request._replace(namespace=getattr(source, "namespace", self.request.namespace))
            if self.filter_text:
                self._filter(self.filter_text)  # -l asks this source now
            self._show_status()

    def _could_not_open(self, generation: int, message: str) -> None:
        if generation == self._generation:
            where = printable(self.request.context) or "the cluster"
            advice = "r tries again, c chooses another context"
            advice += ", A logs in again" if self.login else ""
            self._say(Notice(Status.UNKNOWN, f"no answer from {where}", printable(message), advice))

    def _say(self, notice: Notice | None) -> None:
        """What stands in the list while there is no data, or none that can be."""
        self.problem = notice
        if self.update is None:
            self.outline.update_rows(Diagnosis("", "", "", Summary()), (), frozenset(), [notice] if notice else [])
        self._show_status()

    def on_arrived(self) -> None:
        """Shows the newest update, and not more of them a second than an eye can follow.

        Nor more than leave most of the time to keys: while a large cluster arrives, each costs a new order.
        """
        wait = self._last_shown + max(self.update_interval, self._took * PACE) - time.monotonic()
        if wait <= 0:
            self._show_update()
        elif self._update_timer is None:
            self._update_timer = self.set_timer(wait, self._show_update)

    def _show_update(self) -> None:
        self._update_timer = None
        with self._pending_lock:
            update, self._pending = self._pending, None
        if update is None:
            return
        started = time.thread_time()
        is_first = self.update is None
        self.update, self.problem = update, None
        if is_first:
            self._show_hints()
        self.outline.update_rows(update.diagnosis, update.streams, update.checking, self._notices(update))
        self.detail.show_log(update.log)
        self._show_status()
        self._last_shown = time.monotonic()
        self._took = time.thread_time() - started if self.update_interval else 0.0

    def source_failed(self, error: Exception) -> None:
        """For a source, from its thread: it ends, by an error that is no fault of the cluster."""
        self.post_message(Broken(error, True))

    def on_broken(self, message: Broken) -> None:
        path = keep_traceback(message.error, self.clock())
        where = f"; the traceback is in {path}" if path else ""
        words = without_secrets(printable(f"{type(message.error).__name__}: {message.error}"))
        if message.source:
            self._stand_still(f"{words}{where}")
        else:
            self.notify(f"not done, by an error of svcdoctor's own: {words}{where}", severity="error", markup=False)

    def _stand_still(self, why: str) -> None:
        """Nobody looks any more: what was said of the cluster is not known to hold, and that is seen in the list."""
        self._generation += 1  # nothing that is under way comes after this
        self.source = self._pending = None
        self.paused = False
        advice = "r starts again"
        if self.update is None:
            self._say(Notice(Status.UNKNOWN, "nothing is watched any more", advice, why))
            return
        self.problem = Notice(Status.UNKNOWN, "nothing is watched any more", advice, why)
        self.update = last = standstill(self.update)
        selected = self.outline.rows.selected
        if selected is None or selected.service is None:
            self.outline.forget()  # what stood above the Services goes, a finding that is selected too
        self.outline.update_rows(last.diagnosis, (), frozenset(), [self.problem])
        self.outline.scroll_home(animate=False)
        self._show_status()

    def _notices(self, update: Update) -> list[Notice]:
        diagnosis = update.diagnosis
        if diagnosis.services or diagnosis.missing or update.checking or diagnosis.denied:
            return []
        if any(stream.state == "listing" for stream in update.streams):
            return [Notice(Status.SKIP, "reading ..")]
        where = f"in namespace {printable(self.request.namespace)}" if self.request.namespace else "here"
        return [Notice(Status.SKIP, f"no Service {where}", "", "n chooses a namespace, 0 looks at all")]

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

    async def on_unmount(self) -> None:
        self._generation += 1
        if self.source is not None:
            self._aside(self.source.stop)
