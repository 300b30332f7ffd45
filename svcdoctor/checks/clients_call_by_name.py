"""Does this workload reach Services by their names, and straight?

client-hardcoded-ip
    A setting holds the address of a Service or a Pod instead of a name, or one that a Service had once.
    Why it breaks      A Service that is created anew has another ClusterIP, and a Pod that is replaced another address.
                       The setting then leads to nobody, or to somebody else.
    Confirm by hand    kubectl get services,pods -A -o wide
    Fix                Write the Service's DNS name.
    Not a fault when   The address is fixed on purpose (a ClusterIP that the manifest of the Service sets).

client-proxy-env
    The workload has an HTTP proxy in its environment, and NO_PROXY leaves out the Services it calls.
    Why it breaks      HTTP libraries send every request to the proxy unless the host matches NO_PROXY. A proxy outside
                       of the cluster cannot resolve names of Services: it answers 502, 503 or 403.
    Confirm by hand    kubectl -n {namespace} exec {kind}/{name} -- env
    Fix                Add the hosts to NO_PROXY: `.svc`, the cluster's domain, and short names one by one.
    Not a fault when   The program does not take its proxy from the environment.

client-nginx-static-upstream
    nginx forwards to a headless Service by a name that it looks up only when it starts.
    Why it breaks      nginx resolves the hosts of proxy_pass and upstream once. A headless Service resolves to the
                       addresses of its Pods, so after a rollout nginx goes on asking those that are gone: 502 or 504
                       until it is reloaded.
    Confirm by hand    kubectl -n {namespace} exec {kind}/{name} -- nginx -T
    Fix                Give the Service a ClusterIP; or set `resolver` and put the host into a variable in proxy_pass.
    Not a fault when   nginx is reloaded whenever the Pods change.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import partial
from shlex import quote

from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.clients.callers import Reference
from svcdoctor.clients.configfile import is_nginx
from svcdoctor.clients.correction import corrected, with_host
from svcdoctor.clients.settings import Setting, Variable, containers_of, files_of, is_complete, variables_of
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, warn
from svcdoctor.objects import Container, Service
from svcdoctor.text import listing
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.CALLERS,
    codes={
        "client-hardcoded-ip": Code(Stage.DNS, settles=False),
        "client-proxy-env": Code(Stage.DNS, settles=False),
        "client-nginx-static-upstream": Code(Stage.DNS, settles=False),
    },
    reads=("services", "pods", "configmaps", "namespaces", "servicecidrs"),
    about="client",
)


def run(case: ClientCase) -> Iterator[Finding]:
    if case.is_idle:
        return
    yield from _addresses(case)
    for container in containers_of(case.template.spec):
        yield from _proxied(case, container)
    yield from _static_upstreams(case)


# --- addresses -----------------------------------------------------------------------------------------------------

_ADDRESS = re.compile(
    r"(?<![\w.:/-])(?:[a-z][a-z0-9+]*://(?:[^\s/@]*@)?)?((?:\d{1,3}\.){3}\d{1,3})(?![\w./-]*/\d)(?![\w.])"
)
# These take addresses: what is told whom to trust, where to listen, whom to ask for names.
_TAKES_ADDRESSES = re.compile(
    r"(^|_)(NO_PROXY|CIDRS?|SUBNETS?|TRUSTED.*|ALLOW.*|BIND.*|LISTEN.*|RESOLVERS?|DNS.*|NAMESERVERS?)(_|$)"
)
# The kubelet's own form, which clients_know_the_address judges.
_SERVICE_VARIABLE = "_SERVICE_HOST"


def _addresses(case: ClientCase) -> Iterator[Finding]:
    seen: set[tuple[str, str]] = set()
    for setting in case.settings:
        name = setting.name.upper()
        if _TAKES_ADDRESSES.search(name) or name.endswith(_SERVICE_VARIABLE):
            continue
        for match in _ADDRESS.finditer(setting.text):
            address = match.group(1)
            owner = _owner(case, address)
            if owner and (address, setting.source) not in seen:
                seen.add((address, setting.source))
                yield _hardcoded(case, setting, address, *owner)
            elif not owner and (address, setting.source) not in seen and (kept := _kept_for_services(case, address)):
                seen.add((address, setting.source))
                yield _left_behind(case, setting, address, kept)


def _owner(case: ClientCase, address: str) -> tuple[Subject, Subject | None] | None:
    """Whose address it is, and the Service to name instead."""
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return None
    if not number.is_private or number.is_loopback:
        return None
    for service in case.services_at(address):
        place = (service.metadata.namespace, service.metadata.name)
        if place in (("kube-system", "kube-dns"), ("default", "kubernetes")):
            return None
        subject = Subject("Service", *place)
        return subject, subject
    pods = [pod for pod in case.pods_at(address)[0] if not pod.spec.host_network and pod.status.phase == "Running"]
    return (Subject("Pod", pods[0].metadata.namespace, pods[0].metadata.name), None) if pods else None


def _kept_for_services(case: ClientCase, address: str) -> str:
    """The range of ClusterIPs that holds an address which no Service has; "" where it is another's, or not known."""
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if not number.is_private or number.is_loopback or case.services_at(address) or not case.sees_all("services"):
        return ""
    items = case.or_without(lambda: case.listed("servicecidrs", EVERYWHERE), {}).values()
    ranges = (text for item in items for text in item.spec.cidrs or ())
    kept = ((text, ipaddress.ip_network(text, strict=False)) for text in ranges)
    # The first address is that of the range, and nobody's own.
    return next((text for text, network in kept if number in network and number != network.network_address), "")


