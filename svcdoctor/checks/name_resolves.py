"""Does the name of the Service resolve, and to its own address?

dns-corefile-override
    CoreDNS answers the Service's name with something else than the Service, or not at all.
    Why it breaks      A rule of the Corefile sees the query before the kubernetes plugin (acl, rewrite, template and
                       hosts come first, whatever the order of the lines; so does a server block for a longer zone), or
                       an option of the kubernetes plugin (namespaces, labels, namespace_labels, noendpoints) hides the
                       Service. Callers get NXDOMAIN or another address while everything behind the name is healthy.
    Confirm by hand    kubectl -n kube-system get configmap coredns -o yaml
    Fix                Take the rule out, or narrow it; CoreDNS reads its configuration again within two minutes.
    Not a fault when   The rule is meant: a name that is moved to another Service on purpose.

dns-corefile-zone-wrong
    CoreDNS serves the cluster's names in another zone than the one that Pods search.
    Why it breaks      The kubelet writes its clusterDomain into the search list of each Pod; the kubernetes plugin
                       answers only for the zones on its line. Where the two differ, cart and cart.shop are completed
                       to names that nobody serves: NXDOMAIN for every Service.
    Confirm by hand    kubectl -n {namespace} exec POD -- cat /etc/resolv.conf
    Fix                Name the kubelet's clusterDomain on the kubernetes line of the Corefile.
    Not a fault when   Callers use full names in the zone that CoreDNS serves.

dns-negative-cache
    The Service is younger than the time for which DNS remembers that its name did not exist.
    Why it breaks      A name that was asked for before the Service was there is denied; CoreDNS (its cache plugin),
                       NodeLocal DNSCache and the program itself keep that answer for a while, and go on denying the
                       name although the Service exists now.
    Confirm by hand    kubectl -n kube-system get configmap coredns -o yaml (cache)
    Fix                Wait; where it matters, create Services before those who call them.
    Not a fault when   It always passes by itself. A name that is denied a minute after the Service was created is
                       denied for another reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, note, passed, skipped, unknown
from svcdoctor.names.answer import is_right
from svcdoctor.names.corefile import DEFAULT_FILE, Capture, Target, capture, cluster_zones, ignores_empty_services
from svcdoctor.names.lookup import CONTROL, Lookup, Lookups
from svcdoctor.names.nameserver import misled
from svcdoctor.names.searchlist import answered_by
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.traffic import kept_from_dns
from svcdoctor.text import duration, listing, plural

CHECK = Check(
    step=Step.DNS,
    codes={
        "dns-corefile-override": Code(Stage.DNS),
        "dns-corefile-zone-wrong": Code(Stage.DNS, settles=False),
        "dns-negative-cache": Code(Stage.DNS, settles=False),
    },
    reads=(
        "services",
        "endpointslices",
        "pods",
        "configmaps",
        "namespaces",
        "networkpolicies",
        *OTHER_KINDS,
        "clusterroles",
    ),
)
ABSENT = ("nxdomain", "nodata")
CACHED_SECONDS = 60.0  # a new Service may be denied this long: 30 s to be seen, 30 s in a cache that was asked before


class Asked(NamedTuple):
    """What became of the name's three forms."""

    said: Lookups
    answers: list[Lookup]
    wrong: list[Lookup]

    @property
    def full(self) -> Lookup:
        """The answer for the absolute name, which no search list has a part in; else for what comes nearest."""
        return next((answer for answer in self.answers if answer.name.endswith(".")), self.answers[-1])

    @property
    def where(self) -> str:
        tool = self.said.vantage.tool
        return self.said.vantage.text + (f" with {tool}" if tool and self.said.vantage.kind == "exec" else "")


def run(case: Case) -> Iterator[Finding]:
    if not case.is_probed:
        # What keeps everybody from it already is told first; a rule for its name can wait.
        rule = None if case.may_fail_already else case.or_without(lambda: _rule(case, _types(case)), None)
        yield _overridden(case, rule, None) if rule else skipped(case.subject, "probes are off (--no-probe)")
        return
    said = case.dns
    answers = [answer for form in _forms(case) if said and (answer := said.answer(form)) and not answer.from_hosts]
    if said is None or said.unavailable:
        yield _nobody_asked(case, said)
        return
    if not answers:
        yield _not_reached(case, said)
        return
    asked = Asked(said, answers, [answer for answer in answers if not is_right(case, answer)])
    if not asked.wrong:
        yield _resolves(case, asked)
    elif _has_no_records(case, asked):
        yield skipped(case.subject, "a headless Service without a ready endpoint has no records")
    elif hidden := _is_ignored(case, asked):
        yield skipped(case.subject, f"CoreDNS hides Services without a ready endpoint ({hidden})")
    elif asked.full in asked.wrong:
        finding = _full_name_fails(case, asked, asked.full)
        yield finding
        if finding.code == "unknown-settling" and asked.full.outcome in ABSENT:
            yield from _remembered(case)
    else:
        yield _short_name_fails(case, asked)


