"""Does the Service that a StatefulSet names as its own exist?

sts-service-missing
    A StatefulSet names a Service in spec.serviceName that does not exist.
    Why it breaks      The name of each Pod is <pod>.<serviceName>, and cluster DNS makes it from that Service: without
                       it no Pod of the set can be found by name, and members that look for each other wait for ever.
    Confirm by hand    kubectl -n {namespace} get statefulsets -o wide; kubectl -n {namespace} get services
    Fix                Create a headless Service of that name which selects the Pods.
    Not a fault when   Nobody asks for single Pods: several well-known installations name a Service they never create.
                       With one replica, and nobody who asks, this is a note.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import SETTLING_SECONDS
from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, note, warn
from svcdoctor.objects import Service
from svcdoctor.pods.template import WORKLOAD_RESOURCES, matches
from svcdoctor.text import quoted_json

CHECK = Check(
    step=Step.CALLERS,
    codes={"sts-service-missing": Code(Stage.SERVED)},
    reads=("services", "configmaps", "pods", *WORKLOAD_RESOURCES),
    about="client",
)


def run(case: ClientCase) -> Iterator[Finding]:
    template = case.template
    name = template.owner.spec.service_name if template.kind == "StatefulSet" else None
    if not name or case.is_idle:
        return
    services = case.services_of(case.namespace)
    if services is None or name in services:
        return
    if not case.is_younger(template.owner.metadata.creation_timestamp, SETTLING_SECONDS):
        yield _missing(case, name, list(services.values()))


def _missing(case: ClientCase, name: str, services: list[Service]) -> Finding:
    template = case.template
    replicas = template.desired or 0
    asked = case.askers_for(name)
    headless = [service for service in services if _could_be_meant(case, service)]
    example = f"{template.name}-0.{name}"
    evidence = [
        Evidence("serviceName", name, f"{template.ref} .spec.serviceName"),
        *(Evidence("asks for", peer.name, peer.source) for peer in asked[:3]),
        *(
            Evidence("headless", f"{service.metadata.name} selects its Pods", f"service/{service.metadata.name}")
            for service in headless[:1]
        ),
    ]
    message = f"{template.ref} names {name} as the Service of its Pods, and there is none: {example} does not resolve"
    if not asked:
        doubt = "nobody asks for single Pods of it by name: no workload that was read does"
        evidence.append(Evidence("also possible", doubt, f"{template.ref} .spec.template"))
    remedies = (_create(case, name, headless),)
    if not asked and not headless and replicas == 1:
        return note("sts-service-missing", case.subject, message, *evidence, remedies=remedies)
    # That there are several is the only sign that they may look for each other.
    say = fail if asked or headless else warn
    subject = Subject("Service", case.namespace, name)
    return say("sts-service-missing", subject, message, *evidence, remedies=remedies, inferred=not asked)


def _could_be_meant(case: ClientCase, service: Service) -> bool:
    """A headless Service on its Pods, which finds none of them by name: those of another set it may serve well."""
    selects = matches(service.spec.selector or {}, case.template.labels)
    if not selects or service.spec.cluster_ip != "None" or service.spec.type == "ExternalName":
        return False
    governing = {item.spec.service_name for item in case.or_without(lambda: case.listed("statefulsets"), {}).values()}
    return service.metadata.name not in governing


def _create(case: ClientCase, name: str, headless: list[Service]) -> Remedy:
    template = case.template
    declared = [port for container in template.spec.containers or () for port in container.ports or ()]
    if headless:
        ports: list[dict[str, object]] = [
            {**({"name": port.name} if port.name else {}), "port": port.port, "protocol": port.protocol}
            for port in headless[0].spec.ports or ()
        ]
    else:
        ports = [
            {"name": port.name or f"port-{port.container_port}", "port": port.container_port, "protocol": port.protocol}
            for port in declared
        ]
    spec: dict[str, object] = {"clusterIP": "None", "selector": template.own_labels}
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": case.namespace},
        "spec": {**spec, **({"ports": ports} if ports else {})},
    }
    does = f"create the headless Service {name} for its Pods"
    return Remedy(does, f"echo {quoted_json(manifest)} | kubectl apply -f -")
