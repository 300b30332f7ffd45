"""Does the Service that Pods take their names from give these names out?

sts-service-selector-mismatch
    A StatefulSet names this Service in spec.serviceName, and its selector finds none of the set's Pods.
    Why it breaks      Cluster DNS has a name for each Pod that stands in the Service's endpoints: without an endpoint
                       there is none, and members of the set cannot find each other.
    Confirm by hand    kubectl -n {namespace} get statefulsets,pods --show-labels
    Fix                Give the Service the labels of the set's Pod template.
    Not a fault when   An operator labels the Pods that are to be found, as the primary of a database: then it finds
                       one of them.

sts-subdomain-mismatch
    The Service is headless and finds Pods, but these have another Service's name as their subdomain.
    Why it breaks      A Pod is <hostname>.<subdomain>: only the Service that is called like the subdomain gives that
                       name out. A StatefulSet puts its serviceName there when it makes a Pod.
    Confirm by hand    kubectl -n {namespace} get pods -l {selector} -o jsonpath='{.items[*].spec.subdomain}'
    Fix                Create the Service that they name; or make the Pods anew with the right subdomain.
    Not a fault when   The Service of that name is there and finds them: then this one is a second, for their addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.nearmiss import differences_of
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import Pod, Service
from svcdoctor.pods.template import Template, matches, template_of, top_owner
from svcdoctor.text import listing, patch_command, plural, quoted_json, selector_text

CHECK = Check(
    step=Step.DESCRIBE,
    codes={
        "sts-service-selector-mismatch": Code(Stage.EXPECTED_SET),
        "sts-subdomain-mismatch": Code(Stage.DNS, settles=False),
    },
    reads=("statefulsets", "pods", "services"),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    for statefulset in case.governed:
        template = template_of("StatefulSet", statefulset)
        if template.desired and not template.is_selected(case.selector):
            yield from filter(None, [_not_selected(case, template)])
    if case.is_headless:
        yield from filter(None, [_misnamed(case)])


# --- the selector --------------------------------------------------------------------------------------------------


def _not_selected(case: Case, template: Template) -> Finding | None:
    if any(matches(case.selector, pod.metadata.labels) for pod in case.pods_of(template)):
        return None  # by labels that they were given later
    differences = differences_of(case.selector, template.labels)
    wanted = selector_text({item.key: item.wanted for item in differences})
    found = listing([f"{item.found_key}={item.found}" if item.found_key else f"no {item.key}" for item in differences])
    slips = [item.slip for item in differences if item.slip]
    hint = f", misspelt in one of the two ({listing(slips)})" if slips else ""
    # A Service that finds others serves: only the names of this set's Pods are missing.
    say = warn if case.live_pods else fail
    return say(
        "sts-service-selector-mismatch",
        case.subject,
        f"{template.ref} names its Pods after this Service, which selects {wanted}; they have {found}{hint}",
        Evidence("serviceName", case.name, f"{template.ref} .spec.serviceName"),
        Evidence("wanted", wanted, f"service/{case.name} .spec.selector"),
        Evidence("found", found, f"{template.ref} .spec.template.metadata.labels"),
        remedies=(_select(case, template),),
        inferred=bool(case.live_pods),
    )


def _select(case: Case, template: Template) -> Remedy:
    if case.live_pods:
        look = f"kubectl -n {case.namespace} get statefulsets,services -o wide"
        return Remedy(f"create a headless Service of its own for {template.ref}", look, changes_cluster=False)
    labels = quote(selector_text(template.own_labels))
    command = f"kubectl -n {case.namespace} set selector service {case.name} {labels}"
    return Remedy(f"select the Pods of {template.ref}", command)


# --- the subdomain -------------------------------------------------------------------------------------------------


def _misnamed(case: Case) -> Finding | None:
    pods = [pod for pod in case.live_pods if pod.spec.hostname and pod.spec.subdomain not in (None, "", case.name)]
    if not pods or len(pods) != len(case.live_pods):
        return None
    first = pods[0]
    subdomain = first.spec.subdomain or ""
    namesake: Service | None = case.listed("services").get(subdomain)
    if namesake and (not namesake.spec.selector or matches(namesake.spec.selector, first.metadata.labels)):
        return None
    kind, owner = top_owner(first)
    renamed = any(kind == "StatefulSet" and item.metadata.name == owner for item in case.governed)
    named = f"{first.spec.hostname}.{case.name}"
    said = "which is not there" if namesake is None else "which does not find them"
    said = f"and statefulset/{owner} names {case.name}" if renamed else said
    # Its own name still resolves to all of them. Where a set names a Service that is missing, that is the fault.
    say = warn if kind == "StatefulSet" and not renamed else fail
    return say(
        "sts-subdomain-mismatch",
        case.subject,
        f"{named} does not resolve: {_whose(pods)} {subdomain} as subdomain, {said}",
        Evidence("subdomain", subdomain, f"pod/{first.metadata.name} .spec.subdomain"),
        Evidence("hostname", first.spec.hostname or "", f"pod/{first.metadata.name} .spec.hostname"),
        remedies=(_rename(case, first, renamed=renamed, exists=namesake is not None),),
    )


def _whose(pods: list[Pod]) -> str:
    return f"pod/{pods[0].metadata.name} has" if len(pods) == 1 else f"its {plural(len(pods), 'Pod')} have"


def _rename(case: Case, pod: Pod, *, renamed: bool, exists: bool) -> Remedy:
    kind, owner = top_owner(pod)
    if renamed:
        return Remedy(
            "make its Pods anew, with the name that the set says now",
            f"kubectl -n {case.namespace} rollout restart statefulset/{owner}",
        )
    if kind == "Deployment":
        patch = [{"op": "replace", "path": "/spec/template/spec/subdomain", "value": case.name}]
        command = patch_command(case.namespace, f"deployment {owner}", patch)
        return Remedy(f"make {case.name} the subdomain of its Pods", command)
    if exists:
        look = f"kubectl -n {case.namespace} describe service {pod.spec.subdomain}"
        return Remedy(f"let service {pod.spec.subdomain} find these Pods", look, changes_cluster=False)
    ports = [
        {**({"name": port.name} if port.name else {}), "port": port.port, "protocol": port.protocol}
        for port in case.ports
    ]
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": pod.spec.subdomain, "namespace": case.namespace},
        "spec": {"clusterIP": "None", "selector": case.selector, **({"ports": ports} if ports else {})},
    }
    command = f"echo {quoted_json(manifest)} | kubectl apply -f -"
    return Remedy(f"create the headless Service {pod.spec.subdomain}, which its Pods are named after", command)
