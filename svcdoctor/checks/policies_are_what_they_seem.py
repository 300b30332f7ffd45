"""Are the NetworkPolicies around the Pods what they seem to be?

netpol-allow-all-lookalike
    A NetworkPolicy that reads like a deny lets everybody in, or another one undoes it.
    Why it breaks      Nothing is broken: `ingress: []` denies, `ingress: [{}]` allows everything, and policies add up,
                       so that one which admits everybody leaves nothing of a deny beside it.
    Confirm by hand    kubectl -n {namespace} describe networkpolicies
    Fix                Nothing, if the Pods are to be open; otherwise remove the empty rule.
    Not a fault when   Always: it explains why a deny has no effect. It is said where a name or a twin says deny.

netpol-not-enforced
    NetworkPolicies select the Pods, and the network plugin of the cluster enforces none.
    Why it breaks      Policies are objects like others; the network plugin has to act on them. Flannel alone does not.
                       What looks protected is open, and no timeout comes from a policy.
    Confirm by hand    kubectl get daemonsets -A
    Fix                Run a plugin that enforces them: Calico, Cilium, kube-router, or Canal on top of Flannel.
    Not a fault when   Something that runs outside of DaemonSets enforces them.

netpol-dangling
    A NetworkPolicy seems to be meant for these Pods, or for callers of theirs, and its selector finds nobody.
    Why it breaks      A policy that selects nobody does nothing, one whose peers are nobody admits nobody. Most often a
                       label is misspelt.
    Confirm by hand    kubectl -n {namespace} get networkpolicies -o yaml; kubectl -n {namespace} get pods --show-labels
    Fix                Correct the label in the policy.
    Not a fault when   The Pods that it is for are still to come.

sec-no-netpol
    No NetworkPolicy selects the Pods of a data store: every Pod of the cluster may connect to it.
    Why it breaks      Without a policy for them Pods take every connection. A single compromised Pod anywhere in the
                       cluster reaches the data, protected only by whatever password the store asks for.
    Confirm by hand    kubectl -n {namespace} get networkpolicies
    Fix                Add a policy that admits the applications that use it.
    Not a fault when   Something else isolates it: a mesh, policies of the network plugin, a cluster for it alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.nearmiss import misspelt
from svcdoctor.endpoints.reconcile import serving_containers
from svcdoctor.entry.exposure import STORE_IMAGES, STORE_PORTS, image_name
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note
from svcdoctor.objects import LabelSelector, NetworkPolicy
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import ADMITTING_KINDS, PLUGIN_KINDS
from svcdoctor.policies.policy import Direction, Rule, directions_of, isolates, selects
from svcdoctor.policies.policyrule import isolating_evidence, rule_evidence, shown
from svcdoctor.policies.traffic import (
    Guard,
    admit_peers,
    callers_of,
    enforcement,
    guards,
    opens,
    party_behind,
    peer_for,
    policies_in,
    targets,
)
from svcdoctor.text import listing, patch_command

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "netpol-allow-all-lookalike": Code(Stage.POLICY, settles=False),
        "netpol-not-enforced": Code(Stage.POLICY, settles=False),
        "netpol-dangling": Code(Stage.POLICY, settles=False),
        "sec-no-netpol": Code(Stage.ENTRY, settles=False),
    },
    reads=(
        "networkpolicies",
        *ADMITTING_KINDS,
        *PLUGIN_KINDS,
        "services",
        "endpointslices",
        "namespaces",
        "configmaps",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
)
DENYING = ("deny", "block", "isolate", "lockdown", "forbid")


def run(case: Case) -> Iterator[Finding]:
    if not case.selector:
        return
    policies = policies_in(case, case.namespace)
    guarded = guards(case)
    yield from _open_store(case, policies)
    if not policies:
        return
    yield from _not_enforced(case, policies)
    for guard in guarded[:1]:
        yield from _denies_nothing(case, guard)
        yield from _admits_nobody(case, guard)
    yield from (_selects_nobody(case, policy, *near) for policy in policies if (near := _meant_for(case, policy)))


# --- what policies do ----------------------------------------------------------------------------------------------


def _not_enforced(case: Case, policies: list[NetworkPolicy]) -> Iterator[Finding]:
    parties = [party_behind(case, backend) for backend in case.backing]
    found = [policy for policy in policies if any(isolates(policy, Direction.INGRESS, party) for party in parties)]
    state = enforcement(case) if found else None
    if state and state.enforced is False:
        yield note(
            "netpol-not-enforced",
            case.subject,
            f"NetworkPolicy {listing([policy.metadata.name for policy in found])} selects its Pods, but the network "
            "plugin enforces no policies",
            Evidence("network plugin", "Flannel, which leaves policies to others", state.plugin),
            *isolating_evidence(found, Direction.INGRESS),
        )


def _denies_nothing(case: Case, guard: Guard) -> Iterator[Finding]:
    open_rules = [rule for rule in guard.rules if not rule.peers and not rule.ports]
    named = next((rule for rule in open_rules if _says_deny(rule.policy)), None)
    if named:
        name = named.policy.metadata.name
        yield _lookalike(
            case,
            named,
            f"NetworkPolicy {name} denies nothing, whatever its name: its rule has no limits, so that "
            "everybody is let in",
        )
        return
    for rule in open_rules:
        twin = next((policy for policy in guard.isolating if _is_twin(policy, rule.policy)), None)
        if twin:
            yield _lookalike(
                case,
                rule,
                f"NetworkPolicy {twin.metadata.name} has no effect: {rule.policy.metadata.name}, for the same Pods, "
                "lets everybody in",
            )
            return


def _says_deny(policy: NetworkPolicy) -> bool:
    return any(word in policy.metadata.name for word in DENYING)


def _is_twin(policy: NetworkPolicy, other: NetworkPolicy) -> bool:
    """Whether it denies what the other allows."""
    denies = not policy.spec.ingress and Direction.INGRESS in directions_of(policy)
    return denies and shown(policy.spec.pod_selector) == shown(other.spec.pod_selector)


def _lookalike(case: Case, rule: Rule, message: str) -> Finding:
    return note("netpol-allow-all-lookalike", case.subject, message, rule_evidence(rule))


# --- whom they select ----------------------------------------------------------------------------------------------


def _meant_for(case: Case, policy: NetworkPolicy) -> tuple[str, str, str] | None:
    """A label by which a policy misses the Pods that it seems to be meant for: key, wanted, found."""
    wanted = (policy.spec.pod_selector.match_labels if policy.spec.pod_selector else None) or {}
    for backend in case.backing if wanted else ():
        missing = [(key, value) for key, value in wanted.items() if backend.labels.get(key) != value]
        if len(missing) == 1:
            key, value = missing[0]
            found = backend.labels.get(key, "")
            if found and misspelt(value, found) and not _finds_anybody(case, policy):
                return key, value, found
    return None


def _finds_anybody(case: Case, policy: NetworkPolicy) -> bool:
    if _fits_a_pod(case, [policy.spec.pod_selector]):
        return True
    templates = case.or_without(case.templates, None)
    return templates is None or any(selects(policy.spec.pod_selector, item.labels) for item in templates)


def _fits_a_pod(case: Case, selectors: list[LabelSelector | None]) -> bool:
    """Whether a Pod that is there answers already, before all that may make one is asked for."""
    pods = case.or_without(lambda: case.listed("pods").values(), ())
    return any(selects(selector, pod.metadata.labels or {}) for pod in pods for selector in selectors)


def _selects_nobody(case: Case, policy: NetworkPolicy, key: str, wanted: str, found: str) -> Finding:
    name = policy.metadata.name
    return note(
        "netpol-dangling",
        case.subject,
        f"NetworkPolicy {name} selects no Pod: it wants {key}={wanted}, and the Pods here have {key}={found}",
        Evidence("selects", f"Pods {shown(policy.spec.pod_selector)}", f"networkpolicy/{name} .spec.podSelector"),
        remedies=(_correct(case, name, f"/spec/podSelector/matchLabels/{key}", found, key),),
    )


def _correct(case: Case, name: str, path: str, value: str, key: str) -> Remedy:
    escaped = path.removesuffix(key) + key.replace("~", "~0").replace("/", "~1")
    patch = [{"op": "replace", "path": escaped, "value": value}]
    return Remedy("correct the label", patch_command(case.namespace, f"networkpolicy {name}", patch))


def _admits_nobody(case: Case, guard: Guard) -> Iterator[Finding]:
    """Peers of the namespace, all of which are nobody; a known caller that is kept out is told as a fault."""
    if not guard.rules or not all(rule.peers for rule in guard.rules):
        return
    if not any(opens(guard, number, port.protocol) for port, number in targets(case, guard.backend)):
        return
    peers = [peer for rule in guard.rules for peer in rule.peers]
    if any(peer.ip_block or peer.namespace_selector is not None for peer in peers):
        return
    if _fits_a_pod(case, [peer.pod_selector for peer in peers]):
        return
    templates = case.or_without(case.templates, None)
    if templates is None or any(selects(peer.pod_selector, item.labels) for peer in peers for item in templates):
        return
    if case.or_without(lambda: callers_of(case), []):
        return
    rule = guard.rules[0]
    yield note(
        "netpol-dangling",
        case.subject,
        f"NetworkPolicy {guard.names} admits nobody that there is: no Pod of the namespace has "
        f"{listing([shown(peer.pod_selector) for peer in peers])}",
        rule_evidence(rule),
    )


# --- data stores ---------------------------------------------------------------------------------------------------


def _open_store(case: Case, policies: list[NetworkPolicy]) -> Iterator[Finding]:
    store = _store(case)
    backing = case.backing if store else []
    if not store or any(
        isolates(policy, Direction.INGRESS, party_behind(case, backend)) for backend in backing for policy in policies
    ):
        return
    callers = case.or_without(lambda: callers_of(case), [])
    remedies: tuple[Remedy, ...] = ()
    if callers and backing:
        ports = [(number, port.protocol) for port, number in targets(case, backing[0])]
        guard = Guard(backing[0], party_behind(case, backing[0]), [], [])
        peers = [peer_for(caller.template, case.namespace) for caller in callers]
        remedies = (admit_peers(guard, case, peers, f"only {listing([caller.ref for caller in callers])}", ports),)
    yield note(
        "sec-no-netpol",
        case.subject,
        f"any Pod of the cluster may connect to this data store ({store}): no NetworkPolicy selects its Pods",
        Evidence("NetworkPolicies", str(len(policies)), f"networkpolicies of namespace {case.namespace}"),
        remedies=remedies,
    )


def _store(case: Case) -> str:
    """By which sign it is a data store; "" for none."""
    for backend in case.backing:
        for container in serving_containers(backend.spec):
            if STORE_IMAGES.fullmatch(image_name(container.image)):
                return f"image {container.image}"
        for _, number in targets(case, backend):
            if number in STORE_PORTS:
                return f"{STORE_PORTS[number]} port {number}"
    return ""
