"""Flags that several commands share, with kubectl's names and meanings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from svcdoctor.commands import livenames
from svcdoctor.commands.outputs import OutputType, at_most_one_on_stdout
from svcdoctor.commands.words import Codes, Seconds

KUBECONFIG = click.option(
    "--kubeconfig", metavar="FILE", shell_complete=livenames.files, help="Path to the kubeconfig file"
)
IDENTITY = (
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
CONNECTION = (
    KUBECONFIG,
    click.option("--context", metavar="NAME", shell_complete=livenames.contexts, help="The kubeconfig context to use"),
    *IDENTITY,
)
CONNECTIONS = (
    KUBECONFIG,
    click.option(
        "--context",
        "contexts",
        metavar="NAME",
        multiple=True,
        shell_complete=livenames.contexts,
        help="The kubeconfig context to use; several are diagnosed at once",
    ),
    click.option("--all-contexts", is_flag=True, help="Every context of the kubeconfig, at once"),
    *IDENTITY,
)
BASELINE = click.option(
    "--baseline",
    metavar="FILE",
    shell_complete=livenames.files,
    help="Leave out the faults that are in this earlier report (-o json)",
)
SERVICES = (
    click.argument("names", nargs=-1, metavar="[NAME | svc/NAME]...", shell_complete=livenames.services),
    click.option(
        "-n",
        "--namespace",
        metavar="NAMESPACE",
        shell_complete=livenames.namespaces,
        help="The namespace; default is the context's own",
    ),
    click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace"),
    click.option("-l", "--selector", metavar="LABELS", help="Services with these labels, such as app=cart,tier=web"),
    click.option(
        "--from",
        "client",
        metavar="CLIENT",
        shell_complete=livenames.pods,
        help="Look from this client: POD, deploy/NAME or sa/NAME, with NAMESPACE/ before it",
    ),
    click.option("--no-probe", is_flag=True, help="Read objects only: no exec, no port-forward"),
)
SCOPE = (
    *SERVICES,
    click.option(
        "--deadline", type=Seconds(), default=120.0, metavar="DURATION", help="Time for the whole run (default 2m)"
    ),
)
REPLAY = (
    click.option(
        "--replay",
        metavar="FILE",
        shell_complete=livenames.files,
        help="Look at a recording instead of a cluster; - is stdin",
    ),
)
SCREEN = (
    click.option("--no-color", is_flag=True, help="No colours; also with NO_COLOR set"),
    click.option("--ascii", "ascii_only", is_flag=True, help="No character outside ASCII"),
)
OUTPUT = (
    *SCREEN,
    click.option(
        "-o",
        "--output",
        type=OutputType(),
        multiple=True,
        callback=at_most_one_on_stdout,
        metavar="FORMAT[=FILE]",
        help=(
            "Format of the report: text (default), wide, json, jsonl, yaml, name, markdown, html, junit, sarif, "
            "prometheus, github. With =FILE it is written there; may be repeated"
        ),
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
