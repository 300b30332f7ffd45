"""`svcdoctor demo`: a recorded cluster."""

from __future__ import annotations

import click

from svcdoctor.commands.flags import OUTPUT, options
from svcdoctor.commands.replay import replay_worlds
from svcdoctor.commands.result import finish
from svcdoctor.commands.terminal import is_interactive


@click.command()
@options(OUTPUT)
def demo(
    output: str, fail_on: str, only: tuple[str, ...], skip: tuple[str, ...], no_color: bool, ascii_only: bool
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
    from svcdoctor.demo import recorded_world, recorded_worlds
    from svcdoctor.diagnose import Scope
    from svcdoctor.diagnose import diagnose as diagnose_world

    chosen = click.get_current_context().get_parameter_source("output")
    if is_interactive() and chosen is click.core.ParameterSource.DEFAULT:
        replay_worlds(recorded_worlds(), None, no_color, ascii_only)
    scope = Scope(only=frozenset(only), skip=frozenset(skip))
    finish(diagnose_world(recorded_world(), scope).diagnosis, output, fail_on, no_color, ascii_only)
