"""Do the mesh's routes to the Service lead to Pods?

mesh-subset-missing
    A VirtualService sends requests to a host that is no Service, to a subset that no DestinationRule defines, or to a
    subset whose labels no Pod has.
    Why it breaks      The caller's proxy has no cluster of that name (503 with the flag NR), or one without endpoints
                       (503, UH). The Service itself answers when it is called from outside of the mesh.
    Confirm by hand    kubectl -n {namespace} get virtualservices,destinationrules -o yaml
    Fix                Define the subset, give it labels that the Pods have, or send the requests elsewhere.
    Not a fault when   The route has weight 0, or the host is that of a ServiceEntry.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import CustomObject
from svcdoctor.pods.template import TEMPLATE_KINDS, matches
from svcdoctor.policies.mesh import (
    ROOT_NAMESPACE,
    at,
    destination_rules,
    host_key,
    is_hinted_at,
    json_pointer,
    labels_at,
    parts_at,
    ref,
    routes_in,
    servers_of,
    texts_at,
    virtual_services,
)
from svcdoctor.text import edit_distance, listing, patch_command, selector_text

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "mesh-subset-missing": Code(Stage.ENTRY, settles=False),
    },
    reads=("namespaces", "services", "virtualservices", "destinationrules", *TEMPLATE_KINDS),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not is_hinted_at(case):
        return
    yield from _astray(case)


class Dead(NamedTuple):
    """A destination of a route that nobody stands behind."""

    path: str
    why: str
    subset: str
    evidence: tuple[Evidence, ...]
    remedies: tuple[Remedy, ...] = ()


def _astray(case: Case) -> Iterator[Finding]:
    own = (case.name, case.namespace)
    for rule in virtual_services(case, own):
        is_own = own in [host_key(host, rule.metadata.namespace) for host in texts_at(rule.spec, "hosts")]
        lost: list[Dead] = []
        default_is_lost, all_are_lost = False, True
        for path, route, is_conditional in routes_in(rule):
            dead, alive = _destinations(case, rule, f"{path}.route", parts_at(route, "route"), is_own)
            lost += dead
            default_is_lost = default_is_lost or bool(dead and not alive and not is_conditional)
            all_are_lost = all_are_lost and bool(dead and not alive)
        if lost:
            yield _dead_route(case, rule, lost, default_is_lost or all_are_lost)


def _destinations(
    case: Case, rule: CustomObject, path: str, routes: list[dict[str, Any]], is_own: bool
) -> tuple[list[Dead], bool]:
    """Of a route's destinations, those that are dead and this Service's to tell, and whether another one is alive."""
    dead: list[Dead] = []
    alive = False
    for index, one in enumerate(routes):
        if at(one, "weight") == 0:
            continue
        key = host_key(at(one, "destination", "host"), rule.metadata.namespace)
        found = None
        if key == (case.name, case.namespace):
            found = _dead_subset(
                case, rule, f"{path}[{index}].destination", str(at(one, "destination", "subset") or "")
            )
        elif key and is_own:
            found = _dead_host(case, rule, f"{path}[{index}].destination", key, str(at(one, "destination", "host")))
        if found:
            dead.append(found)
        else:
            alive = True
    return dead, alive


def _dead_subset(case: Case, rule: CustomObject, path: str, subset: str) -> Dead | None:
    if not subset:
        return None
    source = f"{ref(rule, 'virtualservice', case.namespace)} {path}.subset"
    places = list(dict.fromkeys((rule.metadata.namespace, case.namespace, ROOT_NAMESPACE)))
    rules = destination_rules(case, (case.name, case.namespace), places)
    if not rules:
        for place in places:
            case.listed("destinationrules", place)  # what may not be read is not taken for undefined
    defined = [one for item in rules for one in parts_at(item.spec, "subsets")]
    named = next((one for one in defined if at(one, "name") == subset), None)
    evidence = Evidence("subset", subset, source)
    if named is None:
        names = listing([str(at(one, "name")) for one in defined]) or "none"
        where = listing([ref(item, "destinationrule", case.namespace) for item in rules]) or "no DestinationRule"
        seen = Evidence("defined", names, f"{where} .spec.subsets" if rules else f"{where} for {case.name}")
        return Dead(path, f"subset {subset}, which no DestinationRule defines", subset, (evidence, seen))
    labels, servers = labels_at(named, "labels"), servers_of(case)
    if not labels or not servers or any(matches(labels, server.labels) for server in servers):
        return None
    owner = next(item for item in rules if named in parts_at(item.spec, "subsets"))
    seen = Evidence("labels", selector_text(labels), f"{ref(owner, 'destinationrule', case.namespace)} .spec.subsets")
    pods = Evidence("Pods", _values(case, labels), "pods behind the Service .metadata.labels")
    return Dead(
        path, f"subset {subset}, whose labels {selector_text(labels)} no Pod has", subset, (evidence, seen, pods)
    )


def _values(case: Case, labels: dict[str, str]) -> str:
    """What the Pods have for the keys that a subset tells them apart by."""
    found = {f"{key}={server.labels.get(key, '<none>')}" for server in servers_of(case) for key in labels}
    return listing(sorted(found)) or "none"


def _dead_host(case: Case, rule: CustomObject, path: str, key: tuple[str, str], host: str) -> Dead | None:
    """A destination that no Service is called like; only a Service of a namespace that may be read can be missed."""
    name, namespace = key
    services = case.or_without(lambda: case.listed("services", namespace), None)
    if services is None or name in services or name == "*":
        return None
    source = f"{ref(rule, 'virtualservice', case.namespace)} {path}.host"
    there = Evidence("Services there", listing(sorted(services), 5) or "none", f"namespace {namespace}")
    near = [other for other in sorted(services) if edit_distance(name, other) < 3]
    remedies = tuple(
        Remedy(
            f"send them to {other}",
            _patch(rule, [{"op": "replace", "path": f"{json_pointer(path)}/host", "value": to}]),
        )
        for other in near[:1]
        for to in [host.replace(name, other, 1)]
    )
    evidence = (Evidence("host", name, source), there)
    return Dead(path, f"{name} in {namespace}, which is no Service", "", evidence, remedies)


def _dead_route(case: Case, rule: CustomObject, lost: list[Dead], for_all: bool) -> Finding:
    say = fail if for_all else warn
    share = "" if for_all else "some "
    reasons = listing(list(dict.fromkeys(dead.why for dead in lost)), 2)
    evidence = list(dict.fromkeys(item for dead in lost for item in dead.evidence))
    return say(
        "mesh-subset-missing",
        case.subject,
        f"{ref(rule, 'virtualservice', case.namespace)} sends {share}requests to {reasons}",
        *evidence[:5],
        remedies=tuple(_elsewhere(case, rule, lost[0])),
    )


def _elsewhere(case: Case, rule: CustomObject, dead: Dead) -> Iterator[Remedy]:
    """Send the requests where Pods are: to a subset of the rule that has some, else to all of them."""
    yield from dead.remedies
    if not dead.subset:
        return
    path = json_pointer(dead.path)
    rules = destination_rules(case, (case.name, case.namespace), (rule.metadata.namespace, case.namespace))
    for subset in (one for item in rules for one in parts_at(item.spec, "subsets")):
        labels = labels_at(subset, "labels")
        if any(matches(labels, server.labels) for server in servers_of(case)):
            patch = [{"op": "replace", "path": f"{path}/subset", "value": at(subset, "name")}]
            yield Remedy(f"send them to subset {at(subset, 'name')}, which has Pods", _patch(rule, patch))
            return
    yield Remedy("send them to all Pods of the Service", _patch(rule, [{"op": "remove", "path": f"{path}/subset"}]))


def _patch(rule: CustomObject, patch: list[dict[str, Any]]) -> str:
    return patch_command(rule.metadata.namespace, f"virtualservice {rule.metadata.name}", patch)
