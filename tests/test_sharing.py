"""Objects that say the same hold one copy of it, and say what they said."""

from __future__ import annotations

import msgspec

from svcdoctor.objects import Pod
from svcdoctor.sharing import share_neighbours

POD = """{"metadata": {"name": "%s", "labels": {"app": "cart", "pod": "%s"}},
  "spec": {"containers": [{"name": "web", "image": "cart:1"}, {"name": "log", "image": "log:%s"}]},
  "status": {"conditions": [{"type": "Ready", "status": "%s"}]}}"""


def pod(name: str, version: str, ready: str) -> Pod:
    return msgspec.json.decode(POD % (name, name, version, ready), type=Pod)


def test_what_neighbours_have_in_common_is_held_once_and_nothing_is_another() -> None:
    said = [("cart-1", "1", "True"), ("cart-2", "2", "False"), ("cart-3", "2", "False")]
    pods = [pod(*words) for words in said]
    share_neighbours(pods)
    assert pods == [pod(*words) for words in said]
    first, second, third = pods
    assert first.spec.containers and second.spec.containers and third.spec.containers
    assert second.spec.containers[0] is first.spec.containers[0]
    assert second.spec.containers[1].name is first.spec.containers[1].name
    assert third.spec.containers is second.spec.containers
    assert third.status.conditions is second.status.conditions


def test_neighbours_of_which_one_has_less_stay_as_they_are() -> None:
    bare, full = Pod(metadata=pod("a", "1", "True").metadata), pod("b", "1", "True")
    share_neighbours([bare, full, bare])
    assert full == pod("b", "1", "True") and bare.spec == Pod(metadata=bare.metadata).spec
