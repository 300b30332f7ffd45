"""The earlier report that a run is compared with, read from its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from svcdoctor.baseline import Baseline


def baseline_in(path: str | None) -> Baseline | None:
    """Raises UsageError for a file that cannot be read or holds something else than a report."""
    if path is None:
        return None
    from svcdoctor.baseline import read

    hint = "make one with: svcdoctor diagnose -o json >"
    try:
        with open(path, "rb") as file:
            return read(file.read(), path)
    except OSError as error:
        missing = f"; {hint} {path}" if isinstance(error, FileNotFoundError) else ""
        reason = (error.strerror or str(error)).lower()
        raise click.UsageError(f"--baseline {path} cannot be read: {reason}{missing}") from None
    except ValueError as error:
        raise click.UsageError(f"--baseline {path} is no report of -o json: {error}; {hint} FILE") from None
