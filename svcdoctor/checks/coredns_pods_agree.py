"""Does each CoreDNS Pod answer, and as the others do?

dns-coredns-throttled
    Of several ready CoreDNS Pods one does not answer, or denies what the others know.
    Why it breaks      kube-proxy sends each query to one of them. Those that meet the bad one wait 5 s and ask again,
                       or are told that the name does not exist: the same lookup works now and fails the next moment.
                       Such a Pod is starved of CPU, cut off, or holds on to what it saw before; its readiness probe
                       (the `ready` plugin on port 8181) need not notice.
    Confirm by hand    kubectl -n kube-system port-forward pod/POD 5353:53 & dig +tcp @127.0.0.1 -p 5353
                       kubernetes.default.svc.cluster.local, for each POD with k8s-app=kube-dns
    Fix                Delete the Pod, its Deployment makes another; give CoreDNS more CPU, or more replicas.
    Not a fault when   The Corefile has just been changed: each Pod reads it by itself within two minutes. Pods that
                       have run for less than a minute, or are ending, are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from svcdoctor.case import case_of
from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, passed, skipped, unknown, warn
from svcdoctor.names.answer import is_right
from svcdoctor.names.corefile import within
from svcdoctor.names.lookup import Lookup, Lookups, service_name
from svcdoctor.text import listing, plural

CHECK = Check(
    step=Step.DNS,
    codes={"dns-coredns-throttled": Code(Stage.DNS, settles=False)},
    reads=("services", "pods", "endpointslices", "configmaps"),
    about="cluster",
)
KUBE_DNS = Subject("Service", "kube-system", "kube-dns")
YOUNG_SECONDS = 60.0  # a Service of which not every Pod need know yet, or which a cache still denies
HOW = "asked through a port-forward, over TCP in place of UDP"
ABSENT = ("nxdomain", "nodata")


def run(case: ClusterCase) -> Iterator[Finding]:
    said = case.dns_servers()
    if len(said) < 2:
        return
    refused = [one for one in said.values() if one.unavailable == "forbidden"]
    if refused:
        right = "create pods/portforward in namespace kube-system"
        yield skipped(KUBE_DNS, f"CoreDNS Pods were not asked one by one: needs {right}")
        return
    control = service_name("kubernetes", "default", case.zone)
    asked = {name: one for name, one in said.items() if _was_reached(one.answer(control))}
    well = {name: one for name, one in asked.items() if (answer := one.answer(control)) and answer.answered}
    if not well:
        return  # what is wrong with all of them shows where Pods ask
    for name, one in said.items():
        if name not in asked:
            answer = one.answer(control)
            why = answer.detail if answer else one.detail or one.unavailable or "the time was over"
            message = f"CoreDNS Pod {name} could not be asked: {why}"
            yield unknown("unknown-timeout", Subject("Pod", "kube-system", name), message)
    faults = [
        *(_silent(control, name, asked, well) for name in asked if name not in well),
        *(fault for name in well if (fault := _wrong(case, name, well))),
    ]
    yield from faults
    if not faults and len(well) > 1:
        names = min(sum(_is_inside(case, answer) for answer in one.lookups) for one in well.values())
        told = listing(sorted(well))
        yield passed(KUBE_DNS, f"{told} say the same of {plural(names, 'name')}, {HOW}")


def _was_reached(answer: Lookup | None) -> bool:
    """Whether it is the Pod that failed to answer, if anybody: a node may also be unable to forward ports."""
    return answer is not None and (answer.outcome != "error" or "refused" in answer.detail)


def _share(servers: int) -> Evidence:
    return Evidence("affected", f"about 1 of {servers} lookups of the whole cluster", "endpoints of kube-dns")


def _silent(control: str, name: str, asked: Mapping[str, Lookups], well: Mapping[str, Lookups]) -> Finding:
    short = control.rstrip(".")
    told = {name: asked[name].answer(control), **{other: one.answer(control) for other, one in well.items()}}
    denies = (answer := told[name]) is not None and answer.outcome in ABSENT
    does = (
        f"denies {short}, and {listing(sorted(well))} not"
        if denies
        else f"gives no answer, {listing(sorted(well))} one"
    )
    return warn(
        "dns-coredns-throttled",
        Subject("Pod", "kube-system", name),
        f"CoreDNS Pod {name} is ready, but {does}",
        *_evidence(told, short),
        _share(len(asked)),
        remedies=_remedies(asked[name], name, control),
    )


def _wrong(case: ClusterCase, name: str, well: Mapping[str, Lookups]) -> Finding | None:
    """What this Pod says wrongly of a Service that another tells rightly."""
    for answer in well[name].lookups:
        told = {other: found for other, one in well.items() if (found := one.answer(answer.name))}
        # Most names are the same everywhere: only of the others the Service is looked at.
        if all((found.outcome, found.addresses) == (answer.outcome, answer.addresses) for found in told.values()):
            continue
        if _is_wrong(case, answer, told):
            return _denied(case, name, answer, told, well[name])
    return None


def _is_inside(case: ClusterCase, answer: Lookup) -> bool:
    """Whether it is a Service's: of names outside the servers beyond may give each who asks another address."""
    return within(answer.name, f"svc.{case.zone}")


def _is_wrong(case: ClusterCase, answer: Lookup, told: Mapping[str, Lookup]) -> bool:
    if not _is_inside(case, answer):
        return False
    name, namespace, *_ = answer.name.split(".")
    service = case.or_without(lambda: case_of(case, namespace, name), None)
    if service is None or service.is_external_name or service.age(service.service) < YOUNG_SECONDS:
        return False
    # A Pod that did not find the time for one name has shown with the others that it answers.
    if answer.outcome in ("timeout", "error") or is_right(service, answer):
        return False
    if service.is_headless and not service.ready_endpoints:
        return False
    return any(found.answered and is_right(service, found) for found in told.values())


def _denied(case: ClusterCase, name: str, answer: Lookup, told: Mapping[str, Lookup], said: Lookups) -> Finding:
    short = answer.name.rstrip(".")
    right = next(other for other, found in sorted(told.items()) if found.answered and other != name)
    return warn(
        "dns-coredns-throttled",
        Subject("Pod", "kube-system", name),
        f"CoreDNS Pod {name} says {_told(answer)} for {short}, and {right} {_told(told[right])}",
        *_evidence(told, short),
        Evidence("unless", "the Corefile was changed within the last two minutes", "configmap/coredns in kube-system"),
        _share(len(told)),
        remedies=_remedies(said, name, answer.name),
        inferred=True,
    )


def _told(answer: Lookup | None) -> str:
    if answer is None:
        return "no answer"
    return listing(answer.addresses) if answer.answered else answer.outcome.upper()


def _evidence(told: Mapping[str, Lookup | None], name: str) -> Iterator[Evidence]:
    for server, answer in [*sorted(told.items())][:4]:
        yield Evidence(server, f"{name}: {_told(answer)}", HOW)


def _remedies(said: Lookups, name: str, asked: str) -> tuple[Remedy, ...]:
    return (
        Remedy("let its Deployment make another", f"kubectl -n kube-system delete pod {name}"),
        Remedy("ask it once more", said.command(asked), changes_cluster=False),
        Remedy("read its log", f"kubectl -n kube-system logs {name} --tail=20", changes_cluster=False),
    )
