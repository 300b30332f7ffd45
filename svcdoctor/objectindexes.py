"""By what objects are found in a World, without going through all of a kind."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import partial
from typing import Any

from svcdoctor.clients.mentions import words_in, words_of
from svcdoctor.clients.settings import configs_of
from svcdoctor.endpoints.reconcile import SERVICE_NAME, pod_addresses
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES, backends_of
from svcdoctor.indexes import Index, those
from svcdoctor.objects import Service
from svcdoctor.pods.template import (
    POD_INDEX,
    POD_NAME,
    TEMPLATE_KINDS,
    WORKLOAD_RESOURCES,
    former_owner,
    is_owned,
    template_of,
    top_owner,
)


def words_of_item(kind: str, item: Any) -> set[str]:
    return set() if is_owned(item) else words_of(template_of(kind, item).spec)


def configs_of_item(kind: str, item: Any) -> set[str]:
    return set() if is_owned(item) else configs_of(template_of(kind, item).spec)


PODS_BY_LABEL = Index("pods by label", "pods", lambda pod: (pod.metadata.labels or {}).items())
# What templates_in leaves out anyway is kept from it: Pods and ReplicaSets change all the time.
# Where a Service could be named; a ConfigMap's words count for whoever takes settings from it.
MENTIONING = {
    resource: Index(f"{resource} by word", resource, partial(words_of_item, kind))
    for resource, kind in TEMPLATE_KINDS.items()
}
CONFIGURED_BY = {
    resource: Index(f"{resource} by configmap", resource, partial(configs_of_item, kind))
    for resource, kind in TEMPLATE_KINDS.items()
}
CONFIGS_MENTIONING = Index("configmaps by word", "configmaps", words_in)
UNOWNED = {
    kind: those(f"unowned {kind}", kind, lambda item: not is_owned(item))
    for kind in (*WORKLOAD_RESOURCES, "pods")
    if kind != "cronjobs"
} | {"cronjobs": those("all cronjobs", "cronjobs", lambda _: True)}
SLICES_BY_SERVICE = Index(
    "slices by service", "endpointslices", lambda item: filter(None, [(item.metadata.labels or {}).get(SERVICE_NAME)])
)
SERVICES_BY_CLUSTER_IP = Index(
    "services by cluster ip",
    "services",
    lambda item: {ip for ip in item.spec.cluster_ips or [item.spec.cluster_ip] if ip and ip != "None"},
)
SERVICES_BY_NAME = Index("services by name", "services", lambda item: (item.metadata.name,))
# What a controller wrote belongs to the object that it was written for, and goes with it.
UNOWNED_SLICES = those("unowned slices", "endpointslices", lambda item: not item.metadata.owner_references)
SERVICES_BY_SELECTOR = Index(
    "services by selector",
    "services",
    lambda item: [frozenset(item.spec.selector.items())] if item.spec.selector else (),
)


def wanted_labels(service: Service) -> Iterable[Hashable]:
    """What a label has to be for the selector to find it; of one that names a Pod by its number also that it does."""
    selector = service.spec.selector or {}
    if service.spec.type == "ExternalName":
        return ()
    return [*selector.items(), *([POD_INDEX] if {POD_NAME, POD_INDEX} & selector.keys() else ())]


SERVICES_BY_WANTED_LABEL = Index("services by wanted label", "services", wanted_labels)
PODS_BY_ADDRESS = Index("pods by address", "pods", pod_addresses)
PODS_LET_GO = Index("pods let go", "pods", lambda pod: filter(None, [former_owner(pod)]))
CRONJOBS_BY_LABEL = Index(
    "cronjobs by label",
    "cronjobs",
    lambda item: (item.spec.job_template.spec.template.metadata.labels or {}).items(),
)
REPLICA_SETS_BY_OWNER = Index(
    "replicasets by owner",
    "replicasets",
    lambda item: [owner.uid for owner in item.metadata.owner_references or () if owner.controller],
)
STATEFULSETS_BY_SERVICE = Index(
    "statefulsets by service", "statefulsets", lambda item: filter(None, [item.spec.service_name])
)
PODS_BY_OWNER = Index("pods by owner", "pods", lambda pod: [top_owner(pod)])
EVENTS_BY_OBJECT = Index(
    "events by object", "events", lambda event: [(event.involved_object.kind, event.involved_object.name)]
)
ENTRIES_BY_SERVICE = {
    resource: Index(
        f"{resource} by service", resource, lambda item: {(one.namespace, one.name) for one in backends_of(item)}
    )
    for resource in ENTRY_RESOURCES
}
