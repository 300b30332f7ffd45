"""Does the resolver of this workload complete the names that it uses as they are meant?

dns-search-limits
    The workload's dnsConfig gives more search domains or name servers than a Pod can have.
    Why it breaks      The kubelet writes at most 32 search domains (2048 characters) and 3 name servers into a Pod's
                       resolv.conf, the cluster's own first. What comes after is left out, with an event and no error:
                       names that need it do not resolve.
    Confirm by hand    kubectl -n {namespace} get events --field-selector reason=DNSConfigForming
    Fix                Shorten dnsConfig.searches or dnsConfig.nameservers.
    Not a fault when   Nothing relies on the entries that are left out.

dns-ndots-low
    The workload sets ndots so low that a name with dots is asked as it stands, before the search list is tried.
    Why it breaks      With ndots 1 `cart.shop` counts as a full name and goes to the name servers beyond the cluster.
                       The resolver of musl (Alpine) stops there: bad address. The one of glibc tries the search list
                       afterwards, one lost query later.
    Confirm by hand    kubectl -n {namespace} get {kind} {name} -o jsonpath='{.spec.template.spec.dnsConfig.options}'
    Fix                Set ndots above the number of dots in the names, or write full names with a final dot.
    Not a fault when   The image's resolver goes on to the search list, as those of glibc and Go do.

dns-ndots-latency
    The workload names hosts outside of the cluster, and its own dnsConfig multiplies the queries for each.
    Why it breaks      A name with fewer dots than ndots is first completed with each search domain, for IPv4 and IPv6:
                       each lookup of api.example.com costs a dozen queries that are all denied.
    Confirm by hand    kubectl -n {namespace} exec {kind}/{name} -- cat /etc/resolv.conf
    Fix                Write the names with a final dot, or set ndots to 2.
    Not a fault when   The program looks its hosts up seldom. This is said only of workloads whose own dnsConfig raises
                       ndots or adds search domains; every other Pod has the default of 5 as well.

dns-tld-namespace-shadow
    A public name that the workload uses is also the name of a Service, because a namespace is called like a top-level
    domain.
    Why it breaks      Names with fewer than five dots are completed before they are asked as they stand: example.com
                       becomes example.com.svc.cluster.local, which exists where namespace com has a Service example.
    Confirm by hand    kubectl -n {namespace} exec {kind}/{name} -- nslookup HOST
    Fix                Rename the namespace, or write the public name with a final dot.
    Not a fault when   The Service is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.clients.callers import Reference
from svcdoctor.clients.correction import pod_path, strategic_patch
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, note, warn
from svcdoctor.text import listing, plural, whole_number, words

CHECK = Check(
    step=Step.DNS,
    codes={
        "dns-search-limits": Code(Stage.DNS, settles=False),
        "dns-ndots-low": Code(Stage.DNS, settles=False),
        "dns-ndots-latency": Code(Stage.DNS, settles=False),
        "dns-tld-namespace-shadow": Code(Stage.DNS, settles=False),
    },
    reads=("services", "configmaps", "namespaces", "pods", "events"),
    about="client",
)
# What kubelets have allowed since v1.28 (MaxDNSSearchPaths, MaxDNSSearchListChars, MaxDNSNameservers).
MOST_SEARCHES, MOST_CHARACTERS, MOST_SERVERS = 32, 2048, 3
NDOTS = 5  # what the kubelet sets
FALLS_BACK = words("debian ubuntu bookworm bullseye trixie buster jammy noble focal ubi rockylinux fedora centos slim")
# As a namespace hardly meant for anything else than its top-level domain.
PUBLIC = words("com org net edu gov mil biz io info")


def run(case: ClientCase) -> Iterator[Finding]:
    if case.is_idle:
        return
    if case.template.spec.dns_config:
        yield from _limits(case)
        yield from _low(case)
        yield from _latency(case)
    if case.asks_cluster_dns:
        yield from _shadowed(case)


def _here(case: ClientCase) -> str:
    return f"{case.template.ref} {pod_path(case.template).replace('/', '.')}.dnsConfig"


def _ndots(case: ClientCase) -> int | None:
    """What the workload sets itself."""
    config = case.template.spec.dns_config
    found = next((one.value for one in (config.options if config else None) or () if one.name == "ndots"), None)
    return whole_number(found or "")


# --- limits --------------------------------------------------------------------------------------------------------


def _limits(case: ClientCase) -> Iterator[Finding]:
    config = case.template.spec.dns_config
    own = (config.searches if config else None) or []
    servers = (config.nameservers if config else None) or []
    cluster = [f"{case.namespace}.svc.{case.zone}", f"svc.{case.zone}", case.zone] if case.asks_cluster_dns else []
    searches = list(dict.fromkeys([*cluster, *own]))
    left_out = _beyond(searches)
    lost_servers = servers[MOST_SERVERS - (1 if case.asks_cluster_dns else 0) :]
    said = _said(case)
    if own and left_out:
        message = f"{plural(len(left_out), 'search domain')} of its dnsConfig left out: {listing(left_out)}"
        total = Evidence("searches", f"{len(searches)} in all, with the cluster's own", f"{_here(case)}.searches")
        yield warn(
            "dns-search-limits", case.subject, message, total, *said, remedies=_shorter(case, "searches", own, left_out)
        )
    if lost_servers:
        message = f"{plural(len(lost_servers), 'name server')} of its dnsConfig left out: {listing(lost_servers)}"
        total = Evidence("nameservers", listing(servers), f"{_here(case)}.nameservers")
        fix = _shorter(case, "nameservers", servers, lost_servers)
        yield warn("dns-search-limits", case.subject, message, total, *said, remedies=fix)


def _beyond(searches: list[str]) -> list[str]:
    kept = searches[:MOST_SEARCHES]
    while kept and len(" ".join(kept)) > MOST_CHARACTERS:
        kept.pop()
    return searches[len(kept) :]


def _said(case: ClientCase) -> list[Evidence]:
    """The kubelet's own words, if the event has not expired."""
    for pod in case.pods_of(case.template):
        for event in case.or_without(partial(case.events, "Pod", pod.metadata.name), []):
            if event.reason == "DNSConfigForming":
                text = (event.message or "").partition(", the applied")[0]
                return [Evidence("kubelet", text, f"event of pod/{pod.metadata.name}, reason DNSConfigForming")]
    return []


