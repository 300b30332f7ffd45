"""Do Pods reach the API server, and the API server the programs that extend it?

rdep-apiservice
    A part of the API is served by a Service of the cluster, and the API server cannot use it.
    Why it breaks      An APIService hands a group of the API (metrics.k8s.io, custom.metrics.k8s.io) to a Service.
                       While that fails, requests for the group fail: kubectl top, autoscalers, and the deletion of
                       every namespace, which has to list all kinds.
    Confirm by hand    kubectl get apiservices
    Fix                Repair the Service, or delete the APIService if its program is gone for good.
    Not a fault when   The program was only just started.

rdep-kubernetes-svc
    The Service kubernetes, by which Pods reach the API server, leads to addresses where none runs.
    Why it breaks      Each API server writes the address that it advertises to the slice kubernetes of namespace
                       default. An address of another network, or of a server that is gone, makes operators, CoreDNS
                       and everything else that talks to the API fail or wait; of several addresses, a share of the
                       connections.
    Confirm by hand    kubectl -n default get endpointslices kubernetes -o yaml
                       kubectl -n kube-system get pods -o wide -l component=kube-apiserver
    Fix                Start the API server with the right --advertise-address; it rewrites the slice by itself.
    Not a fault when   The control plane runs elsewhere (a managed cluster), or behind an address of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from svcdoctor.case import SETTLING_SECONDS, case_of, may_be_called_by_api_server
from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.endpoints.reconcile import pod_addresses
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, skipped, warn
from svcdoctor.objects import APIService, Condition, Pod
from svcdoctor.text import listing, plural, shorten
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.CALLERS,
    codes={
        "rdep-apiservice": Code(Stage.SERVED),
        "rdep-kubernetes-svc": Code(Stage.SLICES_AGREE),
    },
    reads=("apiservices", "services", "endpointslices", "pods"),
    about="cluster",
    concerns=may_be_called_by_api_server,
)
HTTPS = 443
USERS = {
    "metrics.k8s.io": "kubectl top and autoscalers on CPU and memory",
    "custom.metrics.k8s.io": "autoscalers on custom metrics",
    "external.metrics.k8s.io": "autoscalers on external metrics",
}
KUBERNETES = Subject("Service", "default", "kubernetes")
ADVERTISED = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint"
_ADVERTISE = re.compile(r"--advertise-address=(\S+)")


def run(case: ClusterCase) -> Iterator[Finding]:
    extensions: Mapping[str, APIService] | None = case.or_without(lambda: case.listed("apiservices", EVERYWHERE), None)
    if extensions is None:
        yield skipped(case.subject, "apiservices may not be listed")
    unavailable: dict[tuple[str, str], list[tuple[APIService, Condition]]] = {}
    for extension in (extensions or {}).values():
        condition = _unavailable(extension)
        service = extension.spec.service
        if service and condition and not case.is_younger(condition.last_transition_time, SETTLING_SECONDS):
            unavailable.setdefault((service.namespace, service.name), []).append((extension, condition))
    for (namespace, name), found in sorted(unavailable.items()):
        yield _extension_down(Subject("Service", namespace, name), found)
    yield from _own_addresses(case)


# --- what extends it -----------------------------------------------------------------------------------------------


def _unavailable(extension: APIService) -> Condition | None:
    conditions = (extension.status.conditions if extension.status else None) or ()
    return next((item for item in conditions if item.type == "Available" and item.status == "False"), None)


def _extension_down(subject: Subject, found: list[tuple[APIService, Condition]]) -> Finding:
    names = [extension.metadata.name for extension, _ in found]
    condition = found[0][1]
    groups = dict.fromkeys(extension.spec.group for extension, _ in found)
    users = [*(USERS[group] for group in groups if group in USERS), "the deletion of namespaces"]
    missing = condition.reason in ("ServiceNotFound", "ServicePortError")
    look = Remedy(
        "see what ails the Service", f"svcdoctor diagnose {subject.name} -n {subject.namespace}", changes_cluster=False
    )
    delete = Remedy("delete it, if its program is gone for good", f"kubectl delete apiservice {' '.join(names)}")
    return fail(
        "rdep-apiservice",
        subject,
        f"the API server cannot serve {listing(names)}: {condition.reason}, {shorten(condition.message or '')}",
        *(
            Evidence(
                extension.metadata.name,
                f"Available=False {said.reason}",
                f"apiservice/{extension.metadata.name} .status.conditions",
            )
            for extension, said in found[:3]
        ),
        Evidence("affected", "; ".join(users), f"API group {listing(list(groups))}"),
        remedies=(delete,) if missing and condition.reason == "ServiceNotFound" else (look, delete),
    )


# --- its own addresses ---------------------------------------------------------------------------------------------


def _own_addresses(case: ClusterCase) -> Iterator[Finding]:
    if not case.world.was_read("services", "default"):
        return  # outside of the scope
    pods: Mapping[str, Pod] = case.or_without(lambda: case.listed("pods", "kube-system"), {})
    servers = [pod for name, pod in pods.items() if name.startswith("kube-apiserver-")]
    kubernetes = case.or_without(lambda: case_of(case, "default", "kubernetes"), None)
    if not servers or kubernetes is None:
        return
    endpoints = case.or_without(lambda: kubernetes.ready_endpoints, None)
    if endpoints is None or any(case.is_younger(pod.status.start_time, SETTLING_SECONDS) for pod in servers):
        return
    advertised = {address for pod in servers for address in _advertised(pod)}
    written = [view.address for view in endpoints]
    dead = [address for address in written if address not in advertised]
    if written and not dead:
        return
    if not written:
        message = "no Pod reaches the API server: the slice of Service kubernetes has no endpoint"
    elif len(dead) == len(written):
        message = f"no Pod reaches the API server: Service kubernetes leads to {listing(dead)}, where none runs"
    else:
        share = f"{len(dead)} of {plural(len(written), 'address', 'addresses')}"
        message = (
            f"a share of the connections of Pods to the API server fails: at {share} of Service kubernetes none runs"
        )
    say = fail if len(dead) == len(written) else warn
    yield say(
        "rdep-kubernetes-svc",
        KUBERNETES,
        message,
        Evidence("endpoints", listing(written) or "none", "endpointslice/kubernetes in namespace default"),
        Evidence("API servers", listing(sorted(advertised)), f"pods {listing([pod.metadata.name for pod in servers])}"),
        Evidence("affected", "every Pod that talks to the API: CoreDNS, operators, controllers", "service/kubernetes"),
        Evidence(
            "otherwise", "a server that no Pod runs, or an address in front of them, may answer there", "endpoints"
        ),
        remedies=(
            Remedy(
                "see which address each advertises",
                "kubectl -n kube-system get pods -l component=kube-apiserver -o yaml | grep advertise-address",
                changes_cluster=False,
            ),
            Remedy("let the API servers write the slice anew", "kubectl -n default delete endpointslice kubernetes"),
        ),
        inferred=True,
    )


def _advertised(pod: Pod) -> Iterator[str]:
    """Every address that an API server's Pod may have written to the slice."""
    yield from pod_addresses(pod)
    endpoint = (pod.metadata.annotations or {}).get(ADVERTISED, "")
    if endpoint:
        yield endpoint.rpartition(":")[0].strip("[]")
    for container in pod.spec.containers or ():
        for word in (*(container.command or ()), *(container.args or ())):
            if match := _ADVERTISE.match(word):
                yield match[1]
