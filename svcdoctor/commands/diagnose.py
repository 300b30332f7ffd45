"""`svcdoctor diagnose`: the walk over a live cluster, once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from svcdoctor.commands.flags import CONNECTION, OUTPUT, options
from svcdoctor.commands.result import finish, log
from svcdoctor.commands.waiting import Waiting
from svcdoctor.commands.words import Seconds, pod_named, requirements, service_names

if TYPE_CHECKING:
    from svcdoctor.kube import Cluster


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME | svc/NAME]...")
@click.option("-n", "--namespace", metavar="NAMESPACE", help="The namespace; default is the context's own")
@click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace")
@click.option("-l", "--selector", metavar="LABELS", help="Services with these labels, such as app=cart,tier=web")
@click.option("--from", "client", metavar="POD", help="Look names up from this Pod, POD or NAMESPACE/POD")
@click.option("--no-probe", is_flag=True, help="Read objects only: no exec, no port-forward")
@click.option(
    "--deadline", type=Seconds(), default=120.0, metavar="DURATION", help="Time for the whole run (default 2m)"
)
@click.option("-v", "--verbose", is_flag=True, help="Say on stderr what was asked of the server")
@options(OUTPUT)
@options(CONNECTION)
def diagnose(
    names: tuple[str, ...],
    namespace: str | None,
    all_namespaces: bool,
    selector: str | None,
    client: str | None,
    no_probe: bool,
    deadline: float,
    verbose: bool,
    output: str,
    fail_on: str,
    only: tuple[str, ...],
    skip: tuple[str, ...],
    no_color: bool,
    ascii_only: bool,
    **connection: Any,
) -> None:
    """Diagnose Services: all of a namespace, or those named.

    \b
    Examples:
      svcdoctor diagnose cart
      svcdoctor diagnose svc/cart svc/web -n shop
      svcdoctor diagnose -l app=cart --from frontend-6c
      svcdoctor diagnose -A -o json --no-probe
    """
    services = service_names(names)
    if services and (all_namespaces or selector):
        raise click.UsageError("a Service cannot be named together with --all-namespaces or --selector")
    if client and no_probe:
        raise click.UsageError("--from names the Pod to look names up from, which --no-probe forbids")
    labels = requirements(selector)

    from svcdoctor.collect import Options, collect
    from svcdoctor.diagnose import Scope
    from svcdoctor.kube import Cluster, ConnectOptions
    from svcdoctor.world import EVERYWHERE

    cluster = Cluster.connect(ConnectOptions(**connection))
    where = EVERYWHERE if all_namespaces else namespace or cluster.namespace
    pod = pod_named(client, namespace or cluster.namespace)
    scope = Scope(where, services, labels, frozenset(only), frozenset(skip), pod)
    timeout = connection["request_timeout"]
    limits = (deadline or float("inf"), 60.0 if timeout is None else timeout or float("inf"))
    with Waiting(sys.stderr) as waiting:
        diagnosis = collect(cluster, scope, Options(not no_probe, *limits), waiting.progress()).diagnosis
    if verbose:
        log(cluster.requests)
    unseen = any(gap.resource == "services" for gap in diagnosis.denied)
    if not diagnosis.services and not diagnosis.missing and not unseen:
        _say_that_there_are_none(cluster, where, bool(labels))
    finish(diagnosis, output, fail_on, no_color, ascii_only)


def _say_that_there_are_none(cluster: Cluster, namespace: str, labelled: bool) -> None:
    """No Service in scope: as good as a mistyped name, unless there is such a namespace."""
    from svcdoctor.kube import KubeError
    from svcdoctor.objects import RESOURCES

    try:
        if namespace:
            cluster.get(RESOURCES["namespaces"], "", namespace, timeout=5.0)
    except KubeError as error:
        if error.reason == "not-found":
            raise click.UsageError(f"there is no namespace {namespace!r}; see kubectl get namespaces") from None
    where = f" in namespace {namespace}" if namespace else ""
    click.echo(f"svcdoctor: no Services{' with these labels' if labelled else ''} found{where}", err=True)
