"""The dashboard: every Service as a tree with its verdicts, kept live by a source, and the walk of the selected one.

The application owns no cluster state but the last update. It is given a way to open a source and never waits for one:
opening, stopping and asking happen in threads, and what they bring comes back as messages.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar

from textual import events
from textual.app import App, ComposeResult, SuspendNotSupported, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.css.query import NoMatches
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input, Static

from svcdoctor.finding import Diagnosis, Status, Summary
from svcdoctor.text import printable
from svcdoctor.widgets import excerpt
from svcdoctor.widgets.choose import Choice, Item, Menu, Picker
from svcdoctor.widgets.detail import LINES_KEPT, Body, Detail, Fetched, TabBar
from svcdoctor.widgets.entries import Key, Notice
from svcdoctor.widgets.filter import FilterBar, FilterError, Matches, parse
from svcdoctor.widgets.formats import formats, rendered
from svcdoctor.widgets.help import Reading, code_page, key_lines, key_page, own_bindings
from svcdoctor.widgets.outline import Outline
from svcdoctor.widgets.rows import SORTS
from svcdoctor.widgets.source import OpenSource, Source, SourceRequest, Update
from svcdoctor.widgets.standstill import standstill
from svcdoctor.widgets.status import Hint, HintLine, ListTitle, Shown, StatusLine
from svcdoctor.widgets.themes import THEMES, theme_for

SMALLEST = (60, 16)
RECORDING_SECONDS = 20.0  # for the recording after a crash


def state_directory() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(base) / "svcdoctor"


def traceback_text(error: Exception) -> str:
    return without_secrets("".join(traceback.format_exception(error)))


def without_secrets(text: str) -> str:
    from svcdoctor.recordings.capture import blanked

    return blanked(text)


def captured(record: Callable[[], bytes]) -> bytes:
    from svcdoctor.recordings import capture

    return capture.without_secrets(record())


def write_private(path: Path, content: bytes) -> bool:
    """Writes a file that only its owner may read, whole or not at all; whether that worked."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        part.replace(path)
    except OSError:
        return False
    return True


def bound(key: str, action: str, words: str, id: str, tooltip: str, *, priority: bool = False) -> Binding:
    return Binding(key, action, words, show=False, id=id, tooltip=tooltip, priority=priority)


