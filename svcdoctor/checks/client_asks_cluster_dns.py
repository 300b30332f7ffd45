"""Do the Pods of this workload ask the cluster's DNS server?

dns-policy-default
    The workload has dnsPolicy Default and names Services of the cluster.
    Why it breaks      Default means the resolv.conf of the node: its name servers know nothing of cluster.local, and no
                       search list leads there. Outside names resolve, names of Services are NXDOMAIN.
    Confirm by hand    kubectl -n {namespace} exec {kind}/{name} -- cat /etc/resolv.conf
    Fix                Set dnsPolicy to ClusterFirst, or remove it: ClusterFirst is what Pods get without one.
    Not a fault when   The name servers of the node forward the cluster's zone to CoreDNS and full names are used.

dns-hostnetwork-policy
    The workload is on the host network with dnsPolicy ClusterFirst, and names Services of the cluster.
    Why it breaks      On the host network the kubelet takes ClusterFirst, which is also the default, for Default: the
                       Pod has the resolv.conf of the node, which knows nothing of cluster.local.
    Confirm by hand    kubectl -n {namespace} exec {kind}/{name} -- cat /etc/resolv.conf
    Fix                Set dnsPolicy to ClusterFirstWithHostNet.
    Not a fault when   The name servers of the node forward the cluster's zone to CoreDNS and full names are used.

dns-policy-none-bad-nameserver
    The workload has dnsPolicy None, and what its dnsConfig gives instead cannot resolve the Services it names.
    Why it breaks      With None the Pod has only what dnsConfig says. A name server outside of the cluster does not
                       know cluster.local; without searches, short names (cart, cart.shop) are not completed.
    Confirm by hand    kubectl -n {namespace} get {kind} {name} -o jsonpath='{.spec.template.spec.dnsConfig}'
    Fix                Set dnsPolicy to ClusterFirst and keep in dnsConfig only what comes on top of it.
    Not a fault when   That name server forwards the cluster's zone to CoreDNS.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.clients.callers import Reference
from svcdoctor.clients.correction import pod_path, strategic_patch
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, note, passed
from svcdoctor.names.nameserver import may_know_the_cluster
from svcdoctor.text import listing, plural

CHECK = Check(
    step=Step.DNS,
    codes={
        "dns-policy-default": Code(Stage.DNS, settles=False),
        "dns-hostnetwork-policy": Code(Stage.DNS, settles=False),
        "dns-policy-none-bad-nameserver": Code(Stage.DNS, settles=False),
    },
    reads=("services", "pods", "endpointslices", "configmaps", "namespaces"),
    about="client",
)


def run(case: ClientCase) -> Iterator[Finding]:
    policy = case.template.spec.dns_policy
    if case.asks_cluster_dns or case.namespace == "kube-system" or case.is_idle:
        return
    named = [reference for reference in case.references if _is_there(case, reference)]
    if policy == "Default":
        yield from _node_resolver(case, named)
    elif policy == "ClusterFirst":
        yield from _host_network(case, named)
    else:
        yield from _own_resolver(case, named)


def _is_there(case: ClientCase, reference: Reference) -> bool:
    """Whether the name is one of the cluster: a full one says so itself, a short one only if the Service exists."""
    if not reference.is_short and reference.certain:
        return True
    return reference.service in case.or_without(lambda: case.listed("services", reference.namespace), {})


def _node_resolver(case: ClientCase, named: list[Reference]) -> Iterator[Finding]:
    evidence = Evidence("dnsPolicy", "Default", f"{case.template.ref} {_path(case)}.dnsPolicy")
    if not named:
        message = "dnsPolicy Default: names of Services do not resolve in its Pods; none is known to be used"
        yield note("dns-policy-default", case.subject, message, evidence)
        return
    yield fail(
        "dns-policy-default",
        case.subject,
        f"dnsPolicy Default asks the name servers of the node, which do not know {_names(named)}",
        evidence,
        *_uses(named),
        remedies=_cluster_first(case),
    )


def _host_network(case: ClientCase, named: list[Reference]) -> Iterator[Finding]:
    """Programs of the host network that name no Service are the usual agents of a node, and well as they are."""
    if not named:
        return
    here = f"{case.template.ref} {_path(case)}"
    yield fail(
        "dns-hostnetwork-policy",
        case.subject,
        f"on the host network ClusterFirst asks the name servers of the node, which do not know {_names(named)}",
        Evidence("hostNetwork", "true", f"{here}.hostNetwork"),
        Evidence("dnsPolicy", "ClusterFirst", f"{here}.dnsPolicy"),
        *_uses(named),
        remedies=_cluster_first(case, "ClusterFirstWithHostNet"),
    )


def _own_resolver(case: ClientCase, named: list[Reference]) -> Iterator[Finding]:
    config = case.template.spec.dns_config
    servers = (config.nameservers if config else None) or []
    searches = (config.searches if config else None) or []
    here = f"{case.template.ref} {_path(case)}"
    seen = Evidence("nameservers", listing(servers) or "<none>", f"{here}.dnsConfig.nameservers")
    if not servers:
        return
    if not named:
        message = (
            f"dnsPolicy None with {plural(len(servers), 'name server')} of its own; no Service is known to be used"
        )
        yield note("dns-policy-none-bad-nameserver", case.subject, message, seen)
        return
    dns = case.kube_dns()
    if dns is None:
        return
    short = [reference for reference in named if reference.is_short and _needs_search(reference, case.zone)]
    cluster_ips = [address for address in dns.spec.cluster_ips or [dns.spec.cluster_ip or ""] if address]
    if not any(may_know_the_cluster(case, server, cluster_ips) for server in servers):
        yield fail(
            "dns-policy-none-bad-nameserver",
            case.subject,
            f"dnsPolicy None asks {listing(servers)} for {_names(named)}, not the DNS of the cluster",
            seen,
            Evidence("cluster DNS", listing(cluster_ips), "service/kube-dns in kube-system .spec.clusterIPs"),
            Evidence("unless", f"{listing(servers)} forwards {case.zone} to the cluster", "not visible in objects"),
            *_uses(named),
            remedies=_cluster_first(case),
            inferred=True,
        )
    elif short and not any(search.rstrip(".").endswith(case.zone) for search in searches):
        yield fail(
            "dns-policy-none-bad-nameserver",
            case.subject,
            f"dnsPolicy None without a search list for {case.zone}: {_names(short)} is not completed to a full name",
            Evidence("searches", listing(searches) or "<none>", f"{here}.dnsConfig.searches"),
            *_uses(short),
            remedies=_cluster_first(case),
        )
    else:
        yield passed(case.subject, f"dnsPolicy None, and {listing(servers)} knows the names of the cluster", seen)


def _needs_search(reference: Reference, zone: str) -> bool:
    return not reference.host.rstrip(".").endswith(f".svc.{zone}")


def _names(named: list[Reference]) -> str:
    return listing(list(dict.fromkeys(reference.host for reference in named)))


def _uses(named: list[Reference]) -> list[Evidence]:
    return [Evidence("names", reference.host, reference.source) for reference in named[:3]]


def _path(case: ClientCase) -> str:
    return pod_path(case.template).replace("/", ".")


def _cluster_first(case: ClientCase, policy: str = "ClusterFirst") -> tuple[Remedy, ...]:
    kind, name = case.template.kind, case.template.name
    if kind in ("Pod", "Job"):
        # Neither lets its Pod spec be changed.
        command = f"kubectl -n {case.namespace} get {kind.lower()} {name} -o yaml"
        return (Remedy(f"create the {kind} again with dnsPolicy {policy}, from", command, changes_cluster=False),)
    spec: dict[str, object] = {"dnsPolicy": policy}
    if case.template.spec.dns_policy == "None":
        spec["dnsConfig"] = None
    return (Remedy("let its Pods ask the cluster's DNS", strategic_patch(case.template, spec)),)
