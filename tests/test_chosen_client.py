"""Connections without --from: who tries which Services, in how many execs, and what may count of it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from simulate import simulate
from svcdoctor.case import Case
from svcdoctor.clients.connection import Connection, Connections, Trials
from svcdoctor.cluster import connectlook
from svcdoctor.cluster.connectscript import AT_ONCE, CONNECT
from svcdoctor.cluster.deadline import Deadline
from svcdoctor.cluster.tryservices import MOST_SERVICES, Tries, with_those_again
from svcdoctor.diagnosis import Scope, diagnose, diagnose_recorded
from svcdoctor.finding import Step
from svcdoctor.recordings.redact import Redactor
from svcdoctor.world import World
from test_probe import ExecResult, Refused

NO_TOOL = ExecResult(stdout="TOKEN tool none \n")


def workload(name: str, image: str = "a", **env: str) -> dict[str, Any]:
    variables = [{"name": key, "value": value} for key, value in env.items()]
    spec = {"containers": [{"name": "app", "image": image, "env": variables}]}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    return {"kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": 1, "template": template}}


def service(name: str, app: str) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": 8080}]
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"selector": {"app": app}, "ports": ports}}


WEB = workload("web", image="b")


class Pods:
    """Execs of the script, answered by the first word of the Pod's name; all else opens."""

    def __init__(self, **said: Any) -> None:
        self.said = said
        self.asked: Counter[str] = Counter()

    def exec(self, namespace: str, pod: str, argv: list[str], **_: object) -> ExecResult:
        owner = pod.partition("-")[0]
        self.asked[owner] += 1
        token, *words = argv[4:]
        said = self.said.get(owner)
        if callable(said):
            said = said()
        if isinstance(said, Refused):
            raise said
        if said is not None:
            return ExecResult(said.stdout.replace("TOKEN", token), said.stderr, said.code, timed_out=said.timed_out)
        lines = [f"{token} {number + 1} 0 1 " for number in range(len(words) // 2)]
        return ExecResult("\n".join([f"{token} tool nc", *lines, f"{token} done"]))

    def port_forward(self, *_: object, **__: object) -> None:
        raise AssertionError("nothing is forwarded")


def tried(world: World, pods: Pods, seconds: float = 60.0) -> dict[str, str]:
    """The client of each Service, as WORKLOAD."""
    cases = [Case(world, item) for item in world.listed("services", "shop").values()]
    tries = Tries()
    world.trials = tries.all_of(pods, world, cases, tries.plan(world, cases), Trials(), Deadline(seconds))
    return {place: client.partition("/")[2].partition("-")[0] for place, client in world.trials.client_of.items()}


# --- who tries ------------------------------------------------------------------------------------------------------


def test_a_caller_tries_what_it_calls_and_one_of_the_others_the_rest_in_one_exec_each() -> None:
    callers = workload("web", CART_URL="http://cart"), workload("aside", image="b")
    services = [service(name, "cart") for name in ("cart", "stock", "bill")]
    pods = Pods()
    who = tried(simulate([workload("cart"), *callers, *services]), pods)
    assert who["shop/cart"] == "web"
    assert pods.asked == Counter({client: 1 for client in who.values()})


@pytest.mark.parametrize("denied", ["pods", "endpointslices"])
def test_nobody_tries_where_it_cannot_be_read_who_could(denied: str) -> None:
    gap = {"kind": "Gap", "resource": denied}
    pods = Pods()
    assert tried(simulate([workload("cart"), WEB, service("cart", "cart")], [gap]), pods) == {"shop/cart": ""}
    assert not pods.asked


def test_where_one_has_no_tool_another_image_is_tried() -> None:
    pods = Pods(aaa=NO_TOOL)
    who = tried(
        simulate([workload("cart"), workload("aaa"), workload("web", image="b"), service("cart", "cart")]), pods
    )
    assert who == {"shop/cart": "web"} and pods.asked["aaa"] == 1


def test_who_may_not_exec_is_not_asked_again() -> None:
    pods = Pods(aaa=Refused("forbidden"), web=Refused("forbidden"))
    who = tried(
        simulate([workload("cart"), workload("aaa"), workload("web", image="b"), service("cart", "cart")]), pods
    )
    assert who == {"shop/cart": ""} and pods.asked.total() == 1


def test_its_own_pods_do_not_try() -> None:
    pods = Pods()
    assert tried(simulate([workload("cart"), service("cart", "cart")]), pods) == {"shop/cart": ""}
    assert not pods.asked


def test_of_very_many_services_some_are_tried() -> None:
    many = [service(f"cart{number}", "cart") for number in range(MOST_SERVICES + 1)]
    who = tried(simulate([workload("cart"), workload("web"), *many]), Pods())
    assert Counter(who.values()) == {"web": MOST_SERVICES, "": 1}


def test_an_exec_that_hangs_keeps_no_other_from_its_answer() -> None:
    """One waits until the other has answered: in a row it would wait for ever."""
    answered = threading.Event()

    def hangs() -> ExecResult:
        assert answered.wait(30)
        return ExecResult(timed_out=True)

    def answers() -> None:
        answered.set()

    one, other = workload("web", CART_URL="http://cart"), workload("desk", image="b", BILL_URL="http://bill")
    objects = [workload("cart"), one, other, service("bill", "cart"), service("cart", "cart")]
    who = tried(simulate(objects), Pods(web=hangs, desk=answers))
    assert who["shop/bill"] == "desk"


def test_what_was_added_for_it_stands_for_the_client() -> None:
    world = simulate([workload("web")])
    (pod,) = world.listed("pods", "shop").values()
    pods = Pods()
    said = connectlook.connect_at(pods, ("shop", "svcdoctor-1", "probe"), pod, [("10.96.1.1", 80)], {}, timeout=5.0)
    assert pods.asked == {"svcdoctor": 1} and said.pod == pod.metadata.name and said.any_open


# --- what counts ----------------------------------------------------------------------------------------------------


def connection(address: str, outcome: str) -> Connection:
    return Connection(address, 80, outcome)


@pytest.mark.parametrize(
    ("again", "left"),
    [
        ([], {"1": "open", "3": "refused"}),
        ([("2", "open")], {"1": "open", "2": "open", "3": "refused"}),
        ([("2", "timeout")], {"1": "open", "2": "timeout", "3": "refused"}),
    ],
)
def test_what_times_out_once_does_not_count(again: list[tuple[str, str]], left: dict[str, str]) -> None:
    first = (connection("1", "open"), connection("2", "timeout"), connection("3", "refused"))
    found = with_those_again(Connections("shop", "web", tried=first), [connection(*one) for one in again])
    assert {one.address: one.outcome for one in found.tried} == left


def test_the_script_tries_some_at_once_and_all_in_the_end() -> None:
    assert f"% {AT_ONCE}" in CONNECT
    assert "AT_ONCE" not in CONNECT


def test_a_recording_keeps_it_and_for_strangers_too() -> None:
    objects = [workload("cart"), workload("web"), service("cart", "cart")]
    world = simulate(objects, probe={"trials": {"cart:80": "refused", "*:8080": "refused"}})
    codes = [finding.code for finding in diagnose(world, Scope("shop")).diagnosis.findings() if finding.is_fault]
    assert codes == ["port-target-unlistened"]
    recording = world.record()
    for bytes_, place in ((recording, "shop"), (Redactor(b"x" * 32).redacted(recording), "")):
        again = World.replay(bytes_)
        found = diagnose_recorded(again, Scope(place))
        assert [finding.code for finding in found.findings() if finding.is_fault] == codes
    assert b"cart" not in Redactor(b"x" * 32).redacted(recording)


def test_the_step_names_who_connected_and_the_headline_stays() -> None:
    world = simulate([workload("cart"), workload("web"), service("cart", "cart")], probe={"trials": {}})
    (found,) = diagnose(world, Scope("shop")).diagnosis.services
    (connect,) = [step.message for step in found.steps if step.step is Step.CONNECT]
    assert connect.startswith("shop/web-") and connect.endswith("within 10 ms, 1 of 1 endpoint")
    assert found.headline == "1 of 1 ready"
