"""Which names are looked up for the Services of a run, by whom, and within how many seconds.

One Pod of each namespace with Services is asked for all their names, or the client that a person chose; and each
CoreDNS Pod by itself.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.clients.clientpod import client_pod, no_such_client
from svcdoctor.cluster import probe
from svcdoctor.cluster.kube import Cluster, ReadFailed
from svcdoctor.clustercase import ClusterCase
from svcdoctor.diagnosis import Scope
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.names.lookup import CONTROL, Lookups, Vantage, full_control, outside_name, service_name
from svcdoctor.objects import RESOURCES, Pod, Service
from svcdoctor.text import printable
from svcdoctor.world import EVERYWHERE, NotRead, World

SERVICE_SECONDS = 5.0  # that all probes of one Service may take together
ALL_SECONDS = 20.0  # of many
MORE_SECONDS = 0.6  # for each Service more
NAMES_A_SECOND = 5  # that a busy machine manages
SERVER_SECONDS = 5.0
MOST_NAMES = 100  # that each CoreDNS Pod is asked for
MOST_OUTSIDE = 2  # of them outside of the cluster: each may take as long as CoreDNS is waited for
CANDIDATES = 6  # Pods of a namespace that are considered for a lookup
OF_ONE = 5  # names: those of one Service, and the control as a short and as a full name


class Question(NamedTuple):
    """What is to be looked up for the Services of one namespace, and where; or what one CoreDNS Pod is asked."""

    namespace: str  # or the CoreDNS Pod, as NAMESPACE/POD
    candidates: list[Pod]
    names: list[str]
    coredns_pods: list[tuple[str, str]]
    dns_service_ip: str
    zone: str

    @property
    def is_of_a_server(self) -> bool:
        return "/" in self.namespace

    @property
    def seconds(self) -> float:
        """That the answers may take."""
        more = max(0, len(self.names) - OF_ONE)
        return min(ALL_SECONDS, SERVICE_SECONDS + more / NAMES_A_SECOND)


def probe_seconds(services: int) -> float:
    """That all probes of a run about so many Services may take together."""
    return min(ALL_SECONDS, SERVICE_SECONDS + MORE_SECONDS * max(0, services - 1))


def servers_to_compare(world: World) -> list[Pod]:
    """The CoreDNS Pods that are asked each by itself: none where there are no two.

    Those that start or end are left out: they may say what the others do not.
    """
    cluster = ClusterCase(world)
    found = [pod for pod in _coredns_pods(world) if cluster.is_steady_server(pod)]
    return found if len(found) > 1 else []


def server_questions(world: World, scope: Scope, only: Container[str] | None = None) -> list[Question]:
    """What each CoreDNS Pod (or only these) is asked: the control, and the Services in scope, the youngest first.

    For an alias its target is asked for, at the end: whoever does not answer there keeps no other name waiting.
    """
    places = [(pod.metadata.namespace, pod.metadata.name) for pod in servers_to_compare(world)]
    asked = [place for place in places if only is None or "/".join(place) in only]
    services = services_in_scope(world, scope) if asked else []
    if not services:
        return []
    zone = ClusterCase(world).zone
    services.sort(key=lambda item: (item.metadata.creation_timestamp or "", item.metadata.name), reverse=True)
    outside = [name for item in services if (name := outside_name(item, zone))][:MOST_OUTSIDE]
    inside = [item.metadata for item in services if not outside_name(item, zone)]
    forms = [service_name(item.name, item.namespace, zone) for item in inside][: MOST_NAMES - 1 - len(outside)]
    names = [*dict.fromkeys([service_name("kubernetes", "default", zone), *forms, *outside])]
    return [Question("/".join(place), [], names, [place], "", zone) for place in asked]


def questions(world: World, scope: Scope, client: Pod | None, only: Container[str] | None = None) -> list[Question]:
    """For each namespace (or only these) with Services in scope what its Pods, or the client, are to look up."""
    cluster = ClusterCase(world)
    kube_dns = cluster.or_without(cluster.kube_dns, None)
    address = (kube_dns.spec.cluster_ip or "") if kube_dns else ""
    servers = [(pod.metadata.namespace, pod.metadata.name) for pod in _coredns_pods(world)]
    groups: dict[str, list[Service]] = {}
    for service in services_in_scope(world, scope):
        if only is not None and service.metadata.namespace not in only:
            continue
        groups.setdefault(service.metadata.namespace, []).append(service)
    return [
        Question(
            namespace,
            [client] if client else _client_pods(world, namespace),
            _names(services, cluster.zone, short=client is None or client.metadata.namespace == namespace),
            servers,
            address,
            cluster.zone,
        )
        for namespace, services in sorted(groups.items())
    ]


def ask(cluster: Cluster, question: Question, seconds: float) -> Lookups:
    if not seconds:
        return Lookups(vantage=Vantage(kind="exec"), unavailable="timeout", detail="the deadline of the run is over")
    if question.is_of_a_server:
        seconds = min(seconds, SERVER_SECONDS)
        return probe.ask_server(cluster, question.coredns_pods[0], question.names, timeout=seconds)
    return probe.look_up(
        cluster,
        question.candidates,
        question.names,
        coredns_pods=question.coredns_pods,
        dns_service_ip=question.dns_service_ip,
        zone=question.zone,
        timeout=seconds,
    )


def chosen_client(cluster: Cluster, scope: Scope, seconds: float) -> Pod | Lookups | None:
    """The Pod that a person chose, or why it cannot be used. Raises ReadFailed where there is none."""
    if scope.client is None:
        return None
    namespace, name = scope.client
    try:
        if "/" not in name:
            pod: Pod = cluster.get(RESOURCES["pods"], namespace, name, timeout=seconds)
            return pod
        pods = cluster.list(RESOURCES["pods"], namespace, timeout=seconds).items
    except ReadFailed as error:
        if error.reason != "not-found":
            reason = error.reason if error.reason in ("forbidden", "timeout") else "error"
            return Lookups(vantage=Vantage(kind="exec"), unavailable=reason, detail=error.message)
        pods = _pods_there(cluster, namespace, seconds)
    found = client_pod(pods, name)
    if found is None:
        hint = f"see kubectl -n {namespace} get pods, and give --from POD, deploy/NAME, sa/NAME or NAMESPACE/POD"
        raise ReadFailed(printable(f"{no_such_client(pods, namespace, name)}; {hint}"), reason="not-found")
    return found


def _pods_there(cluster: Cluster, namespace: str, seconds: float) -> list[Pod]:
    """For whoever named a Pod that is not there; none where they may not be listed."""
    try:
        return list(cluster.list(RESOURCES["pods"], namespace, timeout=seconds).items)
    except ReadFailed:
        return []


def services_in_scope(world: World, scope: Scope) -> list[Service]:
    try:
        if scope.namespace == EVERYWHERE:
            found = world.everywhere("services")[0]
        else:
            found = list(world.listed("services", scope.namespace).values())
    except NotRead:
        return []
    return [service for service in found if scope.holds(service)]


def cases_at(world: World, scope: Scope, places: Container[str]) -> list[Case]:
    """Those of the Services in scope that stand at one of these places, as NAMESPACE/NAME."""
    services = services_in_scope(world, scope)
    return [Case(world, one) for one in services if f"{one.metadata.namespace}/{one.metadata.name}" in places]


def _coredns_pods(world: World) -> list[Pod]:
    try:
        pods: Iterable[Pod] = world.listed("pods", "kube-system").values()
    except NotRead:
        return []
    return [pod for pod in pods if (pod.metadata.labels or {}).get("k8s-app") == "kube-dns" and is_ready(pod)]


def _client_pods(world: World, namespace: str) -> list[Pod]:
    """Pods that would be told what an application of the namespace is told, most likely to answer first."""
    try:
        pods: Iterable[Pod] = world.listed("pods", namespace).values()
    except NotRead:
        return []
    usable = [
        pod
        for pod in pods
        if pod.status.phase == "Running"
        and not pod.metadata.deletion_timestamp
        and not pod.spec.host_network
        and pod.spec.dns_policy == "ClusterFirst"
        and not pod.spec.dns_config
    ]
    usable.sort(key=lambda pod: (not is_ready(pod), _restarts(pod), pod.metadata.name))
    # One Pod of each image: ten replicas without a shell are no more use than one.
    distinct = {tuple(container.image for container in pod.spec.containers or ()): pod for pod in reversed(usable)}
    return sorted(distinct.values(), key=usable.index)[:CANDIDATES]


def _restarts(pod: Pod) -> int:
    return sum(status.restart_count for status in pod.status.container_statuses or ())


def _names(services: list[Service], zone: str, *, short: bool) -> list[str]:
    """The control first, then each Service as a person would type it, from the shortest form to the absolute one.

    Last what may have to wait for servers outside: what aliases stand for, as of an alias whose target is not found
    CoreDNS does not say why; and a full name as people write it, which a search domain may take for its own.
    """
    names = [CONTROL]
    for service in services:
        name, namespace = service.metadata.name, service.metadata.namespace
        names += [name] if short else []
        names += [f"{name}.{namespace}", service_name(name, namespace, zone)]
    outside = dict.fromkeys(name for service in services if (name := outside_name(service, zone)))
    return [*names, *outside, full_control(zone)]
