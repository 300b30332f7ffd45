"""`svcdoctor explain`: the page of a code."""

from __future__ import annotations

import click

from svcdoctor.commands.exits import MEANING
from svcdoctor.commands.words import completions, nearest


@click.command()
@click.argument("code", required=False, shell_complete=lambda ctx, param, incomplete: completions(incomplete))
def explain(code: str | None) -> None:
    """Explain a code or the exit codes; or list all.

    \b
    Examples:
      svcdoctor explain
      svcdoctor explain selector-value-mismatch
      svcdoctor explain exit-codes
    """
    from svcdoctor.catalogue import pages, title

    if code == "exit-codes":
        for exit_code, meaning in MEANING.items():
            click.echo(f"{exit_code:>3}  {meaning}")
        return
    if code is None:
        width = max(map(len, pages()))
        for slug in pages():
            click.echo(f"{slug.ljust(width)}  {title(slug)}")
        return
    page = pages().get(code)
    if page is None:
        raise click.UsageError(f"no such code: {code!r}{nearest(code, pages())}; svcdoctor explain lists them all")
    click.echo(f"{page.code}\n")
    click.echo(page.text)
    if page.question:
        click.echo(f"\nStep {page.step}: {page.question}")