def _left_behind(case: ClientCase, setting: Setting, address: str, kept: str) -> Finding:
    return warn(
        "client-hardcoded-ip",
        case.subject,
        f"calls {address}, a ClusterIP that no Service has any more",
        Evidence("set", address, setting.source),
        Evidence("Services at it", "none", "services of all namespaces .spec.clusterIPs"),
        Evidence("kept for them", kept, "servicecidrs .spec.cidrs"),
        remedies=(Remedy("write the DNS name of the Service that is meant", "kubectl get services -A", False),),
    )


def _hardcoded(case: ClientCase, setting: Setting, address: str, owner: Subject, service: Subject | None) -> Finding:
    at = owner.name if owner.namespace == case.namespace else f"{owner.name} of namespace {owner.namespace}"
    changes = "when it is created anew" if service else "whenever it is replaced"
    remedies: tuple[Remedy, ...] = ()
    if service:
        host = service.name if service.namespace == case.namespace else f"{service.name}.{service.namespace}"
        remedies = (corrected(case.template, setting, with_host(address, host), f"name {host}"),)
    return warn(
        "client-hardcoded-ip",
        case.subject,
        f"calls {owner.kind} {at} by its address {address}, which changes {changes}",
        Evidence("set", address, setting.source),
        Evidence("address", f"of {owner}", f"{owner} {'.spec.clusterIP' if service else '.status.podIP'}"),
        remedies=remedies,
    )


# --- proxies -------------------------------------------------------------------------------------------------------


def _proxied(case: ClientCase, container: Container) -> Iterator[Finding]:
    read = partial(case.config, case.namespace)
    if not is_complete(container, read):
        return
    variables = variables_of(container, f"{case.template.ref} container {container.name}", read)
    no_proxy = _first(variables, "no_proxy", "NO_PROXY")
    if no_proxy and no_proxy.text is None:
        return
    excepted = [
        entry.strip().lower() for entry in re.split(r"[,\s]+", (no_proxy.text if no_proxy else "") or "") if entry
    ]
    for scheme in ("http", "https"):
        proxy = _first(variables, f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "ALL_PROXY", "all_proxy")
        if proxy is None or not proxy.text or _is_inside(case, proxy.text):
            continue
        sent = [use for use in case.references if use.scheme == scheme and use.certain and _is_of(use, container)]
        sent = [use for use in sent if _is_served(case, use) and not _matches(use.host.lower(), excepted)]
        if sent:
            yield _through_proxy(case, container, proxy, no_proxy, sent)
            return


