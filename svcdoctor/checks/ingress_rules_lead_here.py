"""Do the rules of an Ingress lead the requests here that they seem to be meant for?

ingress-path-mismatch
    A path of an Ingress matches less than it seems to: an Exact path that stands for a whole site, or an expression
    that is read as plain text.
    Why it breaks      Exact matches one path and nothing below it; Prefix matches whole elements of the path, and takes
                       signs such as * or (.*) for themselves. What no rule covers gets the controller's 404.
    Confirm by hand    kubectl -n {namespace} get ingress -o yaml
    Fix                Use pathType Prefix; for expressions say so with the controller's annotation
                       (nginx.ingress.kubernetes.io/use-regex=true).
    Not a fault when   Only that one page is to be reached, or the controller reads expressions in every path.

ingress-misroute
    Two rules of an Ingress are each called like the Service that the other one leads to.
    Why it breaks      Both Services exist and answer, so nothing fails: requests get the wrong content, or the 404 of
                       the wrong application.
    Confirm by hand    kubectl -n {namespace} describe ingress
    Fix                Swap the two backends.
    Not a fault when   The names are historical, and the Services do serve those paths.

ingress-host-mismatch
    An Ingress has a certificate or a DNS name for a host that none of its rules serves.
    Why it breaks      Controllers compare the Host header with the rules to the letter; a wildcard stands for one label
                       exactly. A request for any other host gets the default backend: 404.
    Confirm by hand    kubectl -n {namespace} get ingress
    Fix                Add a rule for the host, or correct the host of the rule.
    Not a fault when   The controller redirects that host, or knows it as an alias of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES
from svcdoctor.entry.ingressclass import controller_of
from svcdoctor.entry.ingressrule import IngressPath, paths_of
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, warn
from svcdoctor.objects import Ingress
from svcdoctor.text import edit_distance, listing, patch_command

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "ingress-misroute": Code(Stage.ENTRY, settles=False),
        "ingress-path-mismatch": Code(Stage.ENTRY, settles=False),
        "ingress-host-mismatch": Code(Stage.ENTRY, settles=False),
    },
    reads=(*ENTRY_RESOURCES, "ingressclasses"),
)

EXPRESSION = re.compile(r"[()\[\]|\\^]|\.[*+]|\$$")
# Annotations that make a controller read paths as expressions, or say how it does.
EXPRESSIONS_READ = re.compile(r"regex|rewrite-target|path-type|pathmatcher")
# Annotations that let a controller answer for hosts without a rule.
OTHER_HOSTS = re.compile(r"www-redirect|server-alias|temporal-redirect|permanent-redirect")
DNS_NAME = "external-dns.alpha.kubernetes.io/hostname"


def run(case: Case) -> Iterator[Finding]:
    entries = case.or_without(lambda: case.entries, [])
    for ingress in [entry.owner for entry in entries if isinstance(entry.owner, Ingress)]:
        paths = paths_of(ingress)
        yield from _swapped(case, ingress, paths)
        for path in paths:
            if path.service == case.name:
                yield from _narrow(case, ingress, path, paths)
        yield from _unserved_hosts(case, ingress)


# --- swapped backends --------------------------------------------------------------------------------------------


def _swapped(case: Case, ingress: Ingress, paths: list[IngressPath]) -> Iterator[Finding]:
    """Rules that are each called like the backend of another: both would have to be wrong by chance."""
    services = {path.service for path in paths}
    for path in paths:
        meant = _meant(path, services)
        own = next((one for one in paths if _meant(one, services) == case.name), None)
        if path.service != case.name or meant in (None, case.name) or own is None or own.service == case.name:
            continue
        ref = f"ingress/{ingress.metadata.name}"
        patches = [
            {"op": "replace", "path": f"{one.pointer}/service", "value": _service(paths, name)}
            for one, name in ((path, str(meant)), (own, case.name))
        ]
        command = patch_command(case.namespace, f"ingress {ingress.metadata.name}", patches)
        yield warn(
            "ingress-misroute",
            case.subject,
            f"{ref} leads {path.url} here and {own.url} to {own.service}: the backends look swapped",
            Evidence("backend", f"{path.url} -> {path.service}", f"{ref} {path.source}"),
            Evidence("backend", f"{own.url} -> {own.service}", f"{ref} {own.source}"),
            Evidence("otherwise", "the names may be historical", "only the names say so"),
            remedies=(Remedy("swap the two backends", command),),
            inferred=True,
        )
        return


def _meant(path: IngressPath, services: set[str]) -> str | None:
    """The backend of the Ingress that the last word of a path, or else the first of its host, is the name of."""
    words = [word for word in re.split(r"[^a-z0-9-]+", path.path.lower()) if word]
    word = words[-1] if words else path.host.partition(".")[0]
    stems = {re.sub(r"-(svc|service)$", "", service): service for service in sorted(services)}
    return stems.get(word)


def _service(paths: list[IngressPath], name: str) -> dict[str, object]:
    port = next(path.port for path in paths if path.service == name)
    return {"name": name, "port": {"name": port} if isinstance(port, str) else {"number": port}}


# --- paths that match less than they seem to ---------------------------------------------------------------------


def _narrow(case: Case, ingress: Ingress, path: IngressPath, paths: list[IngressPath]) -> Iterator[Finding]:
    ref, host = f"ingress/{ingress.metadata.name}", path.host or "every host"
    if _is_read_as_text(case, ingress, path):
        star = path.path.endswith("/*") and not EXPRESSION.search(path.path)
        yield warn(
            "ingress-path-mismatch",
            case.subject,
            f"{ref} leads path {path.path} here, which is taken to the letter",
            Evidence("path", f"{path.path}, pathType {path.type}", f"{ref} {path.source.removesuffix('.backend')}"),
            Evidence("annotations", "none that makes it an expression", f"{ref} .metadata.annotations"),
            Evidence("otherwise", "a controller may read such paths in its own way", "its own configuration says"),
            remedies=(_as_prefix(case, ingress, path) if star else _as_expression(case, ingress),),
            inferred=True,
        )
    elif path.type == "Exact" and path.path.endswith("/") and not _is_widened(path, paths):
        what = "nothing below it" if path.path == "/" else f"neither {path.path.rstrip('/')} nor what is below it"
        yield warn(
            "ingress-path-mismatch",
            case.subject,
            f"{ref} leads {path.path} of {host} here and {what}: the path is an Exact one",
            Evidence("path", f"{path.path}, pathType Exact", f"{ref} {path.source.removesuffix('.backend')}"),
            Evidence("otherwise", "only this one page may be meant", "no other path of the host leads here"),
            remedies=(_as_prefix(case, ingress, path),),
            inferred=True,
        )


def _is_read_as_text(case: Case, ingress: Ingress, path: IngressPath) -> bool:
    star = path.path.endswith("/*")
    if not (star or EXPRESSION.search(path.path)) or path.path.startswith("/~"):
        return False
    if path.type == "ImplementationSpecific" and "nginx" not in controller_of(case, ingress):
        return False
    # One such annotation changes how ingress-nginx reads every path of the host.
    beside = [item for item in case.listed("ingresses").values() if _serves(item, path.host)]
    return not any(EXPRESSIONS_READ.search(key) for item in beside for key in item.metadata.annotations or {})


def _serves(ingress: Ingress, host: str) -> bool:
    return any(rule.host == host for rule in ingress.spec.rules or ())


def _is_widened(path: IngressPath, paths: list[IngressPath]) -> bool:
    """Whether another path of the host shows that the exact one was chosen on purpose."""
    others = [one for one in paths if one.host == path.host and one != path]
    base = path.path.rstrip("/")
    return any(
        (one.service == path.service and one.path.rstrip("/").startswith(base)) or (one.path == "/" and base == "")
        for one in others
    )


def _as_prefix(case: Case, ingress: Ingress, path: IngressPath) -> Remedy:
    place = path.pointer.removesuffix("/backend")
    changes = [{"op": "replace", "path": f"{place}/pathType", "value": "Prefix"}]
    wide = path.path.rstrip("*").rstrip("/") or "/"
    if wide != path.path:
        changes.append({"op": "replace", "path": f"{place}/path", "value": wide})
    command = patch_command(case.namespace, f"ingress {ingress.metadata.name}", changes)
    return Remedy(f"lead {wide} and all below it here", command)


def _as_expression(case: Case, ingress: Ingress) -> Remedy:
    command = (
        f"kubectl -n {case.namespace} annotate ingress {ingress.metadata.name} "
        "nginx.ingress.kubernetes.io/use-regex=true"
    )
    return Remedy("make it an expression (ingress-nginx)", command)


# --- hosts -------------------------------------------------------------------------------------------------------


def _unserved_hosts(case: Case, ingress: Ingress) -> Iterator[Finding]:
    annotations, ref = ingress.metadata.annotations or {}, f"ingress/{ingress.metadata.name}"
    if any(OTHER_HOSTS.search(key) for key in annotations):
        return
    secured = [host for entry in ingress.spec.tls or () for host in entry.hosts or ()]
    published = [host.strip() for host in annotations.get(DNS_NAME, "").split(",") if host.strip()]
    served = _hosts(case)
    if "" in served or not served:
        return
    rules = [rule.host for rule in ingress.spec.rules or ()]
    for wanted, source in ((secured, ".spec.tls[].hosts"), (published, f".metadata.annotations[{DNS_NAME}]")):
        lost = [host for host in wanted if not any(_overlap(host, rule) for rule in served)]
        if lost:
            what = "a certificate" if wanted is secured else "a DNS name"
            yield warn(
                "ingress-host-mismatch",
                case.subject,
                f"{ref} has {what} for {listing(lost)}, and no rule serves that host",
                Evidence("host", listing(lost), f"{ref} {source}"),
                Evidence("rules", listing(rules, 5), f"{ref} .spec.rules[].host"),
                Evidence("otherwise", "an Ingress of another namespace may serve it", "only this one was looked at"),
                remedies=_with_host(case, ingress, lost[0]),
                inferred=True,
            )
            return


def _hosts(case: Case) -> frozenset[str]:
    """The hosts that the rules of the namespace's Ingresses serve; "" among them where a rule serves every host."""

    def build() -> frozenset[str]:
        ingresses = case.world.listed("ingresses", case.namespace).values()
        return frozenset(rule.host for ingress in ingresses for rule in ingress.spec.rules or ())

    case.touched.add("ingresses")
    return case.shared(("hosts of ingresses", case.namespace), build)


def _overlap(one: str, other: str) -> bool:
    """Whether some host is of both; `*.example.com` is each host with one more label."""
    if one == other:
        return True
    for wide, narrow in ((one, other), (other, one)):
        if wide.startswith("*.") and narrow.partition(".")[2] == wide[2:]:
            return True
    return False


def _with_host(case: Case, ingress: Ingress, host: str) -> tuple[Remedy, ...]:
    rules = ingress.spec.rules or []
    # A wildcard serves other hosts too, which would be lost.
    plain = [index for index, rule in enumerate(rules) if not rule.host.startswith("*.")]
    near = [index for index in plain if edit_distance(rules[index].host, host) < 3]
    item = f"ingress {ingress.metadata.name}"
    if near:
        patch = [{"op": "replace", "path": f"/spec/rules/{near[0]}/host", "value": host}]
        return (Remedy(f"let its rule serve {host}", patch_command(case.namespace, item, patch)),)
    return (Remedy(f"add a rule for {host}", f"kubectl -n {case.namespace} edit {item}"),)
