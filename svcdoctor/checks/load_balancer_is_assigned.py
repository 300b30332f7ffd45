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

lb-class-unmatched
    The Service asks for a load balancer of a class (loadBalancerClass) that no controller claims.
    Why it breaks      A class takes the Service away from the default controllers: only the one that was started for
                       this class answers. Without it the address stays pending, and there is no event.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.loadBalancerClass}'
    Fix                Install the controller of the class, or make the Service again without the class: the field
                       cannot be changed later.
    Not a fault when   The controller runs outside of the cluster, as those of some clouds do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import given_addresses
from svcdoctor.entry.loadbalancer import complaint, provides, said_by_controllers, words_of
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, skipped, unknown, warn
from svcdoctor.indexes import those
from svcdoctor.objects import Event, Pod
from svcdoctor.text import duration, listing, shorten

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "lb-no-provider": Code(Stage.ENTRY),
        "lb-class-unmatched": Code(Stage.ENTRY),
    },
    reads=("services", "events", "pods"),
)

PROVIDER_SECONDS = 60.0  # controllers answer, or complain, within seconds
# Classes whose controllers a cloud runs where nobody sees them.
ELSEWHERE = ("eks.amazonaws.com/", "networking.gke.io/", "oci.oraclecloud.com/")
# Words of a class that tell no controller from another.
COMMON_WORDS = frozenset(("service", "kubernetes", "example", "internal", "external", "public", "default", "class"))
GIVEN = those(
    "services with a load balancer",
    "services",
    # One of a class of its own has another controller than the rest.
    lambda item: item.spec.type == "LoadBalancer" and given_addresses(item) and not item.spec.load_balancer_class,
)
PROVIDING = those("load-balancer controllers", "pods", provides)


def run(case: Case) -> Iterator[Finding]:
    if case.type != "LoadBalancer":
        return
    if addresses := given_addresses(case.service):
        yield passed(case.subject, f"load balancer at {listing(addresses)}")
        return
    age = case.age(case.service)
    if age < PROVIDER_SECONDS:
        when = f"created {duration(age)} ago, judged after {PROVIDER_SECONDS:.0f}s"
        yield unknown("unknown-settling", case.subject, f"{when}; so far: no load balancer has been assigned")
        return
    said = said_by_controllers(case.events("Service", case.name))
    if complaint(case.service, said):
        return  # a controller is there, and has said why it gives none
    if case.spec.load_balancer_class:
        yield _class(case, said)
    else:
        yield _sign_of_a_provider(case, said) or _no_provider(case)


def _class(case: Case, said: list[Event]) -> Finding:
    wanted = case.spec.load_balancer_class or ""
    if said:
        return skipped(
            case.subject, f"no address yet; a controller said {said[-1].reason}: {shorten(said[-1].message or '', 100)}"
        )
    if wanted.startswith(ELSEWHERE):
        return skipped(case.subject, f"no address yet; the cloud serves class {wanted} where it cannot be seen")
    case.listed("pods")  # who sees none at all sees no controller either
    peers, all_services = case.everywhere("services")
    pods, all_pods = case.everywhere("pods")
    if any(item.spec.load_balancer_class == wanted and given_addresses(item) for item in peers):
        return skipped(case.subject, f"no address yet; other Services of class {wanted} have one")
    claiming = next((pod for pod in pods if _claims(pod, wanted)), None)
    if claiming:
        place = f"{claiming.metadata.namespace}/{claiming.metadata.name}"
        return skipped(case.subject, f"no address yet; {place} runs, which serves class {wanted}")
    providers = [pod.metadata.name for pod in case.found_everywhere(PROVIDING)]
    seen = "in the whole cluster" if all_services and all_pods else "in the namespaces that can be read"
    again = (
        f"kubectl -n {case.namespace} get service {case.name} -o yaml"
        " | sed '/loadBalancerClass:/d' | kubectl replace --force -f -"
    )
    return fail(
        "lb-class-unmatched",
        case.subject,
        f"no address for {duration(case.age(case.service))}: no controller serves load balancers of class {wanted}",
        Evidence("class", wanted, f"service/{case.name} .spec.loadBalancerClass"),
        Evidence("events", "none of a load-balancer controller", f"events about service/{case.name}"),
        Evidence(
            "controllers",
            listing(providers) or "none",
            f"pods {seen} that name the class, or are known to hand out addresses",
        ),
        Evidence("otherwise", "its controller may run outside of the cluster", "nothing in the cluster would show it"),
        remedies=(Remedy("make it again without the class, for the default controller", again),),
        inferred=True,
    )


def _claims(pod: Pod, wanted: str) -> bool:
    """Whether a Pod was started for the class, or is called like it."""
    arguments = [word for item in pod.spec.containers or () for word in (*(item.command or ()), *(item.args or ()))]
    if any(wanted in word for word in arguments):
        return True
    names = [word for word in re.split(r"[./]", wanted) if word not in COMMON_WORDS and len(word) > 3]
    names += ["aws-load-balancer-controller"] if wanted == "service.k8s.aws/nlb" else []
    return any(name in word for name in names for word in words_of(pod))


def _sign_of_a_provider(case: Case, said: list[Event]) -> Finding | None:
    """Whatever shows that a controller is there: why it gives no address is another question."""
    if said:
        last = said[-1]
        return skipped(
            case.subject, f"no address yet; a controller said {last.reason}: {shorten(last.message or '', 100)}"
        )
    others = case.found_everywhere(GIVEN)
    if others:
        other = others[0].metadata
        return skipped(
            case.subject,
            f"no address yet, and no events; other Services have one, such as {other.namespace}/{other.name}",
        )
    case.listed("pods")  # who sees none at all sees no controller either
    providers = case.found_everywhere(PROVIDING)
    if providers:
        pod = providers[0].metadata
        return skipped(
            case.subject, f"no address yet, and no events; a load-balancer controller runs: {pod.namespace}/{pod.name}"
        )
    return None


def _no_provider(case: Case) -> Finding:
    whole = case.sees_all("pods") and case.sees_all("services")
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