def _shorter(case: ClientCase, field: str, given: list[str], left_out: list[str]) -> tuple[Remedy, ...]:
    kept = [item for item in given if item not in left_out]
    patch = strategic_patch(case.template, {"dnsConfig": {field: kept}})
    return (Remedy(f"keep only the {field} that fit", patch),) if patch else ()


# --- ndots ---------------------------------------------------------------------------------------------------------


def _low(case: ClientCase) -> Iterator[Finding]:
    ndots = _ndots(case)
    if ndots is None or ndots >= NDOTS:
        return
    asked = [use for use in case.references if _needs_search(case, use) and _exists(case, use)]
    early = [use for use in asked if use.host.count(".") >= ndots and not use.host.endswith(".")]
    images = " ".join(container.image for container in case.template.spec.containers or ())
    if not early or any(word in images for word in FALLS_BACK):
        return
    is_musl = "alpine" in images or "musl" in images
    dots = max(use.host.count(".") for use in early)
    names = listing(list(dict.fromkeys(use.host for use in early)))
    evidence = [
        Evidence("ndots", str(ndots), f"{_here(case)}.options"),
        *(Evidence("names", use.host, use.source) for use in early[:3]),
        Evidence("unless", "the image's resolver goes on to the search list (glibc, Go)", f"image {images}"),
    ]
    options = [{"name": "ndots", "value": str(dots + 1)}]
    patch = strategic_patch(case.template, {"dnsConfig": {"options": options}})
    remedies = (Remedy(f"set ndots to {dots + 1}", patch),) if patch else ()
    said = fail if is_musl else warn
    message = f"ndots {ndots} lets {names} be asked outside of the cluster before the search list is tried"
    yield said("dns-ndots-low", case.subject, message, *evidence, remedies=remedies, inferred=True)


def _needs_search(case: ClientCase, use: Reference) -> bool:
    return not use.host.rstrip(".").endswith(f".svc.{case.zone}")


def _exists(case: ClientCase, use: Reference) -> bool:
    return use.service in (case.services_of(use.namespace) or {})


def _latency(case: ClientCase) -> Iterator[Finding]:
    config = case.template.spec.dns_config
    ndots = _ndots(case)
    own = (config.searches if config else None) or []
    if not case.asks_cluster_dns or not (own or (ndots or 0) >= NDOTS):
        return
    limit = NDOTS if ndots is None else ndots
    outside = [
        (host.name, setting) for setting, host in case.hosts if host.certain and _is_outside(case, host.name, limit)
    ]
    if not outside:
        return
    queries = 2 * (3 + len(own))
    names = list(dict.fromkeys(name for name, _ in outside))
    yield note(
        "dns-ndots-latency",
        case.subject,
        f"each lookup of {listing(names)} costs {queries} queries that are denied before the one that is answered",
        Evidence("ndots", str(limit), f"{_here(case)}.options" if ndots else "the kubelet's default"),
        Evidence("searches", f"3 of the cluster and {len(own)} of its own", f"{_here(case)}.searches"),
        Evidence("names", outside[0][0], outside[0][1].source),
    )


def _is_outside(case: ClientCase, name: str, ndots: int) -> bool:
    dots = name.count(".")
    labels = name.split(".")
    return (
        0 < dots < ndots
        and not name.endswith(".")
        and "svc" not in labels
        and labels[-1] not in case.known_namespaces()
    )


# --- namespaces that are called like domains -----------------------------------------------------------------------


def _shadowed(case: ClientCase) -> Iterator[Finding]:
    for use in case.references:
        if use.host != f"{use.service}.{use.namespace}" or not _looks_public(case, use):
            continue
        evidence = [
            Evidence("names", use.host, use.source),
            Evidence("Service", f"{use.namespace}/{use.service}", f"services in namespace {use.namespace}"),
            Evidence("unless", "that Service is meant", "what the program expects"),
        ]
        full = f"{use.host}.svc.{case.zone}"
        message = (
            f"{use.host} looks like a public name, but resolves to Service {use.service} of namespace {use.namespace}"
        )
        rename = Remedy(
            f"write {use.host}. with a final dot if the public host is meant, else {full}",
            f"kubectl -n {case.namespace} edit {case.template.kind.lower()} {case.template.name}",
        )
        yield warn("dns-tld-namespace-shadow", case.subject, message, *evidence, remedies=(rename,), inferred=True)


def _looks_public(case: ClientCase, use: Reference) -> bool:
    """A namespace called `dev` or `app` is common, and its Services are meant; https where they serve none is not."""
    service = (case.services_of(use.namespace) or {}).get(use.service)
    if service is None or use.namespace == case.namespace:
        return False
    ports = {port.port for port in service.spec.ports or ()}
    asks_for_another = use.scheme == "https" and (use.port or 443) not in ports and not use.certain
    return use.namespace in PUBLIC or asks_for_another
