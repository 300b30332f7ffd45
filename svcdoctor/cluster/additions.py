"""The containers and Pods of --probe-image: created, looked into and taken away again. The one place that creates any.

What exists is written down before the server is asked for it, so that whatever ends the run, close() knows all of it.
"""

from __future__ import annotations

import atexit
import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from svcdoctor.cluster import probe
from svcdoctor.cluster.kube import Cluster, KubeError, ReadFailed
from svcdoctor.cluster.parallel import in_parallel
from svcdoctor.cluster.probepod import LABELLED, Addition, Place, ephemeral_container, probe_pod, started
from svcdoctor.cluster.questions import Question
from svcdoctor.names.lookup import Lookups
from svcdoctor.objects import RESOURCES, Pod
from svcdoctor.pods.template import matches
from svcdoctor.world import World

PODS = RESOURCES["pods"]
START_SECONDS = 50.0  # the image may have to be pulled; less than POD_SECONDS
POLL_SECONDS = 0.25
WRITE_SECONDS = 10.0
MERGE = "application/strategic-merge-patch+json"
Plan = dict[Addition, list[Question]]


class Additions:
    """What one run adds to a cluster; gone when the `with` block is left, however that happens.

    `agree` is shown all of it before anything is created, and answers whether it may be. `remarks` are for the person:
    what could not be created, or not be deleted.
    """

    def __init__(
        self, cluster: Cluster, image: str, *, own_pod: bool, agree: Callable[[Sequence[Addition]], bool]
    ) -> None:
        self.remarks: list[str] = []
        self._cluster = cluster
        self._image = image
        self._kind = "pod" if own_pod else "container"
        self._agree = agree
        self._run = secrets.token_hex(4)
        self._made: list[Addition] = []
        self._places: dict[tuple[str, str], Place] = {}  # that run, by the Pod whose view they have
        self._closed = False
        # Whoever closes waits for who is creating: what the server has been asked for can be deleted.
        self._creating = threading.Lock()

    def __enter__(self) -> Additions:
        # A signal may hit the first line of __exit__: then this is what deletes.
        atexit.register(self.close)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        atexit.unregister(self.close)

    def close(self) -> None:
        """Delete what was created, and end the containers, which nobody can delete."""
        with self._creating:
            self._closed = True
        lost: KubeError | None = None
        while self._made:
            addition = self._made[-1]
            try:
                # Where the server does not answer, nobody is made to wait for that once a Pod.
                if lost is None:
                    self._end(addition)
            except KubeError as error:
                lost = None if isinstance(error, ReadFailed) and error.reason != "timeout" else error
                self._stays(addition, error)
            else:
                if lost:
                    self._stays(addition, lost)
            self._made.remove(addition)

    def _stays(self, addition: Addition, error: KubeError) -> None:
        if addition.kind == "pod":
            self.remarks.append(
                f"Pod {addition.namespace}/{addition.name} is not deleted ({error.message}); "
                f"it ends by itself, and svcdoctor cleanup -n {addition.namespace} deletes it"
            )

    # --- a second look, for collect.py

    def plan(self, world: World, asked: Sequence[Question], said: dict[str, Lookups]) -> Plan:
        """What is to be added for the namespaces in which nobody could be asked from the inside, and for a client that
        has nothing to connect with; {} unless agreed."""
        plan: Plan = {}
        cannot_connect = world.connections is not None and world.connections.unavailable == "no-tool"
        for question in asked:
            if (said[question.namespace].lacks_tools or cannot_connect) and (
                addition := self._addition(world, question)
            ):
                plan.setdefault(addition, []).append(question)
        return plan if plan and self._agree(list(plan)) else {}

    def look_up(self, plan: Plan, said: dict[str, Lookups], seconds: Callable[[float], float]) -> dict[str, Lookups]:
        """`said`, with what is heard in each place that is added. `seconds` is how much is left of so many."""

        def look(addition: Addition) -> dict[str, Lookups]:
            began = time.monotonic()
            try:
                place = self.place(addition, seconds(START_SECONDS))
            except ReadFailed as error:
                reason = error.reason if error.reason in ("forbidden", "timeout") else "error"
                words = addition.right if reason == "forbidden" else error.message
                self.remarks.append(f"no {addition.text}: {'forbidden: ' if reason == 'forbidden' else ''}{words}")
                took = time.monotonic() - began
                return {
                    question.namespace: probe.not_looked_up(addition.vantage, question.names, reason, words, took)
                    for question in plan[addition]
                    if said[question.namespace].lacks_tools
                }
            unheard = [question for question in plan[addition] if said[question.namespace].lacks_tools]
            return {question.namespace: self._ask(place, question, seconds) for question in unheard}

        found = dict(said)
        for _, heard in in_parallel(list(plan), look):
            for namespace, latest in heard.items():
                found[namespace] = better(said[namespace], latest)
        return found

    def _ask(self, place: Place, question: Question, seconds: Callable[[float], float]) -> Lookups:
        return probe.look_up_in_pod(
            self._cluster,
            *place[:3],
            question.names,
            vantage=place.vantage,
            timeout=max(probe.SHORTEST_TIMEOUT, seconds(question.seconds)),
        )

    def _addition(self, world: World, question: Question) -> Addition | None:
        """For the first candidate that it is possible for."""
        namespace, name = question.namespace, f"svcdoctor-{self._run}"
        if self._kind == "container":
            running = (pod for pod in question.candidates if pod.status.phase == "Running")
            client = next(running, None)
            if client is None:
                return None
            return Addition("container", client.metadata.namespace, client.metadata.name, name, self._image)
        client = next(iter(question.candidates), None)
        if client is None:
            return Addition("pod", namespace, "", name, self._image)
        if client.spec.host_network:
            self.remarks.append(
                f"no Pod like {client.metadata.namespace}/{client.metadata.name}, which is on the network of its node: "
                "without --probe-pod a container is added to it"
            )
            return None
        listed = _publishing(world, client)
        return Addition("pod", client.metadata.namespace, client.metadata.name, name, self._image, listed)

    # --- places

    def place(self, addition: Addition, seconds: float) -> Place:
        """Create it, and wait until scripts can be run there. Raises ReadFailed, as every KubeError that may come."""
        ends = time.monotonic() + seconds
        try:
            self._create(addition)
            container = addition.name if addition.kind == "container" else "probe"
            while (said := started(self._manifest(addition), container)) is None:
                if time.monotonic() >= ends or self._closed:
                    raise ReadFailed(f"it did not start within {seconds:.0f} s", reason="timeout")
                time.sleep(POLL_SECONDS)
        except ReadFailed:
            raise
        except KubeError as error:
            raise ReadFailed(error.message, reason="error") from None
        if said:
            raise ReadFailed(said, reason="error")
        place = Place(addition.namespace, addition.pod, container, addition.vantage)
        self._places[addition.namespace, addition.client] = place
        return place

    def place_of(self, pod: Pod) -> Place | None:
        """Where scripts can be run as if in this Pod, if that was added."""
        return None if self._closed else self._places.get((pod.metadata.namespace, pod.metadata.name))

    def _manifest(self, addition: Addition) -> dict[str, Any]:
        return self._cluster.manifest(PODS, addition.namespace, addition.pod)

    def _create(self, addition: Addition) -> None:
        namespace, what = addition.namespace, f"create {addition.text}"
        if addition.kind == "container":
            path = f"{_path(namespace, addition.client)}/ephemeralcontainers"
            request = ("PATCH", path, ephemeral_container(addition), MERGE)
        else:
            if not self._cluster.may("delete", "pods", namespace):
                raise ReadFailed(f"cannot {what}: it could not be deleted again", reason="forbidden", status=403)
            client = self._cluster.manifest(PODS, namespace, addition.client) if addition.client else {}
            request = ("POST", _path(namespace), probe_pod(addition, client, self._run), "application/json")
        method, path, body, content_type = request
        with self._creating:
            if self._closed:
                raise ReadFailed(f"cannot {what}: the run was interrupted", reason="error")
            self._made.append(addition)
            try:
                # kube.py offers nothing that writes; these requests and the one of eventwriter.py are all that do.
                self._cluster._read(what, method, path, body=body, timeout=WRITE_SECONDS, content_type=content_type)
            except ReadFailed as error:
                # The name is ours alone: there is one already when an answer was lost and the request repeated.
                if error.status == 409 and addition.kind == "pod":
                    return
                if 400 <= error.status < 500:
                    self._made.remove(addition)
                if error.reason == "forbidden" and self._is_allowed(addition):
                    # Not by RBAC: Pod Security, a quota or a webhook does not let it in, and says why.
                    raise ReadFailed(error.message, reason="error", status=error.status) from None
                raise

    def _is_allowed(self, addition: Addition) -> bool:
        if addition.kind == "pod":
            return self._cluster.may("create", "pods", addition.namespace)
        return self._cluster.may("patch", "pods", addition.namespace, subresource="ephemeralcontainers")

    def _end(self, addition: Addition) -> None:
        if addition.kind == "pod":
            delete_pod(self._cluster, addition.namespace, addition.name)
            return
        with contextlib.suppress(ReadFailed):  # it ends by itself
            argv = ["sh", "-c", "kill -TERM 1"]
            self._cluster.exec(addition.namespace, addition.client, argv, container=addition.name, timeout=5.0)


