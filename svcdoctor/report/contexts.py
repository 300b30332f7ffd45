"""The report over several contexts: each Diagnosis, and a word for each context that could not be diagnosed.

Only the formats in FORMATS have a place for more than one Diagnosis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import yaml

from svcdoctor import __version__
from svcdoctor.finding import Diagnosis, Status, Unseen, worst
from svcdoctor.report import json, text
from svcdoctor.report.entries import RANK, Entry, entries
from svcdoctor.report.name import render as names
from svcdoctor.text import plural

FORMATS = ("text", "wide", "json", "yaml", "name")
Items = Sequence[Diagnosis | Unseen]


def render(items: Items, name: str, *, ascii_only: bool = False, color: bool = False) -> str:
    """The report in the format of this name, as `rendered` has it for one Diagnosis."""
    if name == "json":
        return msgspec.json.format(msgspec.json.encode(document(items)), indent=2).decode() + "\n"
    if name == "yaml":
        plain = msgspec.to_builtins(document(items))
        dumped: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)
        return dumped
    if name == "name":
        return "".join(_names(items))
    return _text(items, text.Style(ascii=ascii_only, color=color, wide=name == "wide"))


def status_of(item: Diagnosis | Unseen) -> Status:
    """A context is as its worst finding, but for what is known; one that was not seen is unknown."""
    if isinstance(item, Unseen):
        return Status.UNKNOWN
    counted = (Status.FAIL, Status.WARN, Status.UNKNOWN)
    said = [finding.status for finding in item.findings() if finding.status in counted and not finding.known]
    return worst([Status.PASS, *said, *[Status.UNKNOWN for _ in item.unreadable]])


def document(items: Items) -> dict[str, Any]:
    """A list as Kubernetes has them; its summary counts contexts."""
    statuses = [status_of(item) for item in items]
    return {
        "apiVersion": "svcdoctor/v1",
        "kind": "DiagnosisList",
        "version": __version__,
        "summary": {"contexts": len(items), **{status.value: statuses.count(status) for status in _COUNTED}},
        "items": [_unseen(item) if isinstance(item, Unseen) else json.document(item) for item in items],
    }


_COUNTED = (Status.FAIL, Status.WARN, Status.PASS, Status.UNKNOWN)


def _unseen(item: Unseen) -> dict[str, Any]:
    return {
        "apiVersion": "svcdoctor/v1",
        "kind": "Unseen",
        "context": item.context,
        "reason": item.reason,
        "message": item.message,
    }


def _names(items: Items) -> Iterator[str]:
    for item in items:
        if isinstance(item, Diagnosis):
            yield from (f"{item.context} {line}" for line in names(item).splitlines(keepends=True))


def _text(items: Items, style: text.Style) -> str:
    """What is broken first, whichever context it is in; each line that begins something names its context."""
    width = max(len(item.context) for item in items)
    blocks: list[list[str]] = []
    told: list[tuple[str, Entry]] = []
    for item in items:
        if isinstance(item, Unseen):
            head = f"{style.mark(Status.UNKNOWN)} {style.bold('cluster')}   {item.message}"
            blocks.append(_of_context(item.context, width, [head]))
        else:
            told += [(item.context, entry) for entry in entries(item)]
    # What is said of no Service first, then Services by status: the sort is stable.
    told.sort(key=lambda pair: RANK[pair[1].status] if pair[1].service else -1)
    longest = min(44, max((len(entry.title) for _, entry in told if entry.service), default=0))
    blocks += [_of_context(context, width, text.block(entry, style, longest)) for context, entry in told]
    return text.page(blocks, [*_summaries(items, width, style), _total(items, style)])


def _of_context(context: str, width: int, block: list[str]) -> list[str]:
    """A block whose first line, behind its mark, names the context."""
    mark, _, rest = block[0].partition(" ")
    return [f"{mark} {context.ljust(width)}   {rest}", *block[1:]]


def _summaries(items: Items, width: int, style: text.Style) -> Iterator[str]:
    for item in items:
        lines = ["not diagnosed"] if isinstance(item, Unseen) else text.summary_lines(item, style)
        yield from (f"{item.context.ljust(width)}   {line}" for line in lines)


def _total(items: Items, style: text.Style) -> str:
    statuses = [status_of(item) for item in items]
    counts = [
        f"{statuses.count(status)} {style.paint(status.value, status)}" for status in _COUNTED if status in statuses
    ]
    return f"{plural(len(items), 'context')}: {', '.join(counts)}"