def _forms(case: Case) -> tuple[str, str, str]:
    return case.name, f"{case.name}.{case.namespace}", f"{case.fqdn}."


def _types(case: Case) -> tuple[str, ...]:
    return ("AAAA",) if case.cluster_ips and ":" in case.cluster_ips[0] else ("A",)


# --- is an answer right -------------------------------------------------------------------------------------------


def _has_no_records(case: Case, asked: Asked) -> bool:
    # The full name only: what a search list makes of the others may end at a server outside that does not answer.
    return case.is_headless and asked.full.outcome in ABSENT and not case.ready_endpoints


def _is_ignored(case: Case, asked: Asked) -> str:
    """Where the Corefile denies records to Services without endpoints, if this is one: a fault told elsewhere."""
    if case.is_external_name or asked.full.outcome not in ABSENT or case.ready_endpoints:
        return ""
    option = ignores_empty_services(case.or_without(case.corefile, []))
    return f"{option.text}, {option.where}" if option else ""


def _resolves(case: Case, asked: Asked) -> Finding:
    vantage = asked.said.vantage
    *names, last = dict.fromkeys(answer.name.rstrip(".") for answer in asked.answers)
    shown = f"{', '.join(names)} and {last}" if names else last
    target = asked.full.canonical.rstrip(".") or listing(asked.full.addresses)
    evidence = [Evidence("not seen", vantage.blind_spot, vantage.text)] if vantage.blind_spot else []
    return passed(case.subject, f"{shown} -> {target}, {asked.where}", *evidence, *_queries(case, asked))


def _queries(case: Case, asked: Asked) -> Iterator[Evidence]:
    """What each form of the name costs with the search list of the Pod that was asked."""
    config = asked.said.resolv_conf
    if config is None or not config.searches or asked.said.vantage.kind != "exec":
        return
    forms = (case.name, f"{case.name}.{case.namespace}", case.fqdn)
    costs = [(form, cost) for form in forms if (cost := config.queries(form, f"{case.fqdn}."))]
    told = ", ".join(f"{form} {cost}" for form, cost in costs)
    searches = plural(len(config.searches), "search domain")
    source = f"resolv.conf (ndots {config.ndots}, {searches}), {asked.said.vantage.text}"
    if told:
        yield Evidence("queries", f"{told}; 2 with a final dot", source)


# --- why it is not ------------------------------------------------------------------------------------------------


def _rule(case: Case, types: tuple[str, ...]) -> Capture | None:
    """What in CoreDNS's configuration takes this name."""
    namespaces = case.or_without(lambda: case.listed("namespaces", ""), {})
    namespace = namespaces.get(case.namespace)
    labels = None if namespace is None else namespace.metadata.labels or {}
    target = Target(case.fqdn, case.namespace, case.service.metadata.labels or {}, labels, case.is_headless)
    return capture(case.corefile(), target, types, case.corefile_imports())


def _full_name_fails(case: Case, asked: Asked, answer: Lookup) -> Finding:
    outage = case.dns_outage()
    if outage and not asked.said.any_answered:
        message = f"no name resolves, {asked.where}: {answer.outcome}"
        return unknown("unknown-timeout", case.subject, message, because=outage)
    rule = case.or_without(lambda: _rule(case, ("A", "AAAA")), None)
    if rule:
        return _overridden(case, rule, asked)
    control = asked.said.answer(CONTROL)
    if control is not None and not control.answered:
        return _nothing_resolves(case, asked, control)
    if case.is_external_name:
        return skipped(
            case.subject, f"its target {case.spec.external_name} does not resolve, {asked.where}: {answer.outcome}"
        )
    if answer.answered or answer.outcome in ABSENT:
        age = case.age(case.service)
        if age >= CACHED_SECONDS:
            return _unexplained(case, asked, answer)
        message = f"created {duration(age)} ago; its name {_what(case, answer)} yet, {asked.where}"
        return unknown("unknown-settling", case.subject, message)
    detail = f" ({answer.detail})" if answer.detail else ""
    message = f"{_bare(answer)}: {answer.outcome}{detail}, {asked.where}; {CONTROL} resolves"
    return unknown("unknown-timeout", case.subject, message, _seen(asked, answer), remedies=(_again(asked, answer),))


def _remembered(case: Case) -> Iterator[Finding]:
    """What was asked for too early stays denied for as long as caches keep it."""
    caches = [cache for block in case.or_without(case.corefile, []) for cache in block.all("cache")]
    if caches:
        message = f"who asked for {case.name} before it was created may be denied it for up to {CACHED_SECONDS:.0f}s"
        source = f"configmap/coredns in kube-system, {caches[0].where}"
        yield note("dns-negative-cache", case.subject, message, Evidence("cache", caches[0].text, source))


