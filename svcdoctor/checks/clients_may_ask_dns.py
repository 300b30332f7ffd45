"""Do the NetworkPolicies on a workload let it ask the cluster's DNS?

netpol-egress-dns-blocked
    NetworkPolicies isolate Pods for egress, and no rule lets them ask the cluster's DNS: no name resolves there.
    Why it breaks      Names are asked of the DNS Pods in kube-system over UDP and TCP port 53. A default deny for
                       egress, or a rule for the application's own peers, forgets them: every lookup times out, whatever
                       the Service behind the name. By address the same connection may work.
    Confirm by hand    kubectl -n {namespace} describe networkpolicies
    Fix                Admit port 53, UDP and TCP, to the Pods of kube-dns in kube-system.
    Not a fault when   The Pods look no names up, or ask a resolver on their node.

netpol-egress-dns-port
    A rule lets Pods out to DNS, but not to the port, or not to the namespace, of the DNS Pods of this cluster.
    Why it breaks      Policies see the port of the Pod. Where the DNS Pods listen on 5353 behind a Service on 53, or
                       live in another namespace than kube-system, a rule copied from elsewhere admits nothing.
    Confirm by hand    kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns
    Fix                Admit the port that the DNS Pods listen on.
    Not a fault when   A resolver on the node is asked instead.

netpol-egress-dns-tcp
    NetworkPolicies let Pods ask DNS over UDP, and not over TCP.
    Why it breaks      An answer that does not fit in a UDP packet is asked for again over TCP. Names with many
                       addresses (headless Services) and large records then fail or take seconds; others resolve.
    Confirm by hand    kubectl -n {namespace} describe networkpolicies
    Fix                Add port 53 over TCP to the rule.
    Not a fault when   All answers are short.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, warn
from svcdoctor.objects import NetworkPolicy
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.policy import NAMESPACE_NAME, Direction, is_empty, rules_of
from svcdoctor.policies.policyrule import isolating_evidence, opening, rule_evidence
from svcdoctor.policies.traffic import DNSPath, dns_path, egress_policies, enforcement, party_of, policies_in
from svcdoctor.text import listing

CHECK = Check(
    step=Step.DNS,
    codes={
        "netpol-egress-dns-blocked": Code(Stage.POLICY, settles=False),
        "netpol-egress-dns-port": Code(Stage.POLICY, settles=False),
        "netpol-egress-dns-tcp": Code(Stage.POLICY, settles=False),
    },
    reads=("networkpolicies", *OTHER_KINDS, "services", "namespaces", "configmaps", "pods", "daemonsets"),
    about="client",
)


def run(case: ClientCase) -> Iterator[Finding]:
    policies = egress_policies(case) if case.asks_cluster_dns else []
    if not policies:
        return
    path = dns_path(case, party_of(case, case.template), policies)
    if path is None or path.tcp.allowed:
        return
    for_all = next((policy for policy in policies if is_empty(policy.spec.pod_selector)), None)
    if path.udp.allowed:
        if case.named or for_all:
            yield _no_tcp(case, path, for_all or policies[0])
    elif case.named or (for_all and not _is_dns_thought_of(case, path)):
        yield _no_dns(case, path, for_all or policies[0])


def _is_dns_thought_of(case: ClientCase, path: DNSPath) -> bool:
    """Whether some policy of the namespace lets somebody ask DNS: then whoever may not is not meant to."""
    rules = rules_of(policies_in(case, case.namespace), Direction.EGRESS)
    return any(rule.ports and rule.port_lack(path.number, "UDP", None) is None for rule in rules)


def _no_dns(case: ClientCase, path: DNSPath, policy: NetworkPolicy) -> Finding:
    doubt = enforcement(case)
    mistaken = _mistaken_port(path)
    isolating = path.udp.isolating
    idle = Evidence("unless", "its Pods look no names up", "no setting of theirs names a Service")
    rules = rules_of(isolating, Direction.EGRESS)
    say = fail if case.named else warn
    return say(
        "netpol-egress-dns-port" if mistaken else "netpol-egress-dns-blocked",
        Subject("NetworkPolicy", case.namespace, policy.metadata.name),
        f"its Pods may not ask DNS, so that no name resolves there: {mistaken or _why(path)}",
        *isolating_evidence(isolating, Direction.EGRESS),
        *map(rule_evidence, rules[:3]),
        Evidence("DNS Pods", f"port {path.number}", f"{path.service} .spec.ports, and the Pods behind it"),
        *(_names(case) if case.named else [idle]),
        *doubt.doubt,
        remedies=(_open(policy, path, ("UDP", "TCP")),),
        inferred=not (doubt.is_certain and case.named),
    )


def _mistaken_port(path: DNSPath) -> str:
    """How a rule that means DNS names another port or place than those of this cluster's; "" where none does."""
    for rule in rules_of(path.udp.isolating, Direction.EGRESS):
        if not rule.ports or rule.port_lack(path.port, "UDP", None):
            continue
        if path.number != path.port and rule.peer_lack(path.party) is None:
            return f"a rule admits port {path.port}, and the DNS Pods listen on {path.number}"
        if path.party.namespace != "kube-system" and rule.peer_lack(path.party):
            return f"a rule admits port {path.port} elsewhere, and the DNS Pods are in {path.party.namespace}"
    return ""


def _why(path: DNSPath) -> str:
    rules = rules_of(path.udp.isolating, Direction.EGRESS)
    names = listing([policy.metadata.name for policy in path.udp.isolating])
    if not rules:
        return f"NetworkPolicy {names} has no egress rule"
    return f"no rule of NetworkPolicy {names} admits UDP port {path.number} of {path.service}"


def _no_tcp(case: ClientCase, path: DNSPath, policy: NetworkPolicy) -> Finding:
    doubt = enforcement(case)
    rule = path.udp.rule
    return warn(
        "netpol-egress-dns-tcp",
        Subject("NetworkPolicy", case.namespace, policy.metadata.name),
        f"its Pods may ask DNS over UDP and not over TCP port {path.number}: long answers fail",
        *([rule_evidence(rule)] if rule else []),
        *_names(case),
        *doubt.doubt,
        remedies=(_open(rule.policy if rule else policy, path, ("TCP",)),),
        inferred=not doubt.is_certain,
    )


def _names(case: ClientCase) -> list[Evidence]:
    uses = next(iter(case.named.values()), [])
    return [Evidence("looks up", use.host, use.source) for use in uses[:1]]


def _open(policy: NetworkPolicy, path: DNSPath, protocols: tuple[str, ...]) -> Remedy:
    peer = {
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: path.party.namespace}},
        "podSelector": {"matchLabels": dict(path.selector)},
    }
    ports = [(path.number, protocol) for protocol in protocols]
    return Remedy("let its Pods ask DNS", opening(policy, Direction.EGRESS, [peer], ports, "allow-dns"))
