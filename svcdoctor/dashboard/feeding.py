"""The source that feeds the dashboard: opened, replaced, failing; and how its updates get on the screen."""

from __future__ import annotations

import asyncio
import signal
import time

from svcdoctor.dashboard.crash import keep_traceback, without_secrets
from svcdoctor.dashboard.frame import Arrived, Broken, Frame
from svcdoctor.finding import Diagnosis, Status, Summary
from svcdoctor.text import printable
from svcdoctor.widgets.entries import Notice
from svcdoctor.widgets.source import Source, SourceRequest, Update
from svcdoctor.widgets.standstill import standstill

PACE = 40  # how many times as long as an update takes, not counting what is painted for it, there is none


class Feeding(Frame):
    """Opens sources and shows what they post."""

    def on_mount(self) -> None:
        if self.ascii:
            self.screen.add_class("-ascii")
        self.outline.focus()
        self._show_hints()
        self.set_interval(1.0, self._show_status)
        if not self.is_headless:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit, None, 128 + signal.SIGTERM)
        self.call_after_refresh(self.open, self.request)

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

    async def on_unmount(self) -> None:
        self._generation += 1
        if self.source is not None:
            self._aside(self.source.stop)
