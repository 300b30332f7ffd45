"""Why CoreDNS would not start, or not answer: what it refuses in its configuration, where it asks itself, what its role
does not let it see.

Only what CoreDNS surely refuses counts; each of it was tried on CoreDNS 1.14. A plugin that is not known here may have
been built in by somebody, so that alone proves nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from svcdoctor.names.corefile import DEFAULT_FILE, DNS_PORT, Directive, ServerBlock, parse, unclosed
from svcdoctor.objects import ClusterRole, Pod
from svcdoctor.text import edit_distance, shorten, words

# What `coredns -plugins` lists, and what older versions had.
PLUGINS = words(
    "acl any auto autopath azure bind bufsize cache cancel chaos clouddns debug dns64 dnssec dnstap erratic errors "
    "etcd file forward geoip grpc grpc_server header health hosts https https3 import k8s_external kubernetes "
    "loadbalance local log loop metadata minimal multisocket nomad nsid on pprof prometheus proxy proxyproto quic "
    "ready reload rewrite root route53 secondary sign template timeouts tls trace transfer tsig view whoami"
)
_ONCE = ("kubernetes", "cache", "hosts", "errors")
_KUBERNETES_OPTIONS = words(
    "apiserver_burst apiserver_max_inflight apiserver_qps endpoint endpoint_pod_names fallthrough ignore kubeconfig "
    "labels multicluster namespace_labels namespaces noendpoints pods resyncperiod startup_timeout tls transfer ttl "
    "upstream"
)
_POD_MODES = ("disabled", "verified", "insecure")


class Complaint(NamedTuple):
    """A line that CoreDNS does not start with."""

    where: str
    line: str
    why: str
    certain: bool = True  # False: a CoreDNS that was built with other plugins may know it
    meant: str = ""


def complaints(text: str, files: Mapping[str, str]) -> list[Complaint]:
    """What CoreDNS refuses in a Corefile. Without a word where there is none."""
    open_at = unclosed(text)
    if open_at:
        line = text.splitlines()[open_at - 1].strip()
        return [Complaint(f"{DEFAULT_FILE} line {open_at}", shorten(line, 80), "it is never closed")]
    blocks = parse(text, files)
    return [
        *_doubled(blocks),
        *(found for block in blocks for directive in block.directives for found in _refused(directive)),
        *(found for block in blocks for found in _repeated(block)),
    ]


def _complaint(directive: Directive, why: str, certain: bool = True, meant: str = "") -> Complaint:
    return Complaint(directive.where, shorten(directive.text, 80), why, certain, meant)


def _refused(directive: Directive) -> Iterator[Complaint]:
    if directive.name == "forward":
        targets = directive.args[1:]
        if not targets:
            yield _complaint(directive, "forward names no server")
        for target in targets:
            if target.endswith((";", ",")):
                yield _complaint(directive, f"{target} is no address to forward to")
    elif directive.name == "kubernetes":
        for option in directive.body:
            if option.name not in _KUBERNETES_OPTIONS:
                yield _complaint(
                    option,
                    f"the kubernetes plugin has no option {option.name}",
                    meant=_near(option.name, _KUBERNETES_OPTIONS),
                )
            elif option.name == "pods" and option.args and option.args[0] not in _POD_MODES:
                yield _complaint(option, f"pods has no mode {option.args[0]}, only {', '.join(_POD_MODES)}")
    elif directive.name not in PLUGINS:
        yield _complaint(directive, f"there is no plugin {directive.name}", False, _near(directive.name, PLUGINS))


def _near(name: str, known: Collection[str]) -> str:
    return min(
        (other for other in sorted(known) if edit_distance(name, other) < 3),
        key=lambda other: edit_distance(name, other),
        default="",
    )


def _repeated(block: ServerBlock) -> Iterator[Complaint]:
    for name in _ONCE:
        for again in block.all(name)[1:]:
            yield _complaint(again, f"{name} stands twice in one block")


def _doubled(blocks: Sequence[ServerBlock]) -> Iterator[Complaint]:
    """Two blocks for one zone on one port, where no `view` and no `bind` tells them apart."""
    seen: dict[tuple[str, str], ServerBlock] = {}
    for block in blocks:
        if block.all("view") or block.all("bind"):
            continue
        for place in ((zone, port) for zone in block.zones for port in block.ports):
            if place in seen:
                zone, port = place
                first = seen[place].line
                why = f"{zone or '.'}:{port} is served by line {first} already"
                yield Complaint(f"{block.file} line {block.line}", f"{zone or '.'}:{port} {{", why)
            seen.setdefault(place, block)


def crashing(pods: Collection[Pod]) -> list[Pod]:
    """Those that ended with an error, and do not run well since."""
    return [
        pod
        for pod in pods
        for status in pod.status.container_statuses or ()
        if not status.ready
        and any(
            state and state.terminated and state.terminated.exit_code for state in (status.state, status.last_state)
        )
    ]


# --- asking itself -------------------------------------------------------------------------------------------------


def asks_itself(
    blocks: Sequence[ServerBlock], own_addresses: Collection[str], reads_cluster_resolver: bool
) -> tuple[Directive, str] | None:
    """The line that sends queries back to CoreDNS, and where it sends them; None where none surely does.

    reads_cluster_resolver: its Pods' /etc/resolv.conf names CoreDNS itself (dnsPolicy ClusterFirst).
    """
    for block in blocks:
        for directive in block.all("forward"):
            if directive.args[:1] not in ((".",), ("",)):
                continue
            for target in directive.args[1:]:
                if target == "/etc/resolv.conf" and reads_cluster_resolver:
                    return directive, "the name server of its own Pods, which is itself"
                if "://" not in target and (said := _itself(target, block, own_addresses)):
                    return directive, said
    return None


def _itself(target: str, block: ServerBlock, own_addresses: Collection[str]) -> str:
    host, port = target, DNS_PORT
    if target.count(":") == 1:
        host, _, port = target.partition(":")
    elif target.startswith("["):
        host, _, port = target[1:].partition("]:")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if host in own_addresses and (port or DNS_PORT) == DNS_PORT:
        return f"{host}, the address of kube-dns"
    # Another program may listen on the other addresses of 127.0.0.0/8: the stub of systemd has 127.0.0.53, but on the
    # node and not in a Pod.
    return f"{target}, its own Pod" if address.is_loopback and (port or DNS_PORT) in block.ports else ""


# --- what it may see -----------------------------------------------------------------------------------------------

ROLE = "system:coredns"
_NEEDED = (("", "services"), ("", "namespaces"), ("discovery.k8s.io", "endpointslices"))


def lacks(role: ClusterRole) -> list[str]:
    """The rights that CoreDNS needs and its role does not give: `list endpointslices`."""
    return [
        f"{verb} {resource}"
        for group, resource in _NEEDED
        for verb in ("list", "watch")
        if not any(
            {group, "*"} & set(rule.api_groups or ())
            and {resource, "*"} & set(rule.resources or ())
            and {verb, "*"} & set(rule.verbs or ())
            for rule in role.rules or ()
        )
    ]
