"""`svcdoctor completion`: the script of a shell."""

from __future__ import annotations

from typing import Any

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    Examples:
      source <(svcdoctor completion bash)
      svcdoctor completion fish > ~/.config/fish/completions/svcdoctor.fish
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    # Bash's own version check of click runs bash; the script is the same for every bash that can use it.
    writer: Any = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    complete = writer(click.Group(), {}, "svcdoctor", "_SVCDOCTOR_COMPLETE")
    click.echo(complete.source_template % complete.source_vars(), nl=False)
