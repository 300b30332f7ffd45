"""What is judged again after a change is what a diagnosis of the whole World would say, and no more is judged."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from simulate import simulate
from suites import load_suites
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.doctor import Doctor
from svcdoctor.finding import Gap, Status
from svcdoctor.labels import parse
from svcdoctor.objects import RESOURCES, EndpointConditions, LabelSelector, OwnerReference
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


# --- Services that share Pods, policies, callers and ConfigMaps ----------------------------------------------------


def town(namespaces: int) -> World:
    """Namespaces of five Services each. In each the Service `front` has the Pods of two others; whom `web` calls stands
    in a ConfigMap, and a policy admits only the Pods of namespaces of a team."""
    manifests: list[dict[str, Any]] = []
    for number in range(namespaces):
        place, neighbour = f"town-{number}", (number + 1) % namespaces
        manifests.append({"kind": "Namespace", "metadata": {"name": place, "labels": {"team": "blue"}}})
        peer = {"namespaceSelector": {"matchLabels": {"team": "blue"}}}
        spec: dict[str, Any] = {"podSelector": {"matchLabels": {"tier": "back"}}, "ingress": [{"from": [peer]}]}
        manifests.append({"kind": "NetworkPolicy", "metadata": named("blue", place), "spec": spec})
        hosts = {"UPSTREAM": f"cart-{number}", "OTHER": f"stock-{neighbour}.town-{neighbour}.svc.cluster.local"}
        data = {key: f"http://{host}:80" for key, host in hosts.items()}
        manifests.append({"kind": "ConfigMap", "metadata": named("settings", place), "data": data})
        for kind in ("cart", "stock", "web", "calm"):
            name = f"{kind}-{number}"
            labels = {"app": name, "tier": "back" if kind in ("cart", "stock") else kind}
            container: dict[str, Any] = {"name": name, "image": "web:1", "ports": [{"containerPort": 8080}]}
            if kind == "web":
                container["envFrom"] = [{"configMapRef": {"name": "settings"}}]
            template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
            deployment = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
            manifests.append({"kind": "Deployment", "metadata": named(name, place), "spec": deployment})
            spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
            manifests.append({"kind": "Service", "metadata": named(name, place), "spec": spec})
        spec = {"selector": {"tier": "back"}, "ports": [{"port": 80, "targetPort": 8080}]}
        manifests.append({"kind": "Service", "metadata": named(f"front-{number}", place), "spec": spec})
        backend = {"service": {"name": f"web-{number}", "port": {"number": 80}}}
        rule = {"host": f"{place}.example.com", "http": {"paths": [{"path": "/", "backend": backend}]}}
        manifests.append({"kind": "Ingress", "metadata": named("way-in", place), "spec": {"rules": [rule]}})
    world = simulate(manifests)
    owners = [OwnerReference("Service", controller=True)]
    world.put(
        "endpointslices",
        EVERYWHERE,
        [
            replace(piece, metadata=replace(piece.metadata, owner_references=owners))
            for piece in world.held("endpointslices")
        ],
    )
    return world


def named(name: str, namespace: str) -> dict[str, str]:
    return {"name": name, "namespace": namespace}


def others(resource: str, item: Any) -> list[Any]:
    """What an object may become."""
    found = [changed(item, extra="label"), None]
    number = item.metadata.namespace.removeprefix("town-")
    match resource:
        case "pods" if item.status.conditions:
            ready = [replace(one, status="False") if one.type == "Ready" else one for one in item.status.conditions]
            found += [
                replace(item, status=replace(item.status, conditions=ready)),
                changed(item, app=f"stock-{number}"),
            ]
            found += [changed(item, tier="front"), replace(item, status=replace(item.status, phase="Failed"))]
        case "endpointslices":
            away = EndpointConditions(ready=False, serving=False)
            off = [replace(one, conditions=away) for one in item.endpoints or ()]
            found += [replace(item, endpoints=off), replace(item, endpoints=[]), replace(item, ports=[])]
        case "services":
            for selector in ({"app": f"cart-{number}"}, {"app": "crat"}, {"tier": "back"}, None):
                found.append(replace(item, spec=replace(item.spec, selector=selector)))
            ports = [replace(port, target_port=9090) for port in item.spec.ports or ()]
            found += [replace(item, spec=replace(item.spec, ports=ports))]
            found += [replace(item, spec=replace(item.spec, type=kind)) for kind in ("LoadBalancer", "NodePort")]
            found += [replace(item, spec=replace(item.spec, cluster_ip="10.96.7.7", cluster_ips=["10.96.7.7"]))]
        case "networkpolicies":
            found += [replace(item, spec=replace(item.spec, ingress=rules)) for rules in (None, [])]
            found += [replace(item, spec=replace(item.spec, pod_selector=LabelSelector()))]
        case "namespaces":
            found += [changed(item, team="red"), changed(item, **{"istio-injection": "enabled"})]
        case "configmaps" if "UPSTREAM" in (item.data or {}):
            for host in (f"front-{number}", "nobody", "calm-1.town-1", f"stock-{number}:81"):
                found.append(replace(item, data={**item.data, "UPSTREAM": f"http://{host}"}))
        case "deployments":
            found += [replace(item, spec=replace(item.spec, replicas=count)) for count in (0, 3)]
            metadata = replace(item.spec.template.metadata, labels={"app": f"cart-{number}"})
            template = replace(item.spec.template, metadata=metadata)
            found += [replace(item, spec=replace(item.spec, template=template))]
        case "nodes":
            down = [replace(one, status="Unknown") if one.type == "Ready" else one for one in item.status.conditions]
            found += [replace(item, status=replace(item.status, conditions=down))]
        case "ingresses":
            found += [replace(item, spec=replace(item.spec, rules=None))]
    return found


CHANGING = (
    *("pods", "services", "endpointslices", "networkpolicies", "namespaces", "configmaps", "deployments", "nodes"),
    "ingresses",
)
TOWN = town(2)
TOWN_SCOPES = [Scope(), Scope("town-0"), Scope("town-0", names=("front-0", "crat")), Scope(labels=parse("extra"))]


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(TOWN_SCOPES),
    st.lists(st.tuples(st.sampled_from(CHANGING), st.integers(0, 1000), st.integers(0, 1000)), min_size=4, max_size=12),
)
def test_services_that_share_pods_policies_and_callers_are_all_judged_again(
    scope: Scope, steps: list[tuple[str, int, int]]
) -> None:
    doctor = Doctor(World.replay(TOWN.record()), scope)
    original = objects(TOWN)
    refreshed(doctor)
    for resource, object_number, number in steps:
        known = [key for key in original if key[0] == resource and key[1] != "kube-system"]
        key = known[object_number % len(known)]
        # What is gone, or is another already, may be what it was at first again.
        choices = [original[key], *others(resource, original[key])]
        item = choices[number % len(choices)]
        if item is None:
            doctor.world.drop(*key)
        else:
            doctor.world.apply(resource, "MODIFIED", item)
        assert refreshed(doctor) == from_scratch(doctor.world, scope)


def calls_of(doctor: Doctor, change: Callable[[], None]) -> int:
    """How many functions are called until the report is right again."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        change()
        for _ in doctor.work():
            pass
        doctor.diagnosis()
    finally:
        sys.setprofile(None)
    return calls


