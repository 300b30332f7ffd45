"""What only the source has: manifests, events, logs; each is fetched in a thread, when it is looked at."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from svcdoctor.dashboard.feeding import Feeding
from svcdoctor.text import printable
from svcdoctor.widgets import excerpt
from svcdoctor.widgets.detail import LINES_KEPT, Detail, Fetched
from svcdoctor.widgets.entries import Key


class Log(NamedTuple):
    """Which log is shown of what is selected."""

    key: Key | None = None
    number: int = 0  # of the container, round and round
    previous: bool = False  # of the run before the last restart


class Asking(Feeding):
    """Fetches what the detail pane asks for."""

    _shown_log = Log()

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
            log = self._shown_log = self._log_of(key)
            if pod:
                self._aside(lambda: self._follow(message, pod, log, ask))
            else:
                self.detail.take(tab, Fetched(key, (), "no Pod stands behind this"))
        else:
            self._aside(lambda: self._fetch(message, lambda: ask(*name)))

    def _log_of(self, key: Key | None) -> Log:
        return self._shown_log if self._shown_log.key == key else Log(key)

    def _ask_for_log(self, *, next_container: bool = False, other_run: bool = False) -> None:
        key, number, previous = self._log_of(self.detail.key)
        self._shown_log = Log(key, number + next_container, previous != other_run)
        self.detail.ask()

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

    def _follow(self, message: Detail.Wanted, pod: str, log: Log, logs: Callable[..., Iterable[str]]) -> None:
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
            name = names[log.number % len(names)] if names else ""
            if name:
                place += f" container {printable(name)}"
            which = f" ({log.number % len(names) + 1} of {len(names)}, L: the next)" if len(names) > 1 else ""
            lines = "before it was restarted, the last lines" if log.previous else "the last lines, followed"
            other = "this run" if log.previous else "before the restart"
            following = f"{place}{which}: {lines} (P: {other})"
            self._then(lambda: show(following))
            for line in logs(key.namespace, pod, name, not log.previous, log.previous):
                if self._asked_for is not message:
                    return
                arrived.append(line)
                if len(arrived) == 1:
                    self._then(lambda: show(following))
        except Exception as error:
            other = " (P: this run)" if log.previous else ""
            stopped = f"{place}{which}: {printable(str(error) or type(error).__name__)}{other}"
            self._then(lambda: show(stopped))
