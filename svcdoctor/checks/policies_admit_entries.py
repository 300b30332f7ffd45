"""Do the NetworkPolicies let requests from outside the cluster in, through an Ingress or a node?

netpol-ingress-controller-blocked
    An Ingress or a Route leads to the Service, and the NetworkPolicies on its Pods keep the controller out.
    Why it breaks      The controller's own Pods connect to the backend: to a policy they are callers like others, of
                       another namespace. Kept out, they answer 502 or 504 while callers inside the namespace are fine.
    Confirm by hand    kubectl -n {namespace} describe networkpolicies
    Fix                Admit the controller's namespace; its nodes, where it is on the host network.
    Not a fault when   The controller runs in the Service's own namespace, or another rule admits it.

netpol-ipblock-snat
    A NetworkPolicy admits addresses outside the cluster, which the Pods never see.
    Why it breaks      With externalTrafficPolicy Cluster a node that takes a request from outside passes it on under
                       its own address. An ipBlock of the client's addresses then matches nothing.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.externalTrafficPolicy}'
    Fix                Set externalTrafficPolicy to Local, or admit the addresses of the nodes.
    Not a fault when   The load balancer sends to the Pods directly, or the network plugin keeps the client's address.

"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import Entry, backends_of
from svcdoctor.entry.ingressclass import controller_of, controllers, controllers_behind_services
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import Ingress, Pod, ServicePort
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.policy import holds
from svcdoctor.policies.policyrule import rule_evidence
from svcdoctor.policies.traffic import Guard, admit_peers, enforcement, guards, opens, party_of_pod, peers_of, refusing
from svcdoctor.text import listing, patch_command

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "netpol-ingress-controller-blocked": Code(Stage.POLICY, settles=False),
        "netpol-ipblock-snat": Code(Stage.POLICY, settles=False),
    },
    reads=(
        "networkpolicies",
        *OTHER_KINDS,
        "services",
        "namespaces",
        "nodes",
        "pods",
        *WORKLOAD_RESOURCES,
        "ingresses",
        "httproutes",
        "grpcroutes",
        "tlsroutes",
        "ingressclasses",
    ),
)


def run(case: Case) -> Iterator[Finding]:
    guarded = [guard for guard in guards(case) if guard.rules]
    if not guarded:
        return
    blocked = (_entry_blocked(case, entry, guarded) for entry in case.entries)
    yield from (finding for finding in blocked if finding)
    yield from _behind_nodes(case, guarded)


# --- Ingresses and Routes ------------------------------------------------------------------------------------------


def _entry_blocked(case: Case, entry: Entry, guarded: list[Guard]) -> Finding | None:
    named = {
        backend.port
        for backend in backends_of(entry.owner)
        if (backend.namespace, backend.name) == (case.namespace, case.name)
    }
    ports = [port for port in case.ports if named & {port.port, port.name, None}]
    if _is_let_in(case, entry, guarded, ports):
        return None
    pods = _controllers(case, entry)
    for port in ports:
        refused = (
            refusing(case, guarded, [party_of_pod(case, pod) for pod in pods], port)
            if pods
            else _confined(case, guarded, port)
        )
        if refused:
            return _entry_finding(case, entry, pods, port, *refused)
    return None


def _is_let_in(case: Case, entry: Entry, guarded: list[Guard], ports: list[ServicePort]) -> bool:
    """Whether a Pod of the controller is let in that is found without looking at all Pods of the cluster."""
    if not isinstance(entry.owner, Ingress):
        return False
    pods = controllers_behind_services(case, controller_of(case, entry.owner))
    parties = [party_of_pod(case, pod) for pod in pods]
    return bool(parties) and all(refusing(case, guarded, parties, port) is None for port in ports)


def _controllers(case: Case, entry: Entry) -> list[Pod]:
    if not isinstance(entry.owner, Ingress):
        return []
    return list(controllers(case, controller_of(case, entry.owner)))


def _confined(case: Case, guarded: list[Guard], port: ServicePort) -> tuple[Guard, int] | None:
    """Where the controller is not seen: a workload whose rules admit nobody but Pods of its own namespace."""
    for guard in guarded:
        number = case.target_of(port, guard.backend.spec)
        if number is None or not opens(guard, number, port.protocol):
            continue
        opening = [rule for rule in guard.rules if rule.port_lack(number, port.protocol, guard.party.spec) is None]
        peers = [peer for rule in opening for peer in rule.peers or (None,)]
        if all(peer and peer.namespace_selector is None and peer.ip_block is None for peer in peers):
            return guard, number
    return None


def _entry_finding(case: Case, entry: Entry, pods: list[Pod], port: ServicePort, guard: Guard, number: int) -> Finding:
    ref = f"{entry.kind.lower()}/{entry.name}"
    doubt = enforcement(case)
    parties = [party_of_pod(case, pod) for pod in pods]
    places = list(dict.fromkeys(f"{pod.metadata.namespace}/{pod.metadata.name}" for pod in pods))
    if pods:
        who = f"its controller ({listing(places, 2)}) may not connect to port {number}"
        remedy = admit_peers(guard, case, peers_of(parties), "the controller", [(number, port.protocol)])
    else:
        who = f"its controller may not connect to port {number} from another namespace"
        remedy = Remedy(
            "see whom the policies admit, and add the controller's namespace",
            f"kubectl -n {case.namespace} describe networkpolicies",
            changes_cluster=False,
        )
    unseen = Evidence("unless", "the controller runs in this namespace", "no Pod of it is seen")
    return fail(
        "netpol-ingress-controller-blocked",
        case.subject,
        f"{ref} leads here, but {who}: NetworkPolicy {guard.names} does not admit it",
        *map(rule_evidence, guard.rules[:3]),
        Evidence("leads here", f"port {port.port}", f"{ref} of namespace {entry.namespace}"),
        *(() if pods else (unseen,)),
        *doubt.doubt,
        remedies=(remedy,),
        inferred=not (pods and doubt.is_certain),
    )


# --- clients behind the nodes --------------------------------------------------------------------------------------


def _behind_nodes(case: Case, guarded: list[Guard]) -> Iterator[Finding]:
    if case.type not in ("LoadBalancer", "NodePort") or case.spec.external_traffic_policy == "Local":
        return
    nodes = case.or_without(case.nodes, {}).values()
    addresses = [item.address for node in nodes for item in node.status.addresses or ()]
    ranges = [cidr for node in nodes for cidr in node.spec.pod_cidrs or ()]
    rules = [rule for guard in guarded for rule in guard.rules]
    blocks = [(rule, peer.ip_block.cidr) for rule in rules for peer in rule.peers if peer.ip_block]
    outside = [
        (rule, cidr)
        for rule, cidr in blocks
        if not any(holds(own, cidr.partition("/")[0]) for own in ranges) and not cidr.startswith("0.0.0.0/")
    ]
    admits_nodes = any(not rule.peers for rule in rules) or any(
        holds(cidr, address) for _, cidr in blocks for address in addresses
    )
    if not outside or admits_nodes or not addresses:
        return
    rule, cidr = outside[0]
    patch = {"spec": {"externalTrafficPolicy": "Local"}}
    yield warn(
        "netpol-ipblock-snat",
        case.subject,
        f"clients from {cidr} may not be let in: NetworkPolicy {rule.policy.metadata.name} admits their addresses, and "
        "with externalTrafficPolicy Cluster the Pods see those of the nodes",
        rule_evidence(rule),
        Evidence("nodes", listing(addresses), "nodes .status.addresses"),
        Evidence(
            "externalTrafficPolicy",
            case.spec.external_traffic_policy or "Cluster",
            f"service/{case.name} .spec.externalTrafficPolicy",
        ),
        Evidence("unless", "the load balancer sends to the Pods directly", "nothing here would show it"),
        *enforcement(case).doubt,
        remedies=(
            Remedy(
                "keep the addresses of clients (nodes without a ready Pod then take no requests)",
                patch_command(case.namespace, f"service {case.name}", patch),
            ),
        ),
        inferred=True,
    )
