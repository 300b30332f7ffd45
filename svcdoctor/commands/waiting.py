"""What is shown to a person who waits."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svcdoctor.cluster.collect import Progress


class Waiting:
    """One line on a terminal that says what is going on: shown after half a second, erased at the end."""

    DELAY = 0.5

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.words = ""
        self.shown = False
        self.timer: threading.Timer | None = None
        self.lock = threading.Lock()

    @property
    def is_shown(self) -> bool:
        """Whether there is a terminal to show it on."""
        return bool(self.stream and self.stream.isatty() and os.environ.get("TERM") != "dumb")

    def __enter__(self) -> Waiting:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Out of the way of who writes there or is asked something."""
        self._stop()
        yield
        self._start()

    def _start(self) -> None:
        if self.is_shown:
            self.timer = threading.Timer(self.DELAY, self._show)
            self.timer.daemon = True
            self.timer.start()

    def _stop(self) -> None:
        with self.lock:
            if self.timer:
                self.timer.cancel()
            self.timer = None
            if self.shown:
                self.stream.write("\r\x1b[K")
                self.stream.flush()
            self.shown = False

    def progress(self) -> Progress:
        from svcdoctor.cluster.collect import Progress

        return Progress(self._doing)

    def _doing(self, words: str) -> None:
        with self.lock:
            self.words = words
            if self.shown:
                self._write()

    def _show(self) -> None:
        with self.lock:
            if self.timer:
                self.shown = True
                self._write()

    def _write(self) -> None:
        self.stream.write(f"\r\x1b[K{self.words}...")
        self.stream.flush()
