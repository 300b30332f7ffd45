"""Do the servers answer that CoreDNS asks for names outside of the cluster?

dns-upstream-broken
    Names of the cluster resolve, and of the world outside none that was asked for.
    Why it breaks      CoreDNS asks the servers on the forward line of its Corefile (`/etc/resolv.conf` is that of its
                       node) for whatever the cluster does not have. Where these are gone, cut off by a firewall, or
                       refuse, it says SERVFAIL after some seconds: callers of other companies' hosts and of
                       ExternalName Services wait and fail, and all others are well.
    Confirm by hand    kubectl -n kube-system logs -l k8s-app=kube-dns --tail=20 (i/o timeout)
                       kubectl -n kube-system get configmap coredns -o yaml (forward)
    Fix                Name servers there that answer, or let CoreDNS reach those that it has on port 53.
    Not a fault when   The servers of those very domains are down: two domains at least have to fail, and none to be
                       answered. Asked for is only what ExternalName Services stand for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import takewhile

from msgspec.structs import replace

from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, warn
from svcdoctor.names.corefile import Directive, ServerBlock, forwarder, within
from svcdoctor.names.lookup import Lookup, Lookups, outside_name, service_name
from svcdoctor.text import listing

CHECK = Check(
    step=Step.DNS,
    codes={"dns-upstream-broken": Code(Stage.DNS, settles=False)},
    reads=("services", "configmaps"),
    about="cluster",
)
KUBE_DNS = Subject("Service", "kube-system", "kube-dns")
FAILED = ("servfail", "timeout", "refused")
FEWEST_DOMAINS = 2


def run(case: ClusterCase) -> Iterator[Finding]:
    def ask() -> tuple[list[tuple[str, Lookups]], list[tuple[Lookups, Lookup]]]:
        asked = list(_askers(case))
        return asked, [(said, answer) for _, said in asked for answer in _last(case, said) if _is_outside(answer)]

    asked, heard = case.shared("names asked of servers beyond", ask)
    if not heard:
        return
    # Each line of the Corefile that forwards leads to servers of its own.
    blocks = case.or_without(case.corefile, [])
    by_line: dict[Directive, list[tuple[Lookups, Lookup]]] = defaultdict(list)
    for said, answer in heard:
        if line := forwarder(blocks, answer.name):
            by_line[line].append((said, answer))
    for line, told in sorted(by_line.items(), key=lambda item: (item[0].file, item[0].line)):
        domains = {tuple(answer.name.split(".")[-3:]) for _, answer in told}
        if len(domains) < FEWEST_DOMAINS or not all(answer.outcome in FAILED for _, answer in told):
            continue
        met = [one for place, said in asked for one in _met_inside(case, place, said) if _is_of(blocks, line, one)]
        if met and all(answer.outcome in FAILED for _, answer in met):
            yield _broken(line, [*met, *told])


def _askers(case: ClusterCase) -> Iterator[tuple[str, Lookups]]:
    """CoreDNS itself, and Pods that ask no other server: a cache on the node asks servers of its own."""
    dns = case.or_without(case.kube_dns, None) if case.world.lookups else None
    if dns is None:
        return
    own = dns.spec.cluster_ips or [dns.spec.cluster_ip or ""]
    for place, said in (case.world.lookups or {}).items():
        servers = said.resolv_conf.nameservers if said.resolv_conf else ()
        straight = said.vantage.kind == "coredns" or (bool(servers) and all(server in own for server in servers))
        if straight and said.knows_the_cluster(case.zone):
            yield place, said


def _met_inside(case: ClusterCase, namespace: str, said: Lookups) -> Iterator[tuple[Lookups, Lookup]]:
    """What a Pod met with the aliases of a namespace, each as an answer for its target.

    CoreDNS asks the servers beyond over TCP where it is asked over TCP, as through a port-forward, and some answer over
    UDP alone: only a Pod, which asks over UDP, can tell that they answer nobody. That an alias has no address says
    nothing: so it is when its target does not exist.
    """
    if said.vantage.kind != "exec":
        return
    services = case.or_without(lambda: case.listed("services", namespace), {})
    for service in services.values():
        target = outside_name(service, case.zone)
        name = service.metadata.name
        for form in (target, name, f"{name}.{namespace}", service_name(name, namespace, case.zone)) if target else ():
            answer = said.answer(form)
            if answer and not answer.from_hosts and (form == target or answer.outcome in ("answered", "timeout")):
                yield said, replace(answer, name=target)


def _is_of(blocks: list[ServerBlock], line: Directive, met: tuple[Lookups, Lookup]) -> bool:
    return forwarder(blocks, met[1].name) == line


def _last(case: ClusterCase, said: Lookups) -> Iterator[Lookup]:
    """What was asked after the absolute names of the cluster: names of the outside have to wait (questions.py)."""
    return takewhile(
        lambda answer: not answer.name.endswith(".") or not within(answer.name, case.zone), reversed(said.lookups)
    )


def _is_outside(answer: Lookup) -> bool:
    """An absolute name of which DNS said something or nothing."""
    return answer.name.endswith(".") and not answer.from_hosts and not answer.concluded and answer.outcome != "error"


def _broken(line: Directive, told: list[tuple[Lookups, Lookup]]) -> Finding:
    servers = listing(line.args[1:])
    source = f"configmap/coredns in kube-system, {line.where}"
    first: dict[str, Evidence] = {}
    for said, answer in told:
        name = answer.name.rstrip(".")
        first.setdefault(name, Evidence(f"asked for {name}", answer.outcome.upper(), said.vantage.text))
    # /etc/resolv.conf is that of the node on which CoreDNS runs.
    who = "the servers of its node" if line.args[1:] == ("/etc/resolv.conf",) else servers
    return warn(
        "dns-upstream-broken",
        KUBE_DNS,
        f"names of the cluster resolve, and none outside: CoreDNS has no answer from {who}",
        Evidence("forward", line.text, source),
        *[*first.values()][:4],
        Evidence("unless", "the servers of all these domains are down", "not visible from here"),
        remedies=(
            Remedy(
                "read what CoreDNS complains of",
                "kubectl -n kube-system logs -l k8s-app=kube-dns --tail=20",
                changes_cluster=False,
            ),
            Remedy("name servers there that answer", "kubectl -n kube-system edit configmap coredns"),
        ),
        inferred=True,
    )
