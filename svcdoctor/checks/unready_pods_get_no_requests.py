"""Do only Pods that are ready get requests?

svc-publish-not-ready
    The Service publishes Pods that are not ready, and one of them is not: it gets requests all the same.
    Why it breaks      publishNotReadyAddresses marks every address as ready, whatever the readiness probe says. That is
                       meant for the members of a cluster that must find each other before they are ready; a client
                       gets errors from Pods that start, hang or fail.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} -o yaml
                       Endpoints with ready: true and serving: false.
    Fix                Turn it off, and keep a second, headless Service with it for the members themselves.
    Not a fault when   The Service is the headless one that a StatefulSet finds its own members by.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, note, warn
from svcdoctor.text import listing, patch_command

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={"svc-publish-not-ready": Code(Stage.EXPECTED_SET)},
    reads=("endpointslices", "statefulsets", "pods"),
)


def run(case: Case) -> Iterator[Finding]:
    if not case.spec.publish_not_ready_addresses:
        return
    exposed = [view for view in case.endpoints if view.ready and not view.serving]
    if not exposed:
        return
    pods = tuple(view.pod for view in exposed if view.pod)
    count = f"{len(exposed)} of {len(case.endpoints)}"
    message = f"requests go to Pods that are not ready: {listing(pods)} ({count})"
    evidence = (
        Evidence("publishNotReadyAddresses", "true", f"service/{case.name} .spec.publishNotReadyAddresses"),
        Evidence(
            "endpoint",
            f"{exposed[0].address}: ready true, serving false",
            f"endpointslice/{exposed[0].slice.metadata.name} .endpoints[].conditions",
        ),
    )
    if case.is_headless and case.governed:
        said = f"{message}; it is how the members of statefulset/{case.governed[0].metadata.name} find each other"
        yield note("svc-publish-not-ready", case.subject, said, *evidence)
        return
    patch = patch_command(case.namespace, f"service {case.name}", {"spec": {"publishNotReadyAddresses": False}})
    remedies = (Remedy("send requests to ready Pods only", patch),)
    yield warn("svc-publish-not-ready", case.subject, message, *evidence, remedies=remedies, pods=pods)
