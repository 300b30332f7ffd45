"""Does the selector point to the release that runs?

selector-stale-version
    The selector pins a version (a colour, a track, a release) that has no Pods any more; another version has. Where
    the pinned one still runs beside a later one that no Service selects, this is a note.
    Why it breaks      After a blue-green switch the old colour was scaled down while the Service still selects it. As
                       long as both run, users get the old release.
    Confirm by hand    kubectl -n {namespace} get deployments --show-labels
    Fix                Switch the selector to the version that runs, or scale the old one up again.
    Not a fault when   Another Service serves the version that runs, or the new one is still being tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from svcdoctor.case import Case, Release
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, note
from svcdoctor.pods.template import WORKLOAD_RESOURCES, Template
from svcdoctor.text import parse_time, plural, selector_text

CHECK = Check(
    step=Step.LABELS,
    codes={"selector-stale-version": Code(Stage.EXPECTED_SET)},
    reads=("services", "endpointslices", "pods", *WORKLOAD_RESOURCES),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector or not case.other_releases:
        return
    pinned = [template for template in case.matching_templates if template.kind not in ("Job", "CronJob", "Pod")]
    if case.empty_workloads and all(template.desired == 0 for template in pinned) and not case.is_deliberately_idle:
        yield _at_zero(case, pinned[0], case.other_releases[0])
    elif case.staying_pods and pinned:
        later = [release for release in case.other_releases if _is_later(release.template, pinned)]
        yield from (_behind(case, pinned[0], release) for release in later[:1])


def _is_later(template: Template, pinned: list[Template]) -> bool:
    made = [parse_time(item.owner.metadata.creation_timestamp) for item in (template, *pinned)]
    return made[0] is not None and all(other is not None and other < made[0] for other in made[1:])


def _at_zero(case: Case, pinned_to: Template, release: Release) -> Finding:
    pin = f"{release.key}={case.selector[release.key]}"
    now = f"{release.key}={release.value}"
    return fail(
        "selector-stale-version",
        case.subject,
        f"the selector pins {pin}, which is scaled to 0; {release.template.ref} runs {now}",
        Evidence("pinned", pin, f"service/{case.name} .spec.selector"),
        Evidence("replicas", "0", f"{pinned_to.ref} .spec.replicas"),
        _running(release),
        remedies=(_switch(case, release), *_back(case, pinned_to)),
    )


def _back(case: Case, pinned_to: Template) -> tuple[Remedy, ...]:
    """What runs beside it may still be on trial: who knows switches, who does not goes back."""
    if pinned_to.kind not in ("Deployment", "StatefulSet", "ReplicaSet"):
        return ()
    command = f"kubectl -n {case.namespace} scale {pinned_to.ref} --replicas=1"
    return (Remedy(f"or scale {pinned_to.ref} up again", command),)


def _behind(case: Case, pinned_to: Template, release: Release) -> Finding:
    pin = f"{release.key}={case.selector[release.key]}"
    return note(
        "selector-stale-version",
        case.subject,
        f"the selector stays on {pin}; {release.template.ref}, made later, runs {release.key}={release.value} "
        f"and no Service selects it",
        Evidence("pinned", f"{pin}, {pinned_to.ref}", f"service/{case.name} .spec.selector"),
        _running(release),
        remedies=(_switch(case, release),),
    )


def _running(release: Release) -> Evidence:
    source = (
        f"{release.template.ref} {'.metadata' if release.template.kind == 'Pod' else '.spec.template.metadata'}.labels"
    )
    return Evidence("running", f"{release.key}={release.value}, {plural(release.ready, 'ready Pod')}", source)


def _switch(case: Case, release: Release) -> Remedy:
    selector = selector_text({**case.selector, release.key: release.value})
    return Remedy(
        f"switch the Service to {release.key}={release.value}",
        f"kubectl -n {case.namespace} set selector service {case.name} {quote(selector)}",
    )
