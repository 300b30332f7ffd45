"""Do the AuthorizationPolicies of the Pods let callers in?

mesh-authz-deny
    The AuthorizationPolicies of the Pods let nobody in, or not a workload that names the Service.
    Why it breaks      Once an ALLOW policy selects a Pod, what no rule of any such policy matches is refused: with 403
                       `RBAC: access denied` for HTTP, with a reset else. A DENY rule that matches goes before them.
                       In ambient mode ztunnel does not see HTTP: a rule about methods, paths or hosts allows nothing.
    Confirm by hand    kubectl -n {namespace} get authorizationpolicies -o yaml
    Fix                Add the client's principal to a rule, or take the DENY rule away.
    Not a fault when   The workload is meant to be kept out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail
from svcdoctor.objects import CustomObject
from svcdoctor.pods.template import TEMPLATE_KINDS
from svcdoctor.policies.mesh import (
    AMBIENT,
    MEMBERS_OF_ISTIO,
    Caller,
    Server,
    at,
    callers_of,
    is_hinted_at,
    parts_at,
    policies,
    ref,
    servers_of,
    texts_at,
)
from svcdoctor.text import listing, patch_command, shorten

CHECK = Check(
    step=Step.CONNECT,
    codes={"mesh-authz-deny": Code(Stage.ENTRY, settles=False)},
    reads=("namespaces", "configmaps", "authorizationpolicies", *TEMPLATE_KINDS),
)
SEEN_IN_TCP = {"ports", "notPorts"}
IDENTITIES = {"principals", "notPrincipals", "namespaces", "notNamespaces", "serviceAccounts", "notServiceAccounts"}


class Refusal(NamedTuple):
    """Why requests are refused: by one rule of a DENY policy, or because no rule of these ALLOW policies matches."""

    policies: tuple[CustomObject, ...]
    rule: int | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.rule, *((item.metadata.namespace, item.metadata.name) for item in self.policies))


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector or not is_hinted_at(case):
        return
    server = next((server for server in servers_of(case) if server.mesh in MEMBERS_OF_ISTIO), None)
    held = policies(case, "authorizationpolicies", server.labels, case.namespace) if server else []
    if server is None or not held:
        return
    ports = [number for port in case.ports if (number := case.target_of(port, server.spec))]
    callers = callers_of(case)
    if refusal := _on_all(ports, held, server, None):
        yield _refused(case, server, refusal, callers, everybody=True)
        return
    groups: dict[tuple[Any, ...], tuple[Refusal, list[Caller]]] = {}
    for caller in callers:
        if refusal := _on_all(ports, held, server, caller):
            groups.setdefault(refusal.key, (refusal, []))[1].append(caller)
    for refusal, refused in groups.values():
        yield _refused(case, server, refusal, refused)


# --- what the policies say ---------------------------------------------------------------------------------------


def _on_all(ports: list[int], held: list[CustomObject], server: Server, caller: Caller | None) -> Refusal | None:
    """Why this caller, or anybody at all (None), is refused on every port; None where it may get in."""
    said = [_refusal(held, server, port, caller) for port in ports]
    return said[0] if said and all(said) else None


def _refusal(held: list[CustomObject], server: Server, port: int, caller: Caller | None) -> Refusal | None:
    is_tcp_only = server.mesh == AMBIENT
    for policy in held:
        if at(policy.spec, "action") == "DENY":
            for index, rule in enumerate(parts_at(policy.spec, "rules")):
                # Of a rule to deny, ztunnel leaves out what it cannot see, and so denies more.
                if _matches(rule, port, caller, True if is_tcp_only else None):
                    return Refusal((policy,), index)
    allowing = [policy for policy in held if (at(policy.spec, "action") or "ALLOW") == "ALLOW"]
    rules = [rule for policy in allowing for rule in parts_at(policy.spec, "rules")]
    told = [_matches(rule, port, caller, False if is_tcp_only else None) for rule in rules]
    return Refusal(tuple(allowing)) if allowing and all(one is False for one in told) else None


def _matches(rule: dict[str, Any], port: int, caller: Caller | None, unseen: bool | None) -> bool | None:
    """Whether a rule matches; None where that depends on the request. `unseen` stands for what is seen in HTTP only."""
    origin = _any([_is_from(at(one, "source"), caller, unseen) for one in parts_at(rule, "from")])
    target = _any([_is_to(at(one, "operation"), port, unseen) for one in parts_at(rule, "to")])
    when = [unseen if str(at(one, "key")).startswith("request.") else None for one in parts_at(rule, "when")]
    return _all([origin, target, *when])


def _is_from(source: Any, caller: Caller | None, unseen: bool | None) -> bool | None:
    said: list[bool | None] = []
    for field in source if isinstance(source, dict) else ():
        if field in IDENTITIES:
            said.append(_is_identity(field, texts_at(source, field), caller))
        else:
            said.append(unseen if "request" in field.lower() else None)
    return _all(said)


def _is_identity(field: str, patterns: list[str], caller: Caller | None) -> bool | None:
    if caller is None:
        return None
    negative = field.startswith("not")
    known = caller.identities(field.removeprefix("not").lower()) if caller.mesh in MEMBERS_OF_ISTIO else ()
    found = any(_fits(pattern, identity) for pattern in patterns for identity in known)
    return found is not negative


def _fits(pattern: str, identity: str) -> bool:
    """Exact, or with `*` at one end; the trust domain before /ns/ may have any name."""
    if pattern == "*":
        return True
    if pattern.startswith("*"):
        return identity.endswith(pattern[1:])
    if "/ns/" in pattern:
        pattern, identity = pattern[pattern.index("/ns/") :], identity[identity.index("/ns/") :]
    return identity.startswith(pattern[:-1]) if pattern.endswith("*") else identity == pattern


def _is_to(operation: Any, port: int, unseen: bool | None) -> bool | None:
    said: list[bool | None] = []
    for field in operation if isinstance(operation, dict) else ():
        listed = str(port) in texts_at(operation, field)
        said.append(listed is (field == "ports") if field in SEEN_IN_TCP else unseen)
    return _all(said)


def _all(said: list[bool | None]) -> bool | None:
    return False if False in said else None if None in said else True


def _any(said: list[bool | None]) -> bool | None:
    return True if True in said or not said else None if None in said else False


# --- what to say of it -------------------------------------------------------------------------------------------


def _refused(
    case: Case, server: Server, refusal: Refusal, callers: list[Caller], *, everybody: bool = False
) -> Finding:
    names = listing([ref(item, "authorizationpolicy", case.namespace) for item in refusal.policies])
    by_rule = refusal.rule is not None
    who = listing([caller.name_from(case) for caller in callers])
    denied, admitted = ("everybody", "anybody") if everybody else (who, who)
    return fail(
        "mesh-authz-deny",
        case.subject,
        f"{names} denies {denied}" if by_rule else f"no rule of {names} lets {admitted} in",
        *(
            Evidence(
                str(at(item.spec, "action") or "ALLOW"), _rules(item), ref(item, "authorizationpolicy", case.namespace)
            )
            for item in refusal.policies[:3]
        ),
        *(Evidence("calls it", caller.told, caller.source) for caller in callers[:3]),
        *((Evidence("held by", "ztunnel, which sees no HTTP", AMBIENT),) if server.mesh == AMBIENT else ()),
        remedies=(_without(refusal) if by_rule else _let_in(case, refusal, callers),),
        because=None if everybody or _have_names(callers) else "mesh-mtls-strict-plain-client",
    )


def _have_names(callers: list[Caller]) -> bool:
    return all(caller.mesh in MEMBERS_OF_ISTIO for caller in callers)


def _rules(policy: CustomObject) -> str:
    rules = parts_at(policy.spec, "rules")
    return shorten(json.dumps(rules, separators=(",", ":"))) if rules else "no rules"


def _without(refusal: Refusal) -> Remedy:
    metadata = refusal.policies[0].metadata
    patch = [{"op": "remove", "path": f"/spec/rules/{refusal.rule}"}]
    command = patch_command(metadata.namespace, f"authorizationpolicy {metadata.name}", patch)
    return Remedy("take away the rule that denies", command)


def _let_in(case: Case, refusal: Refusal, callers: list[Caller]) -> Remedy:
    """One more rule, on the policy that is nearest to the Pods."""
    nearest = min(refusal.policies, key=lambda item: not at(item.spec, "selector"))
    principals = [caller.principal for caller in callers if caller.mesh in MEMBERS_OF_ISTIO]
    source = {"principals": principals} if principals else {"namespaces": [case.namespace]}
    rules = [*parts_at(nearest.spec, "rules"), {"from": [{"source": source}]}]
    item = f"authorizationpolicy {nearest.metadata.name}"
    command = patch_command(nearest.metadata.namespace, item, {"spec": {"rules": rules}})
    who = "its callers" if principals else f"the workloads of namespace {case.namespace}"
    return Remedy(f"let {who} in", command)
