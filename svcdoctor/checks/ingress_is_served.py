"""Does a controller serve the Ingresses that lead here?

ingress-class-missing
    An Ingress names a class that does not exist; or none, and no class is the default.
    Why it breaks      A controller takes up the Ingresses of its own class and leaves all others alone: this one gets
                       no address, and requests for its host meet a 404 or nobody. Calls from inside the cluster go to
                       the Service directly and work.
    Confirm by hand    kubectl -n {namespace} get ingress; kubectl get ingressclasses
    Fix                Name a class that exists: kubectl -n {namespace} patch ingress NAME --type=merge
                       -p '{"spec":{"ingressClassName":"CLASS"}}'
    Not a fault when   The Ingress has an address: then a controller serves it, told of the class by a flag.

ingress-no-controller
    The class of an Ingress exists, but no controller of it is seen, and the Ingress has been given no address.
    Why it breaks      An IngressClass is only a name. The controller that answers requests is a program of its own,
                       which may never have been installed, was removed, or does not run.
    Confirm by hand    kubectl get ingressclasses; kubectl get pods -A | grep -i ingress
    Fix                Install the controller, start it, or name a class whose controller runs.
    Not a fault when   The controller runs outside of the cluster, or writes no addresses into Ingresses.

ingress-controller-svc
    The Service through which requests reach the ingress controller is itself broken.
    Why it breaks      Every request for an Ingress first goes through the controller's own Service. Without ready
                       endpoints, or without the address it waits for, all Ingresses of its class are dead outside
                       however healthy their Services are.
    Confirm by hand    kubectl get services -A | grep -i ingress
    Fix                Diagnose that Service: its controller's Pods, or its load balancer.
    Not a fault when   Requests reach the controller another way: host ports, or a load balancer that nobody manages
                       from inside of the cluster.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES, given_addresses
from svcdoctor.entry.ingressclass import unserved
from svcdoctor.entrycase import EntryCase
from svcdoctor.finding import Evidence, Finding, Stage, Step, passed
from svcdoctor.objects import Ingress
from svcdoctor.text import listing

CHECK = Check(
    step=Step.ENTRY,
    codes={
        "ingress-class-missing": Code(Stage.ENTRY, settles=False),
        "ingress-no-controller": Code(Stage.ENTRY, settles=False),
        "ingress-controller-svc": Code(Stage.ENTRY),
    },
    reads=(*ENTRY_RESOURCES, "ingressclasses", "events", "pods", "services", "endpointslices"),
    about="service entry",
)


def run(case: Case | EntryCase) -> Iterator[Finding]:
    if isinstance(case, Case):
        yield from _leading_here(case)
    elif isinstance(case.entry.owner, Ingress) and not case.is_told_of_services:
        yield from unserved(case, case.entry.owner, case.subject)


def _leading_here(case: Case) -> Iterator[Finding]:
    # The step is unknown where Ingresses may not be listed: one that leads here may be broken.
    for entry in case.entries:
        if isinstance(entry.owner, Ingress):
            faults = list(unserved(case, entry.owner, case.subject))
            yield from faults
            if not faults:
                yield passed(
                    case.subject, f"ingress/{entry.name} leads here{_hosts(entry.owner)}", _address(entry.owner)
                )


def _hosts(ingress: Ingress) -> str:
    hosts = list(dict.fromkeys(rule.host for rule in ingress.spec.rules or () if rule.host))
    return f", for {listing(hosts)}" if hosts else ""


def _address(ingress: Ingress) -> Evidence:
    addresses = listing(given_addresses(ingress)) or "none yet"
    return Evidence("address", addresses, f"ingress/{ingress.metadata.name} .status.loadBalancer")
