"""`svcdoctor diagnose -f`: manifests before they are applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import click

from svcdoctor.commands.asking import Flags, Found
from svcdoctor.commands.words import nearest, requirements, service_names

if TYPE_CHECKING:
    from svcdoctor.diagnosis import Outcome, Scope
    from svcdoctor.manifests.files import Manifest
    from svcdoctor.world import World


OPTIONS = (
    click.option(
        "-f",
        "--filename",
        "filenames",
        metavar="FILE",
        multiple=True,
        help="Judge these manifests instead of a cluster: a file, a directory, or - for standard input",
    ),
    click.option("-R", "--recursive", is_flag=True, help="With -f: the directories in a directory too"),
    click.option(
        "--with-cluster", is_flag=True, help="With -f: lay the manifests over the cluster, and say what changes"
    ),
)


class Files(NamedTuple):
    """OPTIONS, as they were written."""

    names: tuple[str, ...]
    recursive: bool
    with_cluster: bool

    def check(self, client: str | None, replay: str | None, several: bool) -> None:
        if (self.recursive or self.with_cluster) and not self.names:
            raise click.UsageError(f"{'--recursive' if self.recursive else '--with-cluster'} goes with -f FILE")
        if self.names and client:
            raise click.UsageError("--from looks names up in a cluster as it is, and -f judges what is not applied yet")
        if self.names and replay:
            raise click.UsageError("-f FILE and --replay FILE exclude each other")
        if self.names and several:
            raise click.UsageError("-f FILE is judged for one cluster; name one --context")

    def read(self, namespace: str) -> list[Manifest]:
        """The objects of the files; what is wrong with these is an error of usage."""
        from svcdoctor.manifests.files import ManifestError, read

        try:
            manifests, warnings = read(self.names, recursive=self.recursive, namespace=namespace)
        except ManifestError as error:
            raise click.UsageError(str(error)) from None
        for warning in warnings:
            click.echo(f"svcdoctor: {warning}", err=True)
        return manifests


def diagnose_manifests(files: Files, flags: Flags, only: tuple[str, ...], skip: tuple[str, ...]) -> Found:
    """What the manifests show by themselves. No kubeconfig is read."""
    from datetime import UTC, datetime

    from svcdoctor.diagnosis import Scope
    from svcdoctor.manifests.rehearsal import alone

    manifests = files.read(flags.namespace or "default")
    scope = Scope(
        flags.namespace or "",
        service_names(flags.names),
        requirements(flags.selector),
        frozenset(only),
        frozenset(skip),
    )
    services = {m.item.metadata.name for m in manifests if m.resource.name == "services"}
    for name in scope.names:
        if name not in services:
            raise click.UsageError(f"there is no Service {name!r} in these manifests{nearest(name, services)}")
    diagnosis, unseen = alone(manifests, scope, datetime.now(UTC))
    if not diagnosis.services:
        click.echo("svcdoctor: no Services found in these manifests", err=True)
    if unseen:
        shown = ", ".join(unseen[:4]) + (f" and {len(unseen) - 4} more" if len(unseen) > 4 else "")
        click.echo(f"svcdoctor: named, and not in these manifests: {shown}; --with-cluster looks there too", err=True)
    return Found(diagnosis, scope, is_whole=False)


def laid_over(manifests: list[Manifest]) -> Callable[[World, Scope], Outcome]:
    """How `collect` is to judge the World that it reads."""
    from svcdoctor.manifests.rehearsal import over

    return lambda world, scope: over(world, manifests, scope)


def namespace_of(manifests: list[Manifest]) -> str:
    """The namespace that the manifests are about; "" where they are about several."""
    found = {manifest.item.metadata.namespace for manifest in manifests if manifest.resource.namespaced}
    return found.pop() if len(found) == 1 else ""
