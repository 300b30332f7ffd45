"""Has the load balancer been given an address?

lb-no-provider
    A Service of type LoadBalancer waits for an address, and nothing in the cluster hands addresses out.
    Why it breaks      Kubernetes has no load balancer of its own. A cloud's controller, MetalLB, kube-vip or the like
                       must see the Service and write its address; without one it stays pending for ever. Inside the
                       cluster the Service works.
    Confirm by hand    kubectl -n {namespace} describe service {name}
                       EXTERNAL-IP is <pending>, and there are no events.
    Fix                Install a load-balancer controller, or reach the Service by its node port or a port-forward.
    Not a fault when   Only Pods use it, the Service is younger than a minute, or it names a class (loadBalancerClass).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case, given_addresses
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, passed, skipped, unknown, warn
from svcdoctor.objects import Event, Pod
from svcdoctor.text import duration, listing, shorten

CHECK = Check(
    step=Step.ENTRY,
    codes={"lb-no-provider": Code(Stage.ENTRY)},
    reads=("services", "events", "pods"),
)

PROVIDER_SECONDS = 60.0  # controllers answer, or complain, within seconds
PROVIDERS = re.compile(
    r"metallb|cloud-controller-manager|cloud-provider|kube-vip|svclb-|klipper-lb|openelb|purelb|load-?balancer-controller"
)
# Controllers that write events on any Service, and assign no addresses.
OTHER_SOURCES = re.compile(r"endpoint|allocator|repair")


def run(case: Case) -> Iterator[Finding]:
    if case.type != "LoadBalancer":
        return
    if addresses := given_addresses(case.service):
        yield passed(case.subject, f"load balancer at {listing(addresses)}")
        return
    if case.spec.load_balancer_class:
        yield skipped(
            case.subject, f"no address yet; only a controller of class {case.spec.load_balancer_class} hands one out"
        )
        return
    age = case.age(case.service)
    if age < PROVIDER_SECONDS:
        when = f"created {duration(age)} ago, judged after {PROVIDER_SECONDS:.0f}s"
        yield unknown("unknown-settling", case.subject, f"{when}; so far: no load balancer has been assigned")
        return
    yield _sign_of_a_provider(case) or _no_provider(case)


def _sign_of_a_provider(case: Case) -> Finding | None:
    """Whatever shows that a controller is there: why it gives no address is another question."""
    events = [event for event in case.events("Service", case.name) if not OTHER_SOURCES.search(_source(event))]
    if events:
        last = events[-1]
        return skipped(
            case.subject, f"no address yet; a controller said {last.reason}: {shorten(last.message or '', 100)}"
        )
    others = [
        item for item in case.everywhere("services")[0] if item.spec.type == "LoadBalancer" and given_addresses(item)
    ]
    if others:
        other = others[0].metadata
        return skipped(
            case.subject,
            f"no address yet, and no events; other Services have one, such as {other.namespace}/{other.name}",
        )
    providers = [pod for pod in case.everywhere("pods")[0] if _provides(pod)]
    if providers:
        pod = providers[0].metadata
        return skipped(
            case.subject, f"no address yet, and no events; a load-balancer controller runs: {pod.namespace}/{pod.name}"
        )
    return None


def _source(event: Event) -> str:
    return (event.source.component if event.source else None) or ""


def _provides(pod: Pod) -> bool:
    return any(PROVIDERS.search(word) for word in (pod.metadata.name, *(pod.metadata.labels or {}).values()))


def _no_provider(case: Case) -> Finding:
    whole = case.everywhere("pods")[1] and case.everywhere("services")[1]
    node_ports = [str(port.node_port) for port in case.ports if port.node_port]
    age, inside = duration(case.age(case.service)), listing(case.cluster_ips)
    seen = "in the whole cluster" if whole else "in the namespaces that can be read"
    return warn(
        "lb-no-provider",
        case.subject,
        f"no load balancer for {age}, so there is no address for outside clients; Pods reach it at {inside}",
        Evidence("status", "no ingress", f"service/{case.name} .status.loadBalancer"),
        Evidence("events", "none of a load-balancer controller", f"events about service/{case.name}"),
        Evidence("controllers", f"none among the Pods {seen}", "pods: MetalLB, kube-vip, ServiceLB, cloud controllers"),
        *(
            [Evidence("node ports", listing(node_ports), f"service/{case.name} .spec.ports[].nodePort")]
            if node_ports
            else []
        ),
        remedies=_remedies(case),
        inferred=not whole,
    )


def _remedies(case: Case) -> tuple[Remedy, ...]:
    port = next((item.port for item in case.ports if item.protocol == "TCP"), None)
    install = Remedy("install a load-balancer controller (on a laptop: cloud-provider-kind, MetalLB, minikube tunnel)")
    if port is None:
        return (install,)
    local = port if port >= 1024 else 8000 + port
    forward = f"kubectl -n {case.namespace} port-forward service/{case.name} {local}:{port}"
    return (Remedy("reach it from this computer meanwhile", forward, changes_cluster=False), install)
