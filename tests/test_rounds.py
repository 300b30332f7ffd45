"""What is kept from round to round is what a diagnosis of the whole World would say, and no more is judged."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.finding import Gap
from svcdoctor.objects import RESOURCES
from svcdoctor.rounds import Rounds
from svcdoctor.world import EVERYWHERE, World
from test_doctor import SCOPES, shop, world_of

AT_FIRST = ("services", "endpointslices", "pods", "deployments", "nodes")


def begun(whole: World) -> World:
    """A World with the time of another and nothing else."""
    world = World.replay(whole.record())
    for resource in RESOURCES:
        if resource not in AT_FIRST:
            world.forget(resource)
    return world


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10_000), st.sampled_from(SCOPES), st.data())
def test_every_round_says_what_a_diagnosis_from_scratch_would(number: int, scope: Scope, data: st.DataObject) -> None:
    whole = world_of(number)
    world = begun(whole)
    rounds = Rounds()
    while True:
        outcome = rounds.diagnose(world, scope)
        fresh = diagnose(World.replay(world.record()), scope)
        assert msgspec.json.encode(outcome.diagnosis) == msgspec.json.encode(fresh.diagnosis)
        assert outcome.wants == fresh.wants
        # All at once or a few at a time: some of them refused.
        wants = [want for want in sorted(outcome.wants) if want.resource in RESOURCES]
        if not wants:
            return
        for want in wants[: data.draw(st.integers(1, len(wants)))]:
            if data.draw(st.booleans()) and whole.was_read(want.resource, want.namespace):
                items = whole.held(want.resource, want.namespace)
                world.put(want.resource, want.namespace, items)
            else:
                group = RESOURCES[want.resource].group
                world.miss(Gap("list", want.resource, group, want.namespace, "forbidden", "no"))


def test_who_did_not_ask_about_what_came_is_not_judged_again() -> None:
    world, rounds = shop(6), Rounds()
    rounds.diagnose(world, Scope())
    judged = rounds.judged
    world.put("referencegrants", EVERYWHERE, [])  # of Gateways, of which there are none
    rounds.diagnose(world, Scope())
    assert rounds.judged == judged
    world.put("pods", EVERYWHERE, [])
    rounds.diagnose(world, Scope())
    assert rounds.judged >= judged + 6
