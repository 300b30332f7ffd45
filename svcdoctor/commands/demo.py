"""`svcdoctor demo`: a recorded cluster."""

from __future__ import annotations

import click

from svcdoctor.commands.flags import OUTPUT, options
from svcdoctor.commands.outputs import Output
from svcdoctor.commands.replay import show
from svcdoctor.commands.result import finish
from svcdoctor.commands.terminal import is_interactive


@click.command()
@options(OUTPUT)
def demo(
    output: tuple[Output, ...],
    fail_on: str,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    no_color: bool,
    ascii_only: bool,
) -> None:
    """A recorded cluster: needs none of your own.

    \b
    On a terminal it opens the dashboard, where Services break and heal; with -o,
    or where there is no terminal, it prints the report.

    \b
    Examples:
      svcdoctor demo
      svcdoctor demo -o text
      svcdoctor demo -o json
    """
    from svcdoctor.demo import recorded_demo
    from svcdoctor.diagnosis import Scope, diagnose_recorded

    chosen = click.get_current_context().get_parameter_source("output")
    if is_interactive() and chosen is click.core.ParameterSource.DEFAULT:
        show(recorded_demo(), None, no_color, ascii_only)
    scope = Scope(only=frozenset(only), skip=frozenset(skip))
    finish(diagnose_recorded(recorded_demo().worlds[0], scope), output, fail_on, no_color, ascii_only)