def _first(variables: dict[str, Variable], *names: str) -> Variable | None:
    return next((variables[name] for name in names if name in variables), None)


def _is_of(use: Reference, container: Container) -> bool:
    return use.setting.container in ("", container.name)


def _is_served(case: ClientCase, use: Reference) -> bool:
    return use.service in (case.services_of(use.namespace) or {})


def _is_inside(case: ClientCase, proxy: str) -> bool:
    """A proxy of the cluster or of the Pod itself may well know the names of Services."""
    host = re.split(r"[:/]", proxy.rpartition("://")[2].rpartition("@")[2])[0]
    labels = host.split(".")
    if host in ("localhost", "127.0.0.1") or "svc" in labels:
        return True
    place = labels[1] if len(labels) == 2 else case.namespace
    return len(labels) < 3 and labels[0] in (case.services_of(place) or {})


def _matches(host: str, excepted: list[str]) -> bool:
    bare = host.rstrip(".")
    for entry in excepted:
        ending = entry.partition(":")[0].removeprefix("*").lstrip(".").rstrip(".")
        if entry == "*" or (ending and (bare == ending or bare.endswith(f".{ending}"))):
            return True
        if entry == "<local>" and "." not in bare:
            return True
    return False


def _through_proxy(
    case: ClientCase, container: Container, proxy: Variable, no_proxy: Variable | None, sent: list[Reference]
) -> Finding:
    hosts = list(dict.fromkeys(use.host for use in sent))
    known = (no_proxy.text or "") if no_proxy else ""
    name = no_proxy.name if no_proxy else "NO_PROXY"
    value = ",".join(filter(None, [known, *hosts, ".svc", f".{case.zone}"]))
    item = f"{case.template.kind.lower()}/{case.template.name}"
    command = f"kubectl -n {case.namespace} set env {item} -c {container.name} {quote(f'{name}={value}')}"
    shown = re.sub(r"//[^/@]*@", "//", proxy.text or "")
    return fail(
        "client-proxy-env",
        case.subject,
        f"requests to {listing(hosts)} go to the proxy {shown}: {name} leaves them out",
        Evidence(proxy.name, shown, proxy.source),
        Evidence(
            name,
            known or "not set",
            no_proxy.source if no_proxy else f"{case.template.ref} container {container.name} env",
        ),
        *(Evidence("names", use.host, use.source) for use in sent[:3]),
        Evidence("unless", "the program takes no proxy from its environment", "its HTTP library"),
        remedies=(Remedy(f"add them to {name}", command),) if case.template.kind not in ("Pod", "Job") else (),
        inferred=True,
    )


# --- nginx ---------------------------------------------------------------------------------------------------------


def _static_upstreams(case: ClientCase) -> Iterator[Finding]:
    resolving = {
        file.key for file in files_of(case.template, partial(case.config, case.namespace)) if is_nginx(file.text)
    }
    seen: set[tuple[str, str]] = set()
    for use in case.references:
        service = (case.services_of(use.namespace) or {}).get(use.service) if use.setting.config else None
        place = (use.namespace, use.service)
        key = re.search(r" key (\S+) line \d+$", use.source)
        if (
            service
            and key
            and key.group(1) in resolving
            and _is_headless(service)
            and place not in seen
            and not use.setting.name
        ):
            seen.add(place)
            yield warn(
                "client-nginx-static-upstream",
                case.subject,
                f"nginx looks {use.host} up only when it starts, and the addresses of its Pods change: it is headless",
                Evidence("named", use.host, use.source),
                Evidence("clusterIP", "None", f"service/{use.service} .spec.clusterIP"),
                Evidence("unless", "nginx is reloaded when the Pods change", "not visible in objects"),
                remedies=(
                    Remedy(
                        "set resolver, and put the host into a variable in proxy_pass",
                        f"kubectl -n {case.namespace} edit configmap {use.setting.config}",
                    ),
                ),
                inferred=True,
            )


def _is_headless(service: Service) -> bool:
    return service.spec.cluster_ip == "None" and service.spec.type != "ExternalName"
