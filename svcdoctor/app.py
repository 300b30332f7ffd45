"""The dashboard: every Service as a tree with its verdicts, kept live by a source, and the walk of the selected one.

The application owns no cluster state but the last update. It is given a way to open a source and never waits for one:
opening, stopping and asking happen in threads, and what they bring comes back as messages.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from shlex import quote
from typing import Any

from textual import events
from textual.app import SuspendNotSupported, SystemCommand
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from svcdoctor.dashboard.asking import Asking
from svcdoctor.dashboard.choosing import Choosing
from svcdoctor.dashboard.crash import keep_recording, keep_traceback, traceback_text, without_secrets
from svcdoctor.dashboard.frame import SMALLEST
from svcdoctor.dashboard.keys import KEYS
from svcdoctor.dashboard.taking import Taking
from svcdoctor.finding import Status
from svcdoctor.text import printable
from svcdoctor.widgets.detail import Body, TabBar
from svcdoctor.widgets.filter import FilterBar
from svcdoctor.widgets.help import Reading, key_lines, key_page, own_bindings
from svcdoctor.widgets.outline import Outline
from svcdoctor.widgets.source import SourceRequest


class Dashboard(Asking, Taking, Choosing):
    CSS_PATH = "app.tcss"
    BINDINGS = KEYS

    # --- what the widgets say

    def on_outline_selected(self) -> None:
        if self._detail_timer is not None:
            self._detail_timer.stop()
        if self.detail_delay:
            self._detail_timer = self.set_timer(self.detail_delay, self._show_detail)
        else:
            self._show_detail()
        self._show_title()

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

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        need = f"needs {SMALLEST[0]}x{SMALLEST[1]}, have {width}x{height}"
        self.base.query_one("#too-small", Static).update(Content(need))

    def on_filter_bar_changed(self, message: FilterBar.Changed) -> None:
        self._filter(message.text)

    def on_filter_bar_done(self) -> None:
        self.action_focus_list()

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
            self._ask_for_log(next_container=True)
        else:
            self.detail.choose(tab)

    def action_previous_log(self) -> None:
        """Of the run before the last restart, where why it crashed is said; again: of the run that is on."""
        if self.detail.tab != "logs":
            self.action_tab("logs")
        self._ask_for_log(other_run=True)

    # --- what the list shows

    def action_filter(self) -> None:
        self.action_focus_list()
        self.base.query_one(FilterBar).edit()

    def action_faults_only(self) -> None:
        self.faults_only = not self.faults_only
        self._filter(self.filter_text)

    def action_sort_now(self) -> None:
        self.outline.sort(self.outline.rows.sort, self.outline.rows.reverse)

    def action_reverse(self) -> None:
        self.outline.sort(self.outline.rows.sort, not self.outline.rows.reverse)

    # --- what the source does

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

    # --- the application itself

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
        self.crash_file = keep_traceback(self.crash, self.clock())
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
        record = getattr(self.source, "record", None)
        recording = keep_recording(record, self.crash_file.with_suffix(".json")) if record else None
        if recording:
            lines.append(f"  what was on the screen: svcdoctor --replay {quote(str(recording))}")
        return "\n".join(lines)


__all__ = ["Dashboard", "SourceRequest"]
