"""Does the selector find the Pods it is meant to, or why are there none?

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

selector-stale-version
    The selector pins a version (a colour, a track, a release) that has no Pods any more; another version has.
    Why it breaks      After a blue-green switch the old colour was scaled down while the Service still selects it.
    Confirm by hand    kubectl -n {namespace} get deployments --show-labels
    Fix                Switch the selector to the version that runs, or scale the old one up again.
    Not a fault when   Another Service serves the version that runs.

workload-scaled-zero
    The selector fits a workload that is asked for no Pods.
    Why it breaks      Zero replicas make zero endpoints, and kube-proxy refuses connections.
    Confirm by hand    kubectl -n {namespace} get deployments,statefulsets,daemonsets
    Fix                kubectl -n {namespace} scale deployment NAME --replicas=N
    Not a fault when   Something scales it up on demand (Knative, KEDA).

workload-failed-create
    The selector fits a workload whose Pods the API server refuses to create.
    Why it breaks      The controller asks again and again, and each Pod is rejected at admission: by a ResourceQuota,
                       a LimitRange, PodSecurity, a webhook, or because its ServiceAccount is not there.
    Confirm by hand    kubectl -n {namespace} get events --field-selector reason=FailedCreate
    Fix                What the message names: raise the quota, meet the policy, create the ServiceAccount.
    Not a fault when   The workload was created or scaled a moment ago.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import NamedTuple

from svcdoctor.case import Case, EndpointView
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, note, passed, skipped, unknown
from svcdoctor.nearmiss import Difference, NearMiss
from svcdoctor.objects import Pod
from svcdoctor.reconcile import is_ready
from svcdoctor.template import WORKLOAD_RESOURCES, Template, matches, top_owner
from svcdoctor.text import duration, listing, plural, selector_text, shorten

CHECK = Check(
    step=Step.LABELS,
    codes={
        "selector-value-mismatch": Code(Stage.EXPECTED_SET),
        "selector-key-mismatch": Code(Stage.EXPECTED_SET),
        "selector-extra-label": Code(Stage.EXPECTED_SET),
        "selector-other-namespace": Code(Stage.EXPECTED_SET),
        "selector-no-workload": Code(Stage.EXPECTED_SET),
        "selector-stale-version": Code(Stage.EXPECTED_SET),
        "workload-scaled-zero": Code(Stage.EXPECTED_SET),
        "workload-failed-create": Code(Stage.EXPECTED_SET),
    },
    reads=(
        "services",
        "endpointslices",
        "pods",
        *WORKLOAD_RESOURCES,
        "events",
        "configmaps",
    ),
)

BATCH = ("Job", "CronJob")
# A controller has created its Pods long before this; what is missing then will not come by itself.
CREATED_WITHIN = 60.0
# The last part of a label key that tells releases of one application apart.
VERSION_KEYS = frozenset({"version", "color", "colour", "track", "release", "slot", "stage", "revision", "deployment"})


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        yield skipped(case.subject, "an alias selects no Pods" if case.is_external_name else "no selector")
        return
    staying = [pod for pod in case.live_pods if pod.metadata.deletion_timestamp is None]
    if staying:
        yield _found(case)
        return
    if not case.pods and (still := _still_in_slices(case)):
        # Read at two moments, or the controller has not followed yet: which of the two holds is seen next time.
        said = f"no Pod matches {selector_text(case.selector)} now, and the EndpointSlices still hold {listing(still)}"
        yield unknown("unknown-settling", case.subject, said)
        return
    wanted = [template for template in case.matching_templates if template.kind not in (*BATCH, "Pod")]
    if wanted:
        yield _without_pods(case, wanted)
    elif case.pods:
        yield _found(case, "terminating" if case.live_pods else "run to the end")
    elif case.matching_templates:
        owner = case.matching_templates[0].ref
        yield passed(case.subject, f"selects the Pods of {owner}, which has none between its runs")
    else:
        yield from _matching_nothing(case)


def _still_in_slices(case: Case) -> list[str]:
    """Pods that are gone, and that slices still call ready."""
    ready: list[EndpointView] = case.or_without(lambda: case.ready_endpoints, [])
    return [view.pod for view in ready if view.pod and view.pod not in case.listed("pods")]


def _found(case: Case, all_are: str = "") -> Finding:
    pods = case.live_pods or case.pods
    owners = sorted({f"{kind.lower()}/{name}" for kind, name in map(top_owner, pods)})
    match = f"{plural(len(pods), 'Pod')} match{'es' if len(pods) == 1 else ''} {selector_text(case.selector)}"
    evidence = Evidence("owned by", listing(owners), "pods .metadata.ownerReferences")
    return passed(case.subject, f"{match}, all {all_are}" if all_are else match, evidence)


# --- a workload fits, and has no Pods ----------------------------------------------------------------------------


def _without_pods(case: Case, wanted: list[Template]) -> Finding:
    asked = [template for template in wanted if template.desired != 0 and not _fits_no_node(template)]
    for template in asked:
        refused = _refusal(case, template)
        if refused:
            return refused
    if asked and case.live_pods:
        return _found(case, "terminating")
    if asked:
        return _missing(case, asked[0])
    template = next((template for template in wanted if template.desired == 0), wanted[0])
    if case.is_deliberately_idle:
        message = f"{template.ref} is scaled to zero until it is asked for"
        return note("workload-scaled-zero", case.subject, message, _replicas(template))
    return _stale_version(case, template) or _scaled_zero(case, template)


def _fits_no_node(template: Template) -> bool:
    return template.kind == "DaemonSet" and template.owner.status.desired_number_scheduled == 0


def _replicas(template: Template) -> Evidence:
    if template.kind == "DaemonSet":
        return Evidence("nodes that fit", "0", f"{template.ref} .status.desiredNumberScheduled")
    return Evidence("replicas", "0", f"{template.ref} .spec.replicas")


def _scaled_zero(case: Case, template: Template) -> Finding:
    if template.kind == "DaemonSet":
        message = f"no node fits {template.ref}, so it runs no Pods"
        fields = "'{.spec.template.spec.nodeSelector} {.spec.template.spec.affinity}'"
        command = f"kubectl -n {case.namespace} get daemonset {template.name} -o jsonpath={fields}"
        remedy = Remedy("compare its nodeSelector and affinity with the nodes' labels", command, changes_cluster=False)
    else:
        message = f"{template.ref} is scaled to 0 replicas"
        command = f"kubectl -n {case.namespace} scale {template.ref} --replicas=1"
        remedy = Remedy(f"scale {template.ref} up", command)
    return fail("workload-scaled-zero", case.subject, message, _replicas(template), remedies=(remedy,))


def _stale_version(case: Case, pinned_to: Template) -> Finding | None:
    """The pinned version is at zero while another version of the same application is ready and served by nobody."""
    for key, pinned in case.selector.items():
        if re.split(r"[./]", key)[-1].lower() not in VERSION_KEYS:
            continue
        others = {name: value for name, value in case.selector.items() if name != key}
        for sibling in case.templates():
            value = sibling.labels.get(key, pinned)
            ready = sum(is_ready(pod) for pod in _pods_of(case, sibling))
            if value == pinned or not matches(others, sibling.labels) or not ready or _is_served(case, sibling):
                continue
            return fail(
                "selector-stale-version",
                case.subject,
                f"the selector pins {key}={pinned}, which is scaled to 0; {sibling.ref} runs {key}={value}",
                Evidence("pinned", f"{key}={pinned}", f"service/{case.name} .spec.selector"),
                _replicas(pinned_to),
                Evidence("running", f"{key}={value}, {plural(ready, 'ready Pod')}", _labels_source(sibling)),
                remedies=(_set_selector(case, {**case.selector, key: value}, f"switch the Service to {key}={value}"),),
            )
    return None


def _is_served(case: Case, template: Template) -> bool:
    return (template.kind, template.name) in case.selected_by_others


def _pods_of(case: Case, template: Template) -> list[Pod]:
    return case.pods_of(template)


class Refusal(NamedTuple):
    """What the API server says when it creates no Pod, what that is called, and how to look at it."""

    pattern: re.Pattern[str]
    reason: str
    do: str
    command: str


REFUSALS = (
    Refusal(
        re.compile(r"exceeded quota|failed quota|must specify"),
        "the namespace's ResourceQuota leaves no room",
        "compare what the quota allows with what is used, then raise it or free some",
        "kubectl -n {namespace} describe resourcequota",
    ),
    Refusal(
        re.compile(r"(?:maximum|minimum) \S+ usage per|limit to request ratio"),
        "a LimitRange does not allow its resources",
        "compare the LimitRange with the containers' resources",
        "kubectl -n {namespace} describe limitrange",
    ),
    Refusal(
        re.compile(r"violates PodSecurity"),
        "PodSecurity admission rejects them",
        "see which level the namespace enforces, then meet it in the Pod template's securityContext",
        "kubectl get namespace {namespace} --show-labels",
    ),
    Refusal(
        re.compile(r"failed calling webhook|admission webhook|failed to call webhook"),
        "an admission webhook rejects them or does not answer",
        "find the webhook that the message names, and the Service behind it",
        "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
    ),
    Refusal(
        re.compile(r"service ?account", re.IGNORECASE),
        "their ServiceAccount does not exist",
        "create the ServiceAccount",
        "kubectl -n {namespace} create serviceaccount {account}",
    ),
)


def _refusal(case: Case, template: Template) -> Finding | None:
    evidence = _failed_create(case, template)
    if evidence is None:
        return None
    known = next((refusal for refusal in REFUSALS if refusal.pattern.search(evidence.value)), None)
    reason = known.reason if known else "the API server rejects them"
    return fail(
        "workload-failed-create",
        case.subject,
        f"the Pods of {template.ref} cannot be created: {reason}",
        evidence,
        remedies=(_after_refusal(template, known, evidence.value),),
    )


def _after_refusal(template: Template, known: Refusal | None, message: str) -> Remedy:
    if known is None:
        events = f"kubectl -n {template.namespace} get events --field-selector reason=FailedCreate"
        return Remedy("read why", events, changes_cluster=False)
    account = re.search(r'serviceaccount "([^"]+)" not found', message)
    if "{account}" in known.command and not account:
        return Remedy("see which exist", f"kubectl -n {template.namespace} get serviceaccounts", changes_cluster=False)
    command = known.command.format(namespace=template.namespace, account=quote(account[1]) if account else "")
    return Remedy(known.do, command, changes_cluster=bool(account))


def _failed_create(case: Case, template: Template) -> Evidence | None:
    """The API server's words, from the workload's own condition, its ReplicaSets' or the last event."""
    owned = [
        item
        for item in case.listed("replicasets").values()
        if any(
            owner.kind == template.kind and owner.name == template.name
            for owner in item.metadata.owner_references or ()
        )
    ]
    for kind, item in [(template.kind, template.owner), *(("ReplicaSet", item) for item in owned)]:
        for condition in item.status.conditions or ():
            if condition.type == "ReplicaFailure" and condition.status == "True":
                source = f"{kind.lower()}/{item.metadata.name} .status.conditions[ReplicaFailure]"
                return Evidence("refused", shorten(condition.message or condition.reason or "", 300), source)
    names = [(template.kind, template.name), *(("ReplicaSet", item.metadata.name) for item in owned)]
    for kind, name in names:
        events = case.or_without(lambda kind=kind, name=name: case.events(kind, name), [])  # type: ignore[misc]
        refused = [event for event in events if event.reason == "FailedCreate"]
        if refused:
            return Evidence(
                "refused", shorten(refused[-1].message or "", 300), f"event FailedCreate of {kind.lower()}/{name}"
            )
    return None


