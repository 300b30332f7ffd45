"""What changed between two revisions of a Deployment, and since when a Pod is not ready."""

from __future__ import annotations

from typing import Any

import msgspec

from svcdoctor.objects import Pod, PodTemplateSpec, Workload
from svcdoctor.pods.history import differences, last_change, unready_since


def template(**container: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "cart"}},
        "spec": {"containers": [{"name": "web", "image": "a", **container}]},
    }


def told(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    old, new = (msgspec.convert(item, PodTemplateSpec) for item in (before, after))
    return list(differences(old, new))


def replica_set(name: str, revision: int, image: str, **annotations: str) -> Workload:
    metadata = {
        "name": name,
        "annotations": {"deployment.kubernetes.io/revision": str(revision), **annotations},
        "creationTimestamp": "2026-03-01T12:03:58Z",
    }
    return msgspec.convert({"metadata": metadata, "spec": {"template": template(image=image)}}, Workload)


DEPLOYMENT = msgspec.convert({"metadata": {"name": "cart"}}, Workload)


def test_what_differs_is_said_in_a_few_words() -> None:
    assert told(template(), template(image="b")) == ["image of web a -> b"]
    assert told(template(ports=[{"containerPort": 80}]), template()) == ["ports of web 80 -> <none>"]
    probe = {"httpGet": {"path": "/live", "port": 80}}
    assert told(template(), template(livenessProbe=probe)) == ["liveness probe of web <none> -> GET :80/live"]
    assert told(template(), template()) == []


def test_values_of_variables_and_arguments_are_not_told() -> None:
    before = template(env=[{"name": "PASSWORD", "value": "old"}], args=["--token=old"])
    after = template(env=[{"name": "PASSWORD", "value": "new"}], args=["--token=new"])
    assert told(before, after) == ["command of web", "variable PASSWORD of web"]


def test_the_newest_revision_is_compared_with_the_one_before() -> None:
    sets = [replica_set("cart-3", 10, "c"), replica_set("cart-1", 2, "a"), replica_set("cart-2", 9, "b")]
    change = last_change(DEPLOYMENT, sets)
    assert change and str(change) == "revision 10 of deployment/cart (image of web b -> c)"
    assert last_change(DEPLOYMENT, sets[:1]) is None


def test_a_replica_set_that_is_gone_back_to_is_older_than_its_revision() -> None:
    back = replica_set("cart-1", 3, "a", **{"deployment.kubernetes.io/revision-history": "1"})
    change = last_change(DEPLOYMENT, [back, replica_set("cart-2", 2, "b")])
    assert change and change.made is None and change.differences == ("image of web b -> a",)


def pod(ready_since: str, owner: str = "cart-2") -> Pod:
    document = {
        "metadata": {"name": "cart-x", "ownerReferences": [{"kind": "ReplicaSet", "name": owner, "controller": True}]},
        "status": {
            "startTime": "2026-03-01T12:04:00Z",
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": ready_since}],
        },
    }
    return msgspec.convert(document, Pod)


def test_since_when_and_shortly_after_what() -> None:
    change = last_change(DEPLOYMENT, [replica_set("cart-1", 1, "a"), replica_set("cart-2", 2, "b")])
    said = unready_since(pod("2026-03-01T12:04:01Z"), change)
    assert said and said.value == (
        "2026-03-01 12:04:01 UTC (its start), 3s after revision 2 of deployment/cart (image of web a -> b)"
    )
    later = unready_since(pod("2026-03-01T13:04:01Z"), change)
    assert later and later.value == "2026-03-01 13:04:01 UTC (ready before)"
    other = unready_since(pod("2026-03-01T12:04:01Z", "cart-1"), change)
    assert other and "revision" not in other.value
