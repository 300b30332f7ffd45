"""The walk of one Service as it is shown: a verdict for each step, the line that shows it, and every endpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from shlex import quote

from svcdoctor.case import Case
from svcdoctor.finding import WALK, EndpointRow, Finding, Status, Step, StepResult, Subject, worst
from svcdoctor.objects import EndpointPort
from svcdoctor.roles import is_seen, is_symptom
from svcdoctor.text import printable, selector_text, typable
from svcdoctor.world import NotRead, Want

_LATER = tuple(step for step in Step if step not in WALK)


def steps_shown(findings: list[Finding], waits: Collection[Step]) -> list[Step]:
    """The walk, as far as nothing is left to read for it."""
    said = [finding.step for finding in findings]
    later = [step for step in _LATER if step in said]
    shown = [*WALK, *later]
    if not waits:
        return shown
    return shown[: next((index for index, step in enumerate(shown) if step in waits), len(shown))]


def step_result(case: Case, step: Step, findings: list[Finding], wants: set[Want]) -> StepResult:
    own = [finding for finding in findings if finding.step is step]
    status = worst([finding.status for finding in own])
    speaking = [finding for finding in own if finding.status is status]
    # A symptom says what this step shows (`0 of 3 ready`); why it does is said where the cause is. So does what the
    # client met that a person named.
    seen = (finding for finding in speaking if (finding.code and is_symptom(finding)) or is_seen(finding))
    met = _met(case, own)
    if met and status in (Status.PASS, Status.NOTE, Status.SKIP):
        return StepResult(step, met.status, met.message, _command(case, step, wants))
    speaker = next(seen, None) or (speaking[0] if speaking else None)
    return StepResult(step, status, speaker.message if speaker else "does not apply", _command(case, step, wants))


def _met(case: Case, findings: list[Finding]) -> Finding | None:
    """What is said of the client itself: that it connects, or, where a person named it, that it cannot be told."""
    try:
        said = case.world.connections or case.world.connections_to(case.service)
    except NotRead:
        return None
    client = Subject("Pod", printable(said.namespace), printable(said.pod)) if said else None
    good = (finding for finding in findings if client and finding.subject == client and not finding.code)
    if case.world.connections is None:
        good = (finding for finding in good if finding.status is Status.PASS)
    return next((finding for finding in good if finding.step is Step.CONNECT), None)


def _command(case: Case, step: Step, wants: set[Want]) -> str:
    """The line that shows a step to a person; it may ask for more, as a check does."""
    try:
        return typable(printable(COMMANDS[step](case)), case.world.odd_names)
    except NotRead as missing:
        wants.update(missing.wants)
        return ""


def headline(case: Case, findings: list[Finding], cause: Finding | None) -> str:
    """What a person should read first: the symptom, else the cause, else what could not be seen, else what is good: of
    the client that was named, or for all."""
    symptom = next((finding for finding in findings if finding.code and finding.is_fault and is_symptom(finding)), None)
    speaker = symptom or cause or next((finding for finding in findings if finding.status is Status.UNKNOWN), None)
    if speaker:
        return speaker.message
    good = [finding for finding in findings if finding.status is Status.PASS]
    shown = next(
        (finding.message for finding in good if finding.step is Step.ENDPOINTS), good[0].message if good else ""
    )
    met = _met(case, findings) if case.world.connections else None
    if met is None:
        return shown
    return met.message if met.status is Status.PASS else f"{shown}; {met.message}"


def endpoint_rows(case: Case, findings: list[Finding], wants: set[Want]) -> Iterator[EndpointRow]:
    blamed = {
        pod: finding
        for finding in reversed(findings)
        if finding.status in (Status.FAIL, Status.WARN, Status.UNKNOWN)
        for pod in finding.pods
    }
    try:
        views = case.endpoints
    except NotRead:
        return  # the endpoints step says so
    shown: set[str] = set()
    for view in views:
        pod = view.pod
        shown.add(pod)
        finding = blamed.get(pod)
        good = view.ready and finding is None
        status = Status.PASS if good else finding.status if finding else Status.FAIL
        why = finding.message if finding else "" if view.ready else "terminating" if view.terminating else "not ready"
        address, node, shown_pod = (printable(text) for text in (view.address, view.endpoint.node_name or "", pod))
        for port in view.ports or [EndpointPort()]:
            yield EndpointRow(
                address,
                port.port,
                printable(port.name or ""),
                node,
                shown_pod,
                view.ready,
                view.serving,
                view.terminating,
                status,
                why,
            )
    try:
        absent = [pod for pod in case.live_pods if pod.metadata.name not in shown]
    except NotRead:
        return
    for left_out in absent:
        name = left_out.metadata.name
        finding = blamed.get(name)
        why = finding.message if finding else "not in any EndpointSlice"
        status = finding.status if finding else Status.UNKNOWN
        yield EndpointRow(
            printable(left_out.status.pod_ip or ""),
            None,
            "",
            printable(left_out.spec.node_name or ""),
            printable(name),
            False,
            False,
            left_out.metadata.deletion_timestamp is not None,
            status,
            why,
        )


def _labels_command(case: Case) -> str:
    selector = quote(selector_text(case.selector))
    return f"kubectl -n {case.namespace} get pods --show-labels" + (f" -l {selector}" if case.selector else "")


def _entry_command(case: Case) -> str:
    entries = [] if case.type in ("LoadBalancer", "NodePort") else case.or_without(lambda: case.entries, [])
    if entries:
        return f"kubectl -n {case.namespace} describe {entries[0].kind.lower()} {entries[0].name}"
    return f"kubectl -n {case.namespace} get svc {case.name} -o jsonpath='{{.status.loadBalancer}}'"


COMMANDS: dict[Step, Callable[[Case], str]] = {
    Step.SERVICE: lambda case: f"kubectl -n {case.namespace} get svc {case.name} -o wide",
    Step.ENDPOINTS: lambda case: (
        f"kubectl -n {case.namespace} get endpointslices -l kubernetes.io/service-name={case.name} -o yaml"
    ),
    Step.LABELS: _labels_command,
    Step.DESCRIBE: lambda case: f"kubectl -n {case.namespace} describe svc {case.name}",
    Step.DNS: lambda case: _dns_command(case),
    Step.CONNECT: lambda case: f"kubectl -n {_vantage(case)} -- nc -zv {_name_from_there(case)} {_port(case)}",
    Step.ENTRY: _entry_command,
    Step.CALLERS: lambda case: f"kubectl -n {case.namespace} get pods -o yaml | grep -n {case.name}",
}


def _dns_command(case: Case) -> str:
    if case.dns and case.dns.vantage.added:
        return case.dns.command(f"{case.fqdn}.")
    # The cluster's domain is not worth a request where it would only be shown.
    knows_zone = case.world.is_answered("configmaps", "kube-system")
    return f"kubectl -n {_vantage(case)} -- nslookup {case.fqdn if knows_zone else f'{case.name}.{case.namespace}'}"


def _port(case: Case) -> int:
    return case.ports[0].port if case.ports else 80


def _vantage(case: Case) -> str:
    """`NAMESPACE exec POD` of the Pod that was asked."""
    vantage = case.dns.vantage if case.dns else None
    return f"{vantage.namespace} exec {vantage.pod}" if vantage and vantage.pod else f"{case.namespace} exec POD"


def _name_from_there(case: Case) -> str:
    elsewhere = case.dns and case.dns.vantage.pod and case.dns.vantage.namespace != case.namespace
    return f"{case.name}.{case.namespace}" if elsewhere else case.name