def _short_name_fails(case: Case, asked: Asked) -> Finding:
    """The server answers the full name: what is wrong with the others is the search list, or what it leads to."""
    first = asked.wrong[0]
    searches = [search.rstrip(".") for search in asked.said.resolv_conf.searches] if asked.said.resolv_conf else []
    home = f"{case.namespace}.svc."
    if searches and f"{home}{case.zone}" not in searches:
        evidence = Evidence("searches", listing(searches), f"resolv.conf, {asked.said.vantage.text}")
        searched = next((search.removeprefix(home) for search in searches if search.startswith(home)), "")
        if searched and asked.said.vantage.kind == "exec":
            return _other_zone(case, asked, first, searched, evidence)
        message = (
            f"{_bare(asked.full)} -> {listing(asked.full.addresses)}, {asked.where}, which has no search list for it"
        )
        return passed(case.subject, message, evidence)
    message = f"{_bare(first)} {_what(case, first)}, though {_bare(asked.full)} is right, {asked.where}"
    if not first.answered:
        return unknown("unknown-timeout", case.subject, message, _seen(asked, first), remedies=(_again(asked, first),))
    if domain := answered_by(asked.said, first, case.zone):
        return skipped(case.subject, f"{_bare(first)} is answered by search domain {domain}, not by the cluster")
    return fail(
        "dns-corefile-override",
        case.subject,
        message,
        _seen(asked, first),
        Evidence("may also be", "a search domain that answers every name", f"resolv.conf, {asked.said.vantage.text}"),
        remedies=(_again(asked, first),),
        inferred=True,
    )


def _other_zone(case: Case, asked: Asked, answer: Lookup, searched: str, searches: Evidence) -> Finding:
    """A Pod is sent to a zone by its kubelet; CoreDNS serves another."""
    served = listing(cluster_zones(case.corefile()))
    return fail(
        "dns-corefile-zone-wrong",
        case.subject,
        f"{_bare(answer)} {_what(case, answer)}: Pods search {searched}, and CoreDNS serves {served}",
        searches,
        Evidence("served", served, "configmap/coredns in kube-system, kubernetes line of the Corefile"),
        _seen(asked, answer),
        remedies=(Remedy(f"serve {searched} too", "kubectl -n kube-system edit configmap coredns"),),
    )


def _bare(answer: Lookup) -> str:
    return answer.name.rstrip(".")


def _what(case: Case, answer: Lookup) -> str:
    """What became of a name, in the words of a sentence."""
    if answer.answered:
        meant = f"instead of {listing(case.cluster_ips)}" if case.cluster_ips else "which none of its Pods has"
        return f"resolves to {listing(answer.addresses) or answer.canonical} {meant}"
    outcomes = {
        "nxdomain": "does not exist (NXDOMAIN)",
        "nodata": "has no address",
        "timeout": "is not answered in time",
    }
    return outcomes.get(answer.outcome, f"does not resolve ({answer.outcome.upper()})")


def _seen(asked: Asked, answer: Lookup) -> Evidence:
    found = listing(answer.addresses) if answer.answered else answer.outcome.upper()
    return Evidence(f"asked for {_bare(answer)}", found, asked.where)


def _again(asked: Asked, answer: Lookup) -> Remedy:
    return Remedy("ask once more", asked.said.command(answer.name), changes_cluster=False)


def _truth(case: Case) -> Evidence:
    if case.cluster_ips:
        return Evidence("the Service has", listing(case.cluster_ips), f"service/{case.name} .spec.clusterIPs")
    if case.is_external_name:
        return Evidence("the Service has", case.spec.external_name or "", f"service/{case.name} .spec.externalName")
    addresses = plural(len(case.ready_endpoints), "ready address", "ready addresses")
    return Evidence("the Service has", addresses, f"endpointslices labelled kubernetes.io/service-name={case.name}")


def _overridden(case: Case, rule: Capture, asked: Asked | None) -> Finding:
    custom = rule.where.partition(" line ")[0] != DEFAULT_FILE
    config = "coredns-custom" if custom else "coredns"
    edit = Remedy(f"take out or narrow {rule.where}", f"kubectl -n kube-system edit configmap {config}")
    reload = Remedy("make CoreDNS read it at once", "kubectl -n kube-system rollout restart deployment coredns")
    evidence = [Evidence("rule", rule.rule, f"configmap/{config} in kube-system, {rule.where}")]
    if asked:
        evidence += [_seen(asked, asked.full), _truth(case)]
        message = f"{case.fqdn} {_what(case, asked.full)}: {rule.where} {rule.effect}"
    else:
        evidence += [_truth(case), Evidence("unless", "CoreDNS has not read this rule", "no name was looked up")]
        message = f"{case.fqdn} is taken from the Service: {rule.where} {rule.effect}"
    return fail(
        "dns-corefile-override", case.subject, message, *evidence, remedies=(edit, reload), inferred=asked is None
    )


