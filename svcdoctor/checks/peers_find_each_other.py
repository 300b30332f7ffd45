"""Can Pods that look for each other by a headless Service find each other before they are ready?

headless-no-ready
    No Pod of a headless Service is ready, and what they run asks for it, or for its peers, before
    it gets there.
    Why it breaks      Cluster DNS gives out ready Pods only, so the name does not exist (NXDOMAIN) until one is ready;
                       and none gets ready until it has found the others. Neither ever happens.
    Confirm by hand    kubectl -n {namespace} get service {name} -o jsonpath='{.spec.publishNotReadyAddresses}'
    Fix                Set publishNotReadyAddresses: true on the headless Service, which peers are to ask; clients that
                       need ready Pods take a second Service.
    Not a fault when   The Pods fail for another reason and would be ready without their peers.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Status, Step, fail
from svcdoctor.text import listing, patch_command

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={"headless-no-ready": Code(Stage.PODS_READY)},
    reads=("pods", "events", "nodes", "statefulsets", "configmaps"),
)


def run(case: Case) -> Iterator[Finding]:
    if not case.is_headless or case.spec.publish_not_ready_addresses or not case.selector:
        return
    states = case.pod_states
    waiting = [name for name, state in states.items() if state.status is Status.FAIL]
    if not waiting or any(state.ready or state.code == "unknown-settling" for state in states.values()):
        return
    if case.awaited_peers:
        yield _deadlock(case, waiting)
    else:
        yield from filter(None, [_perhaps(case, waiting)])


def _deadlock(case: Case, waiting: list[str]) -> Finding:
    asked = case.awaited_peers
    names = listing(list(dict.fromkeys(peer.name for peer in asked)))
    certain = case.pod_states[waiting[0]].code == "pods-init-blocked" or any("Probe" in peer.what for peer in asked)
    doubt = () if certain else (Evidence("also possible", "it fails for another reason", f"pod/{waiting[0]}"),)
    return fail(
        "headless-no-ready",
        case.subject,
        f"its Pods ask for {names} before they are ready, and {case.name} resolves only once one of them is",
        *(Evidence("asks for", peer.name, peer.source) for peer in asked[:3]),
        *_evidence(case, waiting),
        *doubt,
        remedies=(_publish(case),),
        inferred=not certain,
        pods=tuple(waiting),
    )


def _perhaps(case: Case, waiting: list[str]) -> Finding | None:
    """Members of a set that only their probe keeps from being ready may need each other for that."""
    state = case.pod_states[waiting[0]]
    governed = next((item for item in case.governed if (item.spec.replicas or 1) > 1), None)
    if governed is None or state.code != "pods-not-ready-probe":
        return None
    ref = f"statefulset/{governed.metadata.name}"
    return fail(
        "headless-no-ready",
        case.subject,
        f"{case.name} does not resolve while no Pod of {ref} is ready; members that need it for that wait for ever",
        *_evidence(case, waiting),
        Evidence("also possible", "its Pods do not look for each other", f"{ref} .spec.template"),
        remedies=(_publish(case),),
        inferred=True,
        because=state.code,
        pods=tuple(waiting),
    )


def _evidence(case: Case, waiting: list[str]) -> Iterator[Evidence]:
    yield Evidence("waiting", f"{waiting[0]}: {case.pod_states[waiting[0]].message}", f"pod/{waiting[0]} .status")
    yield Evidence("publishNotReadyAddresses", "false", f"service/{case.name} .spec.publishNotReadyAddresses")


def _publish(case: Case) -> Remedy:
    patch = {"spec": {"publishNotReadyAddresses": True}}
    command = patch_command(case.namespace, f"service {case.name}", patch)
    return Remedy("let its name resolve to Pods that are not ready yet", command)
