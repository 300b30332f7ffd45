"""One object changes in a world of N Services: what it takes until the report is right again.

python bench/redo.py SERVICES        # prints JSON: for each kind of change the median and the 95th percentile in
                                     # milliseconds of the processor, and how many Services were judged again at most
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import world as made

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from svcdoctor.diagnosis import Scope
from svcdoctor.doctor import Doctor
from svcdoctor.finding import Gap
from svcdoctor.objects import RESOURCES
from svcdoctor.world import EVERYWHERE, World

TURNS = 60
TURNS_OF_MANY = 6  # of a change that many Services depend on
Change = tuple[str, made.Document]


def world_of(count: int) -> World:
    world = World()
    found: dict[str, list[Any]] = defaultdict(list)
    for resource, document in made.documents(count):
        found[resource].append(_decoded(resource, document))
    for resource in RESOURCES:
        world.put(resource, EVERYWHERE, found[resource])
    return world


def _decoded(resource: str, document: made.Document) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document), type=RESOURCES[resource].type)


def changes(count: int) -> dict[str, Callable[[int], Change]]:
    """Of each kind: the change of a turn, there and back again in the next."""

    def service(turn: int) -> Change:
        return "services", made.service(count, _place(count, turn), broken=turn % 2 == 0)

    def pod(turn: int) -> Change:
        return "pods", made.pod(count, _place(count, turn), 0, ready=turn % 2 == 1)

    def endpointslice(turn: int) -> Change:
        slots = [(slot, 0, turn % 2 == 1) for slot in range(made.PODS)]
        return "endpointslices", made.endpointslice(count, _place(count, turn), slots)

    def policy(turn: int) -> Change:
        name, _ = made.place(count, _place(count, turn))
        document = made.policy(name)
        if turn % 2 == 0:
            document["spec"]["ingress"] = []
        return "networkpolicies", document

    def namespace(turn: int) -> Change:
        name, _ = made.place(count, _place(count, turn))
        labels = {"kubernetes.io/metadata.name": name, **({"team": "a"} if turn % 2 == 0 else {})}
        return "namespaces", {"metadata": {"name": name, "labels": labels}}

    def configmap(turn: int) -> Change:
        document = made.configmap(count, _place(count, turn))
        if turn % 2 == 0:
            namespace, name = made.place(count, _place(count, turn) + 1)
            document["data"]["app.properties"] += f"upstream.url=http://{name}.{namespace}.{made.DOMAIN}\n"
        return "configmaps", document

    def deployment(turn: int) -> Change:
        document = made.workload(count, _place(count, turn), "Deployment")
        document["status"]["readyReplicas"] -= turn % 2 == 0
        return "deployments", document

    return {
        "Pod": pod,
        "EndpointSlice": endpointslice,
        "Service": service,
        "Deployment": deployment,
        "NetworkPolicy": policy,
        "namespace label": namespace,
        "ConfigMap": configmap,
    }


def _place(count: int, turn: int) -> int:
    """A Service that is well; the same for two turns."""
    number = turn // 2 * 37 % count
    return number + 1 if made.fault(number) else number


def settle(doctor: Doctor) -> None:
    while not doctor.is_done or doctor.wants:
        for _ in doctor.work():
            pass
        for want in doctor.wants:
            doctor.world.miss(Gap("list", want.resource, "", want.namespace, "not-recorded"))


def measured(doctor: Doctor, change: Callable[[int], Change]) -> Iterator[tuple[float, int]]:
    """Milliseconds of the processor, and Services that were judged, for each turn."""
    turn, turns = 0, TURNS
    while turn < turns:
        resource, document = change(turn)
        item = _decoded(resource, document)
        judged = doctor.judged
        started = time.process_time()
        doctor.world.apply(resource, "MODIFIED", item)
        for _ in doctor.work():
            pass
        doctor.diagnosis()
        turn += 1
        if doctor.judged - judged > 10:
            turns = TURNS_OF_MANY
        yield (time.process_time() - started) * 1000, doctor.judged - judged


def main() -> None:
    count = int(sys.argv[1])
    doctor = Doctor(world_of(count), Scope())
    settle(doctor)
    gc.collect()
    gc.freeze()
    told = {}
    for kind, change in changes(count).items():
        took = list(measured(doctor, change))
        times = sorted(milliseconds for milliseconds, _ in took)
        told[kind] = {
            "p50": times[len(times) // 2],
            "p95": times[int(len(times) * 0.95)],
            "services": max(services for _, services in took),
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
