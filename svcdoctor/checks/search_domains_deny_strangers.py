"""Do search domains outside of the cluster deny the names that they do not have?

dns-search-wildcard-hijack
    A search domain answers every name, and so takes names of the cluster for its own.
    Why it breaks      The resolver tries the search list before a name as it is written, as long as the name has fewer
                       dots than ndots (5): also for cart.shop.svc.cluster.local, which has four. The cluster's domains
                       deny what they make of it; then comes a domain of the node or of dnsConfig.searches, and where
                       that has a wildcard record (*.corp.example), its address is what the caller gets: wrong
                       certificates, strange pages, or a connection that times out.
    Confirm by hand    kubectl -n NAMESPACE exec POD -- getent ahosts kubernetes.default.svc.cluster.local
    Fix                Take the domain out of the search list (of the node's resolv.conf, or of dnsConfig.searches), or
                       the wildcard record out of the domain; or write full names with a final dot.
    Not a fault when   Callers use short names alone (cart, cart.shop), which the cluster's domains answer first.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail
from svcdoctor.names.answer import is_right
from svcdoctor.names.lookup import CONTROL, Lookup, Lookups, command_line, full_control
from svcdoctor.names.searchlist import answered_by
from svcdoctor.objects import Pod
from svcdoctor.text import listing

CHECK = Check(
    step=Step.DNS,
    codes={"dns-search-wildcard-hijack": Code(Stage.DNS, settles=False)},
    reads=("endpointslices", "pods", "configmaps"),
    about="service cluster",
)


def run(case: Case | ClusterCase) -> Iterator[Finding]:
    yield from _of_service(case) if isinstance(case, Case) else _of_cluster(case)


def _of_service(case: Case) -> Iterator[Finding]:
    """A short name, where the list has the strange domain before those of the cluster."""
    said = case.dns if case.is_probed else None
    full = said.answer(f"{case.fqdn}.") if said else None
    if said is None or full is None or not is_right(case, full):
        return
    for form in (case.name, f"{case.name}.{case.namespace}"):
        answer = said.answer(form)
        domain = answered_by(said, answer, case.zone) if answer else ""
        if answer and domain and not is_right(case, answer):
            yield _taken(case.subject, said, answer, full, domain, ())
            return


def _of_cluster(case: ClusterCase) -> Iterator[Finding]:
    """A full name without its final dot: that of the control, once for each place that the domain comes from."""
    known: set[tuple[Subject, str]] = set()
    for said, control, full, domain in case.shared("names that search domains answered", lambda: list(_strange(case))):
        subject, source = _origin(case, said, domain)
        if (subject, domain) not in known:
            known.add((subject, domain))
            yield _taken(subject, said, full, control, domain, source)


def _strange(case: ClusterCase) -> Iterator[tuple[Lookups, Lookup, Lookup, str]]:
    """Who found the control under a search domain, with both answers and that domain."""
    for said in (case.world.lookups or {}).values():
        control, full = said.answer(CONTROL), said.answer(full_control(case.zone))
        domain = answered_by(said, full, case.zone) if full and said.vantage.kind == "exec" else ""
        # Where both lead to the same place, it is the right one or all is lost.
        if domain and full and control and control.answered and not set(control.addresses) & set(full.addresses):
            yield said, control, full, domain


def _origin(case: ClusterCase, said: Lookups, domain: str) -> tuple[Subject, tuple[Evidence, ...]]:
    """Who put the domain into the search list: the Pod itself, or its node."""
    vantage = said.vantage
    pod: Pod | None = case.or_without(lambda: case.listed("pods", vantage.namespace), {}).get(vantage.pod)
    own = (pod.spec.dns_config.searches if pod and pod.spec.dns_config else None) or []
    if pod is None or domain in [search.rstrip(".") for search in own]:
        subject = Subject("Pod", vantage.namespace, vantage.pod)
        return subject, (Evidence("searches", domain, f"pod/{vantage.pod} .spec.dnsConfig.searches"),) if own else ()
    node = pod.spec.node_name or ""
    return Subject("Node", "", node), (Evidence("from", f"the resolv.conf of {node}", "no dnsConfig names it"),)


def _taken(
    subject: Subject, said: Lookups, answer: Lookup, right: Lookup, domain: str, source: tuple[Evidence, ...]
) -> Finding:
    where = said.vantage.text
    searches = listing(said.resolv_conf.searches, 8) if said.resolv_conf else ""
    ndots = said.resolv_conf.ndots if said.resolv_conf else 1
    return fail(
        "dns-search-wildcard-hijack",
        subject,
        f"{answer.name} resolves to {listing(answer.addresses)}: search domain {domain} answers it before the cluster",
        Evidence(f"asked for {answer.name}", f"{listing(answer.addresses)} as {answer.query.rstrip('.')}", where),
        Evidence(f"asked for {right.name.rstrip('.')}", listing(right.addresses), where),
        Evidence("search list", f"{searches} (ndots {ndots})", f"resolv.conf, {where}"),
        *source,
        remedies=(
            Remedy(f"take {domain} out of that search list, or the wildcard record out of {domain}"),
            Remedy("ask once more", command_line(said.vantage, answer.name), changes_cluster=False),
        ),
    )
