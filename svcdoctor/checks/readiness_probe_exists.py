"""Does the container that answers have a readiness probe?

pods-no-readiness-probe
    The container behind the Service has no readiness probe.
    Why it breaks      Without one a container counts as ready the moment it starts: requests arrive before it listens,
                       so each rollout and restart answers some of them with errors.
    Confirm by hand    kubectl -n {namespace} get pods -o jsonpath='{.items[*].spec.containers[*].readinessProbe}'
    Fix                Give the container a readiness probe on the port that it serves.
    Not a fault when   The process listens as soon as it starts: this is only a note.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Stage, Step, note, passed, skipped
from svcdoctor.objects import PodSpec
from svcdoctor.text import listing

CHECK = Check(
    step=Step.DESCRIBE,
    codes={"pods-no-readiness-probe": Code(Stage.PODS_READY)},
    reads=("endpointslices", "pods"),
)


def run(case: Case) -> Iterator[Finding]:
    if not case.selector or not case.ready_endpoints or not case.live_pods:
        yield skipped(case.subject, "nothing serves, so that no probe is missed")
        return
    bare = sorted(
        {name for spec in case.backends if (name := case.serving_container(spec)) and not _has_probe(spec, name)}
    )
    if not bare:
        yield passed(case.subject, "readiness is probed")
        return
    yield note(
        "pods-no-readiness-probe",
        case.subject,
        f"no readiness probe on container {listing(bare)}: requests come as soon as it starts",
        Evidence(
            "readiness probe", "<none>", f"pod/{case.live_pods[0].metadata.name} .spec.containers[].readinessProbe"
        ),
    )


def _has_probe(spec: PodSpec, name: str) -> bool:
    return any(container.readiness_probe for container in spec.containers or () if container.name == name)
