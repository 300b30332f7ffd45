"""Whom Pods ask for names: what their own resolv.conf says, beside what it should."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from svcdoctor.names.lookup import CONTROL, Lookups
from svcdoctor.objects import Pod
from svcdoctor.view import View

# Of a tool that does not work the same is said as of a server that gives no answer, but by those that never explain.
SILENT_TOOLS = ("getent", "php")


def is_told_of_cluster_dns(pod: Pod) -> bool:
    """Whether the kubelet should give it the cluster's name server, and that alone."""
    spec = pod.spec
    policy = spec.dns_policy or "ClusterFirst"
    by_policy = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.host_network)
    return by_policy and not (spec.dns_config and spec.dns_config.nameservers)


def may_know_the_cluster(view: View, server: str, cluster_ips: Sequence[str]) -> bool:
    """kube-dns itself, CoreDNS, a resolver on the node or in the Pod, or any other Service that takes DNS queries."""
    try:
        address = ipaddress.ip_address(server)
    except ValueError:
        return True
    if server in cluster_ips or address.is_link_local or address.is_loopback:
        return True
    dns = view.cluster_dns()
    if dns and server in dns.addresses:
        return True
    services, _ = view.everywhere("services")
    return any(
        server in (service.spec.cluster_ips or [service.spec.cluster_ip])
        and any(port.port == 53 for port in service.spec.ports or ())
        for service in services
    )


def misled(view: View, said: Lookups) -> Pod | None:
    """The Pod that looked up nothing but failures, for its kubelet told it of servers that do not know the cluster.

    None as soon as one name resolved there: then whoever these servers are, they serve it.
    """
    servers = said.resolv_conf.nameservers if said.resolv_conf else ()
    control = said.answer(CONTROL)
    if said.vantage.kind != "exec" or not servers or control is None or said.any_answered:
        return None
    if control.outcome == "error" and said.vantage.tool not in SILENT_TOOLS:
        return None
    pod: Pod | None = view.or_without(lambda: view.listed("pods", said.vantage.namespace), {}).get(said.vantage.pod)
    dns = view.or_without(view.kube_dns, None)
    if pod is None or dns is None or not is_told_of_cluster_dns(pod):
        return None
    cluster_ips = [ip for ip in dns.spec.cluster_ips or [dns.spec.cluster_ip or ""] if ip and ip != "None"]

    def are_known() -> bool:
        return any(may_know_the_cluster(view, server, cluster_ips) for server in servers)

    return None if not cluster_ips or view.or_without(are_known, True) else pod
