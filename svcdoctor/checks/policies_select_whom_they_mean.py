"""Do the NetworkPolicies on the Pods select those whom they seem to mean?

netpol-ns-label-missing
    A NetworkPolicy admits namespaces by a label that the caller's namespace does not have.
    Why it breaks      A namespaceSelector looks at the labels of the Namespace object, not at its name. Nobody sets
                       `name: shop` by itself; only kubernetes.io/metadata.name is always there.
    Confirm by hand    kubectl get namespaces --show-labels
    Fix                Label the namespace, or select it by kubernetes.io/metadata.name.
    Not a fault when   The namespace is kept out on purpose.

netpol-and-or
    One item of a rule joins a namespaceSelector and a podSelector where two items were meant, or the reverse.
    Why it breaks      Both selectors in one item mean Pods with these labels in such namespaces; in two items they mean
                       all Pods of such namespaces, and Pods with these labels in the policy's own. One dash decides
                       whether callers are kept out, or everybody is let in.
    Confirm by hand    kubectl -n {namespace} describe networkpolicies
    Fix                Write each alternative as an item of its own, and what must hold together as one.
    Not a fault when   The narrower, or the wider, meaning is the one that was intended.

netpol-hostnetwork
    A NetworkPolicy selects, or admits, Pods that are on the network of their node, where no selector finds them.
    Why it breaks      Such a Pod has the address of its node. Policies that select it do nothing, and rules that admit
                       its labels do not match its traffic, except on Pods of the same node.
    Confirm by hand    kubectl -n {namespace} get pods -o custom-columns=POD:.metadata.name,HOST:.spec.hostNetwork
    Fix                Admit the addresses of the nodes with an ipBlock, or take the Pod off the host network.
    Not a fault when   Another rule admits the nodes.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, warn
from svcdoctor.indexes import Index
from svcdoctor.objects import NetworkPolicy, NetworkPolicyPeer
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.policy import NAMESPACE_NAME, Direction, Party, Rule, directions_of, is_empty, selects
from svcdoctor.policies.policyrule import rule_evidence, shown, split_peer, written
from svcdoctor.policies.traffic import (
    Guard,
    callers_of,
    enforcement,
    guards,
    namespace_labels,
    policies_in,
    side,
    targets,
)
from svcdoctor.text import label_words, listing, patch_command, selector_text
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "netpol-ns-label-missing": Code(Stage.POLICY, settles=False),
        "netpol-and-or": Code(Stage.POLICY, settles=False),
        "netpol-hostnetwork": Code(Stage.POLICY, settles=False),
    },
    reads=(
        "networkpolicies",
        *OTHER_KINDS,
        "services",
        "endpointslices",
        "namespaces",
        "configmaps",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
)
NAMESPACES_LOOKED_INTO = 10  # for Pods that a rule might mean


def run(case: Case) -> Iterator[Finding]:
    policies = policies_in(case, case.namespace)
    if not policies:
        return
    yield from (_unfelt(case, policy) for policy in policies if _is_unfelt(case, policy))
    rules = {(rule.policy.metadata.name, rule.place): (rule, guard) for guard in guards(case) for rule in guard.rules}
    for rule, guard in rules.values():
        for place, peer in enumerate(rule.peers):
            yield from _unlabelled(case, guard, rule, peer)
            yield from _joined(case, rule, place, peer)
            yield from _parted(case, rule, peer)


# --- the host network --------------------------------------------------------------------------------------------


def _is_unfelt(case: Case, policy: NetworkPolicy) -> bool:
    """Whether a policy is made for Pods that no policy has an effect on; one for all Pods of the namespace is not."""
    if is_empty(policy.spec.pod_selector) or Direction.INGRESS not in directions_of(policy):
        return False
    backing = [backend for backend in case.backing if selects(policy.spec.pod_selector, backend.labels)]
    return any(backend.spec.host_network for backend in backing)


def _unfelt(case: Case, policy: NetworkPolicy) -> Finding:
    name = policy.metadata.name
    owners = [backend.owner for backend in case.backing if backend.spec.host_network]
    return warn(
        "netpol-hostnetwork",
        case.subject,
        f"NetworkPolicy {name} does not protect {owners[0]}: its Pods are on the network of their nodes",
        Evidence("selects", f"Pods {shown(policy.spec.pod_selector)}", f"networkpolicy/{name} .spec.podSelector"),
        Evidence("hostNetwork", "true", f"{owners[0]} .spec.template.spec.hostNetwork"),
        remedies=(_off_the_host_network(case, owners[0]),),
    )


def _off_the_host_network(case: Case, owner: Subject) -> Remedy:
    patch = [{"op": "remove", "path": "/spec/template/spec/hostNetwork"}]
    item = f"{owner.kind.lower()} {owner.name}"
    command = patch_command(case.namespace, item, patch) if owner.kind != "Pod" else ""
    return Remedy("take the Pods off the host network, if they can do without", command)


# --- namespaces by a label that they lack ------------------------------------------------------------------------


def _unlabelled(case: Case, guard: Guard, rule: Rule, peer: NetworkPolicyPeer) -> Iterator[Finding]:
    """A namespace is meant by its name, by a label that it does not have. Known callers in it are told elsewhere."""
    wanted = (peer.namespace_selector.match_labels if peer.namespace_selector else None) or {}
    if not wanted or NAMESPACE_NAME in wanted:
        return
    names = case.or_without(lambda: case.listed("namespaces", EVERYWHERE), {})
    for key, value in wanted.items():
        if value not in names or key in namespace_labels(case, value) or _is_carried(case, key, value):
            continue
        labels = dict((peer.pod_selector.match_labels if peer.pod_selector else None) or {})
        party = Party(f"Pods of namespace {value}", value, labels, namespace_labels(case, value))
        known = any(caller.template.namespace == value for caller in callers_of(case))
        if not known and not _is_admitted(case, guard, party):
            yield _meant_by_name(case, rule, wanted, value)


NAMESPACES_BY_LABEL = Index("namespaces by label", "namespaces", lambda item: (item.metadata.labels or {}).items())


def _is_carried(case: Case, key: str, value: str) -> bool:
    """Whether some namespace has the label."""
    return bool(case.world.found(NAMESPACES_BY_LABEL, EVERYWHERE, (key, value)))


def _is_admitted(case: Case, guard: Guard, party: Party) -> bool:
    return any(
        side(case, Direction.INGRESS, guard.party, party, number, port.protocol, guard.isolating).allowed
        for port, number in targets(case, guard.backend)
    )


def _meant_by_name(case: Case, rule: Rule, wanted: dict[str, str], place: str) -> Finding:
    doubt = enforcement(case)
    labels = selector_text(wanted)
    return fail(
        "netpol-ns-label-missing",
        case.subject,
        f"nobody in namespace {place} may connect: NetworkPolicy {rule.policy.metadata.name} admits namespaces "
        f"{labels}, a label that no namespace has",
        rule_evidence(rule),
        Evidence("namespace", selector_text(namespace_labels(case, place)), f"namespace/{place} .metadata.labels"),
        *doubt.doubt,
        remedies=(Remedy(f"label namespace {place}", f"kubectl label namespace {place} {label_words(wanted)}"),),
        inferred=not doubt.is_certain,
    )


# --- one item or two ---------------------------------------------------------------------------------------------


def _joined(case: Case, rule: Rule, place: int, peer: NetworkPolicyPeer) -> Iterator[Finding]:
    """One item with both selectors that nobody fits, where each of them alone fits somebody."""
    if is_empty(peer.namespace_selector) or is_empty(peer.pod_selector):
        return
    if selects(peer.namespace_selector, namespace_labels(case, case.namespace)):
        return
    here = [template for template in case.templates() if selects(peer.pod_selector, template.labels)]
    callers = {caller.template.subject for caller in callers_of(case)} if here else set()
    if not here or any(template.subject in callers for template in here):
        return
    names = case.or_without(lambda: list(case.listed("namespaces", EVERYWHERE)), [])
    meant = [name for name in names if selects(peer.namespace_selector, namespace_labels(case, name))]
    if not meant or len(meant) > NAMESPACES_LOOKED_INTO:
        return
    elsewhere = case.or_without(lambda: [item for name in meant for item in case.templates(name)], None)
    if elsewhere is None or any(selects(peer.pod_selector, item.labels) for item in elsewhere):
        return
    doubt = enforcement(case)
    yield warn(
        "netpol-and-or",
        case.subject,
        f"an item of NetworkPolicy {rule.policy.metadata.name} admits nobody: it joins namespaces "
        f"{shown(peer.namespace_selector)} and Pods {shown(peer.pod_selector)}, and these Pods are in "
        f"{case.namespace} only",
        rule_evidence(rule),
        Evidence("Pods so labelled", listing([item.ref for item in here]), f"namespace {case.namespace}"),
        Evidence("such namespaces", listing(meant), "labels of all namespaces"),
        Evidence("unless", "the Pods are still to come to such a namespace", "not visible in objects"),
        *doubt.doubt,
        remedies=(Remedy("make it two items: either is enough then", split_peer(rule, place)),),
        inferred=True,
    )


def _parted(case: Case, rule: Rule, peer: NetworkPolicyPeer) -> Iterator[Finding]:
    """Two items, of which the one admits all Pods of all namespaces, and the other only some of them."""
    if peer.namespace_selector is None or not is_empty(peer.namespace_selector) or not is_empty(peer.pod_selector):
        return
    narrow = next(
        (item for item in rule.peers if item.namespace_selector is None and not is_empty(item.pod_selector)), None
    )
    if narrow is None:
        return
    joined = {"namespaceSelector": {}, "podSelector": written(narrow.pod_selector)}
    path = f"/spec/ingress/{rule.place}/from"
    patch = [
        {"op": "add", "path": f"{path}/-", "value": joined},
        *(
            {"op": "remove", "path": f"{path}/{place}"}
            for place in sorted((rule.peers.index(peer), rule.peers.index(narrow)), reverse=True)
        ),
    ]
    name = rule.policy.metadata.name
    yield warn(
        "netpol-and-or",
        case.subject,
        f"NetworkPolicy {name} lets every Pod of the cluster in: all namespaces and Pods "
        f"{shown(narrow.pod_selector)} are two items of its rule, and either is enough",
        rule_evidence(rule),
        Evidence("unless", "everybody is to be let in, and the second item is a leftover", "not visible in objects"),
        remedies=(
            Remedy(
                f"make it one item: Pods {shown(narrow.pod_selector)} of any namespace",
                patch_command(case.namespace, f"networkpolicy {name}", patch),
            ),
        ),
        inferred=True,
    )
