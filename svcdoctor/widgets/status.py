"""The lines around the panes: what is looked at how fresh it is, what the list shows, and the keys that help."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from textual import events
from textual.content import Content
from textual.widgets import Static

from svcdoctor.finding import Status, Summary
from svcdoctor.text import duration, parse_time, plural
from svcdoctor.widgets import marks
from svcdoctor.widgets.source import Stream

RECORDED = 24 * 3600.0  # data older than this is a recording


class Shown(NamedTuple):
    """What the header says."""

    context: str
    namespace: str | None
    summary: Summary
    checking: int
    observed_at: str
    streams: Sequence[Stream]
    paused: bool
    connecting: bool
    moment: tuple[int, int] | None = None  # of a recording: which one, from 1, of how many


class _Part(NamedTuple):
    """A piece of a line in the forms it may take, longest first; the highest rank gives way first."""

    rank: int
    forms: tuple[str, ...]
    style: str = ""


def middle(value: str, room: int) -> str:
    """The value with its middle left out: both ends of a context's name tell it from others."""
    if cell_len(value) <= room:
        return value
    room = max(room, 6)
    head = (room - 2) // 2
    return f"{set_cell_size(value, head)}..{value[-(room - 2 - head) :]}"


def heard(streams: Sequence[Stream], observed_at: str) -> datetime | None:
    """When the API server was last heard: the newest word of any stream, else when the data was read."""
    words = [stream.last_heard for stream in streams if stream.last_heard]
    return max(words) if words else parse_time(observed_at)


def header_parts(shown: Shown, now: datetime, ascii: bool) -> list[_Part]:
    summary = shown.summary
    where = "all namespaces" if shown.namespace is None else f"ns {shown.namespace}"
    short = "ns all" if shown.namespace is None else f"ns {middle(shown.namespace, 14)}"
    context = shown.context or "-"
    contexts = (f"ctx {context}", f"ctx {middle(context, 24)}", f"ctx {middle(context, 12)}", middle(context, 8))
    parts = [_Part(9, ("svcdoctor", ""), "bold"), _Part(6, contexts), _Part(5, (where, short), "bold")]
    if shown.connecting:
        return [*parts, _Part(0, ("connecting ..",), "dim")]
    parts.append(_Part(4, (f"{summary.services} svc", "")))
    for status, count in (
        (Status.FAIL, summary.fail),
        (Status.WARN, summary.warn),
        (Status.UNKNOWN, summary.unknown),
        (Status.PASS, summary.passed),
    ):
        if count:
            glyph = marks.glyph(status, ascii)
            forms = (f"{glyph} {count} {status}", f"{glyph}{count}")
            parts.append(_Part(8, (*forms, "") if status is Status.PASS else forms, marks.style(status)))
    if shown.checking:
        parts.append(_Part(7, (f".. {shown.checking} checking", f"..{shown.checking}"), "dim"))
    moment = heard(shown.streams, shown.observed_at)
    if moment:
        seconds = (now - moment).total_seconds()
        if shown.moment or seconds > RECORDED:
            parts.append(_Part(3, (f"recorded {moment:%Y-%m-%d %H:%M}", f"recorded {moment:%m-%d}"), "dim"))
        else:
            style = "dim" if seconds < 120 else "$text-warning"
            parts.append(_Part(3, (f"data {duration(seconds)} old", f"{duration(seconds)} old"), style))
    if shown.moment and shown.moment[1] > 1:
        place = "/".join(map(str, shown.moment))
        parts.append(_Part(1, (f"moment {place}", place), "bold"))
    if shown.paused:
        parts.append(_Part(0, ("paused",), "bold reverse"))
    listing = sum(stream.state == "listing" for stream in shown.streams)
    broken = sum(stream.state == "broken" for stream in shown.streams)
    denied = sum(stream.state == "denied" for stream in shown.streams)
    if listing:
        parts.append(_Part(7, (f"reading {plural(listing, 'kind')}", ""), "dim"))
    if broken:
        parts.append(_Part(1, (f"{plural(broken, 'stream')} broken", f"{broken} broken"), "$text-warning"))
    if denied:
        parts.append(_Part(2, (f"{denied} denied", f"{denied} den."), marks.style(Status.UNKNOWN)))
    return parts


