"""The report where it was asked for, and the exit code of a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from svcdoctor.commands.exits import Exit
from svcdoctor.commands.outputs import Output, reason, write_file
from svcdoctor.commands.terminal import has_unicode, wants_color

if TYPE_CHECKING:
    from svcdoctor.finding import Diagnosis
    from svcdoctor.kube import Request


def finish(diagnosis: Diagnosis, outputs: Sequence[Output], fail_on: str, no_color: bool, ascii_only: bool) -> NoReturn:
    """Writes the files first, which stay when nobody reads standard output any more; then prints one report."""
    from svcdoctor.report import FOR_TERMINALS, rendered

    written = True
    for output in outputs:
        if output.path:
            report = rendered(diagnosis, output.format, ascii_only=ascii_only)
            written = write_file(output.path, report.encode("utf-8", "backslashreplace")) and written
    shown = next((output.format for output in outputs if not output.path), "text")
    plain = ascii_only or not has_unicode()
    report = rendered(diagnosis, shown, ascii_only=plain, color=not no_color and wants_color())
    # What a program reads is UTF-8 wherever it is written; text is what the terminal can show.
    encoding = "utf-8" if shown not in FOR_TERMINALS else getattr(sys.stdout, "encoding", None) or "ascii"
    written = _print(report.encode(encoding, "backslashreplace")) and written
    raise SystemExit(exit_code(diagnosis, fail_on) if written else Exit.FAIL)


def _print(report: bytes) -> bool:
    try:
        if sys.stdout is not None:
            sys.stdout.buffer.write(report)
            sys.stdout.flush()
    except BrokenPipeError:
        forget_stdout()
    except OSError as error:
        forget_stdout()
        click.echo(f"svcdoctor: the report cannot be written: {reason(error)}", err=True)
        return False
    return True


def forget_stdout() -> None:
    """The reader has gone, as `head` does: what it read was right, and there is nobody left to tell."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def log(requests: Sequence[Request]) -> None:
    click.echo(f"{len(requests)} requests, {sum(request.bytes for request in requests) / 1000:.0f} kB", err=True)
    for request in requests:
        path = request.path.partition("?")[0]
        took = f"{request.seconds * 1000:.0f} ms"
        click.echo(f"  {request.status} {request.method} {path} {took} {request.bytes} B", err=True)


def exit_code(diagnosis: Diagnosis, fail_on: str) -> Exit:
    from svcdoctor.finding import Status

    statuses = {finding.status for finding in diagnosis.findings()}
    if fail_on == "never":
        return Exit.OK
    counted = {
        "fail": {Status.FAIL},
        "warn": {Status.FAIL, Status.WARN},
        "unknown": {Status.FAIL, Status.WARN, Status.UNKNOWN},
    }[fail_on]
    if statuses & counted:
        return Exit.FAIL
    return Exit.UNKNOWN if Status.UNKNOWN in statuses or diagnosis.unreadable else Exit.OK
