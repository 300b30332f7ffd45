"""What a World holds, what it says it does not hold, and that a recording gives the same World again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svcdoctor.finding import Gap, Unreadable
from svcdoctor.indexes import Index
from svcdoctor.names.lookup import Lookup, Lookups, Vantage
from svcdoctor.objects import RESOURCES, Metadata, Node, Pod, Service
from svcdoctor.world import EVERYWHERE, NotRead, World

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def service(name: str, namespace: str = "shop") -> Service:
    return Service(metadata=Metadata(name=name, namespace=namespace))


def gap(resource: str, namespace: str, reason: str = "forbidden") -> Gap:
    return Gap("list", resource, RESOURCES[resource].group, namespace, reason)


@pytest.fixture
def world() -> World:
    return World(now=NOW)


def listed(world: World, resource: str, namespace: str = EVERYWHERE) -> list[str]:
    return sorted(world.listed(resource, namespace))


def test_what_nobody_read_is_not_empty(world: World) -> None:
    for ask in (lambda: world.listed("services", "shop"), lambda: world.everywhere("services")):
        with pytest.raises(NotRead) as caught:
            ask()
        assert caught.value.gap is None


def test_what_was_refused_says_why(world: World) -> None:
    refused = gap("services", "shop")
    world.miss(refused)
    with pytest.raises(NotRead) as caught:
        world.listed("services", "shop")
    assert caught.value.gap == refused


def test_a_list_that_was_read_and_empty_is_empty(world: World) -> None:
    world.put("services", "shop", [])
    assert listed(world, "services", "shop") == []
    assert not world.was_read("services", "store")


def test_a_list_of_all_namespaces_holds_each_of_them(world: World) -> None:
    world.put("services", EVERYWHERE, [service("cart"), service("stock", "store")])
    assert listed(world, "services", "shop") == ["cart"]
    assert listed(world, "services", "empty") == []
    items, complete = world.everywhere("services")
    assert sorted(item.metadata.name for item in items) == ["cart", "stock"]
    assert complete


def test_cluster_wide_kinds_are_listed_without_a_namespace(world: World) -> None:
    world.put("nodes", EVERYWHERE, [Node(metadata=Metadata(name="worker"))])
    assert listed(world, "nodes") == ["worker"]


def test_a_list_replaces_what_was_there_and_nothing_else(world: World) -> None:
    world.put("services", "shop", [service("cart")])
    world.put("services", "store", [service("stock", "store")])
    world.put("services", "shop", [service("web")])
    assert listed(world, "services", "shop") == ["web"]
    assert listed(world, "services", "store") == ["stock"]
    world.put("services", EVERYWHERE, [service("cart")])
    assert listed(world, "services", "store") == []


def test_some_namespaces_are_not_everywhere(world: World) -> None:
    world.put("services", "shop", [service("cart")])
    with pytest.raises(NotRead) as caught:
        world.everywhere("services")
    assert (caught.value.gap, caught.value.namespace) == (None, EVERYWHERE)
    world.miss(gap("services", EVERYWHERE))
    items, complete = world.everywhere("services")
    assert [item.metadata.name for item in items] == ["cart"]
    assert not complete


def test_a_refusal_for_the_whole_cluster_says_nothing_of_one_namespace(world: World) -> None:
    world.miss(gap("services", EVERYWHERE))
    with pytest.raises(NotRead) as caught:
        world.listed("services", "shop")
    assert caught.value.gap is None


def test_a_read_that_works_at_last_closes_its_gap(world: World) -> None:
    world.miss(gap("services", "shop", "timeout"))
    world.put("services", "shop", [service("cart")])
    assert listed(world, "services", "shop") == ["cart"]
    assert not world.gaps


def test_a_list_of_all_namespaces_closes_the_gaps_of_each(world: World) -> None:
    world.miss(gap("services", "shop", "timeout"))
    world.miss(gap("pods", "shop", "timeout"))
    world.put("services", EVERYWHERE, [service("cart")])
    assert list(world.gaps) == [("pods", "shop")]


def test_what_is_forgotten_was_never_read(world: World) -> None:
    world.put("services", EVERYWHERE, [service("cart")])
    world.forget("services")
    assert not world.was_read("services", "shop")
    with pytest.raises(NotRead):
        world.listed("services", "shop")


def test_what_was_derived_is_made_again_from_a_new_list(world: World) -> None:
    world.put("services", "shop", [service("cart")])

    def names() -> list[str]:
        return world.derived("names", lambda: sorted(world.listed("services", "shop")))

    first = names()
    assert names() is first
    world.put("services", "shop", [service("cart"), service("web")])
    assert names() == ["cart", "web"]
    world.forget("services")
    with pytest.raises(NotRead):
        names()


def test_time_is_that_of_the_world(world: World) -> None:
    assert world.seconds_since("2026-03-01T11:59:30Z") == 30
    assert world.seconds_since("2026-03-01T12:00:01.5Z") == -1.5
    assert world.seconds_since(None) is None
    assert world.seconds_since("yesterday") is None


# --- recordings --------------------------------------------------------------------------------------------------

WORDS = st.text(max_size=6)
NAMES = st.sampled_from(["shop", "store", "kube-system"])
KINDS = {"services": Service, "pods": Pod}
READS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(sorted(KINDS)), NAMES, st.lists(WORDS, max_size=3)),
    st.tuples(st.just("everywhere"), st.sampled_from(sorted(KINDS)), NAMES, st.lists(WORDS, max_size=3)),
    st.tuples(
        st.just("miss"), st.sampled_from(sorted(KINDS)), NAMES | st.just(EVERYWHERE), st.lists(WORDS, max_size=1)
    ),
)


def filled(reads: list[Any], word: str) -> World:
    world = World(context=word, now=NOW)
    for read, resource, namespace, names in reads:
        kind = KINDS[resource]
        items = [kind(metadata=Metadata(name=name, namespace=namespace, labels={name: word})) for name in names]
        if read == "miss":
            world.miss(Gap("list", resource, "", namespace, "forbidden", word))
        else:
            world.put(resource, namespace if read == "put" else EVERYWHERE, items)
    world.unreadable = [Unreadable("pods", "shop", word, "odd")]
    vantage = Vantage(kind="exec", namespace="shop", pod=word)
    world.lookups = {word: Lookups(vantage=vantage, lookups=(Lookup(name=word, outcome="answered"),))}
    return world


@settings(deadline=None)
@given(st.lists(READS, max_size=8), WORDS)
def test_a_recording_gives_the_same_world(reads: list[Any], word: str) -> None:
    world = filled(reads, word)
    again = World.replay(world.record())
    assert again.record() == world.record()
    assert (again.context, again.now, again.gaps) == (world.context, world.now, world.gaps)
    assert (again.unreadable, again.lookups) == (world.unreadable, world.lookups)
    for resource in KINDS:
        for namespace in ("shop", "store", "kube-system", "elsewhere", EVERYWHERE):
            assert again.was_read(resource, namespace) == world.was_read(resource, namespace)
            if world.was_read(resource, namespace):
                assert again.listed(resource, namespace) == world.listed(resource, namespace)


@pytest.mark.parametrize("recording", [b"", b"{", b"[]", b"{}", b'{"context": "", "now": "noon", "objects": {}}'])
def test_bytes_that_are_no_recording_are_refused(recording: bytes) -> None:
    with pytest.raises(ValueError, match="not a recorded World"):
        World.replay(recording)


def test_a_recording_with_an_odd_object_names_the_place() -> None:
    recording = msgspec.json.decode(World(now=NOW).record())
    recording["objects"]["services"] = {"scopes": [""], "items": [{"metadata": {"name": "cart"}, "spec": 7}]}
    with pytest.raises(ValueError, match=r"\$\[0\]\.spec"):
        World.replay(msgspec.json.encode(recording))


# --- trying changes ------------------------------------------------------------------------------------------------

LABELS = Index("services by label", "services", lambda item: (item.metadata.labels or {}).values())
LAID = st.lists(
    st.tuples(NAMES, st.sampled_from("abc"), st.none() | st.lists(st.sampled_from("xyz"), max_size=2)), max_size=6
)


def labelled(name: str, namespace: str, labels: list[str]) -> Service:
    return Service(metadata=Metadata(name=name, namespace=namespace, labels={label: label for label in labels}))


def found(world: World) -> dict[str, Any]:
    """What the World says of its Services, by each way to ask."""
    told: dict[str, Any] = {f"everywhere {label}": world.found_in_sight(LABELS, label) for label in "xyz"}
    for namespace in ("shop", "store", "kube-system"):
        told[namespace] = dict(world.listed("services", namespace))
        told |= {f"{namespace} {label}": world.found(LABELS, namespace, label) for label in "xyz"}
    labels = world.shared("labels", lambda: [item.metadata.labels for item in world.everywhere("services")[0]])
    return told | {"labels": labels, "keys": set(world.keys_in_sight(LABELS))}


@settings(deadline=None)
@given(LAID, LAID, LAID, st.booleans(), st.booleans())
def test_a_fork_says_what_a_world_with_its_objects_would_and_leaves_the_other_as_it_was(
    held: Any, first: Any, second: Any, asked: bool, followed: bool
) -> None:
    objects = {(place, name): labelled(name, place, labels or []) for place, name, labels in held}
    world = World(now=NOW)
    world.put("services", EVERYWHERE, objects.values())
    if followed:
        world.follow()
    before = found(world) if asked else None
    fork, now = world, dict(objects)
    for laid in (first, second):
        changes = [
            (place, name, None if labels is None else labelled(name, place, labels)) for place, name, labels in laid
        ]
        fork = fork.fork([("services", place, name, item) for place, name, item in changes])
        for place, name, item in changes:
            now[place, name] = item
    fresh = World(now=NOW)
    fresh.put("services", EVERYWHERE, [item for item in now.values() if item is not None])
    assert found(fork) == found(fresh)
    unchanged = World(now=NOW)
    unchanged.put("services", EVERYWHERE, objects.values())
    assert found(world) == (before or found(world)) == found(unchanged)
