"""What the flags of a run ask for: of which Services, of which cluster, within which limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from svcdoctor.commands.words import client_named, request_path, requirements, service_names

if TYPE_CHECKING:
    from svcdoctor.cluster.collect import Options
    from svcdoctor.cluster.kube import Cluster
    from svcdoctor.diagnosis import Scope
    from svcdoctor.finding import Diagnosis
    from svcdoctor.world import World


class Flags(NamedTuple):
    """commands/flags.py's SCOPE, as they were written; the same for every context."""

    names: tuple[str, ...]
    namespace: str | None
    all_namespaces: bool
    selector: str | None
    client: str | None
    no_probe: bool
    deadline: float
    http: str | None = None

    def check(self) -> None:
        if self.names and (self.all_namespaces or self.selector):
            raise click.UsageError("a Service cannot be named together with --all-namespaces or --selector")
        if self.client and self.no_probe:
            raise click.UsageError("--from names the Pod to look from, which --no-probe forbids")
        if self.http is not None:
            request_path(self.http)
            if not self.client:
                raise click.UsageError("--http names what the client of --from asks for: add --from POD or deploy/NAME")
        service_names(self.names)
        requirements(self.selector)

    @property
    def name_a_scope(self) -> bool:
        return bool(self.names or self.namespace or self.all_namespaces or self.selector)


class Asked(NamedTuple):
    cluster: Cluster
    scope: Scope
    options: Options


class Found(NamedTuple):
    """A Diagnosis, and what it was asked about."""

    diagnosis: Diagnosis
    scope: Scope
    world: World | None = None  # what it was made of; None where that is manifests alone
    is_whole: bool = True  # nothing that the scope means was left out, as manifests leave out most of a cluster


def asked(flags: Flags, connection: dict[str, Any]) -> Asked:
    """The cluster, connected, and what to read of it. Raises KubeError."""
    from svcdoctor.cluster.kube import Cluster, ConnectOptions

    flags.check()
    return asked_of(Cluster.connect(ConnectOptions(**connection)), flags, connection["request_timeout"])


def asked_of(cluster: Cluster, flags: Flags, request_timeout: float | None) -> Asked:
    """The same of a cluster that is connected; its context's namespace is asked about where the flags name none."""
    from svcdoctor.cluster.collect import Options
    from svcdoctor.diagnosis import Scope
    from svcdoctor.world import EVERYWHERE

    own = flags.namespace or cluster.namespace
    where = EVERYWHERE if flags.all_namespaces else own
    client = client_named(flags.client, own)
    scope = Scope(where, service_names(flags.names), requirements(flags.selector), client=client)
    limits = (flags.deadline or float("inf"), 60.0 if request_timeout is None else request_timeout or float("inf"))
    return Asked(cluster, scope, Options(not flags.no_probe, *limits, http=flags.http or ""))


def there_is_a_namespace(cluster: Cluster, namespace: str) -> None:
    """Raises ReadFailed (not-found) where the cluster says that there is no such namespace."""
    from svcdoctor.cluster.kube import KubeError, ReadFailed
    from svcdoctor.objects import RESOURCES

    try:
        if namespace:
            cluster.get(RESOURCES["namespaces"], "", namespace, timeout=5.0)
    except KubeError as error:
        if error.reason == "not-found":
            raise ReadFailed(no_such_namespace(namespace).message, reason="not-found") from None


def no_such_namespace(namespace: str) -> click.UsageError:
    return click.UsageError(f"there is no namespace {namespace!r}; see kubectl get namespaces")


def say_that_there_are_none(scope: Scope) -> None:
    where = f" in namespace {scope.namespace}" if scope.namespace else ""
    labelled = " with these labels" if scope.labels else ""
    click.echo(f"svcdoctor: no Services{labelled} found{where}", err=True)
