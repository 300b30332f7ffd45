"""svcdoctor for programs: one function, and the report that it returns.

    from svcdoctor import Status, diagnose

    report = diagnose("cart", namespace="shop", probe=False)
    for service in report.services:
        if service.status is Status.FAIL:
            print(service.name, service.cause, service.headline)

The report's classes are in finding.py, with the fields of `-o json` in snake_case; docs/api.md has both.
"""

from __future__ import annotations

from collections.abc import Collection

from svcdoctor.catalogue import pages
from svcdoctor.cluster.collect import Options, collect
from svcdoctor.cluster.kube import Cluster, ConnectOptions, KubeError
from svcdoctor.diagnosis import Scope
from svcdoctor.finding import Diagnosis, Finding, Status
from svcdoctor.labels import parse
from svcdoctor.objects import RESOURCES
from svcdoctor.world import EVERYWHERE

__all__ = ["Diagnosis", "Finding", "KubeError", "Status", "diagnose"]


def diagnose(
    *names: str,
    namespace: str | None = None,
    all_namespaces: bool = False,
    selector: str = "",
    client: tuple[str, str] | None = None,
    probe: bool = True,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    kubeconfig: str | None = None,
    context: str | None = None,
    deadline: float = 120.0,
    request_timeout: float = 60.0,
) -> Diagnosis:
    """Diagnose Services of a live cluster as `svcdoctor diagnose` does, and return its report. Changes nothing.

    Without names it is every Service of the namespace (by default the context's own), of those with the labels that
    `selector` wants (`app=cart,tier in (web, api)`), or of `all_namespaces`. A name that is no Service is a finding.

    `client` is the (namespace, name) of the Pod to look names up from; `probe=False` reads objects only: no exec, no
    port-forward. `only` and `skip` are codes. `kubeconfig` is a path and `context` a name; without them the
    environment decides as for kubectl, and inside a Pod its service account. `deadline` is in seconds for the whole
    run, `request_timeout` in seconds for one list; inf is without limit.

    Raises KubeError, whose `message` is one sentence and whose `reason` a slug: no usable kubeconfig (`config`), no
    answer (`unreachable`), refused credentials (`unauthenticated`), no such namespace or client (`not-found`). What
    may not be read raises nothing: the report says `unknown` and lists it in `denied`. Raises ValueError where names
    are given with `selector` or `all_namespaces`, `client` without `probe`, the selector does not parse, or a code
    does not exist.
    """
    if names and (all_namespaces or selector):
        raise ValueError("a Service cannot be named together with all_namespaces or selector")
    if client and not probe:
        raise ValueError("client is the Pod to look names up from, which probe=False forbids")
    try:
        labels = parse(selector) if selector else ()
    except ValueError as error:
        raise ValueError(f"selector {selector!r} does not parse {error}") from None
    if strange := {*only, *skip} - set(pages()):
        raise ValueError(f"no such code: {', '.join(sorted(strange))}")
    cluster = Cluster.connect(ConnectOptions(kubeconfig=kubeconfig, context=context))
    try:
        where = EVERYWHERE if all_namespaces else namespace or cluster.namespace
        scope = Scope(where, names, labels, frozenset(only), frozenset(skip), client)
        report = collect(cluster, scope, Options(probe, deadline, request_timeout)).diagnosis
        if where and not report.services and not report.denied:
            _check_that_there_is(cluster, where)
        return report
    finally:
        cluster.close()


def _check_that_there_is(cluster: Cluster, namespace: str) -> None:
    """A namespace without Services is as good as a mistyped one, unless it is there."""
    try:
        cluster.get(RESOURCES["namespaces"], "", namespace, timeout=5.0)
    except KubeError as error:
        if error.reason == "not-found":
            raise