def test_what_a_change_costs_follows_from_what_it_touches_and_not_from_the_size_of_the_cluster() -> None:
    doctors = [Doctor(town(3), Scope()), Doctor(town(16), Scope())]
    for doctor in doctors:
        refreshed(doctor)
    grown = {}
    for resource in CHANGING:
        if resource == "nodes":
            continue  # on a node of a larger cluster more is running
        key = next(key for key in objects(doctors[0].world) if key[0] == resource and "town-1" in key)
        for number in range(len(others(resource, objects(doctors[0].world)[key]))):
            costs = [cost_of(doctor, key, number) for doctor in doctors]
            (calls, judged), (more_calls, more_judged) = costs
            if judged != more_judged or more_calls > calls * 1.1 + 100:
                grown[resource, number] = costs
    assert not grown


def cost_of(doctor: Doctor, key: tuple[str, str, str], number: int) -> tuple[int, int]:
    """Calls, and Services that are judged again, when an object becomes another for the second time: the first time
    makes what is kept from then on. A mesh is everybody's affair, so that no change of this kind is made here."""
    resource = key[0]
    before = objects(doctor.world)[key]
    item = others(resource, before)[number]
    if item is not None and "istio-injection" in (item.metadata.labels or {}):
        return 0, 0
    calls = judged = 0
    for _ in range(2):
        judged = doctor.judged
        change = partial(doctor.world.drop, *key) if item is None else partial(doctor.world.apply, resource, "", item)
        calls = calls_of(doctor, change)
        judged = doctor.judged - judged
        doctor.world.apply(resource, "ADDED", before)
        refreshed(doctor)
    return calls, judged


# --- who is judged again -------------------------------------------------------------------------------------------


