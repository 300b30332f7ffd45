"""One Pod with what is known around it, as the questions about it need it: its status, its events, its node.

Events are gone after an hour, and of a burst the kubelet sends only the first 25 or so. They are asked for words that
no status has, such as what a probe was answered; what is said of a Pod holds without them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from svcdoctor.finding import Evidence, Remedy, Status
from svcdoctor.objects import Condition, Container, Event, Node, Pod
from svcdoctor.pods.template import top_owner
from svcdoctor.text import duration, parse_time, shorten

STARTING_SECONDS = 30.0  # a Pod or container is given this long, beyond its own initial delay


class PodState(NamedTuple):
    """`status` is FAIL: not ready; WARN: ready, but not for long; UNKNOWN: only started; SKIP: ended or leaving."""

    ready: bool
    status: Status
    code: str | None
    message: str  # the same for Pods that fail alike: without names, addresses and counts of their own
    evidence: tuple[Evidence, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    tally: str = ""  # how often, or how long: what differs between Pods that fail alike
    is_vague: bool = False  # no event is left to say more; a Pod of the same code that has one speaks for this one
    inferred: bool = False  # another explanation exists, and the evidence names it


class Look:
    def __init__(self, pod: Pod, events: Sequence[Event], node: Node | None, now: datetime, serving: str) -> None:
        self.pod = pod
        self.events = events
        self.node = node
        self.now = now
        self.containers = pod.spec.containers or []
        self.init_containers = pod.spec.init_containers or []
        self.sidecars = [container for container in self.init_containers if container.restart_policy == "Always"]
        self.serving = serving or next((container.name for container in self.containers), "")
        self.source = f"pod/{pod.metadata.name}"
        status = pod.status
        self.statuses = {
            item.name: item
            for group in (status.init_container_statuses, status.container_statuses)
            for item in group or ()
        }

    # --- what is known

    def since(self, moment: str | None) -> float:
        """Seconds since then; a moment that is not given was long ago."""
        parsed = parse_time(moment)
        return (self.now - parsed).total_seconds() if parsed else float("inf")

    def lasting(self, moment: str | None) -> str:
        return f"for {duration(self.since(moment))}" if parse_time(moment) else ""

    @property
    def age(self) -> float:
        return self.since(self.pod.metadata.creation_timestamp)

    def condition(self, kind: str) -> Condition:
        return next((item for item in self.pod.status.conditions or () if item.type == kind), Condition())

    def said(self, *reasons: str, container: str = "", word: str = "") -> Event | None:
        """The last event with one of these reasons, about this container where one is named, with this word in it."""

        def is_meant(event: Event) -> bool:
            path = event.involved_object.field_path or ""
            about = not container or path.endswith(f"{{{container}}}")
            return event.reason in reasons and about and word in (event.message or "")

        return next(filter(is_meant, reversed(self.events)), None)

    # --- what is said of it

    def fails(
        self, code: str, text: str, *evidence: Evidence, remedies: tuple[Remedy, ...] = (), tally: str = ""
    ) -> PodState:
        return PodState(False, Status.FAIL, code, text, evidence, remedies, tally)

    def starts(self, text: str) -> PodState:
        return PodState(False, Status.UNKNOWN, "unknown-settling", text)

    def of_status(self, label: str, value: str, field: str) -> Evidence:
        return Evidence(label, value, f"{self.source} .status.{field}")

    def of_container(self, container: Container, label: str, value: str) -> Evidence:
        field = "initContainerStatuses" if container in self.init_containers else "containerStatuses"
        return self.of_status(label, value, f"{field} {container.name}")

    def of_event(self, event: Event) -> Evidence:
        often = f", {event.count} times" if event.count and event.count > 1 else ""
        return Evidence("event", shorten(event.message or "", 300), f"{event.reason} of {self.source}{often}")

    # --- what to do about it

    def kubectl(self, command: str) -> str:
        return f"kubectl -n {self.pod.metadata.namespace} {command}"

    def logs(self, container: Container, *, previous: bool = False) -> Remedy:
        do = "read what it said before it ended" if previous else "read what it says"
        command = f"logs {self.pod.metadata.name} -c {container.name}{' --previous' if previous else ''}"
        return Remedy(do, self.kubectl(command), changes_cluster=False)

    def describe(self) -> Remedy:
        return Remedy(
            "look at its events", self.kubectl(f"describe pod {self.pod.metadata.name}"), changes_cluster=False
        )

    @property
    def owner(self) -> str:
        """The workload to change, as kubectl takes it; "" where only a new Pod would help."""
        kind, name = top_owner(self.pod)
        return f"{kind.lower()} {name}" if kind in ("Deployment", "StatefulSet", "DaemonSet") else ""

    def patch(self, do: str, container: Container, field: str, value: object) -> tuple[Remedy, ...]:
        """Replace one field of a container in the Pod template; () where there is no template to change."""
        if not self.owner or container not in self.containers:
            return ()
        path = f"/spec/template/spec/containers/{self.containers.index(container)}/{field}"
        operations = shlex.quote(json.dumps([{"op": "replace", "path": path, "value": value}]))
        return (Remedy(do, self.kubectl(f"patch {self.owner} --type=json -p {operations}")),)
