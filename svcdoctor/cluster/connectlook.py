"""Trying TCP connections from inside a Pod: one exec of a fixed shell script, with nc or bash of the image.

Nothing is sent over a connection that opens. Tools that would send a request (wget, curl) are left alone. What fails
fast is tried a second time a second later: a program may just have been restarted.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from functools import partial

from svcdoctor.case import Case, ClusterCase
from svcdoctor.clients.connection import Connection, Connections, outcome_of
from svcdoctor.clients.statedclient import endpoints_to_try
from svcdoctor.cluster.kube import KubeError
from svcdoctor.cluster.probe import MAX_OUTPUT, NO_PROGRAM, Cluster, one_line, running_containers
from svcdoctor.objects import Pod, Service
from svcdoctor.world import World

CONNECT_SECONDS = 5.0
MOST_ENDPOINTS = 8  # of one Service
MOST_TARGETS = 24  # of one exec: each is a process in the client's container
MOST_CONTAINERS = 3
Target = tuple[str, int]

# POSIX sh. Arguments: fence token, then address and port of each target. A line that begins with the token is the
# script's: TOKEN tool TOOL, TOKEN NUMBER CODE HUNDREDTHS WORDS, TOKEN done. Each is written at once, so that those of
# parallel targets do not mix.
CONNECT = r"""
set -f
export LC_ALL=C
token=$1
shift

now() { read -r uptime rest 2>/dev/null </proc/uptime || uptime=$(date +%s).00; uptime=${uptime%.*}${uptime#*.}; }

# nc of BSD, GNU, nmap and larger busyboxes; that of a busybox without -z; bash, which connects by itself.
connect() {
    case $1 in
        nc) nc -z -vv -w 2 "$2" "$3" ;;
        "nc -e") nc -w 2 "$2" "$3" -e true ;;
        bash) timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$2" "$3" ;;
    esac </dev/null 2>&1
}

tool=none unfit=
for candidate in nc "nc -e" bash; do
    command -v "${candidate%% *}" >/dev/null 2>&1 || continue
    case $(connect "$candidate" 127.0.0.1 1) in
        *efused*|*REFUSED*) tool=$candidate; break ;;
        *) unfit=${candidate%% *} ;;
    esac
done
printf '%s tool %s\n' "$token" "$tool $unfit"
[ "$tool" = none ] && exit

try() {
    now; began=$uptime
    said=$(connect "$tool" "$2" "$3"); code=$?
    now
    if [ $code -ne 0 ] && [ $((uptime - began)) -lt 150 ]; then
        sleep 1
        now; began=$uptime
        said=$(connect "$tool" "$2" "$3"); code=$?
        now
    fi
    printf '%s %s %s %s %s\n' "$token" "$1" "$code" "$((uptime - began))" "$(printf '%s ' $said)"
}

number=0
while [ $# -ge 2 ]; do
    number=$((number + 1))
    try $number "$1" "$2" &
    shift 2
done
wait
printf '%s done\n' "$token"
"""


def targets_in(world: World, services: Sequence[Service]) -> list[Target]:
    """What is to be tried for these Services: their own addresses first, then endpoints, then what surely answers."""
    cases = [Case(world, service) for service in services if service.spec.type != "ExternalName"]
    controls = [target for case in _dns(world) for target in (*_own(case), *_endpoints(case)[:1]) if target[1]]
    found = [target for case in cases for target in _own(case)]
    found += [target for case in cases for target in _endpoints(case)[:MOST_ENDPOINTS]]
    room = MOST_TARGETS - len(controls)
    return list(dict.fromkeys([*list(dict.fromkeys(found))[:room], *controls]))


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


def connect(cluster: Cluster, pod: Pod, targets: Sequence[Target], *, timeout: float = CONNECT_SECONDS) -> Connections:
    """Try them all at once, in the first container that can. Never raises: `unavailable` says why it did not work."""
    ends = time.monotonic() + timeout
    said = untried(pod, "no-pod", "no container runs")
    for _, container, _ in list(running_containers([pod]))[:MOST_CONTAINERS]:
        left = ends - time.monotonic()
        if left <= 0:
            break
        said = _connect_in(cluster, pod, container, targets, left)
        if said.unavailable != "no-tool":
            break
    return said


def untried(pod: Pod, unavailable: str, detail: str) -> Connections:
    return Connections(pod.metadata.namespace, pod.metadata.name, unavailable=unavailable, detail=detail)


def _connect_in(cluster: Cluster, pod: Pod, container: str, targets: Sequence[Target], timeout: float) -> Connections:
    namespace, name = pod.metadata.namespace, pod.metadata.name
    token = f"svcdoctor-{secrets.token_hex(8)}"
    words = [word for address, port in targets for word in (address, str(port))]
    began = time.monotonic()
    try:
        result = cluster.exec(
            *(namespace, name, ["sh", "-c", CONNECT, "sh", token, *words]),
            container=container,
            timeout=timeout,
            max_bytes=MAX_OUTPUT,
        )
    except KubeError as error:
        reason = error.reason if error.reason in ("forbidden", "timeout") else "error"
        return untried(pod, reason, f"create pods/exec in {namespace}" if reason == "forbidden" else error.message)
    seconds = round(time.monotonic() - began, 2)
    tool, tried = read(result.stdout, token, targets)
    if tool and tool != "none":
        return Connections(namespace, name, container, tool, tried, seconds=seconds)
    if tool == "none" or NO_PROGRAM.search(f"{result.error}\n{result.stderr}\n{result.stdout}"):
        return untried(pod, "no-tool", "no nc or bash to connect with" if tool else "the container has no shell")
    if result.timed_out:
        return untried(pod, "timeout", f"no output within {timeout:.0f} s")
    return untried(pod, "error", one_line(result.error or result.stderr) or f"exit code {result.code}")


def read(output: str, token: str, targets: Sequence[Target]) -> tuple[str, tuple[Connection, ...]]:
    """The tool, "" where the script did not come so far, and what became of each target that it finished."""
    tool = ""
    tried: dict[int, Connection] = {}
    for line in output.replace("\r\n", "\n").split("\n"):
        mark, _, said = line.partition(" ")
        if mark != token:
            continue
        if said.startswith("tool "):
            tool = next((one for one in ("nc -e", "nc", "bash") if f"{said} ".startswith(f"tool {one} ")), "none")
        elif match := re.fullmatch(r"(\d+) (\d+) (-?\d+) ?(.*)", said):
            place, code, hundredths = (int(text) for text in match.groups()[:3])
            if 0 < place <= len(targets):
                address, port = targets[place - 1]
                words = one_line(match[4].strip())
                outcome = outcome_of(code, words)
                detail = "" if code == 0 else words
                tried[place] = Connection(address, port, outcome, max(0, hundredths) * 10, detail)
    return tool, tuple(tried[place] for place in sorted(tried))
