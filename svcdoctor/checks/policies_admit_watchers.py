"""Do the NetworkPolicies let in what serves the cluster: scrapes of Prometheus, calls of the API server?

netpol-aux-source-blocked
    Prometheus, or the API server with a webhook, is to reach the Pods, and the NetworkPolicies keep it out.
    Why it breaks      Scrapes come from the namespace of the monitoring, calls of webhooks from the control plane: a
                       policy made for the application's own callers forgets both.
    Confirm by hand    kubectl -n {namespace} describe networkpolicies
    Fix                Admit the namespace of the monitoring, or the addresses of the control plane, on that port.
    Not a fault when   The API server runs on the node of the Pods, or nobody misses the metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from svcdoctor.case import Case, may_be_called_by_api_server
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Stage, Step, warn
from svcdoctor.indexes import those
from svcdoctor.objects import CustomObject, ServicePort
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.policy import Party, Rule, is_empty
from svcdoctor.policies.policyrule import rule_evidence
from svcdoctor.policies.traffic import Guard, admit_peers, enforcement, guards, party_of_pod, peers_of, refusing
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.CONNECT,
    codes={"netpol-aux-source-blocked": Code(Stage.POLICY, settles=False)},
    reads=(
        "networkpolicies",
        *OTHER_KINDS,
        "services",
        "namespaces",
        "nodes",
        "pods",
        *WORKLOAD_RESOURCES,
        "servicemonitors",
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
    ),
)
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
PROMETHEUS = those(
    "prometheus pods",
    "pods",
    lambda pod: any(
        item.image.rpartition("/")[2].partition(":")[0] == "prometheus" for item in pod.spec.containers or ()
    ),
)


class Source(NamedTuple):
    """Something that is to reach a port of the Service from elsewhere."""

    what: str
    parties: list[Party]
    port: ServicePort
    evidence: Evidence


def run(case: Case) -> Iterator[Finding]:
    guarded = [guard for guard in guards(case) if guard.rules]
    for source in (*_scrapes(case, guarded), *_webhooks(case)) if guarded else ():
        yield from _source_blocked(case, source, guarded)


def _source_blocked(case: Case, source: Source, guarded: list[Guard]) -> Iterator[Finding]:
    refused = refusing(case, guarded, source.parties, source.port)
    if refused is None:
        return
    guard, number = refused
    doubt = enforcement(case)
    yield warn(
        "netpol-aux-source-blocked",
        case.subject,
        f"{source.what} may not connect to port {number}: NetworkPolicy {guard.names} does not admit it",
        source.evidence,
        *map(rule_evidence, guard.rules[:3]),
        *doubt.doubt,
        remedies=(
            (admit_peers(guard, case, peers, source.what, [(number, source.port.protocol)]),)
            if (peers := peers_of(source.parties))
            else ()
        ),
        inferred=not doubt.is_certain,
    )


def _scrapes(case: Case, guarded: list[Guard]) -> Iterator[Source]:
    ports = list(_scraped(case))
    # Prometheus may run anywhere: all Pods of the cluster are looked at only where a policy may keep it out.
    if not ports or _admits_every_pod(case, guarded, ports[0][0]):
        return
    pods = case.or_without(lambda: case.found_everywhere(PROMETHEUS), [])
    parties = [party_of_pod(case, pod) for pod in pods if pod.metadata.namespace != case.namespace]
    if parties:
        yield from (Source("Prometheus", parties, port, evidence) for port, evidence in ports[:1])


def _admits_every_pod(case: Case, guarded: list[Guard], port: ServicePort) -> bool:
    return all(
        any(
            _is_for_every_pod(rule) and rule.port_lack(number, port.protocol, guard.party.spec) is None
            for rule in guard.rules
        )
        for guard in guarded
        if (number := case.target_of(port, guard.backend.spec)) is not None
    )


def _is_for_every_pod(rule: Rule) -> bool:
    return not rule.peers or any(
        peer.namespace_selector is not None and is_empty(peer.namespace_selector) and is_empty(peer.pod_selector)
        for peer in rule.peers
    )


def _scraped(case: Case) -> Iterator[tuple[ServicePort, Evidence]]:
    """The ports that Prometheus is told to scrape, by an annotation or by a ServiceMonitor."""
    annotated = [(case.service.metadata, f"service/{case.name}")]
    annotated += [(pod.metadata, f"pod/{pod.metadata.name}") for backend in case.backing for pod in backend.pods[:1]]
    for metadata, ref in annotated:
        said = metadata.annotations or {}
        for port in case.ports if said.get("prometheus.io/scrape") == "true" else ():
            wanted = said.get("prometheus.io/port", str(port.target_port))
            if wanted in (str(port.port), str(port.target_port)):
                yield port, Evidence("scraped", f"prometheus.io/port={wanted}", f"{ref} .metadata.annotations")
    labels = case.service.metadata.labels or {}
    for monitor in case.or_without(lambda: _monitors(case), []) if labels else []:
        spec: dict[str, Any] = monitor.spec or {}
        selected = (spec.get("selector") or {}).get("matchLabels") or {}
        if selected and selected.items() <= labels.items() and _looks_here(monitor, case.namespace):
            names = {item.get("port") for item in spec.get("endpoints") or () if isinstance(item, dict)}
            for port in case.ports:
                if port.name in names:
                    ref = f"servicemonitor/{monitor.metadata.name}"
                    yield port, Evidence("scraped", f"port {port.name}", f"{ref} of {monitor.metadata.namespace}")


def _monitors(case: Case) -> list[CustomObject]:
    return case.everywhere("servicemonitors")[0]


def _looks_here(monitor: CustomObject, namespace: str) -> bool:
    places = (monitor.spec or {}).get("namespaceSelector") or {}
    return bool(places.get("any")) or namespace in (places.get("matchNames") or [monitor.metadata.namespace])


def _webhooks(case: Case) -> Iterator[Source]:
    if all(port.name for port in case.ports) and not may_be_called_by_api_server(case.service):
        return
    for resource in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
        held = case.or_without(lambda resource=resource: case.listed(resource, EVERYWHERE), {})  # type: ignore[misc]
        for name, configuration in held.items():
            for webhook in configuration.webhooks or ():
                service = webhook.client_config.service
                if service is None or (service.namespace, service.name) != (case.namespace, case.name):
                    continue
                port = next((port for port in case.ports if port.port == (service.port or 443)), None)
                if port:
                    yield Source(
                        "the API server",
                        [_api_server(case)],
                        port,
                        Evidence("calls it", f"webhook {webhook.name}", f"{resource.removesuffix('s')}/{name}"),
                    )
                    return


def _api_server(case: Case) -> Party:
    """The control plane, on the host network of its nodes; of one that is not seen no address is known."""
    nodes = [node for node in case.or_without(case.nodes, {}).values() if CONTROL_PLANE in (node.metadata.labels or {})]
    addresses = [item.address for node in nodes for item in node.status.addresses or () if item.type == "InternalIP"]
    names = frozenset(node.metadata.name for node in nodes)
    return Party("the API server", "", {}, {}, tuple(addresses), host_network=True, nodes=names)
