"""How statuses look: a glyph and a word that say it without colour, and the colour on top."""

from __future__ import annotations

from svcdoctor.finding import Status
from svcdoctor.report.text import ASCII, GLYPHS

CHECKING = "checking"  # what a Service has instead of a status while its first walk is under way

# Of neutral width, so that columns hold in CJK terminals too.
OPEN, CLOSED = "▾", "▸"
OPEN_ASCII, CLOSED_ASCII = "v", ">"

# Textual styles, by theme variable.
STYLES = {
    Status.PASS: "$text-success",
    Status.FAIL: "bold $text-error",
    Status.WARN: "$text-warning",
    Status.UNKNOWN: "italic $text-accent",
    Status.SKIP: "dim",
    Status.NOTE: "dim",
}


def glyph(status: Status | None, ascii: bool) -> str:
    """One cell, or two in ASCII; None is a first walk under way."""
    if status is None:
        return ".."
    return (ASCII if ascii else GLYPHS)[status]


def word(status: Status | None) -> str:
    return CHECKING if status is None else str(status)


def style(status: Status | None) -> str:
    return "dim" if status is None else STYLES[status]