def better(before: Lookups, latest: Lookups) -> Lookups:
    """Of two looks at the same names the one that says more: from the inside, else what was heard before."""
    attempts = (*before.attempts, *latest.attempts)
    return replace(before if latest.unavailable and not before.unavailable else latest, attempts=attempts)


def _publishing(world: World, client: Pod) -> tuple[str, ...]:
    """Services that a Pod with the client's labels would be listed by without being ready."""
    services = world.listed_or_nothing("services", client.metadata.namespace).values()
    return tuple(
        sorted(
            service.metadata.name
            for service in services
            if service.spec.publish_not_ready_addresses
            and service.spec.selector
            and matches(service.spec.selector, client.metadata.labels)
        )
    )


# --- what an earlier run has left ----------------------------------------------------------------------------------


def left_over(cluster: Cluster, namespace: str) -> list[Pod]:
    """The Pods that any run has created and not deleted, in one namespace or ("") in all. Raises KubeError."""
    return cluster.list(PODS, namespace, label_selector=LABELLED).items


def delete_pod(cluster: Cluster, namespace: str, name: str) -> None:
    """Raises KubeError; a Pod that is gone is no error."""
    try:
        cluster._read(f"delete Pod {namespace}/{name}", "DELETE", _path(namespace, name), timeout=WRITE_SECONDS)
    except ReadFailed as error:
        if error.reason != "not-found":
            raise


def _path(namespace: str, name: str = "") -> str:
    return PODS.path(quote(namespace, safe=""), quote(name, safe=""))
