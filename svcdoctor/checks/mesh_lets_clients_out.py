"""Does the proxy of this workload let it reach the Services that it names?

mesh-sidecar-egress
    A Sidecar lists the hosts that the workload's proxy knows, and a Service that the workload names is not among them.
    Why it breaks      The proxy has no route for that Service. With outboundTrafficPolicy REGISTRY_ONLY the request
                       ends in 502; with ALLOW_ANY it leaves as plain text, which Pods with STRICT mutual TLS refuse.
    Confirm by hand    kubectl -n {namespace} get sidecars -o yaml
    Fix                Add NAMESPACE/* or NAMESPACE/NAME.NAMESPACE.svc.cluster.local to egress.hosts.
    Not a fault when   The mode is ALLOW_ANY and the Pods of that Service accept plain text.

mesh-sidecar-start-order
    The application started before its proxy was ready, failed, and was started again.
    Why it breaks      All of the Pod's connections go through the proxy. Until it runs they are refused, so that an
                       application which connects at its start exits.
    Confirm by hand    kubectl -n {namespace} get pods; kubectl -n {namespace} logs POD --previous
    Fix                Set holdApplicationUntilProxyStarts: true, or use native sidecars (ENABLE_NATIVE_SIDECARS).
    Not a fault when   The application failed for another reason of its own: see the log before the restart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from svcdoctor.case import case_of
from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.clients.callers import Reference
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import ContainerStatus, CustomObject, Pod
from svcdoctor.pods.template import matches
from svcdoctor.policies.mesh import (
    ISTIO,
    MEMBERS_OF_ISTIO,
    PLAIN,
    ROOT_NAMESPACE,
    at,
    labels_at,
    membership_of_pod,
    mutual_tls,
    parts_at,
    proxy_of,
    ref,
    running_pods,
    servers_of,
    texts_at,
)
from svcdoctor.text import listing, parse_time, patch_command, plural

CHECK = Check(
    step=Step.CALLERS,
    codes={
        "mesh-sidecar-egress": Code(Stage.ENTRY, settles=False),
        "mesh-sidecar-start-order": Code(Stage.ENTRY, settles=False),
    },
    reads=("namespaces", "services", "configmaps", "sidecars", "peerauthentications", "pods"),
    about="client",
)
START_SECONDS = 60.0  # an application that fails later than this has seen its proxy ready
HOLD = "holdApplicationUntilProxyStarts"
CONFIG = "proxy.istio.io/config"


def run(case: ClientCase) -> Iterator[Finding]:
    pods = [pod for pod in running_pods(case, case.template) if proxy_of(pod.spec)[0]]
    if not pods:
        return
    yield from _started_early(case, pods)
    if any(membership_of_pod(case, pod) == ISTIO for pod in pods):
        yield from _unlisted(case)


# --- hosts that the proxy knows ----------------------------------------------------------------------------------


def _unlisted(case: ClientCase) -> Iterator[Finding]:
    sidecar = _sidecar(case)
    listeners = parts_at(sidecar.spec, "egress") if sidecar else []
    if sidecar is None or not listeners:
        return
    hosts = [host for listener in listeners for host in texts_at(listener, "hosts")]
    missed = [one for one in _named(case) if not any(_covers(case, host, one) for host in hosts)]
    mode, source = _outbound(case, sidecar)
    strict = [one for one in missed if _is_strict(case, one)]
    if missed and mode == "REGISTRY_ONLY":
        yield _no_route(case, sidecar, hosts, missed, Evidence("other hosts", mode, source))
    elif strict:
        seen = Evidence("accepted there", "mutual TLS only", f"peerauthentications for {strict[0].service}")
        yield _no_route(case, sidecar, hosts, strict, seen)
    elif missed and not mode:
        seen = Evidence(
            "unless", "meshConfig.outboundTrafficPolicy is ALLOW_ANY", f"configmap/istio in {ROOT_NAMESPACE}"
        )
        yield _no_route(case, sidecar, hosts, missed, seen, is_sure=False)


def _sidecar(case: ClientCase) -> CustomObject | None:
    """The one that selects the workload, else its namespace's, else that of the whole mesh."""
    own = case.or_without(lambda: case.listed("sidecars"), {}).values()
    narrow = [item for item in own if matches(labels_at(item.spec, "workloadSelector", "labels"), case.template.labels)]
    wide = [item for item in own if not at(item.spec, "workloadSelector")]
    root = case.or_without(lambda: case.listed("sidecars", ROOT_NAMESPACE), {}) if not narrow and not wide else {}
    return next(iter([*narrow, *wide, *root.values()]), None)


def _named(case: ClientCase) -> list[Reference]:
    """The Services that it names and that exist, each once."""
    found: dict[tuple[str, str], Reference] = {}
    for one in case.references:
        services = case.or_without(lambda one=one: case.listed("services", one.namespace), {})  # type: ignore[misc]
        if one.service in services and services[one.service].spec.type != "ExternalName":
            found.setdefault((one.namespace, one.service), one)
    return list(found.values())


def _covers(case: ClientCase, host: str, one: Reference) -> bool:
    """Whether an entry `namespace/name` of egress.hosts holds a Service."""
    namespace, _, name = host.rpartition("/")
    if namespace not in ("", "*", one.namespace) and not (namespace == "." and one.namespace == case.namespace):
        return False
    full = f"{one.service}.{one.namespace}.svc.{case.zone}"
    return name in ("*", full) or (name.startswith("*.") and full.endswith(name[1:]))