def fitted(parts: Sequence[_Part], width: int, gap: str = "  ") -> list[tuple[str, str]]:
    """The parts in forms short enough for the line, each part one form at a time, the least needed first."""
    forms = [0] * len(parts)

    def length() -> int:
        texts = [part.forms[form] for part, form in zip(parts, forms, strict=True)]
        return sum(cell_len(text) + len(gap) for text in texts if text) - len(gap)

    for index in sorted(range(len(parts)), key=lambda index: (-parts[index].rank, -index)):
        while length() > width and forms[index] < len(parts[index].forms) - 1:
            forms[index] += 1
    chosen = [(part.forms[form], part.style) for part, form in zip(parts, forms, strict=True) if part.forms[form]]
    pieces: list[tuple[str, str]] = []
    for text, style in chosen:
        pieces += [(gap, "")] if pieces else []
        pieces.append((text, style))
    return pieces


class FittedLine(Static):
    """One line, whatever the width: its parts take the forms for which there is room."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._parts: list[_Part] = []
        self._said: object = None

    def set_parts(self, parts: list[_Part]) -> None:
        self._parts = parts
        pieces = fitted(parts, self.content_size.width)
        if pieces != self._said:
            self._said = pieces
            # One line stays one line: nothing else has to be laid out anew.
            self.update(Content.assemble(*pieces), layout=False)

    def on_resize(self) -> None:
        self.set_parts(self._parts)


class StatusLine(FittedLine):
    """The header."""

    def __init__(self, *, ascii: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self.ascii = ascii

    def show(self, shown: Shown, now: datetime) -> None:
        self.set_parts(header_parts(shown, now, self.ascii))


class ListTitle(FittedLine):
    """What the list under it shows: how much of it, and what came up since it was ordered."""

    def show(self, place: int, total: int, faults_only: bool, filter: str, sort: str, new_faults: int) -> None:
        position = f"{place}/{total}" if total else "0"
        parts = [_Part(0, (f"services {position}", position), "bold")]
        if new_faults:
            noun = plural(new_faults, "new fault")
            parts.append(_Part(1, (f"{noun}, F to sort", f"{noun}: F"), "reverse"))
        if faults_only:
            parts.append(_Part(2, ("faults only",), "$text-warning"))
        if filter:
            parts.append(_Part(3, (f"filter: {filter}", f"/{middle(filter, 20)}"), "$text-warning"))
        if sort:
            parts.append(_Part(4, (f"by {sort}", ""), "dim"))
        self.set_parts(parts)


class Hint(NamedTuple):
    key: str
    words: str
    action: str


class HintLine(Static):
    """The keys that matter where the person is; the last go first where there is no room. Each can be clicked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.hints: Sequence[Hint] = ()
        self._ends: list[tuple[int, Hint]] = []

    def show(self, hints: Sequence[Hint]) -> None:
        self.hints = hints
        self._ends = []
        pieces: list[tuple[str, str]] = []
        end = 1
        # Help is the one hint that must stay.
        width = self.size.width or self.app.size.width  # before it is laid out
        room = width - 2 - sum(len(hints[-1].key + hints[-1].words) + 1 for _ in hints[:1])
        for hint in hints:
            length = len(hint.key) + 1 + len(hint.words) + 2
            if hint is not hints[-1] and end + length > room:
                continue
            pieces += [(hint.key, "bold"), (f" {hint.words}", "dim"), ("  ", "")]
            end += length
            self._ends.append((end, hint))
        self.update(Content.assemble(*pieces), layout=False)

    def on_resize(self) -> None:
        self.show(self.hints)

    async def on_click(self, event: events.Click) -> None:
        hint = next((hint for end, hint in self._ends if event.x < end), None)
        if hint:
            await self.app.run_action(hint.action)