class Dashboard(App[None]):
    TITLE = "svcdoctor"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - as Textual declares it
        (0, "-tiny"),
        (SMALLEST[0], "-narrow"),
        (80, "-stacked"),
        (120, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (SMALLEST[1], "-tall")]  # noqa: RUF012

    BINDINGS: ClassVar[list[BindingType]] = [
        bound("slash", "filter", "Filter", "app.filter", "Lists only what matches the words you type"),
        bound("f", "faults_only", "Faults only", "app.faults-only", "Hides what is good; again: everything"),
        bound("F", "sort_now", "Sort faults to the top", "app.sort-now", "Orders the list anew"),
        bound("s", "sort", "Sort by", "app.sort", "Chooses what the list is ordered by"),
        bound("S", "reverse", "Reverse the order", "app.reverse", "Last first"),
        bound("n", "namespace", "Namespace", "app.namespace", "Chooses or types a namespace"),
        bound("0", "all_namespaces", "All namespaces", "app.all-namespaces", "Looks at every namespace"),
        bound("c", "context", "Context", "app.context", "Chooses another cluster of the kubeconfig"),
        bound("C", "client", "Judge from another Pod", "app.client", "Chooses the Pod from which to look names up"),
        bound("y", "copy", "Copy", "app.copy", "Copies a name, a command, a finding, Markdown or an explanation"),
        bound("x", "explain", "Explain this code", "app.explain", "Opens the page of the finding's code"),
        bound("r", "run_again", "Run again", "app.run-again", "Diagnoses the selected Service again, lookups too"),
        bound("R", "run_all_again", "Run all again", "app.run-all-again", "Diagnoses everything again"),
        bound("p", "pause", "Pause or resume", "app.pause", "Holds the picture still; again: goes on"),
        bound("full_stop", "moment(1)", "Next moment", "app.next-moment", "Holds a recording, and goes on by one"),
        bound("comma", "moment(-1)", "Previous moment", "app.previous-moment", "Holds a recording, and goes back"),
        bound("w", "write", "Write a report", "app.write", "Writes the report to a file, in a format of your choice"),
        bound("A", "login", "Log in again", "app.login", "Renews credentials in the terminal, then goes on"),
        bound("1,d", "tab('diagnosis')", "Diagnosis", "app.diagnosis", "The walk, the evidence, the cause"),
        bound("2", "tab('endpoints')", "Endpoints", "app.endpoints", "Each address and port with its Pod"),
        bound("3,v", "tab('yaml')", "YAML", "app.yaml", "The Service and its slices as the API server holds them"),
        bound("4,e", "tab('events')", "Events", "app.events", "What was lately said about it"),
        bound(
            "5,L",
            "tab('logs')",
            "Logs",
            "app.logs",
            "The log of the selected Pod; again: of its next container",
        ),
        bound("6,at", "tab('commands')", "Command log", "app.commands", "Each read and probe, as a line to type"),
        bound("t", "theme", "Theme", "app.theme", "Chooses the colours"),
        bound("m", "mouse", "Mouse on or off", "app.mouse", "Off lets the terminal select text"),
        bound("colon", "command_palette", "Commands", "app.palette", "Every action by its name"),
        bound("question_mark,f1", "help", "Help", "app.help", "The keys that work where you are"),
        bound("escape", "up", "Up", "app.up", "Clears the filter, goes back to the list"),
        bound("q", "quit_or_up", "Quit, or up", "app.quit-or-up", "Quits from the list, else goes back to it"),
        bound(
            "ctrl+c", "copy_or_quit", "Copy selection, or quit", "app.copy-or-quit", "Copies marked text", priority=True
        ),
        bound("ctrl+z", "suspend_process", "Suspend", "app.suspend", "Back to the shell; fg returns"),
    ]

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
        self._last_shown = 0.0
        self._detail_timer: Timer | None = None
        self._update_timer: Timer | None = None
        self._asked_for: Detail.Wanted | None = None
        self._container: tuple[Key | None, int] = (None, 0)  # which container's log is shown of what is selected
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
                self.post_message(self.Broken(error, False))

        self.threads = [thread for thread in self.threads if thread.is_alive()]
        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def _then(self, act: Callable[[], object]) -> None:
        """From a thread: does something here, where the widgets are."""
        self.post_message(self.Happened(act))

    def on_dashboard_happened(self, message: Happened) -> None:
        message.act()

    def _connect(self, request: SourceRequest, generation: int) -> None:
        def post(update: Update) -> None:
            with self._pending_lock:
                if generation != self._generation:
                    return
                waiting, self._pending = self._pending is not None, update
            if not waiting:
                self.post_message(self.Arrived())

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

    def on_dashboard_arrived(self) -> None:
        """Shows the newest update, and not more of them a second than an eye can follow."""
        wait = self._last_shown + self.update_interval - time.monotonic()
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
        self._last_shown = time.monotonic()
        is_first = self.update is None
        self.update, self.problem = update, None
        if is_first:
            self._show_hints()
        self.outline.update_rows(update.diagnosis, update.streams, update.checking, self._notices(update))
        self.detail.show_log(update.log)
        self._show_status()

    def source_failed(self, error: Exception) -> None:
        """For a source, from its thread: it ends, by an error that is no fault of the cluster."""
        self.post_message(self.Broken(error, True))

    def on_dashboard_broken(self, message: Broken) -> None:
        path = self._keep_traceback(message.error)
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

    # --- what the widgets say

    def on_outline_selected(self) -> None:
        if self._detail_timer is not None:
            self._detail_timer.stop()
        if self.detail_delay:
            self._detail_timer = self.set_timer(self.detail_delay, self._show_detail)
        else:
            self._show_detail()
        self._show_title()

    def _show_detail(self) -> None:
        rows = self.outline.rows
        services = self.update.diagnosis.services if self.update else ()
        self.detail.show(rows.selected, rows.entry_of(rows.selected), services)

    def on_outline_rearranged(self) -> None:
        self._show_title()

    def on_outline_opened(self) -> None:
        self.base.add_class("-reading")
        self._show_detail()
        self.detail.query_one(Body).focus()

    def on_tab_bar_chosen(self, message: TabBar.Chosen) -> None:
        self.action_tab(message.tab)

    def on_descendant_focus(self) -> None:
        self._show_hints()

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

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        need = f"needs {SMALLEST[0]}x{SMALLEST[1]}, have {width}x{height}"
        self.base.query_one("#too-small", Static).update(Content(need))

    # --- moving between the parts

    def action_open_row(self) -> None:
        self.outline.action_open()

    def action_focus_list(self) -> None:
        self.base.remove_class("-reading")
        self.outline.focus()

    def action_up(self) -> None:
        """Out of the detail, then out of the filter."""
        bar = self.base.query_one(FilterBar)
        typing = isinstance(self.focused, Input)
        if isinstance(self.focused, Body) or (self.base.has_class("-reading") and not typing):
            self.action_focus_list()
        elif self.filter_text or bar.display or typing:
            bar.text = ""
            self._filter("")
            self.action_focus_list()
            bar.display = False

    def action_quit_or_up(self) -> None:
        if isinstance(self.focused, Body):
            self.action_up()
        else:
            self.exit()

    def action_copy_or_quit(self) -> None:
        focused = self.focused
        selected = self.screen.get_selected_text() or (focused.selected_text if isinstance(focused, Input) else "")
        if selected:
            self._copy("selection", selected)
            self.screen.clear_selection()
        else:
            self.exit(return_code=0)

    def action_tab(self, tab: str) -> None:
        if self.base.has_class("-narrow") and not self.base.has_class("-reading"):
            self.on_outline_opened()
        again = tab == "logs" == self.detail.tab
        self._show_detail()
        if again:
            key, number = self._container
            self._container = (key, number + 1)
            self.detail.ask()
        else:
            self.detail.choose(tab)

    # --- what the list shows

    def action_filter(self) -> None:
        self.action_focus_list()
        self.base.query_one(FilterBar).edit()

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self._filter(message.text)

    def on_filter_bar_done(self) -> None:
        self.action_focus_list()

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

    def action_faults_only(self) -> None:
        self.faults_only = not self.faults_only
        self._filter(self.filter_text)

    def action_sort_now(self) -> None:
        self.outline.sort(self.outline.rows.sort, self.outline.rows.reverse)

    def action_sort(self) -> None:
        words = {
            "status": "status: faults first",
            "name": "name",
            "namespace": "namespace",
            "endpoints": "endpoints: the smallest share of ready ones first",
            "age": "age: the youngest first",
            "changed": "changed: what changed last first",
        }
        items = [Item(sort[0] if sort != "namespace" else "p", words[sort], sort) for sort in SORTS]

        def sorted_by(sort: str | None) -> None:
            if sort:
                self.outline.sort(sort, False)

        self.push_screen(Menu("sort by", items), sorted_by)

    def action_reverse(self) -> None:
        self.outline.sort(self.outline.rows.sort, not self.outline.rows.reverse)

    # --- where to look

    def action_namespace(self) -> None:
        services = self.update.diagnosis.services if self.update else ()
        known = sorted({service.namespace for service in services} | {self.request.namespace or ""} - {""})
        choices = [Choice("*", "all namespaces"), *(Choice(name) for name in known if name)]

        def chosen(name: str | None) -> None:
            if name is not None:
                self.open(self.request._replace(namespace=None if name == "*" else name))

        picker = Picker("namespace", choices, typed=True, note="a name that cannot be listed may be typed")
        self.push_screen(picker, chosen)
        listing = getattr(self.source, "namespaces", None)
        if listing is not None:
            self._aside(lambda: self._offer(picker, listing))

    def _offer(self, picker: Picker, listing: Callable[[], Iterable[str]]) -> None:
        try:
            choices = [Choice(name) for name in listing()]
        except Exception:
            return  # names that cannot be listed may be typed
        self._then(lambda: picker.offer(choices))

    def action_all_namespaces(self) -> None:
        if self.request.namespace is not None:
            self.open(self.request._replace(namespace=None))
        else:
            self.notify("all namespaces are listed", markup=False)

    def action_context(self) -> None:
        choices = [Choice(name, "now" if name == self.request.context else "") for name in self.contexts]

        def chosen(name: str | None) -> None:
            if name is not None:
                self.open(SourceRequest(name, ""))

        note = "" if choices else "the kubeconfig names no context"
        self.push_screen(Picker("context", choices, note=note), chosen)

    def action_client(self) -> None:
        services = self.update.diagnosis.services if self.update else ()
        pods = dict.fromkeys(
            f"{service.namespace}/{row.pod}" for service in services for row in service.endpoints if row.pod
        )
        choices = [Choice("", "any running Pod of the namespace"), *(Choice(pod) for pod in list(pods)[:2000])]

        def chosen(pod: str | None) -> None:
            if pod is not None:
                self.open(self.request._replace(client=pod))

        self.push_screen(Picker("look names up from", choices, typed=True, note="POD or NAMESPACE/POD"), chosen)

    def action_run_again(self) -> None:
        key = self.outline.rows.selected
        name = key.service if key else None
        self._run_again(frozenset({name}) if name else None)

    def action_run_all_again(self) -> None:
        self._run_again(None)

    def _run_again(self, names: frozenset[tuple[str, str]] | None) -> None:
        if self.source is None:
            if self.problem is None or self.problem.status is Status.UNKNOWN:
                self.open(self.request)
            return
        self._aside(partial(self.source.run_again, names))
        what = "everything" if names is None else "/".join(next(iter(names)))
        self.notify(f"diagnosing {printable(what)} again", markup=False, timeout=2)

    def action_pause(self) -> None:
        if self.source is None or (self.update is None and not self.paused):
            self.notify("there is nothing to pause yet", markup=False)
            return
        self.paused = not self.paused
        act = self.source.pause if self.paused else self.source.resume
        self._aside(act)
        self._show_status()

    def action_moment(self, by: int) -> None:
        step = getattr(self.source, "step", None)
        if step is None or getattr(self.source, "moments", 1) < 2:
            self.notify("only a recording of several moments can be stepped through", markup=False)
            return
        step(by)
        self.paused = True
        self._show_status()

    def action_login(self) -> None:
        if self.login is None:
            self.notify("there is nothing to log in to here", markup=False)
            return
        with self.suspend():
            problem = self.login(self.request.context)
        if problem:
            self.notify(printable(problem), severity="error", markup=False)
        self.open(self.request)

    @contextmanager
    def terminal(self) -> Iterator[None]:
        """In a thread: the terminal without the dashboard, for a login that asks something; one at a time."""
        taken, returned = threading.Event(), threading.Event()
        refused: list[SuspendNotSupported] = []

        def lend() -> None:
            # Interrupting the login is no end of the dashboard. A handler, since what is ignored stays so in children.
            before = signal.signal(signal.SIGINT, lambda *_: None)
            try:
                with self.suspend():
                    taken.set()
                    returned.wait()
            except SuspendNotSupported as error:
                refused.append(error)
                taken.set()
            finally:
                signal.signal(signal.SIGINT, before)

        with self._lending:
            self._then(lend)
            taken.wait()
            if refused:
                raise refused[0]
            try:
                yield
            finally:
                returned.set()

    # --- what to take along

    def action_copy(self) -> None:
        rows = self.outline.rows
        key, entry = rows.selected, rows.entry_of(rows.selected)
        if key is None or entry is None:
            self.notify("nothing is selected", markup=False)
            return
        diagnosis = self.update.diagnosis if self.update else Diagnosis("", "", "", Summary())
        finding = excerpt.speaking(entry)
        reason = "" if finding else "this row has no finding"
        texts: dict[str, Callable[[], str]] = {
            "name": lambda: excerpt.name(key, entry),
            "command": lambda: excerpt.command(key, entry),
            "finding": lambda: excerpt.finding_text(entry),
            "Markdown": lambda: excerpt.markdown(diagnosis, key, entry),
            "explanation": lambda: code_page(finding.code).plain if finding and finding.code else "",
        }
        items = [
            Item("n", "name", "name"),
            Item("c", "command", "command", "" if texts["command"]() else "this row has none"),
            Item("f", "finding", "finding", reason),
            Item("m", "Markdown", "Markdown"),
            Item("x", "explanation of the code", "explanation", reason),
        ]

        def copied(what: str | None) -> None:
            if what:
                self._copy(what, texts[what]())

        self.push_screen(Menu("copy", items), copied)

    def _copy(self, what: str, text: str) -> None:
        self.copy_to_clipboard(text)
        self.notify(f"{what} copied", markup=False, timeout=2)

    def action_explain(self) -> None:
        rows = self.outline.rows
        entry = rows.entry_of(rows.selected)
        finding = excerpt.speaking(entry) if entry else None
        if finding is None or finding.code is None:
            self.notify("this row has no code to explain", markup=False)
        else:
            self.push_screen(Reading(finding.code, code_page(finding.code)))

    def action_write(self) -> None:
        if self.update is None:
            self.notify("there is nothing to write yet", markup=False)
            return
        diagnosis = self.update.diagnosis
        record = getattr(self.source, "record", None)
        items = [Item(letter, f"{name}: {words}", name) for name, (letter, words, _) in formats().items()]
        reason = "" if record else "this data cannot be recorded"
        items.append(Item("c", "capture: what was read, without secrets, to replay", "capture", reason))

        def chosen(name: str | None) -> None:
            if name == "capture" and record:
                self._aside(lambda: self._write_file("json", lambda: captured(record)))
            elif name:
                extension = formats()[name][2]
                self._aside(lambda: self._write_file(extension, lambda: rendered(diagnosis, name).encode()))

        self.push_screen(Menu("write", items), chosen)

    def _write_file(self, extension: str, produce: Callable[[], bytes]) -> None:
        context = "".join(c if c.isalnum() or c in "-_." else "-" for c in self.request.context)[:40]
        path = Path.cwd() / f"svcdoctor-{context or 'report'}-{self.clock():%Y%m%dT%H%M%S}.{extension}"
        try:
            with path.open("xb") as file:
                file.write(produce())
            words = f"written: {path}"
        except OSError as error:
            words = f"not written: {error}"
        self._then(lambda: self.notify(words, markup=False))

    # --- what only the source has

    def on_detail_wanted(self, message: Detail.Wanted) -> None:
        tab, key = message.tab, message.key
        self._asked_for = message
        entry = self.outline.rows.entry_of(key)
        name = key.service
        if name is None or entry is None:
            return
        ask = getattr(self.source, {"yaml": "objects"}.get(tab, tab), None)
        if ask is None:
            self.detail.take(tab, Fetched(key, (), f"{tab} cannot be shown here: this data has none"))
        elif tab == "logs":
            pod = excerpt.pod(key, entry)
            if self._container[0] != key:
                self._container = (key, 0)
            number = self._container[1]
            if pod:
                self._aside(lambda: self._follow(message, pod, number, ask))
            else:
                self.detail.take(tab, Fetched(key, (), "no Pod stands behind this"))
        else:
            self._aside(lambda: self._fetch(message, lambda: ask(*name)))

    def _is_passing(self, message: Detail.Wanted) -> bool:
        """Whether the cursor went on within a moment; asked in a thread."""
        time.sleep(self.detail_delay * 2)
        return self._asked_for is not message

    def _fetch(self, message: Detail.Wanted, ask: Callable[[], str | Iterable[str]]) -> None:
        if self._is_passing(message):
            return
        tab, key = message.tab, message.key
        try:
            answer = ask()
            lines = answer.splitlines() if isinstance(answer, str) else list(answer)
            fetched = Fetched(key, tuple(lines), "" if lines else f"no {tab}")
        except Exception as error:
            fetched = Fetched(key, (), f"{tab}: {printable(str(error) or type(error).__name__)}")
        self._then(lambda: self.detail.take(tab, fetched))

    def _follow(
        self, message: Detail.Wanted, pod: str, number: int, logs: Callable[[str, str, str, bool], Iterable[str]]
    ) -> None:
        """Runs until the cursor moves on; lines that come faster than they are shown are shown together."""
        if self._is_passing(message):
            return
        key = message.key
        place = pod
        arrived: deque[str] = deque(maxlen=LINES_KEPT)
        kept: deque[str] = deque(maxlen=LINES_KEPT)

        def show(said: str) -> None:
            while arrived:
                kept.append(arrived.popleft())
            self.detail.take("logs", Fetched(key, tuple(kept), said))

        containers = getattr(self.source, "containers", None)
        which = ""
        try:
            names = list(containers(key.namespace, pod)) if containers else []
            name = names[number % len(names)] if names else ""
            if name:
                place += f" container {printable(name)}"
            which = f" ({number % len(names) + 1} of {len(names)}, L: the next)" if len(names) > 1 else ""
            following = f"{place}{which}: the last lines, followed"
            self._then(lambda: show(following))
            for line in logs(key.namespace, pod, name, True):
                if self._asked_for is not message:
                    return
                arrived.append(line)
                if len(arrived) == 1:
                    self._then(lambda: show(following))
        except Exception as error:
            stopped = f"{place}{which}: {printable(str(error) or type(error).__name__)}"
            self._then(lambda: show(stopped))

    # --- the application itself

    def action_theme(self) -> None:
        names = sorted(self.available_themes, key=lambda name: (not name.startswith("svcdoctor"), name))

        def chosen(name: str | None) -> None:
            if name:
                self.theme = name

        choices = [Choice(name, "now" if name == self.theme else "") for name in names]
        self.push_screen(Picker("theme", choices), chosen)

    def action_mouse(self) -> None:
        driver = self._driver
        change = getattr(driver, "_disable_mouse_support" if self.mouse_is_on else "_enable_mouse_support", None)
        if change is None:
            self.notify("this terminal has no mouse to release", markup=False)
            return
        change()
        self.mouse_is_on = not self.mouse_is_on
        self.notify(
            "mouse on" if self.mouse_is_on else "mouse off: select with the terminal; m brings it back", markup=False
        )

    def action_help(self) -> None:
        """The keys that work in the focused part, then those that work anywhere."""
        widget = self.focused or self.outline
        groups = []
        for node in (widget, self):
            keys = [line for line in key_lines(node) if line.words]
            title = "everywhere" if node is self else "here"
            groups.append((title, keys))
        about = getattr(widget, "HELP", None) or Outline.HELP
        self.push_screen(Reading("help", key_page(about, groups)))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every key's action under the key's own name."""
        for node in (self, self.outline, self.detail.query_one(Body)):
            for binding in own_bindings(node):
                callback = partial(self.run_action, binding.action, node)
                yield SystemCommand(binding.description, binding.tooltip, callback)

    def _fatal_error(self) -> None:
        """A crash leaves a clean terminal: the traceback goes to a file, and `last_words` say so afterwards."""
        self.bell()
        self.crash = self._exception or RuntimeError("unknown")
        self.crash_file = self._keep_traceback(self.crash)
        self._close_messages_no_wait()

    def last_words(self) -> str:
        """After a crash, for the terminal: where the traceback is, and what shows the same data again; else ""."""
        if self.crash is None:
            return ""
        words = without_secrets(printable(f"{type(self.crash).__name__}: {self.crash}"))
        lines = [f"svcdoctor stopped on an error of its own: {words}"]
        if self.crash_file is None:
            return "\n".join([*lines, traceback_text(self.crash).rstrip()])
        lines.append(f"  the traceback is in {self.crash_file}")
        recording = self._keep_recording(self.crash_file.with_suffix(".json"))
        if recording:
            lines.append(f"  what was on the screen: svcdoctor --replay {quote(str(recording))}")
        return "\n".join(lines)

    def _keep_traceback(self, error: Exception) -> Path | None:
        path = state_directory() / f"crash-{self.clock():%Y%m%dT%H%M%S}-{os.getpid()}.txt"
        return path if write_private(path, traceback_text(error).encode()) else None

    def _keep_recording(self, path: Path) -> Path | None:
        """The data of the moment beside the traceback; nobody waits long for a source that may be what is broken."""
        record = getattr(self.source, "record", None)
        if record is None:
            return None
        kept: list[Path] = []

        def keep() -> None:
            # Whatever goes wrong here must not hide what went wrong before.
            with suppress(Exception):
                if write_private(path, captured(record)):
                    kept.append(path)

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        thread.join(RECORDING_SECONDS)
        return kept[0] if kept else None

    async def on_unmount(self) -> None:
        self._generation += 1
        if self.source is not None:
            self._aside(self.source.stop)


__all__ = ["Dashboard", "SourceRequest"]
