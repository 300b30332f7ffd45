"""Does the Service have a selector, or endpoints of its own?

svc-no-selector-no-endpoints
    The Service has no selector, and no EndpointSlice is labelled with its name: nothing can ever stand behind it.
    Why it breaks      Only a selector makes the EndpointSlice controller add Pods. Without one, endpoints exist only
                       if somebody writes them; kube-proxy refuses connections to a Service that has none.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name}
    Fix                Add the selector, or create an EndpointSlice labelled kubernetes.io/service-name={name}.
    Not a fault when   Somebody maintains the slices by hand or an operator does, or the type is ExternalName.

svc-selector-removed-stale-slices
    The Service has no selector any more, but slices that the EndpointSlice controller made are still there.
    Why it breaks      The controller leaves a Service without a selector alone: it neither updates nor deletes the
                       slices it made. Traffic flows until the Pods behind them are replaced, then goes to addresses
                       that nobody owns (kubernetes/kubernetes issues 91072 and 118376).
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name} --show-labels
    Fix                Put the selector back, or delete the old slices and write your own.
    Not a fault when   The slices are managed by something else than endpointslice-controller.k8s.io.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed
from svcdoctor.text import listing, plural, selector_text

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"

CHECK = Check(
    step=Step.SERVICE,
    codes={
        "svc-no-selector-no-endpoints": Code(Stage.SELECTOR),
        "svc-selector-removed-stale-slices": Code(Stage.SELECTOR),
    },
    reads=("services", "endpointslices", "pods"),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name:
        yield passed(case.subject, f"exists, an alias of {case.spec.external_name}")
        return
    if case.selector:
        yield passed(case.subject, f"exists, selector {selector_text(case.selector)}")
        return
    orphaned = [piece for piece in case.slices if (piece.metadata.labels or {}).get(MANAGED_BY) == CONTROLLER]
    if orphaned:
        yield _stale(case)
    elif case.endpoints:
        yield passed(case.subject, f"exists without a selector; {plural(len(case.endpoints), 'endpoint')} written by hand or by an operator")
    else:
        yield fail(
            "svc-no-selector-no-endpoints",
            case.subject,
            "no selector, and no EndpointSlice names this Service",
            Evidence("selector", "<none>", f"service/{case.name} .spec.selector"),
            Evidence("slices", f"{len(case.slices)} with 0 endpoints", f"endpointslices labelled kubernetes.io/service-name={case.name}"),
            remedies=(_set_selector(case),),
        )


def _stale(case: Case) -> Finding:
    owned = {address.ip for pod in case.listed("pods").values() for address in pod.status.pod_ips or ()}
    dead = [view.address for view in case.endpoints if view.address not in owned]
    state = f"{plural(len(dead), 'address', 'addresses')} that no Pod owns: {listing(dead)}" if dead else "its Pods still live; the next rollout breaks it"
    return fail(
        "svc-selector-removed-stale-slices",
        case.subject,
        f"the selector was removed, and old slices are left behind; {state}",
        Evidence("selector", "<none>", f"service/{case.name} .spec.selector"),
        Evidence("left behind", listing([piece.metadata.name for piece in case.slices]), f"endpointslices with label {MANAGED_BY}={CONTROLLER}"),
        remedies=(_set_selector(case),),
    )


def _set_selector(case: Case) -> Remedy:
    named = next((template for template in case.or_without(case.templates, []) if template.name == case.name and template.labels), None)
    labels = selector_text(dict(named.labels)) if named else "KEY=VALUE"
    return Remedy("give the Service the labels of its Pods", f"kubectl -n {case.namespace} set selector service {case.name} {labels}")
