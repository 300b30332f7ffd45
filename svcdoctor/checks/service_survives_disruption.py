"""Does the Service survive a drain of a node, or a rollout?

pods-single-endpoint
    One Pod serves, and something shows that the Service matters: it is exposed, or a disruption budget covers it.
    Why it breaks      The next drain, rollout or crash takes the only endpoint. A PodDisruptionBudget that wants one
                       Pod of one blocks the drain for good instead.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name}
    Fix                Run two replicas or more, where the program allows it.
    Not a fault when   A short outage is accepted: this is only a note.

pods-shutdown-race
    A Pod that is taken away ends before clients and proxies have stopped sending to it.
    Why it breaks      A Pod leaves the endpoints and is told to stop at the same moment; kube-proxy, the ingress
                       controller and clients follow seconds later. A Pod that is killed before is a reset connection.
    Confirm by hand    kubectl -n {namespace} get pods -o jsonpath='{.items[*].spec.terminationGracePeriodSeconds}'
    Fix                A preStop sleep of 5 to 15 s, and a grace period longer than that.
    Not a fault when   The program waits by itself when it is told to stop; so of grace periods only those are named
                       that leave no time at all.

pods-hostnetwork
    The Pods are on the network of their nodes, and every node that may run them has one.
    Why it breaks      Each of their ports is a port of the node, one Pod a node. A rolling update brings the new Pod
                       before it takes the old one, finds no node, and stands still. No NetworkPolicy selects them.
    Confirm by hand    kubectl -n {namespace} get pods -o wide
    Fix                Leave the host network, or let the update take a Pod away first: maxSurge 0, maxUnavailable 1.
    Not a fault when   There are more nodes than Pods, or it is a DaemonSet: these are made for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from svcdoctor.case import Backend, Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import serving_containers
from svcdoctor.entry.entrypoint import given_addresses
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, warn
from svcdoctor.objects import Container, Node, Workload
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.policy import selects
from svcdoctor.text import listing, patch_command, plural, whole_number

CHECK = Check(
    step=Step.LABELS,
    codes={
        "pods-single-endpoint": Code(Stage.PODS_READY),
        "pods-shutdown-race": Code(Stage.PODS_READY, settles=False),
        "pods-hostnetwork": Code(Stage.PODS_READY, settles=False),
    },
    reads=(
        "services",
        "endpointslices",
        "pods",
        *WORKLOAD_RESOURCES,
        "nodes",
        "ingresses",
        "httproutes",
        "grpcroutes",
        "tlsroutes",
        "poddisruptionbudgets",
    ),
)
DEFAULT_GRACE = 30
NO_TIME = 1  # seconds in which nothing that sends to the Pod learns that it is going
_SLEEP = re.compile(r"(?:^|[\s/;&])sleep\s+(\d+)")


def run(case: Case) -> Iterator[Finding]:
    if not case.selector or case.is_external_name:
        return
    for backend in case.backing:
        if not backend.guessed:
            yield from _ends_too_soon(case, backend)
            yield from _on_the_host(case, backend)
    ready = case.or_without(lambda: case.ready_endpoints, [])
    if len({view.pod or view.address for view in ready}) == 1 and len(case.backing) == 1:
        yield from _alone(case, case.backing[0])


def _workload(case: Case, backend: Backend) -> Workload | None:
    """The Deployment or StatefulSet behind it."""
    resource = {"Deployment": "deployments", "StatefulSet": "statefulsets"}.get(backend.owner.kind)
    return case.listed(resource).get(backend.owner.name) if resource else None


def _desired(workload: Workload) -> int:
    return 1 if workload.spec.replicas is None else workload.spec.replicas


# --- one endpoint -------------------------------------------------------------------------------------------------


def _alone(case: Case, backend: Backend) -> Iterator[Finding]:
    workload = _workload(case, backend)
    if workload is None or _desired(workload) != 1:
        return
    reasons = _reasons_to_care(case, backend)
    if reasons:
        yield note(
            "pods-single-endpoint",
            case.subject,
            f"1 endpoint, of {backend.owner} with 1 replica: the next drain or rollout interrupts it",
            Evidence("replicas", "1", f"{backend.owner} .spec.replicas"),
            *reasons,
        )


def _reasons_to_care(case: Case, backend: Backend) -> list[Evidence]:
    budgets: Mapping[str, object] = case.or_without(lambda: case.listed("poddisruptionbudgets"), {})
    covering = [
        name
        for name, budget in budgets.items()
        if selects(budget.spec.selector, backend.labels)  # type: ignore[attr-defined]
    ]
    found = (
        [Evidence("budget", f"{listing(covering)} covers it", "poddisruptionbudgets .spec.selector")]
        if covering
        else []
    )
    return found + _ways_in(case)


def _ways_in(case: Case) -> list[Evidence]:
    """What brings requests from outside: an Ingress, a Route, or a load balancer that has an address."""
    entries = [str(entry.subject) for entry in case.or_without(lambda: case.entries, [])]
    found = [Evidence("reached through", listing(entries), "their backends")] if entries else []
    addresses = given_addresses(case.service)
    if case.type == "LoadBalancer" and addresses:
        found.append(Evidence("load balancer", listing(addresses), f"service/{case.name} .status.loadBalancer.ingress"))
    return found


# --- the end of a Pod ---------------------------------------------------------------------------------------------


def _ends_too_soon(case: Case, backend: Backend) -> Iterator[Finding]:
    workload = _workload(case, backend)
    if workload is None:
        return
    asked = backend.spec.termination_grace_period_seconds
    grace = DEFAULT_GRACE if asked is None else asked
    when = f"{grace} s after" if grace else "as soon as"
    sleeper = next(
        ((item, time) for item in serving_containers(backend.spec) if (time := _sleeps(item)) >= grace > 0), None
    )
    source = f"{backend.owner} .spec.template.spec.terminationGracePeriodSeconds"
    evidence = Evidence("grace period", f"{grace} s{'' if asked is not None else ', the default'}", source)
    if sleeper:
        container, seconds = sleeper
        yield warn(
            "pods-shutdown-race",
            case.subject,
            f"preStop of container {container.name} sleeps {seconds} s, and its Pod is killed after {grace} s, "
            "so that it is never told to finish its requests",
            Evidence("preStop", f"sleep {seconds}", f"{backend.owner} container {container.name} .lifecycle.preStop"),
            evidence,
            remedies=_longer_grace(case, backend, seconds + DEFAULT_GRACE),
        )
    elif grace <= NO_TIME and _desired(workload) > 1 and (ways := _ways_in(case)):
        yield warn(
            "pods-shutdown-race",
            case.subject,
            f"Pods of {backend.owner} are killed {when} they are told to stop: each rollout cuts requests under way",
            evidence,
            *ways,
            Evidence("otherwise", "clients may repeat what was cut", "not told by any object"),
            remedies=_longer_grace(case, backend, DEFAULT_GRACE),
            inferred=True,
        )


def _sleeps(container: Container) -> int:
    """For how long the preStop hook does nothing else."""
    hook = container.lifecycle.pre_stop if container.lifecycle else None
    if hook is None:
        return 0
    if hook.sleep:
        return hook.sleep.seconds
    words = _SLEEP.search(" ".join((hook.exec and hook.exec.command) or []))
    return (whole_number(words[1]) if words else None) or 0


def _longer_grace(case: Case, backend: Backend, seconds: int) -> tuple[Remedy, ...]:
    patch = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": seconds}}}}
    command = patch_command(case.namespace, f"{backend.owner.kind.lower()} {backend.owner.name}", patch)
    return (Remedy(f"give its Pods {seconds} s to end", command),)


# --- the host's network -------------------------------------------------------------------------------------------


def _on_the_host(case: Case, backend: Backend) -> Iterator[Finding]:
    workload = _workload(case, backend) if backend.spec.host_network else None
    if workload is None:
        return
    evidence = Evidence("host network", "true", f"{backend.owner} .spec.template.spec.hostNetwork")
    text = f"Pods of {backend.owner} are on the host network"
    nodes: Mapping[str, Node] = case.or_without(case.nodes, {})
    usable = [name for name, node in nodes.items() if _takes_pods(node, backend)]
    if nodes and _desired(workload) >= len(usable) and _comes_first(workload):
        patch = {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}}
        command = patch_command(case.namespace, f"deployment {backend.owner.name}", patch)
        yield warn(
            "pods-hostnetwork",
            case.subject,
            f"{text}, one on each node that may run them: the next rollout finds no node with the port free",
            evidence,
            Evidence("replicas", str(_desired(workload)), f"{backend.owner} .spec.replicas"),
            Evidence("nodes that may run it", f"{len(usable)}: {listing(usable)}", "nodes .spec"),
            remedies=(Remedy("let an update take a Pod away before it brings one", command),),
        )
    else:
        said = f"{text}: their address is the node's, and no NetworkPolicy selects them"
        yield note(
            "pods-hostnetwork", case.subject, said, evidence, Evidence("nodes", plural(len(nodes), "node"), "nodes")
        )


def _takes_pods(node: Node, backend: Backend) -> bool:
    wanted = backend.spec.node_selector or {}
    closed = any(taint.effect in ("NoSchedule", "NoExecute") for taint in node.spec.taints or ())
    labels = node.metadata.labels or {}
    return not node.spec.unschedulable and not closed and all(labels.get(key) == wanted[key] for key in wanted)


def _comes_first(workload: Workload) -> bool:
    """Whether a rolling update of a Deployment brings a new Pod before it takes any away."""
    strategy, replicas = workload.spec.strategy, _desired(workload)
    if workload.spec.service_name is not None or workload.spec.pod_management_policy is not None:
        return False  # a StatefulSet replaces Pods one by one
    if strategy is None or strategy.rolling_update is None:
        return strategy is None or strategy.type == "RollingUpdate"
    allowed = strategy.rolling_update.max_unavailable
    if isinstance(allowed, str):
        percent = whole_number(allowed.removesuffix("%"))
        return percent is not None and replicas * percent < 100
    return allowed == 0
