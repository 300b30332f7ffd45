"""Do the Pods have addresses of the families that the Service asks for?

slice-family-empty
    Pods are ready, and none has an address of a family that the Service has: its slices of that family are empty.
    Why it breaks      Each family has slices and a ClusterIP of its own. Clients that take the address of the empty one
                       are refused; in a Service of two families these are the clients that try IPv6 first.
    Confirm by hand    kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name}
                       kubectl -n {namespace} get pods -l {selector} -o jsonpath='{.items[*].status.podIPs}'
    Fix                Ask for the family that the Pods have; the first of ipFamilies cannot be changed in place.
    Not a fault when   The Service is headless and the other family serves: then only its addresses are given out.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.endpoints.reconcile import families, is_ready, pod_addresses
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail, warn
from svcdoctor.objects import Pod
from svcdoctor.text import listing, patch_command, plural, quoted_json

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={"slice-family-empty": Code(Stage.SLICES_AGREE)},
    reads=("endpointslices", "pods"),
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        return
    pods = [pod for pod in case.live_pods if is_ready(pod) and not pod.metadata.deletion_timestamp]
    asked = families(case.service)
    served = [family for family in asked if any(_has(pod, family) for pod in pods)]
    empty = [family for family in asked if family not in served]
    if not pods or not empty or (served and case.is_headless):
        return
    if not any(view.ready and view.slice.address_type in empty for view in case.endpoints):
        yield _empty(case, pods, empty[0], served)


def _has(pod: Pod, family: str) -> bool:
    return any((":" in address) == (family == "IPv6") for address in pod_addresses(pod))


def _empty(case: Case, pods: list[Pod], family: str, served: list[str]) -> Finding:
    owned = [piece for piece in case.slices if piece.address_type == family]
    count = sum(len(piece.endpoints or ()) for piece in owned)
    who = plural(len(pods), "ready Pod")
    say = warn if served else fail
    return say(
        "slice-family-empty",
        case.subject,
        f"it asks for {family}, and none of its {who} has an {family} address"
        if len(pods) > 1
        else f"it asks for {family}, and its one ready Pod has no {family} address",
        Evidence("families", listing(families(case.service)), f"service/{case.name} .spec.ipFamilies"),
        Evidence("slices", f"{count} {family} endpoints", f"endpointslices labelled for {case.name} .addressType"),
        Evidence("Pod", listing(pod_addresses(pods[0])), f"pod/{pods[0].metadata.name} .status.podIPs"),
        remedies=(_remedy(case, pods[0], served),),
    )


def _remedy(case: Case, pod: Pod, served: list[str]) -> Remedy:
    wanted = "IPv6" if _has(pod, "IPv6") else "IPv4"
    patch: dict[str, object] = {"ipFamilyPolicy": "SingleStack", "ipFamilies": [wanted]}
    if served and families(case.service)[0] == wanted:
        patch["clusterIPs"] = [case.spec.cluster_ip]
        command = patch_command(case.namespace, f"service {case.name}", {"spec": patch})
        return Remedy(f"ask for {wanted} alone", command)
    ports = [
        {
            **({"name": port.name} if port.name else {}),
            "port": port.port,
            "protocol": port.protocol,
            "targetPort": port.target_port if port.target_port is not None else port.port,
        }
        for port in case.ports
    ]
    headless = {"clusterIP": "None"} if case.is_headless else {}
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": case.name, "namespace": case.namespace},
        "spec": {**headless, **patch, "selector": case.selector, "ports": ports},
    }
    command = f"echo {quoted_json(manifest)} | kubectl replace --force -f -"
    return Remedy(f"create the Service again for {wanted} (its clients lose the address for a moment)", command)
