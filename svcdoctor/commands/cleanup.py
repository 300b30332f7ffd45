"""`svcdoctor cleanup`: what runs that were killed have left in a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from svcdoctor.commands import livenames
from svcdoctor.commands.consent import YES, confirmed, must_be_able_to_ask
from svcdoctor.commands.exits import Exit
from svcdoctor.commands.flags import CONNECTION, options

if TYPE_CHECKING:
    from svcdoctor.objects import Pod

CONTAINERS = (
    "Containers that --probe-image has added to Pods are not among them: they have ended by themselves, and go with"
    " their Pod."
)


@click.command()
@click.option(
    "-n",
    "--namespace",
    metavar="NAMESPACE",
    shell_complete=livenames.namespaces,
    help="The namespace; default is the context's own",
)
@click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace")
@YES
@options(CONNECTION)
def cleanup(namespace: str | None, all_namespaces: bool, yes: bool, **connection: Any) -> None:
    """Delete the Pods that killed runs have left.

    diagnose --probe-pod deletes its Pod itself, unless it is killed with SIGKILL
    or loses its connection. Lists what it finds, and asks.

    \b
    Examples:
      svcdoctor cleanup -n shop
      svcdoctor cleanup -A --yes
    """
    if namespace and all_namespaces:
        raise click.UsageError("--namespace and --all-namespaces exclude each other")
    must_be_able_to_ask("cleanup deletes Pods", yes)
    from datetime import UTC, datetime

    from svcdoctor.cluster.additions import delete_pod, left_over
    from svcdoctor.cluster.kube import Cluster, ConnectOptions, KubeError
    from svcdoctor.text import plural

    cluster = Cluster.connect(ConnectOptions(**connection))
    where = "" if all_namespaces else namespace or cluster.namespace
    pods = left_over(cluster, where)
    if not pods:
        click.echo(f"svcdoctor: no Pods to delete {f'in namespace {where}' if where else 'in any namespace'}", err=True)
        return
    now = datetime.now(UTC)
    text = [f"{plural(len(pods), 'Pod')} of svcdoctor will be deleted:", *(_line(pod, now) for pod in pods), CONTAINERS]
    if not confirmed("\n".join(text), "Delete?", yes):
        click.echo("svcdoctor: nothing is deleted", err=True)
        return
    failed = False
    for pod in pods:
        try:
            delete_pod(cluster, pod.metadata.namespace, pod.metadata.name)
            click.echo(f"pod/{pod.metadata.name} deleted in namespace {pod.metadata.namespace}")
        except KubeError as error:
            failed = True
            click.echo(f"svcdoctor: {error.message}", err=True)
    raise SystemExit(Exit.FAIL if failed else Exit.OK)


def _line(pod: Pod, now: Any) -> str:
    from datetime import datetime

    from svcdoctor.text import duration

    created = pod.metadata.creation_timestamp
    age = f", created {duration((now - datetime.fromisoformat(created)).total_seconds())} ago" if created else ""
    return f"  Pod {pod.metadata.namespace}/{pod.metadata.name}, {pod.status.phase or 'of unknown phase'}{age}"
