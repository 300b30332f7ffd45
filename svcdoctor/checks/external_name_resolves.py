"""Does an ExternalName Service point at a name that can be resolved?

extname-ip-literal
    The externalName is an IP address.
    Why it breaks      An ExternalName becomes a CNAME record, and a CNAME can only hold a name. CoreDNS answers
                       NXDOMAIN.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.externalName}'
    Fix                Use a Service without a selector, and an EndpointSlice with the address.
    Not a fault when   The value is a name that merely contains digits, such as 10-0-0-5.example.com.

extname-internal-target-missing
    The externalName is a name inside this cluster, and no Service has that name; or it lacks the cluster's domain.
    Why it breaks      The alias resolves to a name that CoreDNS does not have. A target such as `cart.shop.svc` is not
                       completed by the search list: CNAME targets are absolute, so CoreDNS asks the outside for it.
    Confirm by hand    kubectl get service -n NAMESPACE NAME, with the parts of the externalName
    Fix                Write the full name of a Service that exists: NAME.NAMESPACE.svc and the cluster's domain.
    Not a fault when   The name belongs to another domain, which another cluster or a company's DNS serves.

extname-loop
    Following the ExternalNames leads back to where it started.
    Why it breaks      No address is at the end of the chain, so lookups end without an answer.
    Confirm by hand    kubectl get services -A --field-selector spec.type=ExternalName
    Fix                Point one of them at the Service that has the endpoints.
    Not a fault when   The chain is long but ends at a Service with an address, or outside the cluster.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, skipped
from svcdoctor.objects import Service
from svcdoctor.text import edit_distance, listing, patch_command, quoted_json

CHECK = Check(
    step=Step.DESCRIBE,
    codes={
        "extname-ip-literal": Code(Stage.SERVED, settles=False),
        "extname-internal-target-missing": Code(Stage.SERVED),
        "extname-loop": Code(Stage.SERVED, settles=False),
    },
    reads=("services", "configmaps"),
)


class Target(NamedTuple):
    """A Service as a cluster name gives it."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def run(case: Case) -> Iterator[Finding]:
    if not case.is_external_name:
        yield skipped(case.subject, "no alias: the type is not ExternalName")
    elif _is_address(_alias(case.service)):
        yield _address(case)
    else:
        yield _follow(case)


def _alias(service: Service) -> str:
    """DNS names are the same in any case, and with or without their final dot."""
    return (service.spec.external_name or "").rstrip(".").lower()


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _follow(case: Case) -> Finding:
    alias = _alias(case.service)
    chain = [Target(case.namespace, case.name)]
    while target := _inside(alias, case.zone):
        service: Service | None = case.listed("services", target.namespace).get(target.name)
        if service is None:
            return _missing(case, target, chain)
        if target in chain:
            return _loop(case, [*chain, target])
        chain.append(target)
        if service.spec.type != "ExternalName":
            return passed(case.subject, f"alias of {case.spec.external_name}, which exists")
        alias = _alias(service)
    if len(chain) == 1:
        short = _without_domain(case, alias)
        return short or passed(case.subject, f"alias of {case.spec.external_name}, outside the cluster")
    return passed(case.subject, f"alias of {case.spec.external_name}, and through it of {alias}, outside the cluster")


def _inside(alias: str, zone: str) -> Target | None:
    """The Service a full cluster name belongs to; the name of a Pod behind one counts as the Service's."""
    labels = alias.removesuffix(f".svc.{zone}").split(".") if alias.endswith(f".svc.{zone}") else []
    return Target(labels[-1], labels[-2]) if len(labels) in (2, 3) else None


