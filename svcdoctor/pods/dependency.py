"""What Pods depend on to become ready: Services that their own commands name, or something that all of them share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from svcdoctor.case import Case, case_of
from svcdoctor.clientcase import ClientCase
from svcdoctor.finding import Evidence, Remedy
from svcdoctor.objects import Container, Pod
from svcdoctor.pods.history import readiness, was_ready
from svcdoctor.pods.template import top_owner
from svcdoctor.policies.traffic import keeping_out
from svcdoctor.text import listing, parse_time, plural, utc_time

# Pods that stop being ready within this much of each other did not do so by chance.
TOGETHER_SECONDS = 15.0
_HERE = ("localhost", "kubernetes")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9-]+)*")


class Dependency(NamedTuple):
    """Why the Pods' readiness is not a matter of their own."""

    message: str
    evidence: tuple[Evidence, ...]
    remedies: tuple[Remedy, ...]
    inferred: bool


class Named(NamedTuple):
    """A Service that a command names, and how many ready endpoints it has; None: there is no such Service."""

    service: str
    host: str
    ready: int | None
    closed: str = ""  # the NetworkPolicy that keeps the Pod from them all

    @property
    def state(self) -> str:
        if self.ready is None:
            return "no such Service"
        return plural(self.ready, "ready endpoint") + (f", which {self.closed} keeps it from" if self.closed else "")

    @property
    def is_down(self) -> bool:
        return not self.ready or bool(self.closed)

    @property
    def text(self) -> str:
        if self.closed:
            return f"service/{self.service}, which {self.closed} keeps it from"
        return f"service/{self.service}, which {'does not exist' if self.ready is None else f'has {self.state}'}"

    def look(self, namespace: str) -> Remedy:
        command = f"svcdoctor diagnose {self.service} -n {namespace}"
        return Remedy(f"look at service/{self.service}", command, changes_cluster=False)

    @property
    def evidence(self) -> Evidence:
        return Evidence("waits for", f"service/{self.service}: {self.state}", f"the command names {self.host}")


def awaited_by_init(case: Case, pod: Pod) -> Dependency | None:
    """The Services that the commands of its init containers name: one of them may be the real fault."""
    names = _init_commands(pod)
    named = case.or_without(lambda: [_reached(case, pod, item) for item in _named(case, names, itself=True)], [])
    if not named:
        return None
    evidence = tuple(item.evidence for item in named)
    down = [item for item in named if item.is_down]
    if not down:
        return Dependency("", evidence, (), False)
    if down[0].service == case.name:
        return Dependency(
            "its command asks this Service, which has no endpoint before it has finished", evidence, (), False
        )
    return Dependency(f"its command names {down[0].text}", evidence, (down[0].look(case.namespace),), False)


def absent_names(case: Case, pod: Pod) -> list[Evidence]:
    """The Services that a Pod which ends again and again names, and that do not exist: some programs end for that."""
    owner = top_owner(pod)
    template = next((item for item in case.matching_templates if (item.kind, item.name) == owner), None)
    if template is None:
        return []
    client = ClientCase(case.world, template)
    client.touched = case.touched
    absent = case.or_without(lambda: client.absent, {})
    return [Evidence("names", f"service/{name}: no such Service", uses[0].source) for (_, name), uses in absent.items()]


def _reached(case: Case, pod: Pod, named: Named) -> Named:
    """The Service, with the policy that keeps the Pod from it."""
    other = case_of(case, case.namespace, named.service) if named.ready else None
    if other is None:
        return named
    ends = [
        (backend, number)
        for view in other.ready_endpoints
        if (backend := case.listed("pods").get(view.pod))
        for port in other.ports
        if port.protocol == "TCP" and (number := other.target_of(port, backend.spec))
    ]
    denied = case.or_without(lambda: [keeping_out(case, pod, backend, number) for backend, number in ends], [])
    closing = [policy.metadata.name for one in denied if one for policy in one.side.isolating]
    if not denied or not all(denied):
        return named
    return named._replace(closed=f"NetworkPolicy {listing(list(dict.fromkeys(closing)))}")


