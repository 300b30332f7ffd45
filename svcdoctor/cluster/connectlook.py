"""Trying TCP connections from inside a Pod: one exec of a fixed script (connectscript.py), with what the image has.

Nothing is sent over a connection that opens, unless a request is due there (requestplan.py). What fails fast is tried a
second time a second later: a program may just have been restarted.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from svcdoctor.case import Case
from svcdoctor.clients.connection import Connection, Connections, outcome_of
from svcdoctor.clients.request import Answer, Request, answer_of, client_hello
from svcdoctor.clients.requestplan import request_for
from svcdoctor.clients.statedclient import endpoints_to_try
from svcdoctor.cluster.connectscript import CONNECT, TOOLS, as_format
from svcdoctor.cluster.kube import KubeError
from svcdoctor.cluster.probe import MAX_OUTPUT, NO_PROGRAM, Cluster, one_line, running_containers
from svcdoctor.clustercase import ClusterCase
from svcdoctor.objects import Pod, Service
from svcdoctor.world import World

CONNECT_SECONDS = 5.0
MOST_ENDPOINTS = 8  # of one Service
MOST_TARGETS = 24  # of one exec and Service: each is a process in the client's container
MOST_CONTAINERS = 3
OWN_ATTEMPTS = 6  # by the address of a Service that leads to the client itself at times
NO_TOOL = "no nc, bash, python3, node or curl to connect with"
NO_SHELL = "the container has no shell"
_LONGEST_FIRST = sorted(TOOLS, key=len, reverse=True)
Target = tuple[str, int]


def targets_in(
    world: World,
    services: Sequence[Service],
    client: Pod | None = None,
    *,
    most: int = MOST_TARGETS,
    endpoints: int = MOST_ENDPOINTS,
) -> list[Target]:
    """What is to be tried for these Services: their own addresses first, then endpoints, then what surely answers.

    The address of a Service that the client stands behind itself comes several times: it leads to each in turn.
    """
    cases = [Case(world, service) for service in services if service.spec.type != "ExternalName"]
    controls = [target for case in _dns(world) for target in (*_own(case), *_endpoints(case)[:1]) if target[1]]
    found = [target for case in cases for target in _own(case)]
    found += [target for case in cases for target in _endpoints(case)[:endpoints]]
    room = most - len(controls)
    tried = list(dict.fromkeys([*list(dict.fromkeys(found))[:room], *controls]))
    again = [target for case in cases if client and _is_behind(case, client) for target in _own(case)]
    return tried + (again * (OWN_ATTEMPTS - 1))[: most - len(tried)]


def _is_behind(case: Case, client: Pod) -> bool:
    ready = case.or_without(lambda: case.ready_endpoints, [])
    own = (client.metadata.namespace, client.metadata.name)
    return len({view.pod for view in ready}) > 1 and any((case.namespace, view.pod) == own for view in ready)


def requests_in(world: World, services: Sequence[Service], path: str = "") -> dict[Target, Request]:
    """What is to be sent where one of these Services opens: what its readiness probe asks, or GET `path`."""
    found: dict[Target, Request] = {}
    for service in services:
        case = Case(world, service)
        for port in case.ports:
            request = request_for(case, port, path) if port.protocol == "TCP" else None
            ends = case.or_without(partial(endpoints_to_try, case, port), []) if request else []
            for target in (*((address, port.port) for address in case.cluster_ips), *((v.address, n) for v, n in ends)):
                if request:
                    found.setdefault(target, request)
    return found


def _dns(world: World) -> list[Case]:
    """The cluster's DNS: every client may connect to it, or its policies say that it may not."""
    service = ClusterCase(world).or_without(ClusterCase(world).kube_dns, None)
    return [Case(world, service)] if service else []


def _own(case: Case) -> list[Target]:
    ports = [port.port for port in case.ports if port.protocol == "TCP"]
    return [(address, port) for address in case.cluster_ips[:1] for port in ports]


def _endpoints(case: Case) -> list[Target]:
    found = [case.or_without(partial(endpoints_to_try, case, port), []) for port in case.ports]
    return [(view.address, number) for ends in found for view, number in ends]


def connect(
    cluster: Cluster,
    pod: Pod,
    targets: Sequence[Target],
    requests: Mapping[Target, Request] | None = None,
    *,
    timeout: float = CONNECT_SECONDS,
) -> Connections:
    """Try them all at once, in the first container that can. Never raises: `unavailable` says why it did not work."""
    ends = time.monotonic() + timeout
    said = untried(pod, "no-pod", "no container runs")
    for _, container, _ in list(running_containers([pod]))[:MOST_CONTAINERS]:
        left = ends - time.monotonic()
        if left <= 0:
            break
        said = _connect_in(cluster, pod, container, targets, requests or {}, left)
        if said.unavailable != "no-tool":
            break
    return said


