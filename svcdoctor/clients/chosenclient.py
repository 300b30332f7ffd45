"""Which Pod tries a Service when nobody named one: a caller found in objects, else a Pod of its namespace. Pure.

Who would be kept out by design is not asked: it would meet that design, and no fault. Services share clients as far as
that goes, since each client is one exec.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from svcdoctor.case import Case
from svcdoctor.clients.statedclient import endpoints_to_try
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.names.lookup import Lookups
from svcdoctor.objectindexes import PODS_BY_OWNER
from svcdoctor.objects import Pod
from svcdoctor.pods.podports import PROXIES
from svcdoctor.policies.mesh import membership_of_pod
from svcdoctor.policies.traffic import closed_by
from svcdoctor.world import NotRead, World

CANDIDATES = 4  # callers of one Service that are considered, and as many other Pods
MOST_CLIENTS = 40  # before Services without one of their callers among these take whom the others have
Place = tuple[str, str]  # namespace and name


def clients_for(
    world: World, cases: Iterable[Case], useless: Container[str], forbidden: Container[str]
) -> dict[Place, tuple[Pod, list[Case]]]:
    """The Pods that try, each with its Services; a Service for which there is none is left out.

    `useless` are images in which there was nothing to connect with, `forbidden` namespaces without the right to look.
    """
    chosen: dict[Place, tuple[Pod, list[Case]]] = {}
    for case in cases:
        pod = _client_of(world, case, chosen, lambda pod, case=case: _may_try(case, pod, useless, forbidden))  # type: ignore[misc]
        if pod is not None:
            chosen.setdefault(_place(pod), (pod, []))[1].append(case)
    return chosen


def _client_of(world: World, case: Case, chosen: Mapping[Place, object], may_try: Callable[[Pod], bool]) -> Pod | None:
    callers = [pod for pod in _callers(case) if may_try(pod)]
    known = [pod for pod in callers if _place(pod) in chosen]
    if known or (callers and len(chosen) < MOST_CLIENTS):
        return (known or callers)[0]
    others = [pod for pod in _beside(world, case) if may_try(pod)]
    known = [pod for pod in others if _place(pod) in chosen]
    return next(iter([*known, *others, *callers]), None)


def _place(pod: Pod) -> Place:
    return pod.metadata.namespace, pod.metadata.name


def _callers(case: Case) -> list[Pod]:
    """Running Pods of the workloads that surely name the Service, one of each."""
    found: list[Pod] = []
    try:
        for template, reference in case.callers:
            pods = case.world.found(PODS_BY_OWNER, template.namespace, (template.kind, template.name))
            if reference.certain and len(found) < CANDIDATES:
                found += sorted(filter(is_ready, pods), key=lambda pod: str(pod.metadata.name))[:1]
    except NotRead:  # what may not be read names nobody; a Pod of the namespace will do
        return found
    return found


def _beside(world: World, case: Case) -> Iterator[Pod]:
    """Ready Pods of the Service's namespace, the one that has looked names up first; one of each image."""
    said: Lookups | None = (world.lookups or {}).get(case.namespace)
    able = said.vantage.pod if said and said.vantage.kind == "exec" and not said.vantage.added else ""
    try:
        ready = [pod for pod in case.listed("pods").values() if is_ready(pod)]
        behind = {view.pod for view in case.endpoints}
    except NotRead:  # there is nobody to ask where Pods may not be read
        return
    ready.sort(key=lambda pod: (pod.metadata.name != able, pod.metadata.name))
    seen: set[tuple[str, ...]] = set()
    for pod in ready:
        images = tuple(container.image for container in pod.spec.containers or ())
        if pod.metadata.name not in behind and images not in seen and len(seen) < CANDIDATES:
            seen.add(images)
            yield pod


def _may_try(case: Case, pod: Pod, useless: Container[str], forbidden: Container[str]) -> bool:
    """Whether what it meets says something of the Service: nothing between them is closed by design."""
    containers = pod.spec.containers or ()
    if (
        pod.metadata.deletion_timestamp
        or pod.metadata.namespace in forbidden
        or pod.spec.host_network
        or all(container.image in useless for container in containers)
        or any(container.name in PROXIES for container in containers)
    ):
        return False
    if (pod.metadata.namespace, pod.metadata.name) in {(case.namespace, view.pod) for view in case.endpoints}:
        return False
    try:
        return not membership_of_pod(case, pod) and not _is_closed(case, pod)
    except NotRead:
        return False


def _is_closed(case: Case, pod: Pod) -> bool:
    pods = case.listed("pods")
    ends = (next(iter(endpoints_to_try(case, port)), None) for port in case.ports)
    return any(closed_by(case, pod, pods[end[0].pod], end[1]) for end in ends if end and end[0].pod in pods)