def shop(count: int = 6) -> World:
    manifests: list[dict[str, Any]] = []
    for number in range(count):
        labels = {"app": f"app-{number}", "tier": "backend"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
        metadata = {"name": f"app-{number}", "namespace": "shop"}
        manifests.append({"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 2, "template": template}})
        spec = {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}
        manifests.append({"kind": "Service", "metadata": dict(metadata), "spec": spec})
    return simulate(manifests)


def judged_after(doctor: Doctor, *events: tuple[str, str, Any]) -> set[str]:
    """Names of the Services that are judged again because of these events."""
    refreshed(doctor)
    for event in events:
        doctor.world.apply(*event)
    return {str(asker[2]) for asker in doctor.world.follow().stale if asker[0] == "service"}


def changed(item: Any, **labels: str) -> Any:
    return replace(item, metadata=replace(item.metadata, labels={**(item.metadata.labels or {}), **labels}))


def of(world: World, resource: str, name: str) -> Any:
    return next(item for item in world.held(resource) if item.metadata.name.startswith(name))


def test_a_heartbeat_judges_nothing() -> None:
    doctor = Doctor(shop(), Scope())
    node = of(doctor.world, "nodes", "worker")
    later = replace(node, metadata=replace(node.metadata, resource_version="7"))
    assert judged_after(doctor, ("nodes", "MODIFIED", later)) == set()
    assert doctor.world.listed("nodes")["worker"] is later


def test_a_pod_judges_the_services_that_select_it_before_or_after() -> None:
    doctor = Doctor(shop(), Scope())
    pod = of(doctor.world, "pods", "app-1")
    assert judged_after(doctor, ("pods", "MODIFIED", changed(pod, extra="label"))) == {"app-1"}
    pod = of(doctor.world, "pods", "app-1")
    assert judged_after(doctor, ("pods", "DELETED", of(doctor.world, "pods", "app-3"))) == {"app-3"}
    assert judged_after(doctor, ("pods", "MODIFIED", changed(pod, app="app-2"))) == {"app-1", "app-2"}


def test_a_slice_judges_its_service_and_a_service_itself() -> None:
    doctor = Doctor(shop(), Scope())
    piece = of(doctor.world, "endpointslices", "app-1")
    assert judged_after(doctor, ("endpointslices", "MODIFIED", changed(piece, extra="label"))) == {"app-1"}
    service = of(doctor.world, "services", "app-4")
    assert judged_after(doctor, ("services", "MODIFIED", changed(service, extra="label"))) == {"app-4"}


def test_a_controlled_replica_set_is_nobodys_business_while_all_is_well() -> None:
    doctor = Doctor(shop(), Scope())
    replicas = of(doctor.world, "replicasets", "app-1")
    assert judged_after(doctor, ("replicasets", "MODIFIED", changed(replicas, extra="label"))) == set()


def test_what_is_judged_again_and_says_the_same_is_the_same_object() -> None:
    doctor = Doctor(shop(), Scope())
    refreshed(doctor)
    before = doctor.diagnosis().services
    doctor.take_changed()
    doctor.world.apply("pods", "MODIFIED", changed(of(doctor.world, "pods", "app-1"), extra="label"))
    refreshed(doctor)
    assert all(old is new for old, new in zip(before, doctor.diagnosis().services, strict=True))
    assert doctor.take_changed() == frozenset()


def test_a_service_with_new_labels_has_changed_whatever_is_said_of_it() -> None:
    doctor = Doctor(shop(), Scope())
    refreshed(doctor)
    doctor.take_changed()
    doctor.world.apply("services", "MODIFIED", changed(of(doctor.world, "services", "app-4"), extra="label"))
    refreshed(doctor)
    (name,) = doctor.take_changed()
    assert name[1] == "app-4"
    assert doctor.labels(name)["extra"] == "label"


def test_a_service_that_rests_is_judged_when_it_has_rested() -> None:
    doctor = Doctor(shop(), Scope())
    refreshed(doctor)
    pod = of(doctor.world, "pods", "app-1")
    asker = ("service", pod.metadata.namespace, "app-1")
    doctor.resting = {asker}
    doctor.world.apply("pods", "MODIFIED", changed(pod, app="app-2"))
    done = list(doctor.work())
    assert asker not in done and ("service", pod.metadata.namespace, "app-2") in done
    assert doctor.is_done and doctor.put_off == [asker]
    doctor.resting = ()
    assert not doctor.is_done and list(doctor.work()) == [asker]
    assert doctor.is_done and not doctor.put_off


def test_services_that_are_lost_sight_of_stay_and_are_unknown() -> None:
    doctor = Doctor(shop(), Scope())
    refreshed(doctor)
    doctor.world.lose(Gap("watch", "services", "", EVERYWHERE, "unreachable", "no answer"))
    refreshed(doctor)
    lost = doctor.diagnosis()
    assert {entry.status for entry in lost.services} == {Status.UNKNOWN} and len(lost.services) == 8
    doctor.world.find("services", EVERYWHERE)
    refreshed(doctor)
    assert {entry.status for entry in doctor.diagnosis().services} == {Status.PASS}


def test_a_service_that_waits_for_objects_shows_how_far_its_walk_has_come() -> None:
    world = shop()
    pods = world.held("pods")
    world.forget("pods")
    doctor = Doctor(world, Scope())
    refreshed(doctor)
    assert ("shop", "app-1") in doctor.checking
    entry = next(entry for entry in doctor.diagnosis().services if entry.name == "app-1")
    assert len(entry.steps) < 5
    world.put("pods", EVERYWHERE, pods)
    refreshed(doctor)
    assert not doctor.checking and not doctor.wants
