"""Does the Service answer the client's requests, in the protocol that callers speak?

port-tls-plain-mismatch
    Callers speak TLS to a port that answers in plain text, or plain text to one for TLS.
    Why it breaks      The connection opens, so that all looks well; then a caller of https:// reads `wrong version
                       number`, and one of http:// an empty reply, or 400 `Client sent an HTTP request to an HTTPS
                       server`.
    Confirm by hand    kubectl -n {namespace} exec POD -- curl -vk https://{name}:PORT
                       kubectl -n {namespace} exec POD -- curl -v http://{name}:PORT
    Fix                Change the scheme where the caller names the Service, or the targetPort to the port of the
                       program that speaks what callers expect.
    Not a fault when   Something outside of the cluster ends TLS before this port, and no caller inside uses it.

port-app-5xx
    The way to the program is good, and it answers with an error of its own (HTTP 5xx).
    Why it breaks      Nothing of Kubernetes: the request reached the program, which failed to serve it.
    Confirm by hand    kubectl -n {namespace} logs -l {selector} --tail=50
    Fix                Read the program's log; look at what it depends on.
    Not a fault when   That path is meant to fail; ask for another with --http PATH.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.clients.callers import Reference
from svcdoctor.clients.request import SPEAKS_HTTP, SPEAKS_TLS, Answer
from svcdoctor.clients.requestplan import told_tls
from svcdoctor.clients.statedclient import StatedClient, Way, proxy_of, proxy_of_backends, stated_client, ways
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.pods.podports import PROXIES
from svcdoctor.pods.template import TEMPLATE_KINDS, Template
from svcdoctor.policies.mesh import membership_of_pod, running_pods
from svcdoctor.text import listing, plural

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "port-tls-plain-mismatch": Code(Stage.PROTOCOL, settles=False),
        "port-app-5xx": Code(Stage.APPLICATION, settles=False),
    },
    reads=("endpointslices", "pods", "configmaps", "namespaces", *TEMPLATE_KINDS),
)
_STANDARD_PORTS = {"http": 80, "https": 443}
_SCHEMES = {"http": SPEAKS_HTTP, "ws": SPEAKS_HTTP, "https": SPEAKS_TLS, "wss": SPEAKS_TLS}


def run(case: Case) -> Iterator[Finding]:
    client = stated_client(case)
    if client is None or proxy_of(case, client) or proxy_of_backends(case):
        return
    for way in ways(case, client):
        if not way.answers:
            continue
        finding = _mismatch(case, client, way) or _failing(case, client, way)
        if finding:
            yield finding


# --- TLS and plain text --------------------------------------------------------------------------------------------


def _mismatch(case: Case, client: StatedClient, way: Way) -> Finding | None:
    spoken = {answer.speaks for answer in way.answers}
    if len(spoken) != 1 or not spoken <= {SPEAKS_HTTP, SPEAKS_TLS}:
        return None
    speaks = spoken.pop()
    callers = [
        (template, use)
        for template, use in case.or_without(lambda: case.callers, [])
        if use.certain and use.scheme in _SCHEMES and (use.port or use.implied_port) == way.port.port
    ]
    wrong = [one for one in callers if _SCHEMES[one[1].scheme] != speaks and not _has_proxy(case, one[0])]
    if wrong:
        return _called_wrongly(case, client, way, speaks, wrong)
    if callers or way.port.app_protocol or case.spec.type == "LoadBalancer":
        return None  # callers know, the other check tells it, or a load balancer may end TLS
    named = _named_wrongly(case, client, way, speaks)
    # That nobody calls it with a scheme has to have been seen.
    return named if named is None or case.callers is not None else None


def _has_proxy(case: Case, template: Template) -> bool:
    """Whether a proxy of a mesh may speak TLS for a caller that speaks plain text."""
    specs = [template.spec, *(pod.spec for pod in running_pods(case, template))]
    return any(container.name in PROXIES for spec in specs for container in spec.containers or ()) or any(
        membership_of_pod(case, pod) for pod in running_pods(case, template)
    )


def _called_wrongly(
    case: Case, client: StatedClient, way: Way, speaks: str, wrong: list[tuple[Template, Reference]]
) -> Finding:
    who = list(dict.fromkeys(template.ref for template, _ in wrong))
    scheme, right = ("http", "https") if speaks == SPEAKS_TLS else ("https", "http")
    named = [
        Evidence("calls it", f"{use.scheme}://{use.host}:{use.port or use.implied_port}", use.source)
        for _, use in wrong[:3]
    ]
    # The other scheme means another port where none is written.
    port = "" if way.port.port == _STANDARD_PORTS[right] else f":{way.port.port}"
    remedies = tuple(
        Remedy(f"write {right}://{use.host}{f':{use.port}' if use.port else port} in {use.source}")
        for _, use in wrong[:2]
    )
    calls = "calls" if len(who) == 1 else "call"
    return fail(
        "port-tls-plain-mismatch",
        case.subject,
        f"{listing(who)} {calls} port {way.port.port} with {scheme}://, and what answers there speaks {_words(speaks)}",
        *named,
        *_evidence(client, way),
        remedies=(*remedies, _see(client, way)),
    )


def _named_wrongly(case: Case, client: StatedClient, way: Way, speaks: str) -> Finding | None:
    port = way.port
    says_tls, says_plain = told_tls(port), bool(re.match(r"(http|ws)(-|$)", port.name)) or port.port in (80, 8080)
    if not (says_tls if speaks == SPEAKS_HTTP else says_plain and not says_tls):
        return None
    shown = f"port {port.port} is named {port.name}" if port.name else f"its port is {port.port}"
    field = f"service/{case.name} .spec.ports"
    where = "TLS ends before it" if says_tls else "every caller knows that it speaks TLS"
    return warn(
        "port-tls-plain-mismatch",
        case.subject,
        f"{shown}, and what answers there speaks {_words(speaks)}",
        Evidence("port", f"{port.name or port.port} -> {port.target_port}", field),
        *_evidence(client, way),
        Evidence("unless", where, "nothing here calls it with a scheme"),
        remedies=(_see(client, way),),
        inferred=True,
    )


def _words(speaks: str) -> str:
    return "TLS" if speaks == SPEAKS_TLS else "plain HTTP"


# --- errors of the program -----------------------------------------------------------------------------------------


def _failing(case: Case, client: StatedClient, way: Way) -> Finding | None:
    failing = [answer for answer in way.answers if answer.status >= 500]
    if not failing:
        return None
    ends = {end.address for _, end in way.ends}
    among = [answer in failing for answer in way.answers if answer.address in ends]
    share = f" ({sum(among)} of {plural(len(among), 'endpoint')})" if among and not all(among) else ""
    return warn(
        "port-app-5xx",
        case.subject,
        f"its program answers {client.name} with an error: {failing[0].text}{share}",
        *_evidence(client, way, failing),
        remedies=(Remedy("read what the program says", f"kubectl -n {case.namespace} logs {_logs(case)}", False),),
        pods=tuple(view.pod for view, end in way.ends if any(one.address == end.address for one in failing)),
    )


def _logs(case: Case) -> str:
    pods = [pod.metadata.name for backend in case.backing for pod in backend.pods]
    return f"{pods[0]} --tail=50" if pods else f"service/{case.name} --tail=50"


def _evidence(client: StatedClient, way: Way, answers: list[Answer] | None = None) -> Iterator[Evidence]:
    for answer in (answers or way.answers)[:3]:
        yield Evidence(answer.place, answer.text, f"asked inside {client.name}")


def _see(client: StatedClient, way: Way) -> Remedy:
    answer = way.answers[0]
    scheme = "https" if answer.speaks == SPEAKS_TLS else "http"
    path = answer.asked.partition(" ")[2]
    tool = "wget -S -O- --no-check-certificate" if client.said.tool.startswith("nc") else "curl -vk"
    return Remedy("see it", client.said.running(f"{tool} {scheme}://{answer.place}{path}"), changes_cluster=False)
