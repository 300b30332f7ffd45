"""The report where it was asked for, and the exit code of a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from svcdoctor.commands.exits import Exit
from svcdoctor.commands.outputs import Output, reason, write_file
from svcdoctor.commands.terminal import has_unicode, wants_color

if TYPE_CHECKING:
    from svcdoctor.baseline import Compared
    from svcdoctor.cluster.kube import Request
    from svcdoctor.finding import Diagnosis


# Formats that say of a finding that it is known; the others leave it out.
SAY_WHAT_IS_KNOWN = ("json", "jsonl", "yaml")
Render = Callable[[str, bool, bool], str]  # of a format, in ASCII alone or not, in colour or not


def finish(
    diagnosis: Diagnosis,
    outputs: Sequence[Output],
    fail_on: str,
    no_color: bool,
    ascii_only: bool,
    *,
    compared: Compared | None = None,
    code: Exit | None = None,
    instead: str | None = None,
) -> NoReturn:
    """`compared` is the same with what a baseline makes of it; `code` is said instead of what follows from findings;
    `instead` is printed in the place of a report, which goes to files alone then."""
    from svcdoctor.report import rendered

    folded = compared.folded if compared else diagnosis
    whole = compared.diagnosis if compared else diagnosis

    def render(name: str, plain: bool, color: bool) -> str:
        shown = whole if name in SAY_WHAT_IS_KNOWN else folded
        return rendered(shown, name, ascii_only=plain, color=color)

    remarks = [*compared.lines()] if compared else []
    written = deliver(render, outputs, no_color, ascii_only, remarks, instead)
    raise SystemExit((exit_code(whole, fail_on) if code is None else code) if written else Exit.FAIL)


def deliver(
    render: Render,
    outputs: Sequence[Output],
    no_color: bool,
    ascii_only: bool,
    remarks: Sequence[str] = (),
    instead: str | None = None,
) -> bool:
    """Writes the files first, which stay when nobody reads standard output any more; then prints one report.

    Remarks stand under each text; where none is printed, they are said beside the report. False: something could not
    be written, which is said.
    """
    from svcdoctor.report import FOR_TERMINALS

    def report(name: str, plain: bool, color: bool) -> str:
        below = remarks if name in ("text", "wide") else ()
        return render(name, plain, color) + "".join(f"{remark}\n" for remark in below)

    written = True
    for output in outputs:
        if output.path:
            content = report(output.format, ascii_only, False).encode("utf-8", "backslashreplace")
            written = write_file(output.path, content) and written
    if instead is not None:
        return _print(instead.encode(getattr(sys.stdout, "encoding", None) or "ascii", "backslashreplace")) and written
    shown = next((output.format for output in outputs if not output.path), "text")
    printed = report(shown, ascii_only or not has_unicode(), not no_color and wants_color())
    # What a program reads is UTF-8 wherever it is written; text is what the terminal can show.
    encoding = "utf-8" if shown not in FOR_TERMINALS else getattr(sys.stdout, "encoding", None) or "ascii"
    written = _print(printed.encode(encoding, "backslashreplace")) and written
    if shown not in ("text", "wide"):
        for remark in remarks:
            click.echo(f"svcdoctor: {remark}", err=True)
    return written


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


def log(requests: Sequence[Request], context: str = "") -> None:
    """In one piece, for several clusters may be read at the same time; then `context` says which this one is."""
    size, unpacked = sum(one.bytes for one in requests) / 1000, sum(one.unpacked for one in requests) / 1000
    before = f"{context}: " if context else ""
    lines = [f"{before}{len(requests)} requests, {size:.1f} kB ({unpacked:.1f} kB unpacked)"]
    for request in requests:
        path = request.path.partition("?")[0]
        took = f"{request.seconds * 1000:.0f} ms"
        lines.append(f"  {request.status} {request.method} {path} {took} {request.bytes} B")
    click.echo("\n".join(lines), err=True)


def exit_code(diagnosis: Diagnosis, fail_on: str) -> Exit:
    from svcdoctor.diagnosis import broken_parts
    from svcdoctor.finding import Role, Status

    # What follows from a warning is no worse than it is, as in the verdict on the Service.
    broken = broken_parts(diagnosis.cluster.findings)
    statuses = {
        finding.status
        for finding in diagnosis.findings()
        if not finding.known and (finding.role is not Role.CONSEQUENCE or finding.because in broken)
    }
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