def _missing(case: Case, template: Template) -> Finding:
    """Pods are asked for, none matches, and nothing says that they were refused."""
    owner = template.owner
    others = [pod for pod in _pods_of(case, template) if not matches(case.selector, pod.metadata.labels)]
    if others and not _is_settled(case, template):
        message = f"{template.ref} is being rolled out, and none of its {plural(len(others), 'Pod')} matches yet"
        return unknown("unknown-settling", case.subject, message, _desired(template))
    if others:
        return _old_pods(case, template, others)
    if owner.spec.paused:
        return fail(
            "workload-failed-create",
            case.subject,
            f"{template.ref} was paused before it made any Pods",
            Evidence("paused", "true", f"{template.ref} .spec.paused"),
            remedies=(Remedy("let it run", f"kubectl -n {case.namespace} rollout resume {template.ref}"),),
        )
    waited = _missing_for(case, template)
    if waited < CREATED_WITHIN:
        message = f"{template.ref} has no Pods yet, {duration(waited)} after they were asked for"
        return unknown("unknown-settling", case.subject, message, _desired(template))
    seen = owner.status.observed_generation
    behind = seen is None or seen < owner.metadata.generation
    why = "its controller has not seen it" if behind else "nothing says why (events are kept for an hour)"
    events = f"kubectl -n {case.namespace} describe {template.ref}"
    return fail(
        "workload-failed-create",
        case.subject,
        f"{template.ref} has no Pods; {why}",
        _desired(template),
        Evidence(
            "seen by its controller",
            f"generation {seen or 'none'} of {owner.metadata.generation}",
            f"{template.ref} .status.observedGeneration",
        ),
        remedies=(Remedy("read its conditions and events", events, changes_cluster=False),),
        inferred=True,
    )


