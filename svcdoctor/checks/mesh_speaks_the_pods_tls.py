"""Do callers in the mesh speak TLS the way that the Pods do?

mesh-destinationrule-tls
    A DestinationRule makes callers speak TLS in another way than the Pods do.
    Why it breaks      ISTIO_MUTUAL needs a proxy on the other side; DISABLE is plain text, which STRICT refuses; SIMPLE
                       and MUTUAL are TLS that the application itself must speak. Callers get 503 (flags UF or UC).
    Confirm by hand    kubectl -n {namespace} get destinationrules -o yaml; kubectl get peerauthentications -A
    Fix                Remove trafficPolicy.tls: Istio then speaks to each Pod what that Pod understands.
    Not a fault when   The application itself terminates the TLS that SIMPLE or MUTUAL begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import CustomObject, ServicePort
from svcdoctor.pods.template import TEMPLATE_KINDS
from svcdoctor.policies.mesh import (
    MEMBERS_OF_ISTIO,
    ROOT_NAMESPACE,
    Server,
    at,
    callers_of,
    destination_rules,
    host_key,
    is_hinted_at,
    json_pointer,
    mutual_tls,
    parts_at,
    ref,
    servers_of,
)
from svcdoctor.text import listing, patch_command, plural

CHECK = Check(
    step=Step.CONNECT,
    codes={"mesh-destinationrule-tls": Code(Stage.ENTRY, settles=False)},
    reads=("namespaces", "configmaps", "destinationrules", "peerauthentications", *TEMPLATE_KINDS),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector or not is_hinted_at(case):
        return
    servers = servers_of(case)
    rules = destination_rules(case, (case.name, case.namespace), (case.namespace, ROOT_NAMESPACE))
    for rule in rules if servers else ():
        is_for_all = host_key(at(rule.spec, "host"), rule.metadata.namespace) != (case.name, case.namespace)
        if is_for_all and not any(caller.mesh in MEMBERS_OF_ISTIO for caller in callers_of(case)):
            continue
        settings = list(_settings(rule))
        by_port = {setting.port for setting in settings}
        for setting in settings:
            ports = [
                port
                for port in case.ports
                if port.protocol == "TCP" and (port.port == setting.port if setting.port else port.port not in by_port)
            ]
            if ports and (finding := _disagreement(case, rule, setting, servers, ports)):
                yield finding
                break


class Setting(NamedTuple):
    """What a DestinationRule says of TLS, and where."""

    mode: str
    path: str
    port: int | None  # of the Service; None for all


def _settings(rule: CustomObject) -> Iterator[Setting]:
    for index, one in enumerate(parts_at(rule.spec, "trafficPolicy", "portLevelSettings")):
        mode, port = at(one, "tls", "mode"), at(one, "port", "number")
        if mode and isinstance(port, int):
            yield Setting(str(mode), f".spec.trafficPolicy.portLevelSettings[{index}].tls", port)
    if mode := at(rule.spec, "trafficPolicy", "tls", "mode"):
        yield Setting(str(mode), ".spec.trafficPolicy.tls", None)


def _disagreement(
    case: Case, rule: CustomObject, setting: Setting, servers: list[Server], ports: list[ServicePort]
) -> Finding | None:
    outside = [server for server in servers if server.mesh not in MEMBERS_OF_ISTIO]
    said = [
        mutual_tls(case, server, case.namespace, case.target_of(ports[0], server.spec))
        for server in servers
        if server.mesh in MEMBERS_OF_ISTIO
    ]
    modes = {mode for mode, _ in said}
    policy = next((policy for _, policy in said if policy), None)
    seen: Evidence
    inferred = False
    match setting.mode:
        case "ISTIO_MUTUAL" if outside:
            why = f"{len(outside)} of {plural(len(servers), 'Pod')} {'has' if len(outside) == 1 else 'have'} no proxy"
            seen = Evidence(
                "no proxy", listing([server.name or "none yet" for server in outside]), "pods .spec.containers"
            )
        case "ISTIO_MUTUAL" if modes == {"DISABLE"} and policy:
            why = "the Pods' proxies take plain text only"
            seen = _mode(case, policy, "DISABLE")
        case "DISABLE" | "SIMPLE" | "MUTUAL" if modes == {"STRICT"} and policy and not outside:
            why = "the Pods' proxies accept Istio's mutual TLS only"
            seen = _mode(case, policy, "STRICT")
        case "SIMPLE" | "MUTUAL" if plain := _plain_probe(case, servers, ports):
            why = f"the Pods answer plain HTTP on port {plain}"
            seen = Evidence("readiness probe", f"GET over HTTP on {plain}", "pods .spec.containers[].readinessProbe")
            inferred = True
        case _:
            return None
    patch = [{"op": "remove", "path": json_pointer(setting.path)}]
    say = fail if not outside or len(outside) == len(servers) else warn
    name = ref(rule, "destinationrule", case.namespace)
    return say(
        "mesh-destinationrule-tls",
        case.subject,
        f"{name} makes callers speak TLS in mode {setting.mode}, but {why}",
        Evidence("mode", setting.mode, f"{name} {setting.path}.mode"),
        seen,
        remedies=(
            Remedy(
                "let Istio speak to each Pod what it understands",
                patch_command(rule.metadata.namespace, f"destinationrule {rule.metadata.name}", patch),
            ),
        ),
        inferred=inferred,
    )


def _mode(case: Case, policy: CustomObject, mode: str) -> Evidence:
    return Evidence("accepted", mode, f"{ref(policy, 'peerauthentication', case.namespace)} .spec.mtls.mode")


def _plain_probe(case: Case, servers: list[Server], ports: list[ServicePort]) -> int | None:
    """The port on which every Pod's readiness probe is answered in plain HTTP, if requests go there."""
    for port in ports:
        if all(_is_plain(server, case.target_of(port, server.spec)) for server in servers):
            return case.target_of(port, servers[0].spec)
    return None


def _is_plain(server: Server, target: int | None) -> bool:
    for container in server.spec.containers or ():
        names = {port.name: port.container_port for port in container.ports or () if port.name}
        get = container.readiness_probe.http_get if container.readiness_probe else None
        if get and target and (get.scheme or "HTTP") == "HTTP" and names.get(str(get.port), get.port) == target:
            return True
    return False
