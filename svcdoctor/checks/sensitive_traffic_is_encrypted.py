"""Do logins and payments go over the network in plain text?

sec-plaintext-sensitive
    A Service for logins or payments is open to the outside by plain HTTP alone.
    Why it breaks      It works. Whoever sits between reads passwords and card numbers, and may change them.
    Confirm by hand    kubectl -n {namespace} get service,ingress -o wide
    Fix                Serve it on 443 with a certificate, or give the Ingress a tls section.
    Not a fault when   A load balancer in front ends TLS, or it is used inside the cluster only: then it is not said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import Entry, given_addresses
from svcdoctor.entry.exposure import closed
from svcdoctor.finding import Evidence, Finding, Stage, Step, note
from svcdoctor.objects import Ingress, ServicePort
from svcdoctor.text import listing

CHECK = Check(
    step=Step.ENTRY,
    codes={"sec-plaintext-sensitive": Code(Stage.ENTRY, settles=False)},
    reads=("ingresses", "httproutes", "grpcroutes", "tlsroutes"),
)
SENSITIVE = re.compile(
    r"(?:^|-)(?:auth|oauth2?|oidc|sso|login|signin|identity|iam|keycloak|password|payments?|pay|checkout|billing|wallet)"
    r"(?:-|$)"
)
PLAIN_NAMES = re.compile(r"http|web|http-.+")
# A cloud's load balancer that ends TLS itself is told so by an annotation.
TLS_ANNOTATIONS = re.compile(r"ssl|tls|cert|backend-protocol|redirect")


def run(case: Case) -> Iterator[Finding]:
    if not SENSITIVE.search(case.name):
        return
    way = _balancer(case) or _entry(case)
    if way:
        yield note(
            "sec-plaintext-sensitive",
            case.subject,
            f"{case.name} looks sensitive, and goes over the network in plain HTTP through {way.value}",
            way,
        )


def _is_plain(port: ServicePort) -> bool:
    return port.app_protocol in ("http", None) and (port.port in (80, 8080) or bool(PLAIN_NAMES.fullmatch(port.name)))


def _ends_tls(annotations: dict[str, str] | None) -> bool:
    return any(TLS_ANNOTATIONS.search(key) for key in annotations or ())


def _balancer(case: Case) -> Evidence | None:
    if case.type not in ("LoadBalancer", "NodePort") or _ends_tls(case.service.metadata.annotations):
        return None
    if case.type == "LoadBalancer" and closed(case.service, given_addresses(case.service)):
        return None
    if case.ports and all(_is_plain(port) for port in case.ports):
        ports = listing([str(port.port) for port in case.ports])
        return Evidence("way in", f"type {case.type}, port {ports}", f"service/{case.name} .spec")
    return None


def _entry(case: Case) -> Evidence | None:
    for entry in case.or_without(lambda: case.entries, []):
        if _lacks_tls(entry):
            return Evidence("way in", f"{entry.kind} {entry.name}, without tls", f"ingress/{entry.name} .spec.tls")
    return None


def _lacks_tls(entry: Entry) -> bool:
    """Routes take TLS from their Gateway; only an Ingress says it itself."""
    owner = entry.owner
    return isinstance(owner, Ingress) and not owner.spec.tls and not _ends_tls(owner.metadata.annotations)