def _without_domain(case: Case, alias: str) -> Finding | None:
    """A name as Pods may use it, where only a full one works: `x.ns.svc`, or `x` for a Service beside this one."""
    match alias.split("."):
        case [*_, name, namespace, "svc"]:
            target = Target(namespace, name)
        case [name] if name in case.listed("services"):
            target = Target(case.namespace, name)
        case [name, namespace] if namespace == case.namespace and name in case.listed("services"):
            target = Target(namespace, name)
        case _:
            return None
    full = f"{target.name}.{target.namespace}.svc.{case.zone}"
    return fail(
        "extname-internal-target-missing",
        case.subject,
        f"externalName {case.spec.external_name} lacks the domain {case.zone}, so DNS asks for it outside the cluster",
        _external_name(case),
        remedies=(_patch(case, full),)
        if target.name in case.or_without(lambda: case.listed("services", target.namespace), {})
        else (),
    )


def _external_name(case: Case) -> Evidence:
    return Evidence("externalName", case.spec.external_name or "", f"service/{case.name} .spec.externalName")


def _missing(case: Case, target: Target, chain: list[Target]) -> Finding:
    through = f" (reached through {listing([str(link) for link in chain[1:]])})" if len(chain) > 1 else ""
    here = case.listed("services", target.namespace)
    evidence = [
        _external_name(case),
        Evidence("Services there", listing(sorted(here)) or "<none>", f"namespace {target.namespace}"),
    ]
    remedies = (
        ()
        if through
        else tuple(_patch(case, f"{other.name}.{other.namespace}.svc.{case.zone}") for other in _meant(case, target))
    )
    return fail(
        "extname-internal-target-missing",
        case.subject,
        f"alias of {case.spec.external_name}, but namespace {target.namespace} has no Service {target.name}{through}",
        *evidence,
        remedies=remedies,
    )


def _meant(case: Case, target: Target) -> list[Target]:
    """The Service of that name in another namespace if there is just one, else one that is spelled nearly so."""
    case.or_without(lambda: case.sees_all("services"), False)
    elsewhere = [Target(item.metadata.namespace, item.metadata.name) for item in case.services_named(target.name)]
    own = Target(case.namespace, case.name)
    if len(same := [other for other in elsewhere if other != own]) == 1:
        return same
    near = [name for name in sorted(case.listed("services", target.namespace)) if edit_distance(name, target.name) < 3]
    return [other for name in near[:1] if (other := Target(target.namespace, name)) != own]


def _patch(case: Case, name: str) -> Remedy:
    patch = {"spec": {"externalName": name}}
    return Remedy(f"point it at {name}", patch_command(case.namespace, f"service {case.name}", patch))


def _loop(case: Case, chain: list[Target]) -> Finding:
    return fail(
        "extname-loop",
        case.subject,
        f"the alias leads back to itself: {' -> '.join(map(str, chain))}"
        if chain[0] == chain[-1]
        else f"the alias leads into a circle: {' -> '.join(map(str, chain))}",
        _external_name(case),
        remedies=(
            Remedy(
                "point it at a Service that has endpoints, or at a name outside the cluster",
                f"kubectl -n {case.namespace} edit service {case.name}",
            ),
        ),
    )


def _address(case: Case) -> Finding:
    address = _alias(case.service)
    return fail(
        "extname-ip-literal",
        case.subject,
        f"externalName {address} is an IP address, which no CNAME can hold",
        _external_name(case),
        remedies=(_selectorless(case, address),),
    )


def _selectorless(case: Case, address: str) -> Remedy:
    """A Service and a slice that say the same in a way that works. An alias may have no ports: PORT is for a person."""
    ports: list[dict[str, object]] = [
        {**({"name": port.name} if port.name else {}), "port": port.port, "protocol": port.protocol}
        for port in case.ports
    ] or [{"port": "PORT"}]
    piece = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{case.name}-1", "labels": {"kubernetes.io/service-name": case.name}},
        "addressType": "IPv6" if ":" in address else "IPv4",
        "endpoints": [{"addresses": [address]}],
        "ports": ports,
    }
    patch = {"spec": {"type": "ClusterIP", "externalName": None, "ports": ports}}
    change = patch_command(case.namespace, f"service {case.name}", patch)
    return Remedy(
        "make it a Service without a selector, and give it the address as an EndpointSlice",
        f"{change} && echo {quoted_json(piece)} | kubectl -n {case.namespace} apply -f -".replace('"PORT"', "PORT"),
    )
