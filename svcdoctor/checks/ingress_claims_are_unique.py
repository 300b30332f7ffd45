"""Is a path that leads here claimed by one Ingress alone?

ingress-conflict
    Two Ingresses of one class claim the same host and path, for different backends.
    Why it breaks      One rule wins, by most controllers the older one; the other is left out without a word. When the
                       winner is deleted or written anew, the requests go elsewhere.
    Confirm by hand    kubectl get ingress -A
    Fix                Give each its own host or path, or delete one.
    Not a fault when   One is the canary of the other, or each has a load balancer of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES, given_addresses
from svcdoctor.entry.ingressclass import controller_of, named_class
from svcdoctor.entry.ingressrule import IngressPath, paths_of
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, warn
from svcdoctor.indexes import Index
from svcdoctor.objects import Ingress

CHECK = Check(
    step=Step.ENTRY,
    codes={"ingress-conflict": Code(Stage.ENTRY, settles=False)},
    reads=(*ENTRY_RESOURCES, "ingressclasses"),
)

CANARY = "nginx.ingress.kubernetes.io/canary"
# Controllers that make a load balancer of its own for each Ingress.
ONE_EACH = re.compile(r"alb|gce|gke|tailscale")

Claim = tuple[str, str, str]  # host, path, and whether it is an exact one


def run(case: Case) -> Iterator[Finding]:
    for entry in case.or_without(lambda: case.entries, []):
        if isinstance(entry.owner, Ingress):
            yield from _conflicts(case, entry.owner, paths_of(entry.owner))


def _conflicts(case: Case, ingress: Ingress, paths: list[IngressPath]) -> Iterator[Finding]:
    own = (ingress.metadata.namespace, ingress.metadata.name)
    for path in paths:
        if path.service != case.name:
            continue
        for other in case.found_everywhere(INGRESSES_BY_CLAIM, _claim(path)):
            same = (other.metadata.namespace, other.metadata.name) == own
            if not same and _competes(case, ingress, path, other):
                yield _conflict(case, ingress, path, other)
                return


def _claim(path: IngressPath) -> Claim:
    return path.host, path.path, "exact" if path.type == "Exact" else ""


def _claims(ingress: Ingress) -> set[Claim]:
    return {_claim(path) for path in paths_of(ingress) if path.path}


INGRESSES_BY_CLAIM = Index("ingresses by claim", "ingresses", _claims)


def _competes(case: Case, ingress: Ingress, path: IngressPath, other: Ingress) -> bool:
    theirs = next(one for one in paths_of(other) if _claim(one) == _claim(path))
    same = ingress.metadata.namespace == other.metadata.namespace
    if (same and (theirs.service, theirs.port) == (path.service, path.port)) or _is_canary(ingress, other):
        return False
    if named_class(ingress)[0] != named_class(other)[0]:
        return False
    here, there = set(given_addresses(ingress)), set(given_addresses(other))
    return not here.isdisjoint(there) if here and there else not ONE_EACH.search(controller_of(case, ingress))


def _is_canary(*ingresses: Ingress) -> bool:
    return any((item.metadata.annotations or {}).get(CANARY) == "true" for item in ingresses)


def _conflict(case: Case, ingress: Ingress, path: IngressPath, other: Ingress) -> Finding:
    both = sorted((ingress, other), key=lambda item: item.metadata.creation_timestamp or "")
    away = f" of namespace {other.metadata.namespace}" if other.metadata.namespace != case.namespace else ""
    made = [item.metadata.creation_timestamp for item in both]
    backends = [next(one for one in paths_of(item) if _claim(one) == _claim(path)) for item in both]
    command = f"kubectl -n {other.metadata.namespace} get ingress {other.metadata.name} -o yaml"
    return warn(
        "ingress-conflict",
        case.subject,
        f"ingress/{ingress.metadata.name}, which leads here, and ingress/{other.metadata.name}{away} both claim "
        f"{path.url}: one of them is left out",
        *(
            Evidence(
                label, f"{_place(item)}, to {one.service}:{one.port}", f"ingress/{item.metadata.name} {one.source}"
            )
            for label, item, one in zip(
                ("older", "younger") if made[0] != made[1] else ("one", "other"), both, backends, strict=True
            )
        ),
        Evidence("class", named_class(ingress)[0] or "<none>", "the same in both"),
        remedies=(Remedy("see what the other one is for", command, changes_cluster=False),),
    )


def _place(ingress: Ingress) -> str:
    return f"{ingress.metadata.namespace}/{ingress.metadata.name}"
