"""What the terminal can show, and whether there is one."""

from __future__ import annotations

import os
import sys


def is_interactive() -> bool:
    """Whether a full-screen application can be shown: Textual itself would hang without a terminal."""
    # It reads standard input and paints on standard error.
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream and stream.isatty() for stream in streams) and os.environ.get("TERM", "") not in ("", "dumb")


def wants_color() -> bool:
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return os.environ.get("CLICOLOR_FORCE", "") not in ("", "0") or bool(sys.stdout and sys.stdout.isatty())


def has_unicode() -> bool:
    """Whether standard output can show the marks that statuses have."""
    from svcdoctor.report.text import GLYPHS

    try:
        "".join(GLYPHS.values()).encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
