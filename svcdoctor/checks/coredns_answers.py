"""Does anybody answer Pods that ask for names?

dns-coredns-down
    No CoreDNS Pod is ready, so the Service kube-dns has no endpoint and no name resolves anywhere in the cluster.
    Why it breaks      Every Pod with dnsPolicy ClusterFirst asks the ClusterIP of kube-system/kube-dns. Without a ready
                       Pod behind it the query is refused or lost; applications see "temporary failure in name
                       resolution" for all names, inside and outside of the cluster.
    Confirm by hand    kubectl -n kube-system get deployment,pods -l k8s-app=kube-dns
    Fix                Scale the Deployment up again, or repair what keeps its Pods from being ready.
    Not a fault when   Names are served by something else than Pods of kube-system (OpenShift, a resolver on each node).

dns-kubedns-no-endpoints
    CoreDNS is ready, but the Service kube-dns leads to none of its Pods.
    Why it breaks      Pods know only the ClusterIP of kube-dns. If its selector does not match the labels of CoreDNS
                       (an installer that labels them k8s-app=coredns, a hand-made Service), it has no endpoints, and
                       kube-proxy refuses every query.
    Confirm by hand    kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns
    Fix                Give kube-dns the labels of the CoreDNS Pods as its selector.
    Not a fault when   Somebody maintains the slices of kube-dns, and they hold addresses that answer.

dns-kubedns-svc-missing-port
    The Service kube-dns lacks port 53 over UDP or over TCP.
    Why it breaks      Resolvers ask over UDP first. Without it every lookup times out; without TCP those fail whose
                       answer does not fit one UDP packet (a headless Service with many Pods), and the resolvers that
                       use TCP only. A strategic merge patch of ports that share one number loses one of the two.
    Confirm by hand    kubectl -n kube-system get service kube-dns -o jsonpath='{.spec.ports}'
    Fix                Let the Service have 53 over UDP and 53 over TCP.
    Not a fault when   Pods are told of another name server than kube-dns.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import SETTLING_SECONDS
from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, passed, skipped, unknown, warn
from svcdoctor.objects import Pod, Workload
from svcdoctor.text import duration, listing, patch_command, plural, selector_text
from svcdoctor.view import ClusterDNS

CHECK = Check(
    step=Step.DNS,
    codes={
        "dns-coredns-down": Code(Stage.DNS),
        "dns-kubedns-no-endpoints": Code(Stage.DNS),
        "dns-kubedns-svc-missing-port": Code(Stage.DNS, settles=False),
    },
    reads=("services", "pods", "endpointslices", "deployments", "configmaps", "clusterroles"),
    about="cluster",
)
KUBE_DNS = Subject("Service", "kube-system", "kube-dns")


def run(case: ClusterCase) -> Iterator[Finding]:
    if addresses := case.served_dns():
        yield _served(addresses)
        return
    dns = case.cluster_dns()
    if dns is None:
        yield skipped(case.subject, "no Service kube-system/kube-dns: something else serves names here")
        return
    yield from _lost_port(dns)
    if dns.outage is None:
        yield _served(dns.addresses)
        return
    youngest = min((case.age(item) for item in (dns.service, *dns.pods)), default=SETTLING_SECONDS)
    if youngest < SETTLING_SECONDS:
        message = f"kube-dns has no endpoint yet; what stands behind it was made {duration(youngest)} ago"
        yield unknown("unknown-settling", KUBE_DNS, message)
    elif dns.outage == "dns-kubedns-no-endpoints":
        yield _not_linked(case, dns)
    else:
        yield from _down(case, dns)


def _served(addresses: list[str]) -> Finding:
    return passed(KUBE_DNS, f"kube-dns has {plural(len(addresses), 'endpoint')}: {listing(addresses)}")


def _lost_port(dns: ClusterDNS) -> Iterator[Finding]:
    ports = dns.service.spec.ports or []
    served = {port.protocol for port in ports if port.port == 53}
    lost = [protocol for protocol in ("UDP", "TCP") if protocol not in served]
    if not lost or not ports:
        return
    target = next((port.target_port for port in ports if port.port == 53), None) or 53
    names = {"UDP": "dns", "TCP": "dns-tcp"}
    restored = [{"name": names[protocol], "port": 53, "protocol": protocol, "targetPort": target} for protocol in lost]
    patch = [{"op": "add", "path": "/spec/ports/-", "value": port} for port in restored]
    shown = listing([f"{port.port}/{port.protocol}" for port in ports], 5)
    evidence = Evidence("ports", shown, "service/kube-dns .spec.ports")
    remedy = Remedy(f"serve port 53 over {' and '.join(lost)}", patch_command("kube-system", "service kube-dns", patch))
    if "UDP" in lost:
        message = f"Service kube-dns has no port 53/{' and 53/'.join(lost)}: no name resolves over UDP"
        yield fail("dns-kubedns-svc-missing-port", KUBE_DNS, message, evidence, remedies=(remedy,))
    else:
        message = "Service kube-dns has no port 53/TCP: answers too long for UDP are lost"
        yield warn("dns-kubedns-svc-missing-port", KUBE_DNS, message, evidence, remedies=(remedy,))


def _reach(case: ClusterCase) -> Evidence:
    """How much depends on it."""
    services, complete = case.everywhere("services")
    count = plural(len(services), "Service")
    return Evidence("affected", f"the names of {'' if complete else 'at least '}{count}", "services in all namespaces")


def _not_linked(case: ClusterCase, dns: ClusterDNS) -> Finding:
    selector = dns.service.spec.selector or {}
    labels = [dict(pod.metadata.labels or {}) for pod in dns.ready_pods]
    selects = any(selector and selector.items() <= own.items() for own in labels)
    why = (
        "its EndpointSlices hold none of them"
        if selects
        else f"the selector {selector_text(selector) or '<none>'} matches none of them"
    )
    known = {key: value for key, value in labels[0].items() if key in ("k8s-app", "app.kubernetes.io/name", "app")}
    command = f"kubectl -n kube-system set selector service kube-dns {selector_text(dict([*known.items()][:1]))}"
    return fail(
        "dns-kubedns-no-endpoints",
        KUBE_DNS,
        f"{plural(len(dns.ready_pods), 'CoreDNS Pod')} ready, but Service kube-dns leads to none: {why}",
        Evidence("selector", selector_text(selector) or "<none>", "service/kube-dns .spec.selector"),
        Evidence(
            "ready",
            listing([f"{pod.metadata.name} ({_labels(pod)})" for pod in dns.ready_pods]),
            "pods in namespace kube-system",
        ),
        _reach(case),
        remedies=(Remedy("select the CoreDNS Pods", command),) if known and not selects else (),
    )


def _labels(pod: Pod) -> str:
    labels = {key: value for key, value in (pod.metadata.labels or {}).items() if key != "pod-template-hash"}
    return selector_text(labels) or "no labels"


def _down(case: ClusterCase, dns: ClusterDNS) -> Iterator[Finding]:
    deployment: Workload | None = case.or_without(lambda: case.listed("deployments").get("coredns"), None)
    if not dns.pods and deployment is None and _resolved_somewhere(case):
        yield skipped(KUBE_DNS, "kube-dns has no Pods, but names resolve: something else serves them here")
        return
    replicas = None if deployment is None else 1 if deployment.spec.replicas is None else deployment.spec.replicas
    evidence = []
    if deployment:
        available = (deployment.status.available_replicas or 0) if deployment.status else 0
        evidence.append(
            Evidence(
                "replicas", f"{replicas} wanted, {available} available", "deployment/coredns .spec.replicas, .status"
            )
        )
    evidence += [Evidence(pod.metadata.name, _state(pod), f"pod/{pod.metadata.name} .status") for pod in dns.pods[:3]]
    evidence.append(Evidence("endpoints", "0 ready", "endpointslices labelled kubernetes.io/service-name=kube-dns"))
    evidence.append(_reach(case))
    if replicas == 0:
        said = "Deployment coredns is scaled to 0: no name resolves in the cluster"
    elif dns.pods:
        said = f"none of {plural(len(dns.pods), 'CoreDNS Pod')} is ready: no name resolves in the cluster"
    else:
        said = "no CoreDNS Pod exists in kube-system: no name resolves in the cluster"
    yield fail(
        "dns-coredns-down",
        Subject("Deployment", "kube-system", "coredns") if deployment else KUBE_DNS,
        said,
        *evidence,
        remedies=tuple(_remedies(dns, replicas)),
        # A resolver outside of Pods (on each node, say) would not be seen here.
        inferred=not dns.pods and deployment is None,
        because=case.or_without(case.coredns_fault, None),
    )


def _resolved_somewhere(case: ClusterCase) -> bool:
    return any(said.vantage.kind == "exec" and said.any_answered for said in (case.world.lookups or {}).values())


def _state(pod: Pod) -> str:
    for status in pod.status.container_statuses or ():
        waiting = status.state.waiting if status.state else None
        ended = status.last_state.terminated if status.last_state else None
        restarts = f", {plural(status.restart_count, 'restart')}" if status.restart_count else ""
        exit_code = f", last exit code {ended.exit_code}" if ended else ""
        if waiting and waiting.reason:
            return f"{waiting.reason}{restarts}{exit_code}"
        if not status.ready:
            return f"running, not ready{restarts}{exit_code}"
    return f"{pod.status.phase or 'Pending'}, not ready"


def _remedies(dns: ClusterDNS, replicas: int | None) -> Iterator[Remedy]:
    if replicas == 0:
        yield Remedy("start CoreDNS again", "kubectl -n kube-system scale deployment coredns --replicas=2")
    elif dns.pods:
        name = dns.pods[0].metadata.name
        restarted = any(status.restart_count for pod in dns.pods for status in pod.status.container_statuses or ())
        previous = " --previous" if restarted else ""
        yield Remedy(
            "read why it is not ready", f"kubectl -n kube-system logs {name} --tail=20{previous}", changes_cluster=False
        )
        yield Remedy("see its probes and events", f"kubectl -n kube-system describe pod {name}", changes_cluster=False)
    else:
        yield Remedy(
            "see what became of CoreDNS",
            "kubectl -n kube-system get deployments,daemonsets,events",
            changes_cluster=False,
        )
