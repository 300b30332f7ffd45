"""Do those who call this Service ask for what it serves?

port-client-uses-wrong-port
    A workload calls the Service on a port that it does not have.
    Why it breaks      A ClusterIP answers only on the ports of the Service, not on those of its Pods (targetPort) or
                       nodes (nodePort). On any other port the connection is refused or times out, however healthy the
                       Service is. Behind the names of a headless Service stand the Pods: their ports alone answer.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.ports}'
    Fix                Change the port in the caller's settings; or give the Service that port too.
    Not a fault when   The program puts a port of its own in the place of the one in its settings.

dns-port-record-missing
    A workload asks for an SRV record of a port that has no name.
    Why it breaks      CoreDNS makes _NAME._PROTOCOL.SERVICE records from named ports only. For a port without a name,
                       or with another one, the answer is NXDOMAIN.
    Confirm by hand    kubectl -n {namespace} exec POD -- nslookup -type=SRV HOST
    Fix                Give the port the name that callers ask for.
    Not a fault when   The caller takes another way where there is no SRV record.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.clients.callers import Reference
from svcdoctor.clients.correction import Change, corrected
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, note
from svcdoctor.pods.podports import declares
from svcdoctor.pods.template import TEMPLATE_KINDS, Template, matches
from svcdoctor.policies.traffic import led_to
from svcdoctor.text import listing, patch_command

CHECK = Check(
    step=Step.CALLERS,
    codes={
        "port-client-uses-wrong-port": Code(Stage.ENTRY, settles=False),
        "dns-port-record-missing": Code(Stage.ENTRY, settles=False),
    },
    reads=("services", "configmaps", "namespaces", *TEMPLATE_KINDS),
)
_SRV = re.compile(r"_([a-z0-9-]+)\._(tcp|udp|sctp)\.")
# Where a URL without a port is one to dial, and no base that a port is added to.
# The scheme that means the other port.
_SCHEMES = {("https", 80): "http", ("http", 443): "https", ("wss", 80): "ws", ("ws", 443): "wss"}
_WHOLE_URL = ("URL", "URI", "ENDPOINT")


def run(case: Case) -> Iterator[Finding]:
    # What an alias serves is what the Service at its end does.
    serving = case.or_without(lambda: led_to(case, case.namespace, case.name), None) if case.is_external_name else case
    if serving is None or not serving.ports:
        return
    callers = [
        (template, use)
        for template, use in case.or_without(lambda: case.callers, [])
        # What stands behind the Service may say where it listens itself: APP_HOST next to APP_PORT.
        if not ClientCase(case.world, template).is_idle and not matches(case.selector, template.labels)
    ]
    asked: dict[int, list[tuple[Template, Reference]]] = {}
    for template, use in callers:
        port = _dialled(use)
        if port and use.certain:
            asked.setdefault(port, []).append((template, use))
    for port, uses in sorted(asked.items()):
        if instead := _served_instead(serving, port):
            yield _wrong_port(case, serving, port, uses, instead)
    if serving is case:
        yield from _records(case, callers)


def _served_instead(case: Case, port: int) -> list[int]:
    """The ports that answer where this one does not; [] where it may."""
    if not case.is_headless:
        ports = [item.port for item in case.ports]
        return [] if port in ports else ports
    specs = case.or_without(lambda: case.backends, [])
    targets = [(item, number) for item in case.ports for spec in specs if (number := case.target_of(item, spec))]
    # A Pod may listen on a port that nobody speaks of: only one that the Service would translate is surely meant.
    meant = dict.fromkeys(number for item, number in targets if item.port == port)
    declared = any(declares(spec, port, item.protocol) for item in case.ports for spec in specs)
    return [] if declared or port in [number for _, number in targets] else sorted(meant)


def _dialled(use: Reference) -> int | None:
    """The port that the caller surely dials. A URL without one means that of its scheme, where it is used as it is."""
    if use.port or _SRV.match(use.host):
        return use.port
    name = use.setting.name.rpartition("_")[2]
    return use.implied_port if not name or name in _WHOLE_URL else None


def _wrong_port(
    case: Case, serving: Case, port: int, uses: list[tuple[Template, Reference]], instead: list[int]
) -> Finding:
    who = list(
        dict.fromkeys(
            template.ref if template.namespace == case.namespace else f"{template.ref} in {template.namespace}"
            for template, _ in uses
        )
    )
    shown = listing([str(number) for number in instead], 5)
    ref = f"service/{serving.name}" + ("" if serving.namespace == case.namespace else f" in {serving.namespace}")
    served = "its Pods serve" if serving.is_headless else "it serves"
    implied = all(use.port is None for _, use in uses)
    meant = _meant(serving, port, instead)
    said = f"port {port}, which its URL means by giving none" if implied else f"port {port}"
    evidence = [
        Evidence("named", f"{use.host}:{use.port}" if use.port else f"{use.scheme}://{use.host}", _source(use, port))
        for _, use in uses[:3]
    ]
    ports = listing(
        [f"{item.port} -> {item.target_port}" if serving.is_headless else str(item.port) for item in serving.ports], 5
    )
    evidence.append(Evidence("ports", ports, f"{ref} .spec.ports"))
    if serving.is_headless:
        evidence.append(Evidence("clusterIP", "None: names resolve to Pods", f"{ref} .spec.clusterIP"))
        otherwise = f"they listen on {port} without declaring it"
        evidence.append(Evidence("unless", otherwise, "declaring ports is optional"))
    if why := _looks_like(serving, port):
        evidence.append(Evidence(str(port), why, f"{ref} .spec.ports"))
    is_base = implied and all(use.setting.name for _, use in uses)
    if is_base:
        evidence.append(Evidence("unless", "the program adds a port of its own", "what it makes of its settings"))
    remedies = tuple(_correction(template, use, port, meant) for template, use in uses) if meant else ()
    return fail(
        "port-client-uses-wrong-port",
        case.subject,
        f"{listing(who)} {'calls' if len(who) == 1 else 'call'} it on {said}; {served} {shown}",
        *evidence,
        remedies=remedies,
        inferred=is_base or serving.is_headless,
    )


def _source(use: Reference, port: int) -> str:
    beside = use.setting.port_env
    return f"{use.source} and {beside}" if beside and f":{port}" not in use.setting.text else use.source


def _meant(case: Case, port: int, instead: list[int]) -> int | None:
    """The port that leads to what the caller dials; the only one, where there is one."""
    leading = [item.port for item in case.ports if port in (item.target_port, item.node_port)]
    candidates = (not case.is_headless and leading) or instead
    return candidates[0] if len(candidates) == 1 else None


def _looks_like(case: Case, port: int) -> str:
    for item in () if case.is_headless else case.ports:
        if item.target_port == port:
            return f"is the targetPort of {item.port}: a port of its Pods"
        if item.node_port == port:
            return f"is the nodePort of {item.port}: a port of the nodes"
    return ""


def _correction(template: Template, use: Reference, port: int, meant: int) -> Remedy:
    beside = use.setting
    if use.port and beside.port_env and f":{port}" not in beside.text:
        kind = f"{template.kind.lower()}/{template.name}"
        assignment = quote(f"{beside.port_env}={meant}")
        command = f"kubectl -n {template.namespace} set env {kind} -c {beside.container} {assignment}"
        if template.kind not in ("Pod", "Job"):
            return Remedy(f"name port {meant} in {beside.port_env}", command)
    if not use.port and (scheme := _SCHEMES.get((use.scheme, meant))):
        return corrected(template, beside, _with_scheme(use, scheme), f"call it with {scheme}://")
    return corrected(template, beside, _with_port(use.host, port if use.port else None, meant), f"name port {meant}")


def _with_scheme(use: Reference, scheme: str) -> Change:
    """The URL with the scheme that means the port which is served."""
    pattern = re.compile(rf"\b{re.escape(use.scheme)}://{re.escape(use.host)}(?![\w.:-])")

    def change(text: str) -> str | None:
        changed = pattern.sub(f"{scheme}://{use.host}", text)
        return changed if changed != text else None

    return change


def _with_port(host: str, old: int | None, new: int) -> Change:
    """The host with another port behind it, or with one where it has none."""
    ending = rf":{old}(?!\d)" if old else r"(?![\w.:-])"
    spaced = re.compile(rf"(?<![\w.-]){re.escape(host)} {old}(?!\d)")
    pattern = re.compile(rf"(?<![\w.-]){re.escape(host)}{ending}")

    def change(text: str) -> str | None:
        changed = spaced.sub(f"{host} {new}", pattern.sub(f"{host}:{new}", text))
        return changed if changed != text else None

    return change


# --- SRV records ---------------------------------------------------------------------------------------------------


def _records(case: Case, callers: list[tuple[Template, Reference]]) -> Iterator[Finding]:
    asked: dict[tuple[str, str], tuple[Template, Reference]] = {}
    for template, use in callers:
        match = _SRV.match(use.host)
        if match:
            asked.setdefault((match.group(1), match.group(2)), (template, use))
    named = {(item.name, item.protocol.lower()) for item in case.ports}
    for (name, protocol), (template, use) in asked.items():
        if (name, protocol) in named:
            continue
        own = [item.name or "no name" for item in case.ports]
        patch = [{"op": "add", "path": "/spec/ports/0/name", "value": name}]
        yield note(
            "dns-port-record-missing",
            case.subject,
            f"{template.ref} asks for the SRV record of port {name}/{protocol.upper()}, and no port is called so",
            Evidence("named", use.host, use.source),
            Evidence("port names", listing(own), f"service/{case.name} .spec.ports"),
            remedies=(Remedy(f"call the port {name}", patch_command(case.namespace, f"service {case.name}", patch)),)
            if len(own) == 1
            else (),
        )
