"""Are the Pods in the mesh that they are meant to be in?

mesh-ns-not-injected
    Pods behind the Service have no proxy, though their namespace or policies take it for given that they have one.
    Why it breaks      A proxy is added when a Pod is created, if the namespace's label asks for it then. Without one,
                       policies and mutual TLS do not hold for the Pod, and callers that insist on them are refused.
    Confirm by hand    kubectl get namespace {namespace} --show-labels; kubectl -n {namespace} get pods -o wide
    Fix                Set the label (istio-injection=enabled, or istio.io/rev to a revision that runs), restart the
                       workload.
    Not a fault when   The Pod is annotated or labelled sidecar.istio.io/inject=false, or is on the host network.

mesh-ambient-waypoint
    The Service is to be reached through a waypoint that does not exist, is not programmed, or has no ready Pod.
    Why it breaks      Requests that are sent through a waypoint without Pods end with 503. Past a waypoint that is not
                       there, ztunnel sends them straight to the Pods: routes and policies of the waypoint do not hold.
    Confirm by hand    kubectl -n {namespace} get gateways; istioctl ztunnel-config services
    Fix                Create the waypoint (istioctl waypoint apply), or correct the label istio.io/use-waypoint.
    Not a fault when   The label is `none`.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from svcdoctor.case import Case, case_of
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import Gateway, Pod
from svcdoctor.pods.template import top_owner
from svcdoctor.policies.mesh import (
    INJECTION,
    ISTIO,
    LINKERD,
    LINKERD_INJECT,
    PLAIN,
    REVISION,
    ROOT_NAMESPACE,
    USE_WAYPOINT,
    WAYPOINT_NAMESPACE,
    asks_for,
    enrolment,
    is_hinted_at,
    membership_of_pod,
    namespace_of,
    policies,
    ref,
)
from svcdoctor.text import listing, plural
from svcdoctor.world import EVERYWHERE

CHECK = Check(
    step=Step.CONNECT,
    codes={
        "mesh-ns-not-injected": Code(Stage.ENTRY, settles=False),
        "mesh-ambient-waypoint": Code(Stage.ENTRY),
    },
    reads=(
        "namespaces",
        "services",
        "pods",
        "endpointslices",
        "gateways",
        "peerauthentications",
        "authorizationpolicies",
        "mutatingwebhookconfigurations",
    ),
)
RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not is_hinted_at(case):
        return
    yield from _waypoint(case)
    if case.namespace == ROOT_NAMESPACE:
        return  # what a mesh itself is made of has no proxy, and its policies there are for all other namespaces
    plain = [pod for pod in case.live_pods if membership_of_pod(case, pod) == PLAIN]
    if plain:
        yield from _without_proxy(case, plain)


# --- sidecars ----------------------------------------------------------------------------------------------------


def _without_proxy(case: Case, plain: list[Pod]) -> Iterator[Finding]:
    where = namespace_of(case, case.namespace)
    wanted = {pod.metadata.name: asks_for(pod.metadata, pod.spec, where) for pod in plain}
    asked = [pod for pod in plain if wanted[pod.metadata.name] in (ISTIO, LINKERD)]
    left = [pod for pod in plain if wanted[pod.metadata.name] == PLAIN]
    if asked:
        yield _passed_over(case, asked, wanted[asked[0].metadata.name])
    elif left and (reason := _meant_to_have_one(case, left)):
        message, *evidence = reason
        yield _not_asked(case, left, str(message), [item for item in evidence if isinstance(item, Evidence)])


def _passed_over(case: Case, pods: list[Pod], mesh: str) -> Finding:
    injectors = case.or_without(lambda: _revisions(case), None) if mesh == ISTIO else None
    evidence = [_request(case, pods[0], mesh)]
    remedies = _restart(pods, "replace the Pods: new ones are given a proxy")
    if injectors is not None:
        evidence.append(
            Evidence("revisions that inject", listing(injectors) or "none", "mutatingwebhookconfigurations")
        )
        wanted = (namespace_of(case, case.namespace).labels or {}).get(REVISION)
        if not injectors:
            look = "kubectl get mutatingwebhookconfigurations -L istio.io/rev,istio.io/tag"
            remedies = [Remedy("see whether Istio is installed: nothing gives proxies to Pods", look, False)]
        elif evidence[0].label == REVISION and wanted not in injectors:
            label = f"kubectl label namespace {case.namespace} {quote(f'{REVISION}={injectors[0]}')} --overwrite"
            remedies = [
                Remedy(f"ask for revision {injectors[0]}, which is there", label),
                *_restart(pods, "then replace the Pods"),
            ]
    return _warning(case, pods, f"{_share(case, pods)} no proxy, though one is asked for", evidence, remedies)


def _not_asked(case: Case, pods: list[Pod], message: str, evidence: list[Evidence]) -> Finding:
    label = f"kubectl label namespace {case.namespace} {enrolment(case, case.namespace)} --overwrite"
    return _warning(
        case,
        pods,
        message,
        [Evidence(INJECTION, "<none>", f"namespace/{case.namespace} .metadata.labels"), *evidence],
        [Remedy("let new Pods of the namespace have a proxy", label), *_restart(pods, "then replace the Pods")],
    )


def _warning(case: Case, pods: list[Pod], message: str, evidence: list[Evidence], remedies: list[Remedy]) -> Finding:
    names = tuple(pod.metadata.name for pod in pods)
    seen = Evidence("without a proxy", listing(names), "pods .spec.containers")
    return warn("mesh-ns-not-injected", case.subject, message, *evidence, seen, remedies=tuple(remedies), pods=names)


def _share(case: Case, pods: list[Pod]) -> str:
    return f"{len(pods)} of {plural(len(case.live_pods), 'Pod')} {'has' if len(pods) == 1 else 'have'}"


def _meant_to_have_one(case: Case, left: list[Pod]) -> tuple[str | Evidence, ...] | None:
    """What shows that Pods that nothing asks a proxy for were meant to have one: siblings, or policies for them."""
    siblings = [pod for pod in case.live_pods if membership_of_pod(case, pod) == ISTIO]
    shared = {top_owner(pod) for pod in siblings} & {top_owner(pod) for pod in left}
    if shared:
        with_proxy = Evidence("with a proxy", listing([pod.metadata.name for pod in siblings]), "pods .spec.containers")
        return f"{_share(case, left)} no proxy, the others of the same workload have one", with_proxy
    if len(left) < len(case.live_pods):
        return None
    labels = left[0].metadata.labels or {}
    kinds = {"peerauthentications": "peerauthentication", "authorizationpolicies": "authorizationpolicy"}
    held = [
        ref(item, kind, case.namespace)
        for resource, kind in kinds.items()
        for item in policies(case, resource, labels, case.namespace)
        if item.metadata.namespace == case.namespace
    ]
    if not held:
        return None
    message = f"{listing(held)} {'does' if len(held) == 1 else 'do'} not hold: no Pod of the Service has a proxy"
    return message, Evidence("policies", listing(held), f"namespace {case.namespace}")


def _request(case: Case, pod: Pod, mesh: str) -> Evidence:
    """Who asks for the proxy: the Pod itself or its namespace."""
    where = namespace_of(case, case.namespace)
    if mesh == LINKERD:
        own = LINKERD_INJECT in (pod.metadata.annotations or {})
        source = f"pod/{pod.metadata.name}" if own else f"namespace/{case.namespace}"
        return Evidence(LINKERD_INJECT, "enabled", f"{source} .metadata.annotations")
    labels = where.labels or {}
    for key in (INJECTION, REVISION):
        if key in labels:
            return Evidence(key, labels[key], f"namespace/{case.namespace} .metadata.labels")
    return Evidence("asked for", "by the Pod", f"pod/{pod.metadata.name} .metadata.labels")


def _revisions(case: Case) -> list[str]:
    """The revisions of Istio that give proxies to Pods, by the labels of their webhooks."""
    found = case.listed("mutatingwebhookconfigurations", EVERYWHERE).values()
    named = [
        item.metadata.labels or {}
        for item in found
        if any("sidecar-injector.istio.io" in webhook.name for webhook in item.webhooks or ())
    ]
    return sorted({labels.get("istio.io/tag") or labels.get(REVISION) or "default" for labels in named})


def _restart(pods: list[Pod], do: str) -> list[Remedy]:
    namespace = pods[0].metadata.namespace
    owners = dict.fromkeys(top_owner(pod) for pod in pods)
    return [
        Remedy(do, f"kubectl -n {namespace} rollout restart {kind.lower()}/{name}")
        for kind, name in owners
        if kind in RESTARTABLE
    ]


# --- waypoints ---------------------------------------------------------------------------------------------------


def _waypoint(case: Case) -> Iterator[Finding]:
    where = namespace_of(case, case.namespace)
    own = case.service.metadata.labels or {}
    holder, labels = ("service", own) if USE_WAYPOINT in own else ("namespace", where.labels or {})
    name = labels.get(USE_WAYPOINT, "none")
    namespace = labels.get(WAYPOINT_NAMESPACE, case.namespace)
    gateways = None if name == "none" else case.or_without(lambda: case.listed("gateways", namespace), None)
    if gateways is None or (name, namespace) == (case.name, case.namespace):
        return
    source = f"{holder}/{case.name if holder == 'service' else case.namespace} .metadata.labels"
    asked = Evidence(USE_WAYPOINT, name, source)
    gateway: Gateway | None = gateways.get(name)
    if gateway is None:
        yield _no_waypoint(case, namespace, name, asked, [item.metadata.name for item in gateways.values()])
    elif trouble := _trouble(case, gateway):
        yield fail(
            "mesh-ambient-waypoint",
            case.subject,
            f"gateway/{name}, the waypoint on its way, {trouble.label}",
            asked,
            Evidence("waypoint", trouble.value, trouble.source),
            remedies=(
                Remedy("see what the waypoint waits for", f"kubectl -n {namespace} describe gateway {name}", False),
            ),
        )


def _no_waypoint(case: Case, namespace: str, name: str, asked: Evidence, there: list[str]) -> Finding:
    holder = f"service {case.name}" if asked.source.startswith("service/") else f"namespace {case.namespace}"
    scope = f"-n {case.namespace} " if asked.source.startswith("service/") else ""
    near = [
        Remedy(
            f"name {other}, the waypoint that is there",
            f"kubectl {scope}label {holder} {USE_WAYPOINT}={other} --overwrite",
        )
        for other in there[:1]
        if len(there) == 1
    ]
    return fail(
        "mesh-ambient-waypoint",
        case.subject,
        f"its waypoint is to be gateway/{name}, which namespace {namespace} does not have",
        asked,
        Evidence("Gateways there", listing(there) or "none", f"namespace {namespace}"),
        Evidence(
            "also possible", "ztunnel sends straight to the Pods, past the waypoint's policies", "Istio's version"
        ),
        remedies=(*near, Remedy("or do without a waypoint", f"kubectl {scope}label {holder} {USE_WAYPOINT}-")),
        inferred=True,
    )


def _trouble(case: Case, gateway: Gateway) -> Evidence | None:
    """What keeps a waypoint from carrying traffic."""
    name, namespace = gateway.metadata.name, gateway.metadata.namespace
    for condition in (gateway.status.conditions if gateway.status else None) or ():
        if condition.type in ("Accepted", "Programmed") and condition.status == "False":
            said = condition.message or condition.reason or "False"
            source = f"gateway/{name} .status.conditions[{condition.type}]"
            return Evidence(f"is not {condition.type.lower()}", said, source)
    service = case.or_without(lambda: case_of(case, namespace, name), None)
    ready = case.or_without(lambda: service.ready_endpoints, None) if service else None
    if ready == []:
        return Evidence("has no ready endpoint", "0 ready", f"endpointslices of service/{name} in {namespace}")
    return None
