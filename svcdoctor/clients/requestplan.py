"""Which request a Service may be sent: what its Pods' readiness probe asks anyway, or the path that a person gave."""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.clients.request import GRPC, HTTP, HTTPS, Request
from svcdoctor.endpoints.reconcile import serving_containers
from svcdoctor.objects import Probe, ServicePort
from svcdoctor.pods.podports import probed_ports

PATH = re.compile(r"/[!-~]{0,200}")
TLS = frozenset({"https", "tls", "wss", "kubernetes.io/wss"})  # values of appProtocol


def request_for(case: Case, port: ServicePort, path: str = "") -> Request | None:
    """None where nothing shows that a request is welcome: the readiness probe asks otherwise, or another port."""
    host = f"{case.name}.{case.namespace}"
    probe = next(_readiness(case, port), None)
    if probe and probe.grpc and not path:
        return Request(GRPC, host=host)
    asked = probe and probe.http_get
    if asked and asked.host and not path:
        return None
    is_tls = (asked.scheme or "").upper() == "HTTPS" if asked else told_tls(port)
    kind = HTTPS if is_tls else HTTP
    wanted = path or (asked and (asked.path or "/")) or ""
    return Request(kind, wanted, host) if PATH.fullmatch(wanted) else None


def told_tls(port: ServicePort) -> bool:
    """Whether the Service says that its port speaks TLS: by appProtocol, else by its name, else by the number 443."""
    if port.app_protocol:
        return port.app_protocol.lower() in TLS
    if port.name:
        return re.match(r"(https|tls|wss)(-|$)", port.name) is not None or (
            port.port == 443 and not re.match(r"(http|ws|grpc|h2c|tcp)(-|$)", port.name)
        )
    return port.port == 443


def _readiness(case: Case, port: ServicePort) -> Iterator[Probe]:
    """Readiness probes that ask the port of the Pods that this one leads to."""
    for backend in case.backing:
        number = case.target_of(port, backend.spec)
        for container in serving_containers(backend.spec):
            for dialled, probe in probed_ports(container):
                if dialled == number and probe is container.readiness_probe:
                    yield probe