def _unexplained(case: Case, asked: Asked, answer: Lookup) -> Finding:
    readable = case.or_without(case.corefile, None) is not None
    read = "no line of the Corefile explains it" if readable else "the Corefile may not be read"
    return fail(
        "dns-corefile-override",
        case.subject,
        f"{_bare(answer)} {_what(case, answer)}, while {CONTROL} resolves, {asked.where}; {read}",
        _seen(asked, answer),
        _truth(case),
        Evidence(
            "may also be", "CoreDNS that does not see new objects (its rights, a stale replica)", "log of CoreDNS"
        ),
        remedies=(
            _again(asked, answer),
            Remedy(
                "read what CoreDNS complains of",
                "kubectl -n kube-system logs -l k8s-app=kube-dns --tail=20",
                changes_cluster=False,
            ),
        ),
        inferred=True,
        because="dns-coredns-rbac"
        if case.coredns_lacks()
        else "dns-coredns-throttled"
        if _is_denied_by_some(case)
        else None,
    )


def _is_denied_by_some(case: Case) -> bool:
    """Whether one CoreDNS Pod knows the name and another does not."""
    told = [answer for said in case.dns_servers().values() if (answer := said.answer(f"{case.fqdn}."))]
    return len({is_right(case, answer) for answer in told}) > 1


def _nothing_resolves(case: Case, asked: Asked, control: Lookup) -> Finding:
    """The Pod that was asked resolves nothing at all: that says nothing of this Service."""
    if policy := kept_from_dns(case, asked.said.vantage):
        message = f"nobody else could be asked: NetworkPolicy {policy} keeps {asked.said.vantage.pod} from DNS"
        return skipped(case.subject, message)
    config = asked.said.resolv_conf
    dns = case.or_without(case.kube_dns, None)
    servers = list(config.nameservers) if config else []
    evidence = [_seen(asked, control)]
    if servers:
        own = f"; kube-dns is {dns.spec.cluster_ip}" if dns else ""
        evidence.append(Evidence("nameservers", listing(servers) + own, f"resolv.conf, {asked.said.vantage.text}"))
    return unknown(
        "unknown-timeout",
        case.subject,
        f"no name resolves, not even {CONTROL}, {asked.where}: not the Service, but the way from there to DNS"
        " (NetworkPolicy, dnsPolicy, node)",
        *evidence,
        remedies=(_again(asked, control),),
        because="dns-kubelet-clusterdns-wrong" if misled(case, asked.said) else None,
    )


def _not_reached(case: Case, said: Lookups) -> Finding:
    """Somebody was asked, and the time was up before this name's turn: lookups that time out take it all."""
    control = said.answer(CONTROL)
    asked = Asked(said, [control] if control else [], [])
    if control is not None and not control.answered:
        return _nothing_resolves(case, asked, control)
    message = f"the time for lookups in namespace {case.namespace} was over before {case.name} was asked for"
    return unknown("unknown-timeout", case.subject, message)


def _nobody_asked(case: Case, said: Lookups | None) -> Finding:
    """No lookup could be made here, which is not the Service's fault."""
    outage = case.dns_outage()
    reason = said.unavailable if said else ""
    detail = said.detail if said else ""
    if reason == "forbidden":
        rights, flag = "create pods/exec or create pods/portforward", ""
        if said and said.vantage.added:
            rights, flag = detail.partition(" in ")[0], f" --probe-{'pod' if said.vantage.added == 'pod' else 'image'}"
        needs = Evidence("needs", rights, f"API group core, in namespace {case.namespace}")
        command = f"svcdoctor rbac -n {case.namespace}{flag}"
        ask = Remedy("ask for the rights of a diagnosis", command, changes_cluster=False)
        message = f"names cannot be looked up in namespace {case.namespace} (forbidden)"
        return unknown("unknown-forbidden", case.subject, message, needs, remedies=(ask,), because=outage)
    if reason in ("timeout", "error"):
        message = f"names could not be looked up in namespace {case.namespace} ({detail or reason})"
        return unknown("unknown-timeout", case.subject, message, because=outage)
    message = f"names could not be looked up in namespace {case.namespace}: {detail or 'no Pod to ask from'}"
    try_it = f"run dns-test --rm -it --restart=Never --image=busybox:1.36 -- nslookup {case.fqdn}"
    remedy = Remedy("look it up from a Pod of its own", f"kubectl -n {case.namespace} {try_it}")
    remedies = () if outage else (remedy,)
    return unknown("unknown-no-probe-pod", case.subject, message, remedies=remedies, because=outage)
