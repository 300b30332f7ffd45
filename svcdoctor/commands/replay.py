"""A recording in the place of a cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import click

from svcdoctor.commands.result import finish
from svcdoctor.commands.terminal import has_unicode, is_interactive

if TYPE_CHECKING:
    from svcdoctor.world import World


def replay_worlds(worlds: list[World], namespace: str | None, no_color: bool, ascii_only: bool) -> NoReturn:
    """A recording in the dashboard, or its first moment as a report."""
    if is_interactive():
        from svcdoctor import screen

        if no_color:
            os.environ["NO_COLOR"] = "1"
        raise SystemExit(screen.show_recording(worlds, ascii_only or not has_unicode(), namespace))
    from svcdoctor.diagnose import Scope
    from svcdoctor.diagnose import diagnose as diagnose_world

    finish(diagnose_world(worlds[0], Scope(namespace or "")).diagnosis, "text", "fail", no_color, ascii_only)


def recording_in(path: str) -> list[World]:
    from svcdoctor.demo import worlds_of

    try:
        with open(path, "rb") as file:
            return worlds_of(file.read())
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise click.UsageError(f"{path}: {error}") from None
