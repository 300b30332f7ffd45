"""`svcdoctor schema`: the contract of the JSON report."""

from __future__ import annotations

import click

FILES = {"report": "schema.json", "list": "schema-list.json"}


@click.command()
@click.argument("of", type=click.Choice(tuple(FILES)), default="report", metavar="[list]")
def schema(of: str) -> None:
    """Print the JSON Schema of the report that -o json prints.

    \b
    YAML has the same form; a line of jsonl is its $defs/line-of-jsonl.
    `schema list` is that of a run over several contexts.

    \b
    Examples:
      svcdoctor schema > svcdoctor.schema.json
      svcdoctor schema list
      check-jsonschema --schemafile svcdoctor.schema.json report.json
    """
    from importlib.resources import files

    click.echo(files("svcdoctor").joinpath(f"report/{FILES[of]}").read_text(encoding="utf-8"), nl=False)