def shared_dependency(case: Case, pods: list[Pod], container: str) -> Dependency | None:
    """What the readiness probes that fail of these Pods really ask for, where that is not the Pod itself."""
    return _of_probe(case, pods[0], container) or _of_all(case, pods)


def _of_probe(case: Case, pod: Pod, name: str) -> Dependency | None:
    probes = [item.readiness_probe for item in pod.spec.containers or () if item.name == name]
    command = (probes[0].exec and probes[0].exec.command) if probes and probes[0] else None
    down = case.or_without(lambda: [item for item in _named(case, command or ()) if not item.ready], [])
    if not down:
        return None
    text = f"its readiness hangs on {down[0].text}"
    return Dependency(text, tuple(item.evidence for item in down), (down[0].look(case.namespace),), False)


def _of_all(case: Case, pods: list[Pod]) -> Dependency | None:
    """All Pods, ready before, stopped being so at the same time, and none of their containers had ended."""
    times = [moment for pod in pods if was_ready(pod) and (moment := parse_time(readiness(pod).last_transition_time))]
    if len(pods) < 2 or len(pods) < len(case.live_pods) or len(times) < len(pods):
        return None
    if (max(times) - min(times)).total_seconds() > TOGETHER_SECONDS or any(_restarted_since(pod) for pod in pods):
        return None
    if len({pod.spec.node_name for pod in pods}) == 1:
        return None  # the node is what they share
    first = min(pods, key=lambda pod: readiness(pod).last_transition_time or "")
    stopped = utc_time(readiness(first).last_transition_time)
    spread = (max(times) - min(times)).total_seconds()
    evidence = Evidence(
        "together",
        f"{len(pods)} of {len(pods)} Pods within {spread:.0f} s, on several nodes, without a restart",
        "pods .status.conditions[Ready].lastTransitionTime",
    )
    other = Evidence(
        "or else", "each fails for itself, all from the same load or change", "nothing names what they share"
    )
    text = f"all {len(pods)} Pods stopped being ready at {stopped}, as if their readiness hung on something shared"
    return Dependency(text, (evidence, other), (), True)


def _restarted_since(pod: Pod) -> bool:
    """Whether a container was started after the Pod was last ready."""
    stopped = parse_time(readiness(pod).last_transition_time)
    return any(
        status.state is None
        or status.state.running is None
        or (started := parse_time(status.state.running.started_at)) is None
        or (stopped is not None and started >= stopped)
        for status in pod.status.container_statuses or ()
    )


def _named(case: Case, commands: Iterable[str], *, itself: bool = False) -> Iterator[Named]:
    """Services of the namespace among what looks like a host name; this one, whose name is that of the program, only
    where it is asked for and surely dialled."""
    words = list(commands)
    for host in dict.fromkeys(_HOST.findall(" ".join(words))):
        short, _, rest = host.partition(".")
        known = short in case.listed("services")
        own = short == case.name
        is_meant = not own or (itself and _is_dialled(host, words))
        here = known and is_meant and rest in ("", case.namespace)
        # Nothing but a Service is called by one word.
        is_word = "." not in host and not host.isdigit() and host not in _HERE
        missed = not known and is_word and _is_dialled(host, words)
        if here or missed or rest.startswith(f"{case.namespace}.svc"):
            other = case if own else case_of(case, case.namespace, short) if known else None
            ready = len({view.address for view in other.ready_endpoints}) if other else None
            yield Named(short, host, ready)


def _is_dialled(host: str, words: Iterable[str]) -> bool:
    name = rf"{re.escape(host)}(?![\w-])"
    return bool(
        re.search(rf"://{name}|(?<![\w.-]){name}:\d\d|\b(?:nc|nslookup)(?: -\S+(?: \d+)?)* {name}", " ".join(words))
    )


def _init_commands(pod: Pod) -> Iterator[str]:
    containers: Iterable[Container] = pod.spec.init_containers or ()
    return (word for container in containers for word in (*(container.command or ()), *(container.args or ())))
