"""Does a proxy forward the Service's address, and to this Service alone?

svc-ignored-by-proxy
    A label hands the Service to another proxy than kube-proxy, and no such proxy is to be seen.
    Why it breaks      kube-proxy, and what replaces it, leaves a Service alone that has the label
                       service.kubernetes.io/service-proxy-name. DNS and EndpointSlices look right, but no node has a
                       rule for the ClusterIP: connections time out.
    Confirm by hand    kubectl -n {namespace} get service {name} --show-labels
    Fix                Remove the label, or run the proxy that it names.
    Not a fault when   A proxy of that name runs, or the Service is headless: then there is no address to forward.

svc-clusterip-conflict
    The Service's ClusterIP is another Service's too, or the API server says that it is not this one's.
    Why it breaks      Each proxy keeps one rule for an address and port: requests reach the Pods of one of the two, and
                       which one may differ from node to node. It comes from a restore of etcd, or from a change of the
                       Service range.
    Confirm by hand    kubectl get services -A -o wide | grep -w CLUSTER_IP
    Fix                Delete one of the two and create it again: it is given a free address.
    Not a fault when   Both are headless, or the address is an external one that they share on purpose.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, skipped
from svcdoctor.objects import Pod, Service
from svcdoctor.text import listing, shorten

CHECK = Check(
    step=Step.SERVICE,
    codes={
        "svc-ignored-by-proxy": Code(Stage.SERVED, settles=False),
        "svc-clusterip-conflict": Code(Stage.SERVED, settles=False),
    },
    reads=("services", "events", "pods", "configmaps"),
)
PROXY_NAME = "service.kubernetes.io/service-proxy-name"
# What the controller that repairs the allocation of addresses says of a Service.
NOT_ITS_OWN = ("ClusterIPAlreadyAllocated", "ClusterIPNotAllocated", "ClusterIPOutOfRange", "ClusterIPNotValid")


def run(case: Case) -> Iterator[Finding]:
    if not case.cluster_ips:
        return
    proxy = (case.service.metadata.labels or {}).get(PROXY_NAME)
    if proxy is not None:
        running = _runs(case, proxy)
        yield skipped(case.subject, f"served by the proxy {proxy}: {running}") if running else _ignored(case, proxy)
    others = case.sharing_cluster_ip
    disowned = [event for event in case.or_without(lambda: case.events("Service", case.name), []) if _disowns(event)]
    if others:
        yield _conflict(case, others)
    elif disowned:
        last = disowned[-1]
        yield fail(
            "svc-clusterip-conflict",
            case.subject,
            f"the API server says that {listing(case.cluster_ips)} is not this Service's: {last.reason}",
            Evidence("event", shorten(last.message or last.reason or ""), f"events about service/{case.name}"),
            remedies=_created_again(case),
        )


# --- another proxy -----------------------------------------------------------------------------------------------


def _runs(case: Case, proxy: str) -> str:
    """What shows that a proxy of that name is there; "" if nothing does."""
    config = case.listed("configmaps", "kube-system").get("cilium-config")
    if config and (config.data or {}).get("k8s-service-proxy-name") == proxy:
        return "configmap/cilium-config names it"
    pods = case.listed("pods", "kube-system").values()
    named = next((pod.metadata.name for pod in pods if proxy and _is_called(pod, proxy)), "")
    return f"pod/{named} in kube-system" if named else ""


def _is_called(pod: Pod, proxy: str) -> bool:
    containers = pod.spec.containers or ()
    words = [word for item in containers for word in (*(item.command or ()), *(item.args or ()))]
    values = [entry.value or "" for item in containers for entry in item.env or ()]
    return pod.metadata.name.startswith(proxy) or any(proxy in text for text in (*words, *values))


def _ignored(case: Case, proxy: str) -> Finding:
    return fail(
        "svc-ignored-by-proxy",
        case.subject,
        f"its label hands it to a proxy called {proxy!r}, so kube-proxy leaves {listing(case.cluster_ips)} alone",
        Evidence("label", f"{PROXY_NAME}={proxy}", f"service/{case.name} .metadata.labels"),
        Evidence("no such proxy", "no Pod and no configuration of that name", "namespace kube-system"),
        Evidence("otherwise", "it may run outside of kube-system, or outside of Pods", "not looked for there"),
        remedies=(
            Remedy("let kube-proxy serve it", f"kubectl -n {case.namespace} label service {case.name} {PROXY_NAME}-"),
        ),
        inferred=True,
    )


# --- one address, two Services -----------------------------------------------------------------------------------


def _disowns(event: object) -> bool:
    return getattr(event, "reason", None) in NOT_ITS_OWN


def _conflict(case: Case, others: list[Service]) -> Finding:
    names = [f"{other.metadata.namespace}/{other.metadata.name}" for other in others]
    shared = [address for address in case.cluster_ips if any(address in _addresses(other) for other in others)]
    return fail(
        "svc-clusterip-conflict",
        case.subject,
        f"its ClusterIP {listing(shared)} is also that of {listing(names)}",
        Evidence("ClusterIP", listing(shared), f"service/{case.name} .spec.clusterIPs"),
        *(
            Evidence("the same", f"{name} has {listing(_addresses(other))}", "services of all namespaces read")
            for name, other in zip(names[:3], others, strict=False)
        ),
        remedies=_created_again(case),
    )


def _addresses(service: Service) -> list[str]:
    return service.spec.cluster_ips or [service.spec.cluster_ip or ""]


def _created_again(case: Case) -> tuple[Remedy, ...]:
    command = f"kubectl -n {case.namespace} delete service {case.name}"
    return (Remedy("delete it, and apply its manifest again without a clusterIP", command),)
