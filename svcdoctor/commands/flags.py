"""Flags that several commands share, with kubectl's names and meanings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from svcdoctor.commands.words import Codes, Seconds

FORMATS = ("text", "wide", "json", "yaml", "name")
CONNECTION = (
    click.option("--kubeconfig", metavar="FILE", help="Path to the kubeconfig file"),
    click.option("--context", metavar="NAME", help="The kubeconfig context to use"),
    click.option("--cluster", metavar="NAME", help="The kubeconfig cluster to use"),
    click.option("--user", metavar="NAME", help="The kubeconfig user to use"),
    click.option("--as", "as_user", metavar="USER", help="User name to impersonate"),
    click.option(
        "--as-group", "as_groups", metavar="GROUP", multiple=True, help="Group to impersonate; may be repeated"
    ),
    click.option("--as-uid", metavar="UID", help="UID to impersonate"),
    click.option(
        "--request-timeout",
        type=Seconds(),
        metavar="DURATION",
        help="Time for one request, such as 5, 1s, 2m; 0 is without limit",
    ),
)
SCREEN = (
    click.option("--no-color", is_flag=True, help="No colours; also with NO_COLOR set"),
    click.option("--ascii", "ascii_only", is_flag=True, help="No character outside ASCII"),
)
OUTPUT = (
    *SCREEN,
    click.option(
        "-o", "--output", type=click.Choice(FORMATS), default="text", show_default=True, help="Format of the report"
    ),
    click.option(
        "--fail-on",
        type=click.Choice(("fail", "warn", "unknown", "never")),
        default="fail",
        show_default=True,
        help="What makes the exit code 1",
    ),
    click.option("--only", type=Codes(), default=(), metavar="CODE,...", help="Report these codes alone"),
    click.option("--skip", type=Codes(), default=(), metavar="CODE,...", help="Do not report these codes"),
)


def options(group: tuple[Callable[[Any], Any], ...]) -> Callable[[Any], Any]:
    def add(command: Any) -> Any:
        for option in reversed(group):
            command = option(command)
        return command

    return add