def connect_at(
    cluster: Cluster,
    place: tuple[str, str, str],
    pod: Pod,
    targets: Sequence[Target],
    requests: Mapping[Target, Request],
    *,
    timeout: float,
) -> Connections:
    """The same from a container (namespace, Pod, container) that stands for a Pod: it was added for that."""
    namespace, name, container = place
    there = replace(pod, metadata=replace(pod.metadata, namespace=namespace, name=name))
    return replace(_connect_in(cluster, there, container, targets, requests, timeout), pod=pod.metadata.name)


def untried(pod: Pod, unavailable: str, detail: str) -> Connections:
    return Connections(pod.metadata.namespace, pod.metadata.name, unavailable=unavailable, detail=detail)


def _connect_in(
    cluster: Cluster,
    pod: Pod,
    container: str,
    targets: Sequence[Target],
    requests: Mapping[Target, Request],
    timeout: float,
) -> Connections:
    namespace, name = pod.metadata.namespace, pod.metadata.name
    token = f"svcdoctor-{secrets.token_hex(8)}"
    began = time.monotonic()
    try:
        result = cluster.exec(
            *(namespace, name, ["sh", "-c", CONNECT, "sh", token, *_words(targets, requests)]),
            container=container,
            timeout=timeout,
            max_bytes=MAX_OUTPUT,
        )
    except KubeError as error:
        reason = error.reason if error.reason in ("forbidden", "timeout") else "error"
        return untried(pod, reason, f"create pods/exec in {namespace}" if reason == "forbidden" else error.message)
    seconds = round(time.monotonic() - began, 2)
    tool, tried, answers = read(result.stdout, token, targets, requests)
    if tool and tool != "none":
        return Connections(namespace, name, container, tool, tried, seconds=seconds, answers=answers)
    if tool == "none" or NO_PROGRAM.search(f"{result.error}\n{result.stderr}\n{result.stdout}"):
        return untried(pod, "no-tool", NO_TOOL if tool else NO_SHELL)
    if result.timed_out:
        return untried(pod, "timeout", f"no output within {timeout:.0f} s")
    return untried(pod, "error", one_line(result.error or result.stderr) or f"exit code {result.code}")


def _words(targets: Sequence[Target], requests: Mapping[Target, Request]) -> list[str]:
    """The script's arguments after the token."""
    due = list(dict.fromkeys(requests[target] for target in targets if target in requests))
    words = [as_format(client_hello()), str(len(due))]
    words += [word for one in due for word in (one.kind, as_format(one.payload), one.path, one.host)]
    for place, target in enumerate(targets):
        is_asked = target in requests and target not in targets[:place]
        words += [target[0], str(target[1]), str(due.index(requests[target]) + 1 if is_asked else 0)]
    return words


def read(
    output: str, token: str, targets: Sequence[Target], requests: Mapping[Target, Request] | None = None
) -> tuple[str, tuple[Connection, ...], tuple[Answer, ...]]:
    """The tool, "" where the script did not come so far; what became of each target that it finished; each answer."""
    tool = ""
    tried: dict[int, Connection] = {}
    parts: dict[int, dict[str, bytes]] = {}
    took: dict[int, int] = {}
    for line in output.replace("\r\n", "\n").split("\n"):
        mark, _, said = line.partition(" ")
        if mark != token:
            continue
        if said.startswith("tool "):
            tool = next((one for one in _LONGEST_FIRST if f"{said} ".startswith(f"tool {one} ")), "none")
        elif match := re.fullmatch(r"(\d+) (\d+) (-?\d+) ?(.*)", said):
            place, code, hundredths = (int(text) for text in match.groups()[:3])
            if 0 < place <= len(targets):
                address, port = targets[place - 1]
                words = one_line(match[4].strip())
                outcome = outcome_of(code, words)
                detail = "" if code == 0 else words
                tried[place] = Connection(address, port, outcome, max(0, hundredths) * 10, detail)
        elif match := re.fullmatch(r"(\d+) (plain|hello|secure|grpc) (-?\d+) ?((?:[0-9a-f]{2})*)", said):
            place = int(match[1])
            if 0 < place <= len(targets) and targets[place - 1] in (requests or {}):
                parts.setdefault(place, {})[match[2]] = bytes.fromhex(match[4])
                took.setdefault(place, max(0, int(match[3])) * 10)
    answers = tuple(
        answer_of(*targets[place - 1], (requests or {})[targets[place - 1]], parts[place], took[place])
        for place in sorted(parts)
    )
    return tool, tuple(tried[place] for place in sorted(tried)), answers
