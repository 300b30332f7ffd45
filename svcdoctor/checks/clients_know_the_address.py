"""Do running clients know the address that the Service has now?

svc-env-order
    A client takes the Service's address from NAME_SERVICE_HOST, and was started before there was the Service.
    Why it breaks      The kubelet puts the variables of Services into a container when it starts, and never again. For
                       one that is older than the Service they are empty: it connects to nothing, or to localhost.
    Confirm by hand    kubectl -n {namespace} exec POD -- env | grep SERVICE_HOST
    Fix                Restart the client; better, let it use the DNS name, which depends on no order.
    Not a fault when   The container sets the variable itself, or only mentions it.

svc-recreated-stale-client
    A client still holds the address that the Service had before it was created anew.
    Why it breaks      A Service that is deleted and created again gets another ClusterIP. nginx and haproxy look a name
                       up once, when they start; a variable with an address in it never changes. New Pods reach the
                       Service, the old client times out.
    Confirm by hand    kubectl -n {namespace} get pods -o wide; kubectl get service -A -o wide
    Fix                Restart the client, or let it look the name up again (in nginx: resolver, and a variable in
                       proxy_pass); in settings, write the name.
    Not a fault when   The client looks the name up anew each time.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from shlex import quote

from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.clients.serviceenv import prefix_of, services_read, variables
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, warn
from svcdoctor.objects import Container, Pod, Service
from svcdoctor.text import listing, parse_time

CHECK = Check(
    step=Step.CALLERS,
    codes={
        "svc-env-order": Code(Stage.DNS, settles=False),
        "svc-recreated-stale-client": Code(Stage.DNS, settles=False),
    },
    reads=("services", "pods", "configmaps", "namespaces"),
    about="client",
)
# Programs that look up the names in their configuration when they start, do not start without an answer, and keep it.
RESOLVES_ONCE = ("nginx", "nginx-unprivileged", "openresty", "haproxy")


def run(case: ClientCase) -> Iterator[Finding]:
    if case.is_idle:
        return
    for container in case.template.spec.containers or ():
        if case.template.spec.enable_service_links is not False:
            for prefix in sorted(services_read(container) - {"KUBERNETES"}):
                service = _called(case, prefix)
                if service and (older := _started_before(case, container, service)):
                    yield _too_early(case, container, service, older)
        yield from _set_by_hand(case, container)
        if _image_name(container) in RESOLVES_ONCE:
            yield from _resolved_before(case, container)


def _called(case: ClientCase, prefix: str) -> Service | None:
    """The Service of the namespace whose variables begin so, if it gives any."""
    service: Service | None = case.listed("services").get(prefix.lower().replace("_", "-"))
    return service if service and variables(service) else None


def _started_before(case: ClientCase, container: Container, service: Service) -> list[Pod]:
    """The Pods in which this container has been running since before the Service was created."""
    created = parse_time(service.metadata.creation_timestamp)
    found = []
    for pod in case.pods_of(case.template):
        statuses = {status.name: status.state for status in pod.status.container_statuses or ()}
        state = statuses.get(container.name)
        started = parse_time(state.running.started_at) if state and state.running else None
        if created and started and started < created and not pod.metadata.deletion_timestamp:
            found.append(pod)
    return found


def _ages(service: Service, older: list[Pod]) -> tuple[Evidence, Evidence]:
    return (
        Evidence(
            "Service created",
            service.metadata.creation_timestamp or "",
            f"service/{service.metadata.name} .metadata.creationTimestamp",
        ),
        Evidence("client started", older[0].status.start_time or "", f"pod/{older[0].metadata.name} .status.startTime"),
    )


def _restart(case: ClientCase) -> tuple[Remedy, ...]:
    kind, name = case.template.kind.lower(), case.template.name
    if kind in ("deployment", "statefulset", "daemonset"):
        return (Remedy("restart the client", f"kubectl -n {case.namespace} rollout restart {kind} {name}"),)
    return (Remedy(f"delete {case.template.ref} and create it again"),)


def _too_early(case: ClientCase, container: Container, service: Service, older: list[Pod]) -> Finding:
    variable = f"{prefix_of(service.metadata.name)}_SERVICE_HOST"
    return warn(
        "svc-env-order",
        case.subject,
        f"container {container.name} reads {variable}, and was started before Service {service.metadata.name} existed: "
        f"in {listing([pod.metadata.name for pod in older])} it has the value of then, or none",
        *_ages(service, older),
        Evidence("read", variable, f"{case.template.ref} container {container.name}: command, args or env"),
        remedies=_restart(case),
        pods=tuple(pod.metadata.name for pod in older),
    )


def _image_name(container: Container) -> str:
    return container.image.rsplit("/", 1)[-1].split("@")[0].split(":")[0].lower()


def _resolved_before(case: ClientCase, container: Container) -> Iterator[Finding]:
    for (namespace, name), uses in case.named.items():
        service = (case.services_of(namespace) or {}).get(name)
        if service is None or service.spec.cluster_ip in (None, "", "None"):
            continue
        if older := _started_before(case, container, service):
            yield warn(
                "svc-recreated-stale-client",
                case.subject,
                f"{_image_name(container)} keeps the address that {name} had when it started, "
                f"and the Service was created after that: it is {service.spec.cluster_ip} now",
                *_ages(service, older),
                Evidence("named", uses[0].host, uses[0].source),
                Evidence("otherwise", "it may look the name up anew each time (resolver)", "its configuration"),
                remedies=_restart(case),
                inferred=True,
                pods=tuple(pod.metadata.name for pod in older),
            )


def _set_by_hand(case: ClientCase, container: Container) -> Iterator[Finding]:
    """NAME_SERVICE_HOST with an address of the Service range that no Service has any more."""
    for entry in container.env or ():
        prefix, ending, rest = entry.name.partition("_SERVICE_HOST")
        if not ending or rest or not entry.value:
            continue
        service = _called(case, prefix)
        if service and _is_near(entry.value, service.spec.cluster_ip or "") and not case.services_at(entry.value):
            name, address = service.metadata.name, service.spec.cluster_ip
            item = f"{case.template.kind.lower()}/{case.template.name}"
            command = f"kubectl -n {case.namespace} set env {item} -c {container.name} {quote(f'{entry.name}={name}')}"
            yield warn(
                "svc-recreated-stale-client",
                case.subject,
                f"{entry.name} is {entry.value}, which no Service has: {name} is {address} now",
                Evidence("set", entry.value, f"{case.template.ref} container {container.name} env {entry.name}"),
                Evidence("ClusterIP", address or "", f"service/{name} .spec.clusterIP"),
                remedies=(
                    Remedy("write the name instead", command)
                    if case.template.kind in ("Deployment", "StatefulSet", "DaemonSet")
                    else Remedy(f"write {name} instead, and create {case.template.ref} again"),
                ),
            )


def _is_near(value: str, address: str) -> bool:
    """Whether both lie in one network of the size that Service ranges commonly have, and differ."""
    try:
        one, other = ipaddress.ip_address(value), ipaddress.ip_address(address)
    except ValueError:
        return False
    return one != other and one.version == other.version == 4 and int(one) >> 16 == int(other) >> 16
