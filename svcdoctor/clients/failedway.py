"""What is said of a way to a Service that failed: the sentence, what was seen, and whether it counts as a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from svcdoctor.case import Case
from svcdoctor.clients.statedclient import StatedClient, Way
from svcdoctor.clients.witness import loopbacks
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, fail, skipped, unknown, warn
from svcdoctor.text import plural


def say(
    case: Case,
    client: StatedClient,
    way: Way,
    code: str,
    why: str,
    *evidence: Evidence,
    known: Finding | None = None,
    because: str | None = None,
    inferred: bool = False,
) -> Finding:
    """A fault; where another check has told it already (`known`), what it looks like to this client."""
    partly = len(way.failed) < len(way.ends) and bool(way.failed)
    shown = way.failed[0][1] if partly or not way.own or way.own.is_open else way.own
    code = (known.code if known else None) or code
    return (warn if partly else fail)(
        code,
        case.subject,
        f"{story(client, way)}{': ' if why else ''}{why}",
        *evidence_of(client, way),
        *evidence,
        remedies=(Remedy("see it", client.said.command(shown.address, shown.port), changes_cluster=False),),
        inferred=inferred,
        because=code if known else because,
        pods=tuple(view.pod for view, _ in way.failed if view.pod),
    )


def story(client: StatedClient, way: Way) -> str:
    """`shop/web-1 cannot connect to 10.96.1.3:80, nor to any of 3 endpoints`."""
    failed, own = len(way.failed), way.own
    if own and not own.is_open and not failed:
        ends = f", but can to {'its endpoint' if len(way.ends) == 1 else f'all {len(way.ends)} endpoints'}"
        return f"{client.name} cannot connect to {own.place} ({own.text}){ends}"
    if failed < len(way.ends):
        return (
            f"{client.name} cannot connect to {failed} of {plural(len(way.ends), 'endpoint')} ({way.failed[0][1].text})"
        )
    ends = plural(failed, "endpoint")
    if own:
        any_of = f"its endpoint {way.failed[0][1].place}" if failed == 1 else f"any of {ends}"
        return f"{client.name} cannot connect to {own.place} ({own.text}), nor to {any_of}"
    return f"{client.name} connects to none of {ends} ({way.failed[0][1].text})"


def evidence_of(client: StatedClient, way: Way) -> Iterator[Evidence]:
    source = f"{client.said.tool} {client.said.place}"
    if way.own:
        yield Evidence(way.own.place, way.own.text, source)
    for view, end in sorted(way.ends, key=lambda one: one[1].is_open)[:3]:
        yield Evidence(f"{end.place}{f' ({view.pod})' if view.pod else ''}", end.text, source)
    others = {one.address for one in (way.own, *(end for _, end in way.ends)) if one}
    control = next((one for one in client.said.tried if one.is_open and one.address not in others), None)
    if control:
        yield Evidence("control", f"{control.place} {control.text}", source)


def unclear(
    case: Case, client: StatedClient, way: Way, why: str, *evidence: Evidence, of_anybody: bool = False
) -> Finding:
    """`of_anybody`: what it met counts, though it may be a bystander."""
    message = "; ".join([f"{story(client, way)}; {why}", *(loopbacks(case, client) if way.failed else [])])
    if client.is_chosen and not of_anybody:
        return skipped(client.subject, message)
    return unknown("unknown-timeout", case.subject, message, *evidence_of(client, way), *evidence)


def told(case: Case, way: Way, explains: Callable[[Stage, str], bool]) -> Finding | None:
    """What another check has found that explains it: a fault of this kind, or an earlier one of the same Pods."""
    failed = {view.pod for view, _ in way.failed}
    for stage, finding in case.said:
        if explains(stage, finding.code or "") or (stage < Stage.LISTENING and failed & {*finding.pods}):
            return finding
    return None
