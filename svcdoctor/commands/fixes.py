"""`svcdoctor diagnose --diff` and `--dry-run=server`: what the fixes change, and whether the server takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from svcdoctor.commands.outputs import Output
from svcdoctor.commands.terminal import wants_color

if TYPE_CHECKING:
    from svcdoctor.cluster.kube import Cluster
    from svcdoctor.finding import Diagnosis
    from svcdoctor.world import World

OPTIONS = (
    click.option("--diff", is_flag=True, help="Show what the fix of each cause changes, instead of the report"),
    click.option(
        "--dry-run",
        type=click.Choice(("none", "server")),
        default="none",
        show_default=True,
        help="server: try the fix of each cause as a PATCH with dryRun=All, which stores nothing",
    ),
)
COLORS = {"+": "green", "-": "red", "@": "cyan", "#": "yellow"}


class Fixes(NamedTuple):
    """OPTIONS, as they were written."""

    diff: bool
    dry_run: str

    def check(self, *, manifests: bool, replay: bool, several: bool, outputs: Sequence[Output]) -> None:
        if self.dry_run == "server" and manifests:
            raise click.UsageError("--dry-run=server asks a cluster about its own objects, and -f judges other ones")
        if self.dry_run == "server" and replay:
            raise click.UsageError("--dry-run=server is about a cluster, and --replay reads none")
        if self.diff and manifests:
            raise click.UsageError("--diff is about objects of a cluster; with -f each fix names the line to change")
        if self.diff and several:
            raise click.UsageError("--diff is shown of one cluster; name one --context")
        if printed := next((output.format for output in outputs if self.diff and not output.path), None):
            raise click.UsageError(f"--diff is printed instead of a report; write the report to a file: {printed}=FILE")

    def tried(self, cluster: Cluster, world: World, diagnosis: Diagnosis) -> Diagnosis:
        """The report with what the server says of the fixes, where it is to be asked."""
        if self.dry_run != "server":
            return diagnosis
        from svcdoctor.remedies.dryrun import tried_on_server

        return tried_on_server(cluster, world, diagnosis)

    def shown(self, world: World, diagnosis: Diagnosis, no_color: bool) -> str | None:
        """The diffs as text; None where these were not asked for."""
        if not self.diff:
            return None
        from svcdoctor.remedies.difference import differences

        lines = differences(world, diagnosis)
        if not lines:
            click.echo("svcdoctor: no fix of a cause can be shown as a diff", err=True)
        if not no_color and wants_color():
            lines = [click.style(line, fg=COLORS.get(line[:1])) for line in lines]
        return "".join(f"{line}\n" for line in lines)
