"""The command line: flags with kubectl's names and meanings, one result on stdout, everything else on stderr.

Only click is imported at the top, here and in commands/; each command imports what it needs when it runs, so that help,
version, explanations and completion start at once.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from svcdoctor import __version__
from svcdoctor.commands.exits import Exit
from svcdoctor.commands.result import forget_stdout
from svcdoctor.commands.terminal import is_interactive
from svcdoctor.commands.words import nearest

COMPLETE = "_SVCDOCTOR_COMPLETE"
COMMANDS = (
    *("capture", "cleanup", "completion", "dashboard", "demo", "diagnose", "explain", "export", "rbac", "schema"),
    "wait",
)


class WithoutCommand(click.Group):
    """Without a command it is the dashboard on a terminal; elsewhere, or with flags of a report, `diagnose`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Completion of the first word is about the commands.
        nothing = not args and not ctx.resilient_parsing
        if nothing or (args and args[0].startswith("-") and args[0] not in ("-h", "--help", "--version")):
            shown = is_interactive() and self._are_for_dashboard(ctx, args)
            args = ["dashboard" if shown else "diagnose", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args and not args[0].startswith("-"):
                hint = nearest(args[0], COMMANDS) or f"; to diagnose a Service: svcdoctor diagnose {args[0]}"
                raise click.UsageError(f"no such command: {args[0]!r}{hint}", ctx) from None
            raise error

    def _are_for_dashboard(self, ctx: click.Context, args: list[str]) -> bool:
        dashboard = self.get_command(ctx, "dashboard")
        known = {option for parameter in dashboard.params for option in parameter.opts} if dashboard else set()
        several = sum(arg.partition("=")[0] == "--context" for arg in args) > 1
        return not several and all(
            arg.partition("=")[0] in known or arg[:2] in ("-n",) for arg in args if arg.startswith("-")
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command is imported when it is asked for."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"svcdoctor.commands.{cmd_name}"), cmd_name)
        return command


@click.group(
    cls=WithoutCommand,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
)
@click.version_option(__version__, message="svcdoctor %(version)s")
def cli() -> None:
    """Why does this Service not answer?

    \b
    Walks what a person would type (get svc, get endpoints, get pods --show-labels,
    describe svc, nslookup from inside a Pod), names the one cause, and gives the fix.

    \b
    Examples:
      svcdoctor                            the dashboard, over the current namespace
      svcdoctor diagnose cart              one Service of the current namespace
      svcdoctor diagnose -A                every Service of the cluster
      svcdoctor diagnose -n shop -o json   a namespace, for a program
      svcdoctor explain selector-value-mismatch
      svcdoctor demo                       without a cluster

    Without a command, on a terminal, it opens the dashboard.

    \b
    Exit codes: 0 nothing failed, 1 something did, 2 usage, 3 cluster not reachable,
    4 something could not be seen, 130 interrupted. See: svcdoctor explain exit-codes
    """


def main() -> NoReturn:
    """The entry point of `svcdoctor`, `kubectl svcdoctor` and `python -m svcdoctor`."""
    program = os.path.basename(sys.argv[0])
    # krew installs it as kubectl-service_doctor, which is typed with a dash.
    name = f"kubectl {program[8:].replace('_', '-')}" if program.startswith("kubectl-") else "svcdoctor"
    if COMPLETE in os.environ:
        from svcdoctor.commands.completion import prepare

        prepare()
    try:
        cli.main(prog_name=name, standalone_mode=False, complete_var=COMPLETE)
    except click.UsageError as error:
        error.show()
        raise SystemExit(Exit.USAGE) from None
    except (click.Abort, KeyboardInterrupt):
        # Threads that still wait for a server are daemons: nobody waits for them.
        raise SystemExit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        forget_stdout()
    except Exception as error:
        _explain_failure(error)
    raise SystemExit(Exit.OK)


def _explain_failure(error: Exception) -> NoReturn:
    """An error of the cluster or its configuration in one sentence; anything else is a bug and keeps its traceback."""
    errors = sys.modules.get("svcdoctor.cluster.errors")
    if errors is None or not isinstance(error, errors.KubeError):
        raise error
    click.echo(f"svcdoctor: {error.message}", err=True)
    if getattr(error, "missing", False):
        click.echo("svcdoctor: to see what it does without a cluster: svcdoctor demo", err=True)
    raise SystemExit(Exit.USAGE if error.reason == "not-found" else Exit.UNREACHABLE) from None
