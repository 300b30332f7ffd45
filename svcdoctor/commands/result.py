"""The report on standard output, and the exit code of a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from svcdoctor.commands.exits import Exit
from svcdoctor.commands.terminal import has_unicode, wants_color

if TYPE_CHECKING:
    from svcdoctor.finding import Diagnosis
    from svcdoctor.kube import Request


def finish(diagnosis: Diagnosis, output: str, fail_on: str, no_color: bool, ascii_only: bool) -> NoReturn:
    report = _rendered(diagnosis, output, no_color, ascii_only)
    # JSON is UTF-8 wherever it is written; text is what the terminal can show.
    encoding = "utf-8" if output in ("json", "yaml") else getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        if sys.stdout is not None:
            sys.stdout.buffer.write(report.encode(encoding, "backslashreplace"))
            sys.stdout.flush()
    except BrokenPipeError:
        forget_stdout()
    except OSError as error:
        forget_stdout()
        click.echo(f"svcdoctor: the report cannot be written: {(error.strerror or str(error)).lower()}", err=True)
        raise SystemExit(Exit.FAIL) from None
    raise SystemExit(exit_code(diagnosis, fail_on))


def forget_stdout() -> None:
    """The reader has gone, as `head` does: what it read was right, and there is nobody left to tell."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _rendered(diagnosis: Diagnosis, output: str, no_color: bool, ascii_only: bool) -> str:
    if output == "json":
        from svcdoctor.report import json

        return json.render(diagnosis)
    if output == "yaml":
        from svcdoctor.report import yaml

        return yaml.render(diagnosis)
    if output == "name":
        from svcdoctor.report import name

        return name.render(diagnosis)
    from svcdoctor.report import text

    style = text.Style(
        ascii=ascii_only or not has_unicode(),
        color=not no_color and wants_color(),
        wide=output == "wide",
    )
    return text.render(diagnosis, style)


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
