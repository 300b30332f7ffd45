"""Is there such a name as an ExternalName Service is an alias of?

extname-unresolvable
    The externalName is a name outside of the cluster that does not exist.
    Why it breaks      An ExternalName is a CNAME record and nothing else: CoreDNS asks the servers that it forwards to
                       for the target, and they say NXDOMAIN (a typing error, a host that was taken away, a zone that
                       only other name servers know). Of the alias itself CoreDNS then gives an empty answer.
    Confirm by hand    kubectl -n {namespace} exec POD -- nslookup EXTERNALNAME. (with a final dot)
    Fix                Write the name that is meant into .spec.externalName, or create it; where only a company's
                       servers know its zone, forward that zone to them in the Corefile.
    Not a fault when   The name was created within the last minutes: caches go on denying it for as long as its zone
                       lets them. Nothing is said where no server answered, or one failed to find out (SERVFAIL).
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail
from svcdoctor.names.lookup import Lookup, Lookups, outside_name

CHECK = Check(
    step=Step.DNS,
    codes={"extname-unresolvable": Code(Stage.DNS)},
    reads=("services", "pods", "endpointslices", "configmaps"),
)


def run(case: Case) -> Iterator[Finding]:
    target = outside_name(case.service, case.zone) if case.is_external_name else ""
    if not target or not case.is_probed or case.may_fail_already:
        return
    heard = list(_heard(case, target))
    if any(answer.answered or answer.outcome == "nodata" for _, answer in heard):
        return  # somebody knows it
    denied = [(said, answer) for said, answer in heard if answer.outcome == "nxdomain" and not answer.concluded]
    if denied:
        yield _denied(case, target, denied)


def _heard(case: Case, target: str) -> Iterator[tuple[Lookups, Lookup]]:
    """What the target was answered with, by those who know the names of the cluster."""
    asked = [case.dns, *case.dns_servers().values()]
    for said in asked:
        if said is not None and said.knows_the_cluster(case.zone) and (answer := said.answer(target)):
            yield said, answer


def _denied(case: Case, target: str, denied: list[tuple[Lookups, Lookup]]) -> Finding:
    name = target.rstrip(".")
    said = denied[0][0]
    return fail(
        "extname-unresolvable",
        case.subject,
        f"alias of {name}, and there is no such name (NXDOMAIN)",
        Evidence("externalName", case.spec.external_name or "", f"service/{case.name} .spec.externalName"),
        *(Evidence(f"asked for {name}", "NXDOMAIN", one.vantage.text) for one, _ in denied[:3]),
        remedies=(
            Remedy("point it at the name that is meant", f"kubectl -n {case.namespace} edit service {case.name}"),
            Remedy("ask once more", said.command(target), changes_cluster=False),
        ),
    )
