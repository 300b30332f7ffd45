"""What keeps a Gateway, or one of its listeners, from serving.

Where a controller has written conditions, they are believed; where it has not, what the objects alone say
(https://gateway-api.sigs.k8s.io/reference/spec/).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcdoctor.finding import Evidence, Finding, Remedy, Subject, fail, unknown
from svcdoctor.objects import Condition, Gateway, Listener
from svcdoctor.text import edit_distance, listing, patch_command, shorten
from svcdoctor.view import View
from svcdoctor.world import EVERYWHERE

CONTROLLER_SECONDS = 60.0  # controllers write conditions within seconds


def condition(conditions: Iterable[Condition] | None, kind: str) -> Condition | None:
    return next((item for item in conditions or () if item.type == kind), None)


def holds(conditions: Iterable[Condition] | None, kind: str, status: str) -> bool:
    found = condition(conditions, kind)
    return found is not None and found.status == status


def said_of(item: Condition) -> str:
    return f"{item.reason or item.status}" + (f": {shorten(item.message, 120)}" if item.message else "")


# --- Gateways ----------------------------------------------------------------------------------------------------


def gateway_faults(view: View, gateway: Gateway, subject: Subject, named: str) -> Iterator[Finding]:
    """What keeps a Gateway from serving at all. `named` is the Gateway as the message begins."""
    name, conditions = gateway.metadata.name, gateway.status.conditions if gateway.status else None
    ref = f"gateway/{name}"
    refused = next(
        (
            item
            for kind in ("Accepted", "Programmed")
            if (item := condition(conditions, kind)) and item.status == "False"
        ),
        None,
    )
    if refused and refused.reason != "Pending":
        evidence = Evidence(f"{refused.type}=False", said_of(refused), f"{ref} .status.conditions")
        message = f"{named}: it is not {refused.type.lower()}, {refused.reason or 'no reason given'}"
        yield fail(
            "gw-not-programmed", subject, message, evidence, *_class(view, gateway), remedies=_fix(view, gateway)
        )
    elif not holds(conditions, "Programmed", "True") and not (
        holds(conditions, "Accepted", "True") and condition(conditions, "Programmed") is None
    ):
        yield _untouched(view, gateway, subject, named)


def _untouched(view: View, gateway: Gateway, subject: Subject, named: str) -> Finding:
    """No controller has said anything of the Gateway yet."""
    classes = view.or_without(lambda: view.listed("gatewayclasses", EVERYWHERE), None)
    missing = classes is not None and gateway.spec.gateway_class_name not in classes
    if not missing and view.is_younger(gateway.metadata.creation_timestamp, CONTROLLER_SECONDS):
        waits = f"judged {CONTROLLER_SECONDS:.0f}s after it was made"
        said = f"gateway/{gateway.metadata.name} has not been programmed yet; {waits}"
        return unknown("unknown-settling", subject, said)
    why = (
        f"there is no GatewayClass {gateway.spec.gateway_class_name}" if missing else "no controller has programmed it"
    )
    return fail(
        "gw-not-programmed",
        subject,
        f"{named}: {why}",
        Evidence("Programmed", "not said by any controller", f"gateway/{gateway.metadata.name} .status.conditions"),
        *_class(view, gateway),
        remedies=_fix(view, gateway),
        inferred=not missing,
    )


def _class(view: View, gateway: Gateway) -> Iterator[Evidence]:
    name = gateway.spec.gateway_class_name
    yield Evidence("class", name or "<none>", f"gateway/{gateway.metadata.name} .spec.gatewayClassName")
    classes = view.or_without(lambda: view.listed("gatewayclasses", EVERYWHERE), None)
    if classes is None:
        return
    if name not in classes:
        yield Evidence("classes", listing(sorted(classes), 5) or "none", "gatewayclasses of the cluster")
        return
    accepted = condition(classes[name].status.conditions if classes[name].status else None, "Accepted")
    said = f"accepted: {accepted.status}, {said_of(accepted)}" if accepted else "not accepted by any controller"
    yield Evidence("controller", f"{classes[name].spec.controller_name}, {said}", f"gatewayclass/{name}")


def _fix(view: View, gateway: Gateway) -> tuple[Remedy, ...]:
    classes = sorted(view.or_without(lambda: view.listed("gatewayclasses", EVERYWHERE), {}))
    wanted = gateway.spec.gateway_class_name
    item = f"gateway {gateway.metadata.name}"
    near = [name for name in classes if edit_distance(wanted, name) < 3] or (classes if len(classes) == 1 else [])
    if near and wanted not in classes:
        command = patch_command(gateway.metadata.namespace, item, {"spec": {"gatewayClassName": near[0]}})
        return (Remedy(f"name class {near[0]}", command),)
    command = f"kubectl -n {gateway.metadata.namespace} describe {item}"
    return (Remedy("see what its controller says", command, changes_cluster=False),)


def place(gateway: Gateway) -> str:
    return f"Gateway {gateway.metadata.namespace}/{gateway.metadata.name}"


# --- listeners ---------------------------------------------------------------------------------------------------


def listener_fault(view: View, gateway: Gateway, listener: Listener) -> tuple[str, Evidence] | None:
    """Why one listener serves nobody, and what shows it."""
    status = next(
        (item for item in (gateway.status.listeners if gateway.status else None) or () if item.name == listener.name),
        None,
    )
    conditions, ref = status.conditions if status else None, f"gateway/{gateway.metadata.name}"
    source = f"{ref} .status.listeners[name={listener.name}]"
    for kind, bad in (
        ("Conflicted", "True"),
        ("ResolvedRefs", "False"),
        ("Accepted", "False"),
        ("Programmed", "False"),
    ):
        found = condition(conditions, kind)
        if found and found.status == bad and found.reason != "Pending":
            return found.reason or f"{kind}={bad}", Evidence(f"{kind}={bad}", said_of(found), source)
    if conditions:
        return None
    for other in gateway.spec.listeners or ():
        if other.name != listener.name and other.port == listener.port and (why := _collide(listener, other)):
            return f"{why} with listener {other.name}", Evidence(
                "port", f"{listener.port} {listener.protocol}, as listener {other.name}", f"{ref} .spec.listeners"
            )
    return _no_certificate(view, gateway, listener)


def _collide(one: Listener, other: Listener) -> str:
    if "UDP" in (one.protocol, other.protocol):
        return ""
    secure = {"HTTPS", "TLS"}
    if one.protocol != other.protocol and not {one.protocol, other.protocol} <= secure:
        return "ProtocolConflict"
    return "HostnameConflict" if (one.hostname or "") == (other.hostname or "") else ""


def _no_certificate(view: View, gateway: Gateway, listener: Listener) -> tuple[str, Evidence] | None:
    here = gateway.metadata.namespace
    for ref in (listener.tls.certificate_refs if listener.tls else None) or ():
        if ref.kind not in ("", "Secret") or ref.namespace not in ("", here):
            continue
        secrets = view.or_without(lambda: view.listed("secrets", here), None)
        if secrets is not None and ref.name not in secrets:
            source = f"gateway/{gateway.metadata.name} .spec.listeners[name={listener.name}].tls.certificateRefs"
            return f"there is no Secret {here}/{ref.name}", Evidence("certificate", ref.name, source)
    return None


def dead_listener(
    subject: Subject, leads: str, gateway: Gateway, listener: Listener, why: str, evidence: Evidence
) -> Finding:
    command = f"kubectl -n {gateway.metadata.namespace} describe gateway {gateway.metadata.name}"
    return fail(
        "gw-listener-conflict",
        subject,
        f"{leads}listener {listener.name} of {place(gateway)}, which serves nobody: {why}",
        evidence,
        Evidence(
            "listener",
            f"{listener.protocol} {listener.port} {listener.hostname or ''}".rstrip(),
            f"gateway/{gateway.metadata.name} .spec.listeners[name={listener.name}]",
        ),
        remedies=(Remedy("see what its controller says of the listener", command, changes_cluster=False),),
    )


def dead_listeners(view: View, gateway: Gateway, subject: Subject) -> Iterator[Finding]:
    """The listeners of a Gateway that serve nobody."""
    for listener in gateway.spec.listeners or ():
        if fault := listener_fault(view, gateway, listener):
            yield dead_listener(subject, "", gateway, listener, *fault)