def _desired(template: Template) -> Evidence:
    if template.desired is None:
        return Evidence("Pods", "0", f"{template.ref} .status")
    return Evidence("Pods", f"0 of {template.desired}", f"{template.ref} .spec.replicas")


def _missing_for(case: Case, template: Template) -> float:
    """Seconds since the workload had its Pods or was created, as far as objects say."""
    unavailable = [
        case.seconds_since(condition.last_transition_time)
        for condition in template.owner.status.conditions or ()
        if condition.type == "Available" and condition.status == "False"
    ]
    return min([case.age(template.owner), *(seconds for seconds in unavailable if seconds is not None)])


def _is_settled(case: Case, template: Template) -> bool:
    """Whether its controller says that it does nothing more, or has said nothing for longer than it needs."""
    for condition in template.owner.status.conditions or ():
        if condition.type == "Progressing":
            return bool(condition.status == "False" or condition.reason == "NewReplicaSetAvailable")
    return case.age(template.owner) > CREATED_WITHIN


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
    # What the right selector would run into next.
    if nearest.template.desired == 0:
        yield _scaled_zero(case, nearest.template)
    elif not _pods_of(case, nearest.template):
        yield from filter(None, [_refusal(case, nearest.template)])


def _near_miss(case: Case, miss: NearMiss) -> Finding:
    template = miss.template
    wanted = selector_text({item.key: item.wanted for item in miss.differences})
    found = listing([_found_pair(item) for item in miss.differences])
    said = f"{template.ref} has {'the rest of the selector, but ' if miss.kind == 'extra-label' else ''}{found}"
    if miss.is_misspelt:
        said += ", misspelt in one of the two"
    doubt = (
        ()
        if miss.strong
        else (Evidence("also possible", f"the workload with {wanted} is not deployed", f"namespace {case.namespace}"),)
    )
    return fail(
        f"selector-{miss.kind}",
        case.subject,
        f"no Pod matches {wanted}; {said}",
        Evidence("wanted", wanted, f"service/{case.name} .spec.selector"),
        Evidence("found", found, _labels_source(template)),
        *doubt,
        remedies=(_repair(case, miss),),
        inferred=not miss.strong,
    )


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
    return [item.ref for item in case.templates() if matches(selector, item.labels)] == [template.ref]


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
        }
    }
    command = (
        f"kubectl -n {case.namespace} patch service {case.name} -p {quote(json.dumps(patch, separators=(',', ':')))}"
    )
    return Remedy(f"make this one an alias of {target}", command)


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
        values = sorted({template.labels[key] for template in case.templates() if key in template.labels})
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
    )