def _outbound(case: ClientCase, sidecar: CustomObject) -> tuple[str, str]:
    """What is done with hosts that the proxy does not know, and who says so; "" where that cannot be seen."""
    if mode := at(sidecar.spec, "outboundTrafficPolicy", "mode"):
        return str(mode), f"{ref(sidecar, 'sidecar', case.namespace)} .spec.outboundTrafficPolicy.mode"
    settings = case.config(ROOT_NAMESPACE, "istio")
    if settings is None:
        return "", ""
    found = re.search(r"outboundTrafficPolicy:\s*\{?\s*mode:\s*(\w+)", settings.get("mesh", ""))
    return found.group(1) if found else "ALLOW_ANY", f"configmap/istio in {ROOT_NAMESPACE} .data.mesh"


def _is_strict(case: ClientCase, one: Reference) -> bool:
    """Whether the Pods of the Service accept nothing but mutual TLS."""
    target = case.or_without(lambda: case_of(case, one.namespace, one.service), None)
    is_served = target and case.or_without(lambda: target.live_pods, [])
    servers = servers_of(target) if target and is_served else []
    return bool(servers) and all(
        server.mesh in MEMBERS_OF_ISTIO and mutual_tls(case, server, one.namespace, None)[0] == "STRICT"
        for server in servers
    )


def _no_route(
    case: ClientCase,
    sidecar: CustomObject,
    hosts: list[str],
    missed: list[Reference],
    seen: Evidence,
    *,
    is_sure: bool = True,
) -> Finding:
    name = ref(sidecar, "sidecar", case.namespace)
    listeners = parts_at(sidecar.spec, "egress")
    wanted = [f"{'.' if one.namespace == sidecar.metadata.namespace else one.namespace}/*" for one in missed]
    patch: list[dict[str, Any]] = [
        {"op": "add", "path": f"/spec/egress/{len(listeners) - 1}/hosts/-", "value": host}
        for host in dict.fromkeys(wanted)
    ]
    say = fail if is_sure else warn
    return say(
        "mesh-sidecar-egress",
        case.subject,
        f"its proxy has no route to {listing([f'{one.service} in {one.namespace}' for one in missed])}: "
        f"{name} lists only {listing(hosts)}",
        Evidence("hosts", listing(hosts, 6), f"{name} .spec.egress[].hosts"),
        seen,
        *(Evidence("names", one.host, one.source) for one in missed[:3]),
        remedies=(
            Remedy(
                "let the proxy know these hosts",
                patch_command(sidecar.metadata.namespace, f"sidecar {sidecar.metadata.name}", patch),
            ),
        ),
        inferred=not is_sure,
    )


# --- who starts first --------------------------------------------------------------------------------------------


def _started_early(case: ClientCase, pods: list[Pod]) -> Iterator[Finding]:
    failed = [(pod, status) for pod in pods if not _is_held(pod) for status in [_failed_at_start(pod)] if status]
    if not failed or not case.references:
        return
    pod, status = failed[0]
    before = status.last_state.terminated if status.last_state else None
    proxy = proxy_of(pod.spec)[0]
    yield warn(
        "mesh-sidecar-start-order",
        case.subject,
        f"container {status.name} failed in its first seconds beside {proxy}, which it does not wait for",
        Evidence(
            "first start",
            f"exit code {before.exit_code if before else '?'}, then {plural(status.restart_count, 'restart')}",
            f"pod/{pod.metadata.name} .status.containerStatuses[{status.name}]",
        ),
        Evidence("order", listing([item.name for item in pod.spec.containers or ()]), "pods .spec.containers"),
        Evidence("calls", case.references[0].host, case.references[0].source),
        Evidence("also possible", "it failed for a reason of its own", f"kubectl logs {pod.metadata.name} --previous"),
        remedies=_hold(case) if proxy == ISTIO else (),
        inferred=True,
    )


def _is_held(pod: Pod) -> bool:
    """Whether the application starts only when the proxy is ready: it is a native sidecar, or the first container."""
    proxy, container, is_native = proxy_of(pod.spec)
    first = next(iter(pod.spec.containers or ()), None)
    config = (pod.metadata.annotations or {}).get(CONFIG, "")
    told = re.search(rf"{HOLD}\W+true", config) is not None
    return proxy == PLAIN or is_native or container is first or told


def _failed_at_start(pod: Pod) -> ContainerStatus | None:
    """A container that exited with an error soon after the Pod's start and runs now."""
    begun = parse_time(pod.status.start_time)
    for status in pod.status.container_statuses or ():
        before = status.last_state.terminated if status.last_state else None
        ended = parse_time(before.finished_at) if before and before.exit_code else None
        is_early = begun and ended and (ended - begun).total_seconds() < START_SECONDS
        if is_early and status.state and status.state.running and status.name != proxy_of(pod.spec)[0]:
            return status
    return None


def _hold(case: ClientCase) -> tuple[Remedy, ...]:
    kind, name = case.template.kind.lower(), case.template.name
    if kind not in ("deployment", "statefulset", "daemonset"):
        return ()
    annotations = {CONFIG: f"{HOLD}: true"}
    patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    command = patch_command(case.namespace, f"{kind} {name}", patch)
    return (Remedy("let the application wait for its proxy", command),)
