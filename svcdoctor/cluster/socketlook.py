"""Seeing which ports a Pod listens on: one exec of `cat` in a container of it that has one. It only reads."""

from __future__ import annotations

import time

from svcdoctor.cluster.kube import KubeError
from svcdoctor.cluster.probe import MAX_OUTPUT, NO_PROGRAM, Cluster, one_line, running_containers
from svcdoctor.objects import Pod
from svcdoctor.pods.sockets import FILES, Sockets, listeners_in, started_last

SOCKET_SECONDS = 5.0
MOST_CONTAINERS = 3


def look_at_sockets(cluster: Cluster, pod: Pod, *, timeout: float = SOCKET_SECONDS, added: str = "") -> Sockets:
    """What listens in a Pod. Never raises: `unavailable` says why it could not be seen.

    `added` is a container that was added to it to look from: all containers of a Pod have its network.
    """
    began = time.monotonic()
    seen = unseen(pod, "no-pod", "no container runs")
    for _, container, _ in list(running_containers([pod]))[:MOST_CONTAINERS]:
        left = timeout - (time.monotonic() - began)
        if left <= 0:
            break
        seen = _look_in(cluster, pod, container, left, began)
        # A sidecar may have what the program's own image has not.
        if seen.unavailable not in ("no-tool", "error"):
            break
    left = timeout - (time.monotonic() - began)
    if added and seen.unavailable in ("no-tool", "error") and left > 0:
        return _look_in(cluster, pod, added, left, began)
    return seen


def unseen(pod: Pod, unavailable: str, detail: str) -> Sockets:
    """That a Pod was not looked into, and why."""
    metadata = pod.metadata
    return Sockets(metadata.namespace, metadata.name, "", (), unavailable, detail, started_last(pod))


def _look_in(cluster: Cluster, pod: Pod, container: str, timeout: float, began: float) -> Sockets:
    namespace, name = pod.metadata.namespace, pod.metadata.name

    def outcome(unavailable: str = "", detail: str = "") -> Sockets:
        seconds = round(time.monotonic() - began, 2)
        return Sockets(namespace, name, container, (), unavailable, detail, started_last(pod), seconds)

    try:
        result = cluster.exec(
            namespace, name, ["cat", *FILES], container=container, timeout=timeout, max_bytes=MAX_OUTPUT
        )
    except KubeError as error:
        reason = error.reason if error.reason in ("forbidden", "timeout") else "error"
        words = f"create pods/exec in {namespace}" if reason == "forbidden" else one_line(error.message)
        return outcome(reason, words)
    listeners = listeners_in(result.stdout)
    if listeners is not None and not result.timed_out and not result.truncated:
        seen = outcome()
        return Sockets(namespace, name, container, listeners, started=seen.started, seconds=seen.seconds)
    if NO_PROGRAM.search(f"{result.error}\n{result.stderr}\n{result.stdout}"):
        return outcome("no-tool", "the container has no cat")
    if result.timed_out:
        return outcome("timeout", f"no output within {timeout:.0f} s")
    words = one_line(result.error or result.stderr or result.stdout) or f"exit code {result.code}"
    return outcome("error", "too many sockets" if result.truncated else words)
