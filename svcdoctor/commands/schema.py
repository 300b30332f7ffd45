"""`svcdoctor schema`: the contract of the JSON report."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of the report that -o json prints.

    \b
    YAML has the same form; a line of jsonl is its $defs/line-of-jsonl.

    \b
    Examples:
      svcdoctor schema > svcdoctor.schema.json
      check-jsonschema --schemafile svcdoctor.schema.json report.json
    """
    from importlib.resources import files

    click.echo(files("svcdoctor").joinpath("report/schema.json").read_text(encoding="utf-8"), nl=False)
