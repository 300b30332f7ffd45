"""Which Pod is meant where a person names the client of a Service: a Pod, or one of a workload or a service account."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.objects import Pod
from svcdoctor.pods.template import top_owner
from svcdoctor.text import listing

# As kubectl has them.
KINDS = {
    word: kind
    for kind, words in {
        "Pod": "po pod pods",
        "Deployment": "deploy deployment deployments",
        "StatefulSet": "sts statefulset statefulsets",
        "DaemonSet": "ds daemonset daemonsets",
        "ServiceAccount": "sa serviceaccount serviceaccounts",
    }.items()
    for word in words.split()
}


def client_named(words: str, namespace: str) -> tuple[str, str]:
    """(namespace, NAME or KIND/NAME) of POD, KIND/NAME, NAMESPACE/POD or NAMESPACE/KIND/NAME. Raises ValueError."""
    *before, name = words.split("/")
    kind = KINDS.get(before[-1].lower()) if before else None
    if kind:
        before = before[:-1]
    if len(before) > 1 or not all((*before, name)):
        raise ValueError(f"{words!r} names no client")
    return before[0] if before else namespace, f"{kind}/{name}" if kind and kind != "Pod" else name


def client_pod(pods: Iterable[Pod], name: str) -> Pod | None:
    """The Pod of this name; of KIND/NAME the first ready Pod that runs, by name, or one that is not ready."""
    found = [pod for pod in pods if _is_meant(pod, name)]
    running = [pod for pod in found if pod.status.phase == "Running" and not pod.metadata.deletion_timestamp]
    ordered = sorted(running if "/" in name else found, key=lambda pod: (not is_ready(pod), pod.metadata.name))
    return next(iter(ordered), None)


def no_such_client(pods: Iterable[Pod], namespace: str, name: str) -> str:
    """What is said where there is none: who is there instead, those that come near first."""
    pods = list(pods)
    kind, _, own = name.rpartition("/")
    where = f"in namespace {namespace}"
    if any(_is_meant(pod, name) for pod in pods):
        return f"no Pod of {kind.lower()}/{own} runs {where} to look from"
    there = sorted({word for pod in pods for word in _names(pod, kind)})
    near = difflib.get_close_matches(own, there, n=3)
    noun = kind or "Pod"
    known = f"; there is {listing(near or there, 3)}" if there else f"; no Pod there has a {noun}" if pods else ""
    return f"there is no {noun} {own} {where} to look from{known}"


def _is_meant(pod: Pod, name: str) -> bool:
    kind, _, own = name.rpartition("/")
    return own in _names(pod, kind)


def _names(pod: Pod, kind: str) -> tuple[str, ...]:
    """What a Pod may be called by in names of a kind."""
    if kind in ("", "Pod"):
        return (pod.metadata.name,)
    if kind == "ServiceAccount":
        return (pod.spec.service_account_name or "default",)
    owner, name = top_owner(pod)
    return (name,) if owner == kind else ()
