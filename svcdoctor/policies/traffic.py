"""Who stands at the two ends of a connection, as NetworkPolicies see them, and what these let through.

policy.py judges; this gathers what it judges by: the policies of a namespace, the Pods of a workload with the labels
of their namespace, whether the network plugin enforces policies at all, and the rule that would let somebody in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from svcdoctor.case import Backend, Case, case_of
from svcdoctor.clientcase import ClientCase
from svcdoctor.clients.callers import Reference
from svcdoctor.clients.statedclient import is_let_through, stated_client
from svcdoctor.endpoints.reconcile import pod_addresses
from svcdoctor.finding import Evidence, Remedy, Subject
from svcdoctor.names.lookup import Vantage
from svcdoctor.objectindexes import PODS_BY_OWNER
from svcdoctor.objects import RESOURCES, CustomObject, Metadata, NetworkPolicy, Pod, ServicePort
from svcdoctor.pods.template import Template
from svcdoctor.policies.adminpolicy import (
    ADMIN_KINDS,
    ADMITTING_KINDS,
    PLUGIN_KINDS,
    deciding,
    in_order,
    lets_somebody_in,
    selects_for,
)
from svcdoctor.policies.policy import (
    NAMESPACE_NAME,
    Direction,
    Party,
    Rule,
    Side,
    is_empty,
    isolates,
    judge_side,
    rules_of,
)
from svcdoctor.policies.policyrule import PortFault, opening, port_faults
from svcdoctor.text import listing
from svcdoctor.view import View
from svcdoctor.world import EVERYWHERE, NotRead, Want

# Network plugins by the names of their DaemonSets. Whether others enforce policies, no object tells.
_ENFORCING = re.compile(
    r"kindnet|calico-node|canal|cilium|anetd|weave-net|kube-router|antrea-agent|ovnkube-node|azure-npm|kube-network-policies"
)
_NOT_ENFORCING = re.compile(r"kube-flannel(-ds.*)?|flannel")
_PLACES = ("kube-system", "calico-system", "kube-flannel", "cilium", "openshift-ovn-kubernetes")


class Enforcement(NamedTuple):
    """Whether NetworkPolicies take effect here (None: no object tells), and the DaemonSet that says so."""

    enforced: bool | None
    plugin: str = ""
    seen: bool = True  # whether DaemonSets could be looked at wherever network plugins have theirs
    unread: tuple[str, ...] = ()  # kinds of policies that stand above NetworkPolicies, and may not be read

    @property
    def is_certain(self) -> bool:
        """Whether what a NetworkPolicy refuses is refused for sure."""
        return bool(self.enforced) and not self.unread

    @property
    def doubt(self) -> tuple[Evidence, ...]:
        above = "a policy of the cluster's administrators admits it all the same"
        found = (Evidence("unless", above, f"{listing(list(self.unread))} may not be read"),) if self.unread else ()
        if self.enforced:
            return found
        value = "the network plugin here enforces no NetworkPolicies"
        none = "no DaemonSet of a plugin that is known to enforce them"
        source = none if self.seen else "not all DaemonSets were read"
        return (Evidence("unless", value, source), *found)


def enforcement(view: View) -> Enforcement:
    view.touched.add("daemonsets")

    def build() -> Enforcement:
        found: list[str] = []
        seen = True
        unread = _unread_above(view)
        for place in _PLACES:
            names = view.or_without(lambda place=place: _daemonsets(view, place), None)  # type: ignore[misc]
            if names is None:
                seen = False
                continue
            found += names
            enforcing = next((name for name in names if _ENFORCING.search(name)), "")
            if enforcing:
                return Enforcement(True, f"daemonset/{enforcing} in {place}", unread=unread)
        flannel = next((name for name in found if _NOT_ENFORCING.fullmatch(name)), "")
        return Enforcement(False, f"daemonset/{flannel}") if flannel else Enforcement(None, seen=seen, unread=unread)

    return view.shared("policy enforcement", build)


def _unread_above(view: View) -> tuple[str, ...]:
    """The kinds that the cluster has, and that may not be read."""
    return tuple(
        kind for kind in ADMITTING_KINDS if view.or_without(partial(view.listed, kind, EVERYWHERE), None) is None
    )


def _daemonsets(view: View, place: str) -> list[str]:
    """Their names. What was not read is asked for in one list of all namespaces, which are few objects; where that is
    refused, of the places that are looked at one after the other, all that are missing at once."""
    try:
        return list(view.listed("daemonsets", place))
    except NotRead as missing:
        if not missing.gap and not view.world.is_answered("daemonsets", EVERYWHERE):
            raise NotRead("daemonsets", EVERYWHERE, None) from None
        further = () if missing.gap else _PLACES[_PLACES.index(place) :]
        more = [Want("daemonsets", other) for other in further if not view.world.is_answered("daemonsets", other)]
        raise NotRead("daemonsets", place, missing.gap, more) from None


# --- both ends ---------------------------------------------------------------------------------------------------


def policies_in(view: View, namespace: str) -> list[NetworkPolicy]:
    """The NetworkPolicies of a namespace, by name."""
    return list(view.listed("networkpolicies", namespace).values())


def policies_of(view: View, kinds: Mapping[str, str], namespace: str = "") -> list[tuple[str, CustomObject]]:
    """The policies of other projects, resource to kind, that may be read and may concern a namespace, else this one."""
    place = namespace or view.namespace

    def build() -> list[tuple[str, CustomObject]]:
        found = []
        for resource, kind in kinds.items():
            scope = place if RESOURCES[resource].namespaced else EVERYWHERE
            held = view.or_without(lambda resource=resource, scope=scope: view.listed(resource, scope), {})  # type: ignore[misc]
            found += [(kind, policy) for policy in held.values()]
        return found

    view.touched.update(kinds)
    return view.shared((*kinds, place), build)


def unjudged(
    view: View, direction: Direction, parties: Callable[[], Iterable[Party]], namespace: str = ""
) -> list[str]:
    """The policies of Cilium and Calico that select one of these Pods of a namespace (else the view's), and may hold
    back what it gets, or sends. The parties are asked for only where there are such policies."""
    held = policies_of(view, PLUGIN_KINDS, namespace)
    known = list(parties()) if held else []
    found = (
        f"{kind} {policy.metadata.name.removeprefix('default.')}"  # the tier, which Calico's own API leaves out
        for kind, policy in held
        if any(selects_for(direction, kind, policy, party) for party in known)
    )
    return list(dict.fromkeys(found))


def namespace_labels(view: View, namespace: str) -> dict[str, str]:
    """Those that a namespaceSelector sees; of a namespace that may not be read only the one that every one has."""
    held = view.or_without(lambda: view.listed("namespaces", EVERYWHERE).get(namespace), None)
    return {**((held.metadata.labels if held else None) or {}), NAMESPACE_NAME: namespace}


def party_of(view: View, template: Template) -> Party:
    """Any Pod of a workload."""
    view.touched.add("pods")
    owner = (template.kind, template.name)
    pods = view.or_without(lambda: view.world.found(PODS_BY_OWNER, template.namespace, owner), [])
    return _party(view, template.subject, template.labels, template.spec, pods)


def party_of_pod(view: View, pod: Pod) -> Party:
    subject = Subject("Pod", pod.metadata.namespace, pod.metadata.name)
    party = _party(view, subject, pod.metadata.labels or {}, pod.spec, [pod])
    return party._replace(pod=pod.metadata.name)


def party_behind(case: Case, backend: Backend) -> Party:
    return _party(case, backend.owner, backend.labels, backend.spec, backend.pods)


def _party(view: View, subject: Subject, labels: Any, spec: Any, pods: Iterable[Pod]) -> Party:
    held = list(pods)
    return Party(
        str(subject),
        subject.namespace,
        labels,
        namespace_labels(view, subject.namespace),
        tuple(address for pod in held for address in pod_addresses(pod)),
        spec.host_network,
        frozenset(pod.spec.node_name for pod in held if pod.spec.node_name),
        spec=spec,
    )


def side(
    view: View,
    direction: Direction,
    own: Party,
    other: Party,
    number: int,
    protocol: str,
    policies: Iterable[NetworkPolicy],
) -> Side:
    """What policies say of one side. Raises NotRead where that turns on labels of a namespace that may not be read.

    What the cluster's administrators allow no NetworkPolicy denies; what they deny is told by another check. So is that
    there are policies which nobody here judges: these may let through what NetworkPolicies do not.
    """
    answer = judge_side(direction, own, other, number, protocol, policies)
    if not answer.allowed:
        above = in_order(policies_of(view, ADMIN_KINDS))
        rule = deciding(above, direction, own, other, number, protocol, isolated=True)
        if (rule and not rule.denies) or unjudged(view, direction, lambda: [own], own.namespace):
            return Side(direction)
    if answer.depends_on_namespaces:
        view.listed("namespaces", EVERYWHERE)
    return answer


class Denied(NamedTuple):
    """A direction in which policies hold a connection back, and which do."""

    direction: Direction
    side: Side


def keeping_out(view: View, source: Pod, destination: Pod, number: int) -> Denied | None:
    """What keeps one Pod from a TCP port of another; None where NetworkPolicies let it through."""
    own, other = party_of_pod(view, source), party_of_pod(view, destination)
    for direction, here, there in ((Direction.EGRESS, own, other), (Direction.INGRESS, other, own)):
        policies = policies_in(view, here.namespace)
        answer = side(view, direction, here, there, number, "TCP", policies) if policies else Side(direction)
        if not answer.allowed and enforcement(view).enforced is not False:
            return Denied(direction, answer)
    return None


def closed_by(view: View, source: Pod, destination: Pod, number: int) -> str:
    """The policies that keep, or may keep, one Pod from a TCP port of another; "" where all let it through."""
    if denied := keeping_out(view, source, destination, number):
        return f"NetworkPolicy {listing([policy.metadata.name for policy in denied.side.isolating])}"
    own, other = party_of_pod(view, source), party_of_pod(view, destination)
    above = in_order(policies_of(view, ADMIN_KINDS))
    for direction, here, there in ((Direction.EGRESS, own, other), (Direction.INGRESS, other, own)):
        if above:
            isolated = any(isolates(policy, direction, here) for policy in policies_in(view, here.namespace))
            rule = deciding(above, direction, here, there, number, "TCP", isolated)
            if rule and rule.denies:
                return f"{rule.kind} {rule.policy.metadata.name}"
        if names := unjudged(view, direction, lambda here=here: [here], here.namespace):  # type: ignore[misc]
            return listing(names)
    return ""


# --- a Service whose Pods are isolated -----------------------------------------------------------------------------


class Guard(NamedTuple):
    """A workload behind a Service that policies isolate for ingress, and every rule of these."""

    backend: Backend
    party: Party
    isolating: list[NetworkPolicy]
    rules: list[Rule]

    @property
    def names(self) -> str:
        return listing([policy.metadata.name for policy in self.isolating])


def guards(case: Case) -> list[Guard]:
    """The isolated ones among the workloads behind a Service; none where nothing enforces policies.

    Nor those that other policies may open again: that is told of them, and no NetworkPolicy is blamed.
    """
    return case.once("guards", lambda: _guards(case))


def _guards(case: Case) -> list[Guard]:
    policies = policies_in(case, case.namespace)
    if not policies:
        return []
    found = []
    for backend in case.backing:
        party = party_behind(case, backend)
        isolating = [policy for policy in policies if isolates(policy, Direction.INGRESS, party)]
        if isolating and not unjudged(case, Direction.INGRESS, lambda party=party: [party]):  # type: ignore[misc]
            found.append(Guard(backend, party, isolating, rules_of(isolating, Direction.INGRESS)))
    return found if found and enforcement(case).enforced is not False else []


def targets(case: Case, backend: Backend) -> Iterator[tuple[ServicePort, int]]:
    """Each Service port with the number that it leads to on such a Pod, where it leads anywhere."""
    for port in case.ports:
        number = case.target_of(port, backend.spec)
        if number is not None:
            yield port, number


def is_opened_above(case: Case, guard: Guard) -> bool:
    """Whether the cluster's administrators let anybody in to a port of it, whatever its NetworkPolicies say."""
    above = in_order(policies_of(case, ADMIN_KINDS))
    ports = list(targets(case, guard.backend)) if above else []
    return any(lets_somebody_in(above, guard.party, number, port.protocol) for port, number in ports)


def opens(guard: Guard, number: int, protocol: str) -> bool:
    """Whether some rule admits anybody to the port."""
    return any(rule.port_lack(number, protocol, guard.party.spec) is None for rule in guard.rules)


def refusing(case: Case, guarded: list[Guard], parties: list[Party], port: ServicePort) -> tuple[Guard, int] | None:
    """The workload behind the Service that refuses all of them; None where one of them gets through to it."""
    for guard in guarded:
        number = case.target_of(port, guard.backend.spec)
        if number is not None and opens(guard, number, port.protocol):
            answers = [
                side(case, Direction.INGRESS, guard.party, party, number, port.protocol, guard.isolating)
                for party in parties
            ]
            if not any(answer.allowed for answer in answers):
                return guard, number
    return None


class Caller(NamedTuple):
    template: Template
    references: list[Reference]

    @property
    def ref(self) -> str:
        return self.template.ref

    @property
    def names_port(self) -> bool:
        return all(reference.port for reference in self.references)

    def ports(self, case: Case) -> list[ServicePort]:
        """The ports that it calls; all of them, where it does not say which."""
        named = {reference.port for reference in self.references}
        return [port for port in case.ports if port.port in named or not self.names_port]

    @property
    def evidence(self) -> Evidence:
        reference = self.references[0]
        return Evidence("calls it", reference.host, reference.source)


def callers_of(case: Case) -> list[Caller]:
    """The workloads that surely name the Service and run now; not its own single Pod, which can always reach itself,
    nor a client that was seen to reach it."""
    found: dict[Subject, Caller] = {}
    own = {backend.owner for backend in case.backing}
    reached = reached_from(case)
    for template, reference in case.callers:
        alone = template.subject in own and (template.desired or 1) < 2
        if (
            reference.certain
            and not alone
            and template.subject != reached
            and not ClientCase(case.world, template).is_idle
        ):
            found.setdefault(template.subject, Caller(template, [])).references.append(reference)
    return list(found.values())


def reached_from(case: Case) -> Subject | None:
    """The workload of the client that a person named, where it was seen to reach the Service: what policies seem to
    forbid is not enforced then."""
    client = case.or_without(lambda: stated_client(case), None)
    is_through = client and case.or_without(lambda: is_let_through(case, client), False)
    return client.template.subject if client and is_through else None


# --- a workload that may not connect out --------------------------------------------------------------------------


class Refusal(NamedTuple):
    """A Service port that the policies of a workload keep it from, and how."""

    service: Case
    reference: Reference
    port: ServicePort
    number: int
    backend: Backend
    side: Side

    @property
    def name(self) -> str:
        is_near = self.reference.namespace == self.service.namespace
        return self.service.name if is_near else f"{self.service.namespace}/{self.service.name}"


def egress_policies(case: ClientCase) -> list[NetworkPolicy]:
    """The policies that isolate a workload for egress; none where nothing enforces them."""
    policies = policies_in(case, case.namespace)
    if not policies or case.is_idle:
        return []
    own = party_of(case, case.template)
    isolating = [policy for policy in policies if isolates(policy, Direction.EGRESS, own)]
    return isolating if isolating and enforcement(case).enforced is not False else []


def refusals(case: ClientCase) -> list[Refusal]:
    """What the egress policies of a workload keep it from, of all that it names; nothing where none enforces them."""
    policies = egress_policies(case)
    if not policies:
        return []
    own = party_of(case, case.template)
    return [
        refusal
        for (namespace, name), references in case.named.items()
        if (service := case.or_without(lambda place=namespace, name=name: led_to(case, place, name), None))  # type: ignore[misc]
        and reached_from(service) != case.subject
        for refusal in _refused(service, Caller(case.template, references), own, policies)
    ]


def led_to(case: View, namespace: str, name: str) -> Case | None:
    """The Service of that name; of an alias the one at its end, if that is one of the cluster."""
    service = case_of(case, namespace, name)
    seen: set[Subject] = set()
    while service and service.is_external_name and service.subject not in seen:
        seen.add(service.subject)
        alias = (service.spec.external_name or "").rstrip(".").lower()
        labels = alias.removesuffix(f".svc.{case.zone}").split(".") if alias.endswith(f".svc.{case.zone}") else []
        service = case_of(case, labels[-1], labels[-2]) if len(labels) > 1 else None
    return service


def _refused(service: Case, caller: Caller, own: Party, policies: list[NetworkPolicy]) -> list[Refusal]:
    """The ports that it may reach on none of the Pods behind a Service."""
    refused: list[Refusal] = []
    backing = service.or_without(lambda: service.backing, [])
    ports = caller.ports(service)
    for port in ports:
        found: list[Refusal] = []
        for backend in backing:
            number = service.target_of(port, backend.spec)
            if number is None:
                continue
            other = party_behind(service, backend)
            answer = side(service, Direction.EGRESS, own, other, number, port.protocol, policies)
            if answer.allowed:
                break
            found.append(Refusal(service, caller.references[0], port, number, backend, answer))
        else:
            refused += found[:1]
    return refused if caller.names_port or len(refused) == len(ports) else []


# --- the way to DNS ------------------------------------------------------------------------------------------------


class DNSPath(NamedTuple):
    """What egress policies say of a workload's way to the cluster's DNS."""

    service: str
    selector: dict[str, str]
    party: Party  # the DNS Pods
    port: int  # that of the Service
    number: int  # that of the Pods
    udp: Side
    tcp: Side


NODE_LOCAL_DNS = Party("the node's resolver", addresses=("169.254.20.10",))


def dns_path(view: View, own: Party, policies: Sequence[NetworkPolicy]) -> DNSPath | None:
    """The answer for the first DNS Pods that are seen; None where the cluster's DNS is not."""
    service = _dns_service(view)
    if service is None:
        return None
    port = next((item for item in service.ports if item.port == 53 and item.protocol == "UDP"), ServicePort(53))
    backing = service.backing if view.or_without(lambda: service.live_pods, []) else []
    number = (service.target_of(port, backing[0].spec) if backing else None) or 53
    usual = Party("DNS", service.namespace, service.selector, namespace_labels(view, service.namespace))
    other = party_behind(service, backing[0]) if backing else usual

    def answer(protocol: str) -> Side:
        local = judge_side(Direction.EGRESS, own, NODE_LOCAL_DNS, 53, protocol, policies)
        return local if local.allowed else side(view, Direction.EGRESS, own, other, number, protocol, policies)

    name = f"service/{service.name} in {service.namespace}"
    return DNSPath(name, service.selector, other, 53, number, answer("UDP"), answer("TCP"))


def kept_from_dns(view: View, vantage: Vantage) -> str:
    """The NetworkPolicies that keep a Pod which was to look names up from doing so; "" where none does."""
    if vantage.kind != "exec" or not vantage.pod:
        return ""
    pod = view.or_without(lambda: view.listed("pods", vantage.namespace).get(vantage.pod), None)
    if pod is None:
        return ""
    own = party_of_pod(view, pod)
    policies = [item for item in policies_in(view, vantage.namespace) if isolates(item, Direction.EGRESS, own)]
    path = dns_path(view, own, policies) if policies else None
    return listing([item.metadata.name for item in policies]) if path and not path.udp.allowed else ""


def _dns_service(view: View) -> Case | None:
    for namespace, name in (("kube-system", "kube-dns"), ("openshift-dns", "dns-default")):
        service = view.or_without(lambda place=namespace, name=name: case_of(view, place, name), None)  # type: ignore[misc]
        if service:
            return service
    return None


def egress_fault(refusal: Refusal) -> PortFault | None:
    """The port that keeps a rule from admitting the connection, where nothing else does."""
    for miss in refusal.side.misses:
        if miss.peer is None:
            owner = str(refusal.backend.owner)
            faults = port_faults(miss.rule, refusal.port, refusal.number, refusal.backend.spec, owner)
            if found := next(faults, None):
                return found
    return None


# --- what lets somebody through --------------------------------------------------------------------------------------


def peer_for(template: Template, namespace: str) -> dict[str, Any]:
    """A peer that is this workload and nobody else."""
    peer: dict[str, Any] = {"podSelector": {"matchLabels": template.own_labels}}
    if template.namespace != namespace:
        peer["namespaceSelector"] = {"matchLabels": {NAMESPACE_NAME: template.namespace}}
    return peer


def peers_of(parties: list[Party]) -> list[dict[str, Any]]:
    """What admits them: their namespaces, or their addresses where they are on the host network."""
    places = dict.fromkeys(party.namespace for party in parties if party.namespace and not party.host_network)
    addresses = dict.fromkeys(item for party in parties if party.host_network for item in party.addresses)
    return [
        *({"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: place}}} for place in places),
        *({"ipBlock": {"cidr": f"{item}/{128 if ':' in item else 32}"}} for item in addresses),
    ]


def admit(guard: Guard, case: Case, callers: Sequence[Caller], ports: Sequence[tuple[int, str]]) -> Remedy:
    """Let these in, or the Pods of the namespace where nobody is known."""
    peers = [peer_for(caller.template, case.namespace) for caller in callers] or [{"podSelector": {}}]
    who = listing([caller.ref for caller in callers]) or "the Pods of the namespace"
    return admit_peers(guard, case, peers, who, ports)


def admit_peers(
    guard: Guard, case: Case, peers: Sequence[dict[str, Any]], who: str, ports: Sequence[tuple[int, str]]
) -> Remedy:
    """By a rule of a policy that is for these Pods; where there are only wider ones, by a policy of their own."""
    narrow = next((rule.policy for rule in guard.rules if not is_empty(rule.policy.spec.pod_selector)), None)
    closed = next((policy for policy in guard.isolating if not policy.spec.ingress), None)
    chosen = narrow or closed or NetworkPolicy(Metadata(namespace=case.namespace))
    own = {"matchLabels": case.selector}
    command = opening(chosen, Direction.INGRESS, peers, ports, f"allow-{case.name}", own)
    return Remedy(f"let {who} in" + ("" if narrow else ", with a policy for these Pods alone"), command)
