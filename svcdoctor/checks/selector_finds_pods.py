"""Does the selector find the Pods it is meant to?

selector-value-mismatch
    The selector matches no Pod; a workload carries its keys with another value.
    Why it breaks      Every pair of a selector must be on a Pod, letter by letter; one that differs excludes the Pod.
    Confirm by hand    kubectl -n {namespace} get pods --show-labels
    Fix                kubectl -n {namespace} set selector service {name} KEY=VALUE (it replaces the whole selector)
    Not a fault when   The workload that carries the wanted value is about to be deployed.

selector-key-mismatch
    The selector matches no Pod; a workload carries the value under another key, as in app and app.kubernetes.io/name.
    Why it breaks      Keys are compared as they stand, prefix and case included; no key is an alias of another.
    Confirm by hand    kubectl -n {namespace} get pods --show-labels
    Fix                Name the key that the Pods carry, or label the Pod template with the key of the selector.
    Not a fault when   The workload that carries the wanted key is about to be deployed.

selector-extra-label
    The selector matches no Pod; all but some of its pairs fit a workload, and the keys of these it does not have.
    Why it breaks      A selector is a conjunction: one key that the Pods lack is enough to exclude them all. Helm
                       values and Kustomize's commonLabels add such keys to Services whose Pods stay as they were.
    Confirm by hand    kubectl -n {namespace} get pods --show-labels
    Fix                Remove the key from the selector with a JSON patch; a merge would keep it.
    Not a fault when   A rollout that brings the label is still replacing Pods.

selector-other-namespace
    The selector matches no Pod of its namespace, and Pods of one other namespace.
    Why it breaks      A Service selects within its own namespace only.
    Confirm by hand    kubectl get pods -A -l {selector}
    Fix                Create the Service where its Pods are; leave an ExternalName behind for callers of the old name.
    Not a fault when   The same application is deployed once in each namespace, and here not yet.

selector-no-workload
    The selector matches nothing, and no workload that can be seen comes near it.
    Why it breaks      Without a Pod there is no endpoint, and kube-proxy refuses connections.
    Confirm by hand    kubectl get pods,deployments,statefulsets,daemonsets -A -l {selector}
    Fix                Deploy the application, or delete the Service that it left behind.
    Not a fault when   An operator creates the Pods on demand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from shlex import quote

from svcdoctor.case import BATCH, Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.nearmiss import Difference, NearMiss
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, passed, skipped, unknown
from svcdoctor.objects import Pod
from svcdoctor.pods.template import POD_INDEX, POD_NAME, WORKLOAD_RESOURCES, Template, matches, top_owner
from svcdoctor.text import listing, plural, selector_text

CHECK = Check(
    step=Step.LABELS,
    codes={
        "selector-value-mismatch": Code(Stage.EXPECTED_SET),
        "selector-key-mismatch": Code(Stage.EXPECTED_SET),
        "selector-extra-label": Code(Stage.EXPECTED_SET),
        "selector-other-namespace": Code(Stage.EXPECTED_SET),
        "selector-no-workload": Code(Stage.EXPECTED_SET),
    },
    reads=(
        "services",
        "endpointslices",
        "pods",
        *WORKLOAD_RESOURCES,
        "configmaps",
    ),
)

# A controller has begun to replace Pods long before this.
BEGUN_WITHIN = 60.0
# Who says more of why the selector finds nothing, by a key of the selector.
_SAID_BY = {
    **dict.fromkeys(
        ("pod-template-hash", "controller-revision-hash", "pod-template-generation"), "selector-pins-rollout-hash"
    ),
    **dict.fromkeys((POD_NAME, POD_INDEX), "sts-per-pod-service"),
}


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        yield skipped(case.subject, "an alias selects no Pods" if case.is_external_name else "no selector")
        return
    if case.staying_pods:
        yield _found(case)
    elif case.vanished_pods:
        # Read at two moments, or the controller has not followed yet: which of the two holds is seen next time.
        said = f"no Pod matches {selector_text(case.selector)} now"
        still = f"the EndpointSlices still hold {listing(case.vanished_pods)}"
        yield unknown("unknown-settling", case.subject, f"{said}, and {still}")
    elif case.empty_workloads and not case.live_pods:
        yield from _older_pods(case)
    elif case.finds_nothing:
        yield from _matching_nothing(case)
    elif case.pods:
        yield _found(case, "terminating" if case.live_pods else "run to the end")
    elif case.matching_templates:
        owner = case.matching_templates[0].ref
        yield passed(case.subject, f"selects the Pods of {owner}, which has none between its runs")


def _found(case: Case, all_are: str = "") -> Finding:
    pods = case.live_pods or case.pods
    owners = sorted({f"{kind.lower()}/{name}" for kind, name in map(top_owner, pods)})
    match = f"{plural(len(pods), 'Pod')} match{'es' if len(pods) == 1 else ''} {selector_text(case.selector)}"
    evidence = Evidence("owned by", listing(owners), "pods .metadata.ownerReferences")
    return passed(case.subject, f"{match}, all {all_are}" if all_are else match, evidence)


# --- a workload fits, and its Pods do not --------------------------------------------------------------------------


def _older_pods(case: Case) -> Iterator[Finding]:
    """A workload whose template has the labels, and whose Pods were made before it had."""
    for template in case.empty_workloads:
        made = [] if template.desired == 0 or _is_numbered(case) else case.pods_of(template)
        pods = [pod for pod in made if not matches(case.selector, pod.metadata.labels)]
        if pods and _is_settled(case, template):
            yield _old_pods(case, template, pods)
        elif pods:
            message = f"{template.ref} is being rolled out, and none of its {plural(len(pods), 'Pod')} matches yet"
            yield unknown("unknown-settling", case.subject, message)
        if pods:
            return


def _is_numbered(case: Case) -> bool:
    return POD_NAME in case.selector or POD_INDEX in case.selector


def _is_settled(case: Case, template: Template) -> bool:
    """Whether its controller says that it does nothing more, or has said nothing for longer than it needs."""
    for condition in template.owner.status.conditions or ():
        if condition.type == "Progressing":
            return bool(condition.status == "False" or condition.reason == "NewReplicaSetAvailable")
    return case.age(template.owner) > BEGUN_WITHIN


def _old_pods(case: Case, template: Template, pods: list[Pod]) -> Finding:
    missing = {
        key: value
        for key, value in case.selector.items()
        if not any((pod.metadata.labels or {}).get(key) == value for pod in pods)
    }
    labels = selector_text(missing or case.selector)
    lacking = "its Pod does not" if len(pods) == 1 else f"none of its {len(pods)} Pods has"
    own = quote(selector_text(template.own_labels))
    pairs = " ".join(map(quote, labels.split(",")))
    return fail(
        "selector-extra-label",
        case.subject,
        f"the template of {template.ref} has {labels}, but {lacking}",
        Evidence("wanted", labels, f"service/{case.name} .spec.selector"),
        Evidence(
            "found", selector_text(dict(pods[0].metadata.labels or {})), f"pod/{pods[0].metadata.name} .metadata.labels"
        ),
        remedies=(
            Remedy(
                "label its Pods as its template does",
                f"kubectl -n {case.namespace} label pods -l {own} {pairs} --overwrite",
            ),
        ),
        because="selector-label-drift",
    )


# --- nothing fits ------------------------------------------------------------------------------------------------


def _matching_nothing(case: Case) -> Iterator[Finding]:
    nearest = case.near_misses[0] if case.near_misses else None
    if not nearest or not nearest.strong:
        elsewhere, complete = _elsewhere(case)
        if len(elsewhere) == 1:
            yield _other_namespace(case, *next(iter(elsewhere.items())))
            return
        if not nearest:
            yield _no_workload(case, sorted(elsewhere), complete)
            return
    yield _near_miss(case, nearest)


def _explained_by(case: Case) -> str | None:
    """The code that says more of it, where another check has something to say."""
    known = next((_SAID_BY[key] for key in case.selector if key in _SAID_BY), None)
    return known or ("sts-service-selector-mismatch" if case.governed else None)


def _near_miss(case: Case, miss: NearMiss) -> Finding:
    template = miss.template
    wanted = selector_text({item.key: item.wanted for item in miss.differences})
    found = listing([_found_pair(item) for item in miss.differences])
    said = f"{template.ref} has {'the rest of the selector, but ' if miss.kind == 'extra-label' else ''}{found}"
    if miss.is_misspelt:
        said += f", misspelt in one of the two ({listing([item.slip for item in miss.differences])})"
    doubt = (
        ()
        if miss.strong
        else (Evidence("also possible", f"the workload with {wanted} is not deployed", f"namespace {case.namespace}"),)
    )
    return fail(
        f"selector-{miss.kind}",
        case.subject,
        f"{'only Pods that have ended match' if case.pods else 'no Pod matches'} {wanted}; {said}",
        Evidence("wanted", wanted, f"service/{case.name} .spec.selector"),
        Evidence("found", found, _labels_source(template)),
        *_batch(case),
        *doubt,
        remedies=(_repair(case, miss),),
        inferred=not miss.strong,
        because=_explained_by(case),
    )


def _batch(case: Case) -> Iterator[Evidence]:
    """Who has the labels, and serves nobody."""
    owners = [item.ref for item in case.likely_templates if item.kind in BATCH and matches(case.selector, item.labels)]
    if owners:
        yield Evidence("matches only", listing(owners), "its Pods come and go, and serve nobody")


def _found_pair(difference: Difference) -> str:
    return f"{difference.found_key}={difference.found}" if difference.found_key else f"no {difference.key}"


def _labels_source(template: Template) -> str:
    field = ".metadata.labels" if template.kind == "Pod" else ".spec.template.metadata.labels"
    return f"{template.ref} {field}"


def _repair(case: Case, miss: NearMiss) -> Remedy:
    """The selector with what differs taken from the workload, if that still finds this workload alone."""
    template, selector = miss.template, dict(case.selector)
    for difference in miss.differences:
        del selector[difference.key]
        if difference.found_key:
            selector[difference.found_key] = difference.found
    if not _finds_only(case, selector, template):
        return _set_selector(case, template.own_labels, f"select the Pods of {template.ref}")
    if miss.kind != "extra-label":
        return _set_selector(case, selector, f"select the Pods of {template.ref}")
    keys = [item.key for item in miss.differences]
    paths = [f"/spec/selector/{key.replace('~', '~0').replace('/', '~1')}" for key in keys]
    patch = json.dumps([{"op": "remove", "path": path} for path in paths], separators=(",", ":"))
    command = f"kubectl -n {case.namespace} patch service {case.name} --type=json -p {quote(patch)}"
    return Remedy(f"take {listing(keys)} out of the selector", command)


def _finds_only(case: Case, selector: Mapping[str, str], template: Template) -> bool:
    return [item.ref for item in case.likely_templates if matches(selector, item.labels)] == [template.ref]


def _set_selector(case: Case, selector: Mapping[str, str], do: str) -> Remedy:
    return Remedy(
        do, f"kubectl -n {case.namespace} set selector service {case.name} {quote(selector_text(dict(selector)))}"
    )


def _elsewhere(case: Case) -> tuple[dict[str, list[Template]], bool]:
    """Workloads of other namespaces that the selector would match, and whether all namespaces could be seen."""
    templates, complete = case.templates_everywhere()
    found: dict[str, list[Template]] = {}
    for template in templates:
        if (
            template.namespace != case.namespace
            and template.kind not in BATCH
            and matches(case.selector, template.labels)
        ):
            found.setdefault(template.namespace, []).append(template)
    return found, complete


def _other_namespace(case: Case, namespace: str, templates: list[Template]) -> Finding:
    selector = selector_text(case.selector)
    services = case.or_without(lambda: case.listed("services", namespace), {})
    served = sorted(
        name
        for name, service in services.items()
        if any(matches(service.spec.selector or {}, template.labels) for template in templates)
    )
    evidence = [
        Evidence("wanted", selector, f"service/{case.name} .spec.selector"),
        Evidence("found", listing([template.ref for template in templates]), f"namespace {namespace}"),
    ]
    if served:
        evidence.append(Evidence("served there by", listing(served), f"services of namespace {namespace}"))
        evidence.append(
            Evidence("also possible", "the same application is to be deployed here too", f"namespace {case.namespace}")
        )
    return fail(
        "selector-other-namespace",
        case.subject,
        f"no Pod of namespace {case.namespace} matches {selector}; {templates[0].ref} in namespace {namespace} does",
        *evidence,
        remedies=(*(() if served else (_create(case, namespace),)), _alias(case, namespace, served)),
        inferred=bool(served),
        because=_explained_by(case),
    )


def _alias(case: Case, namespace: str, served: list[str]) -> Remedy:
    name = served[0] if served and case.name not in served else case.name
    target = f"{name}.{namespace}.svc.{case.zone}"
    patch = {
        "spec": {
            "type": "ExternalName",
            "externalName": target,
            "selector": None,
            "clusterIP": None,
            "clusterIPs": None,
            "ports": None,
        }
    }
    command = (
        f"kubectl -n {case.namespace} patch service {case.name} -p {quote(json.dumps(patch, separators=(',', ':')))}"
    )
    return Remedy(f"then make this one an alias of {target}", command)


def _create(case: Case, namespace: str) -> Remedy:
    ports = [
        {
            **({"name": port.name} if port.name else {}),
            "port": port.port,
            "protocol": port.protocol,
            "targetPort": port.target_port if port.target_port is not None else port.port,
        }
        for port in case.ports
    ]
    spec = {"selector": case.selector, "ports": ports, **({"clusterIP": "None"} if case.is_headless else {})}
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": case.name, "namespace": namespace},
        "spec": spec,
    }
    create = f"echo {quote(json.dumps(manifest, separators=(',', ':')))} | kubectl apply -f -"
    return Remedy("create the Service where its Pods are", create)


def _no_workload(case: Case, elsewhere: list[str], complete: bool) -> Finding:
    selector = selector_text(case.selector)
    evidence = [Evidence("wanted", selector, f"service/{case.name} .spec.selector")]
    for key in case.selector:
        values = sorted({template.labels[key] for template in case.likely_templates if key in template.labels})
        evidence.append(
            Evidence(
                f"values of {key} here",
                listing(values, 8) or "none",
                f"Pods and Pod templates of namespace {case.namespace}",
            )
        )
    if elsewhere:
        evidence.append(Evidence("matches in", listing(elsewhere), "Pod templates of other namespaces"))
    elif not complete:
        evidence.append(Evidence("other namespaces", "none visible to you", "not all namespaces may be read"))
    search = f"kubectl get pods -A -l {quote(selector)}"
    return fail(
        "selector-no-workload",
        case.subject,
        f"no Pod and no workload in namespace {case.namespace} has {selector}, nor anything near it",
        *evidence,
        remedies=(
            Remedy("look for its Pods, and deploy what is missing", search, changes_cluster=False),
            Remedy("if nobody needs it any more, delete it", f"kubectl -n {case.namespace} delete service {case.name}"),
        ),
        because=_explained_by(case) or "workload-missing",
    )
