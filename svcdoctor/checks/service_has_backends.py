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

from collections.abc import Iterator, Mapping
from shlex import quote

from svcdoctor.case import Case, EndpointView
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.manualslice import is_by_hand
from svcdoctor.endpoints.reconcile import pod_addresses
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, warn
from svcdoctor.objects import Pod
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.text import embedded_json, listing, plural, selector_text

CHECK = Check(
    step=Step.SERVICE,
    codes={
        "svc-no-selector-no-endpoints": Code(Stage.SELECTOR),
        "svc-selector-removed-stale-slices": Code(Stage.SELECTOR),
    },
    reads=(
        "endpointslices",
        "pods",
        *WORKLOAD_RESOURCES,
    ),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name:
        yield passed(case.subject, f"exists, an alias of {case.spec.external_name}")
        return
    if case.selector:
        yield passed(case.subject, f"exists, selector {selector_text(case.selector)}")
        return
    orphaned = [piece for piece in case.slices if not is_by_hand(piece)]
    if orphaned and case.endpoints:
        yield _stale(case)
    elif case.endpoints:
        yield passed(
            case.subject,
            f"exists without a selector; {plural(len(case.endpoints), 'endpoint')} written by hand or by an operator",
        )
    else:
        yield fail(
            "svc-no-selector-no-endpoints",
            case.subject,
            "no selector, and no EndpointSlice names this Service",
            Evidence("selector", "<none>", f"service/{case.name} .spec.selector"),
            Evidence(
                "slices",
                f"{len(case.slices)} with 0 endpoints",
                f"endpointslices labelled kubernetes.io/service-name={case.name}",
            ),
            remedies=(_set_selector(case),),
            because="slice-manual-unlabelled",
        )


def _stale(case: Case) -> Finding:
    pods = case.listed("pods")
    # The mirroring controller may have copied an address into a second slice.
    gone = list(dict.fromkeys(view.address for view in case.endpoints if not _still_lives(view, pods)))
    say = fail if gone else warn
    state = (
        f"they hold {listing(gone)}, whose Pod is gone" if gone else "its Pods still live, the next rollout breaks it"
    )
    return say(
        "svc-selector-removed-stale-slices",
        case.subject,
        f"the selector was removed, and old slices are left behind; {state}",
        Evidence("selector", "<none>", f"service/{case.name} .spec.selector"),
        Evidence(
            "left behind",
            listing([piece.metadata.name for piece in case.slices]),
            f"endpointslices labelled kubernetes.io/service-name={case.name}",
        ),
        remedies=(_set_selector(case),),
    )


def _still_lives(view: EndpointView, pods: Mapping[str, Pod]) -> bool:
    """Whether the Pod that the address was given to has it still; another may have it by now."""
    owners = [pods[view.pod]] if view.pod in pods else [] if view.pod else list(pods.values())
    return any(view.address in pod_addresses(pod) for pod in owners)


def _set_selector(case: Case) -> Remedy:
    labels = _applied_selector(case) or _namesake_labels(case)
    if not labels:
        command = f"kubectl -n {case.namespace} get pods --show-labels"
        return Remedy("see which labels its Pods have, then set them as its selector", command, changes_cluster=False)
    command = f"kubectl -n {case.namespace} set selector service {case.name} {quote(selector_text(labels))}"
    return Remedy("give the Service the labels of its Pods", command)


def _applied_selector(case: Case) -> dict[str, str]:
    """The selector as it was last applied by a file; {} where it was not, or had none."""
    annotations = case.service.metadata.annotations or {}
    try:
        applied = embedded_json(annotations.get("kubectl.kubernetes.io/last-applied-configuration"))
        return {str(key): str(value) for key, value in applied["spec"]["selector"].items()}
    except (KeyError, TypeError, AttributeError):
        return {}


def _namesake_labels(case: Case) -> dict[str, str]:
    templates = case.or_without(case.templates, [])
    return next((template.own_labels for template in templates if template.name == case.name), {})
