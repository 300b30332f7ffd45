"""Is the Service that a StatefulSet names as its own headless?

sts-service-not-headless
    A StatefulSet of several replicas names this Service in spec.serviceName, and the Service has a ClusterIP.
    Why it breaks      Peers find each other by asking for the Service and reading one address for each Pod. A Service
                       with a ClusterIP answers with that one address instead, so members see a single peer, chosen at
                       random for each connection.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.clusterIP}'
    Fix                Create it again with clusterIP: None; the field cannot be changed in place.
    Not a fault when   This is a second Service for clients, beside the headless one that spec.serviceName names; or
                       there is one replica, which has no peers.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, passed, skipped, warn
from svcdoctor.objects import ServicePort, Workload
from svcdoctor.text import plural, quoted_json

CHECK = Check(
    step=Step.DESCRIBE,
    codes={"sts-service-not-headless": Code(Stage.DNS, settles=False)},
    reads=("statefulsets", "pods"),
)


def run(case: Case) -> Iterator[Finding]:
    governed = case.governed
    if not governed or case.is_external_name:
        yield skipped(case.subject, "no StatefulSet names it in serviceName")
    elif case.is_headless:
        yield passed(case.subject, f"headless, as statefulset/{governed[0].metadata.name} needs it")
    else:
        for statefulset in governed:
            yield _has_address(case, statefulset)


def _has_address(case: Case, statefulset: Workload) -> Finding:
    replicas = 1 if statefulset.spec.replicas is None else statefulset.spec.replicas
    name = statefulset.metadata.name
    address = case.spec.cluster_ip or ""
    pods = plural(replicas, "Pod")
    message = (
        f"statefulset/{name} names it for its {pods}, but it resolves to one ClusterIP, {address}, not to the Pods"
    )
    evidence = (
        Evidence("serviceName", case.name, f"statefulset/{name} .spec.serviceName"),
        Evidence("clusterIP", address, f"service/{case.name} .spec.clusterIP"),
        Evidence("replicas", str(replicas), f"statefulset/{name} .spec.replicas"),
    )
    # A lone Pod has no peers to find, and its own name resolves all the same.
    say = warn if replicas > 1 else note
    return say("sts-service-not-headless", case.subject, message, *evidence, remedies=(_recreate(case),))


def _recreate(case: Case) -> Remedy:
    """Headless Services translate no ports, so the new one has the Pods' own."""
    labels = case.service.metadata.labels
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": case.name, **({"labels": labels} if labels else {})},
        "spec": {"clusterIP": "None", "selector": case.selector, "ports": [_untranslated(port) for port in case.ports]},
    }
    command = f"echo {quoted_json(manifest)} | kubectl -n {case.namespace} replace --force -f -"
    return Remedy("create the Service again without a ClusterIP (its clients lose the address for a moment)", command)


def _untranslated(port: ServicePort) -> dict[str, object]:
    number = port.target_port if isinstance(port.target_port, int) and port.target_port else port.port
    named = {"name": port.name} if port.name else {}
    target = {"targetPort": port.target_port} if isinstance(port.target_port, str) else {}
    return {**named, "protocol": port.protocol, "port": number, **target}
