"""Follow a cluster until the Services that were asked for pass, or until the time is up."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import NamedTuple

from svcdoctor.cluster.kube import Cluster
from svcdoctor.cluster.reflector import BROKEN, LISTING
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.finding import Diagnosis, Gap
from svcdoctor.live import Live, Timing, Update
from svcdoctor.names.lookup import Lookups, Vantage
from svcdoctor.objects import RESOURCES
from svcdoctor.standing import Standing, all_pass
from svcdoctor.world import World

# How long passing has to last. Whoever has just applied something sees the state before it for a moment: controllers
# have not looked yet (the EndpointSlice controller collects changes for up to a second), and a Pod that is ready may
# die of its first request. kubectl has no such guard.
HOLD = 2.0
# What a Service passes by, at least: while a watch of these is not there, what is seen may be old.
FOLLOWED = ("services", "endpointslices", "pods")


class Waited(NamedTuple):
    diagnosis: Diagnosis
    passed: bool = False
    interrupted: bool = False


def wait_until_passing(
    cluster: Cluster,
    scope: Scope,
    probe: bool,
    seconds: float,
    hold: float,
    judge: Callable[[Update], list[Standing]],
    tell: Callable[[list[Standing]], None],
    *,
    timing: Timing = Timing(),  # noqa: B008 - immutable
) -> Waited:
    """`tell` hears of every change. A Service that passes when the time is up may finish its `hold`.

    What was not read by then is unknown in the Diagnosis.
    """
    news: queue.SimpleQueue[Update | Exception] = queue.SimpleQueue()
    live = Live(cluster, scope, probe=probe, post=news.put, failed=news.put, timing=timing)
    ends = time.monotonic() + seconds
    held: tuple[float, Diagnosis] | None = None  # since when all of them pass, and what was said last
    live.start()
    try:
        while True:
            now = time.monotonic()
            if held and now >= held[0] + hold:
                return Waited(held[1], passed=True)
            if not held and now >= ends:
                return Waited(_last_look(live, scope, probe, "the time is up"))
            try:
                update = _latest(news, (held[0] + hold if held else ends) - now)
            except queue.Empty:
                continue
            found = judge(update)
            tell(found)
            if all_pass(found) and _is_followed(update, scope):
                held = (held[0] if held else time.monotonic(), update.diagnosis)
            else:
                held = None
    except KeyboardInterrupt:
        return Waited(_last_look(live, scope, probe, "interrupted"), interrupted=True)
    finally:
        live.stop()


def _latest(news: queue.SimpleQueue[Update | Exception], seconds: float) -> Update:
    """The Update after which there is none yet. Raises queue.Empty, and what the live thread died of."""
    said = news.get(timeout=max(0.0, seconds))
    while not isinstance(said, Exception):
        latest = said
        try:
            said = news.get_nowait()
        except queue.Empty:
            return latest
    raise said


def _is_followed(update: Update, scope: Scope) -> bool:
    """Whether no list that may hold one of the Services is still to come, or to come again."""
    if not scope.names and any(_is_of_all(gap, scope) for gap in update.diagnosis.denied):
        return False
    return not any(stream.resource in FOLLOWED and stream.state in (LISTING, BROKEN) for stream in update.streams)


def _is_of_all(gap: Gap, scope: Scope) -> bool:
    return (gap.resource, gap.namespace) == ("services", scope.namespace)


def _last_look(live: Live, scope: Scope, probe: bool, why: str) -> Diagnosis:
    """What is known now, judged as a whole; what is still to be read is a gap."""
    world = World.replay(live.record())
    world.expects_lookups = probe
    while wants := diagnose(world, scope).wants:
        for want in wants:
            if want.resource != "lookups":
                group = RESOURCES[want.resource].group if want.resource in RESOURCES else ""
                world.miss(Gap("list", want.resource, group, want.namespace, "timeout", why))
            else:
                world.learn(want.namespace, Lookups(Vantage(kind="exec"), unavailable="timeout", detail=why))
    return diagnose(world, scope).diagnosis
