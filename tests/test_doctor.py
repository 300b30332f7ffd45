"""What is judged again after a change is what a diagnosis of the whole World would say, and no more is judged."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from simulate import simulate
from suites import load_suites
from svcdoctor.diagnose import Scope, diagnose
from svcdoctor.doctor import Doctor
from svcdoctor.finding import Gap
from svcdoctor.objects import RESOURCES
from svcdoctor.world import EVERYWHERE, World

CASES = [case for suite in load_suites(Path(__file__).parent / "checks") for case in suite.cases]
SCOPES = [Scope(), Scope("shop"), Scope("shop", names=("cart", "nosuch"))]


def world_of(number: int) -> World:
    case = CASES[number % len(CASES)]
    return simulate(case.manifests(), case.observed(), case.probe())


def refreshed(doctor: Doctor) -> bytes:
    for _ in doctor.work():
        pass
    assert doctor.is_done
    return msgspec.json.encode(doctor.diagnosis())


def from_scratch(world: World, scope: Scope) -> bytes:
    return msgspec.json.encode(diagnose(World.replay(world.record()), scope).diagnosis)


def objects(world: World) -> dict[tuple[str, str, str], Any]:
    return {
        (resource, item.metadata.namespace, item.metadata.name): item
        for resource in RESOURCES
        if world.was_read(resource, EVERYWHERE)
        for item in world.everywhere(resource)[0]
    }


def differences(before: World, after: World) -> list[tuple[str, str, Any]]:
    """The events that make one World of another."""
    old, new = objects(before), objects(after)
    gone = [(key[0], "DELETED", item) for key, item in old.items() if key not in new]
    added = [(key[0], "ADDED", item) for key, item in new.items() if key not in old]
    changed = [(key[0], "MODIFIED", item) for key, item in new.items() if key in old and old[key] != item]
    return gone + added + changed


class Step(msgspec.Struct):
    what: str
    number: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["event"] * 12 + ["time", "heartbeat", "lookups", "miss", "lose", "list", "odd"]),
        st.integers(0, 10_000),
    ),
    min_size=3,
    max_size=25,
)


def play(world: World, other: World, events: list[tuple[str, str, Any]], step: Step) -> None:
    resources = list(RESOURCES)
    resource = resources[step.number % len(resources)]
    match step.what:
        case "event" if events:
            world.apply(*events.pop(step.number % len(events)))
        case "time":
            world.now += timedelta(seconds=step.number % 200)
        case "heartbeat":
            held = list(objects(world).items())
            (kind, _, _), item = held[step.number % len(held)]
            metadata = replace(item.metadata, resource_version=str(step.number))
            world.apply(kind, "MODIFIED", replace(item, metadata=metadata))
        case "lookups":
            for namespace, said in (other.lookups or {}).items():
                world.learn(namespace, said)
        case "miss" if not world.was_read(resource, EVERYWHERE):
            world.miss(Gap("list", resource, RESOURCES[resource].group, EVERYWHERE, "forbidden", f"no {step.number}"))
        case "lose" if resource != "services":
            if world.was_read(resource, EVERYWHERE):
                world.lose(Gap("watch", resource, RESOURCES[resource].group, EVERYWHERE, "timeout", "silent"))
            else:
                world.find(resource, EVERYWHERE)
        case "list":
            world.put(resource, EVERYWHERE, reversed(other.held(resource)))
        case "odd":
            services = world.held("services")
            if services:
                service = services[step.number % len(services)]
                moment = (world.now - timedelta(seconds=step.number % 60)).strftime("%Y-%m-%dT%H:%M:%SZ")
                metadata = replace(service.metadata, creation_timestamp=moment)
                world.apply("services", "MODIFIED", replace(service, metadata=metadata))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.sampled_from(SCOPES), STEPS)
def test_after_any_events_the_result_is_that_of_a_diagnosis_from_scratch(
    first: int, second: int, scope: Scope, steps: list[Step]
) -> None:
    world, other = world_of(first), world_of(second)
    events = differences(world, other)
    doctor = Doctor(world, scope)
    assert refreshed(doctor) == from_scratch(world, scope)
    for step in steps:
        play(world, other, events, step)
        assert not doctor.wants
        assert refreshed(doctor) == from_scratch(world, scope)
