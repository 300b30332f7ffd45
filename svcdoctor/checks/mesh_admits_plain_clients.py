"""Do the Pods accept connections from callers without a proxy?

mesh-mtls-strict-plain-client
    The Pods accept only mutual TLS, and a workload that names the Service has no proxy to speak it.
    Why it breaks      With mode STRICT the server's proxy resets every connection that does not begin with the mesh's
                       mutual TLS. A client outside of the mesh speaks plain text, and has no certificate either.
    Confirm by hand    kubectl get peerauthentications -A; kubectl get pods -A -o wide, for Pods without a proxy
    Fix                Give the client a proxy (label its namespace, restart it), or set the mode to PERMISSIVE.
    Not a fault when   The workload mentions the Service and never calls it.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail
from svcdoctor.objects import CustomObject
from svcdoctor.pods.template import TEMPLATE_KINDS
from svcdoctor.policies.mesh import (
    AMBIENT,
    ISTIO,
    MEMBERS_OF_ISTIO,
    PLAIN,
    Caller,
    asks_for,
    callers_of,
    enrolment,
    is_hinted_at,
    mutual_tls,
    namespace_of,
    ref,
    servers_of,
)
from svcdoctor.text import listing, patch_command, plural

CHECK = Check(
    step=Step.CONNECT,
    codes={"mesh-mtls-strict-plain-client": Code(Stage.ENTRY, settles=False)},
    reads=("namespaces", "configmaps", "peerauthentications", *TEMPLATE_KINDS),
)
RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector or not is_hinted_at(case):
        return
    policy = _strict_policy(case)
    plain = [caller for caller in callers_of(case) if caller.mesh not in MEMBERS_OF_ISTIO] if policy else []
    if policy and plain:
        yield _turned_away(case, policy, plain)


def _strict_policy(case: Case) -> CustomObject | None:
    """What makes every Pod refuse plain text on every port; None where one of them takes it."""
    first = None
    for server in servers_of(case):
        for port in case.ports:
            mode, policy = mutual_tls(case, server, case.namespace, case.target_of(port, server.spec))
            if server.mesh not in MEMBERS_OF_ISTIO or mode != "STRICT":
                return None
            first = first or policy
    return first


def _turned_away(case: Case, policy: CustomObject, plain: list[Caller]) -> Finding:
    names = listing([caller.name_from(case) for caller in plain])
    return fail(
        "mesh-mtls-strict-plain-client",
        case.subject,
        f"its Pods accept mutual TLS only, and {names} {'has' if len(plain) == 1 else 'have'} no proxy to speak it",
        Evidence("mode", "STRICT", f"{ref(policy, 'peerauthentication', case.namespace)} .spec.mtls.mode"),
        *(
            Evidence("no proxy", f"{plural(len(caller.pods), 'Pod')} of {caller.name_from(case)}", caller.source)
            for caller in plain[:3]
        ),
        remedies=(*_bring_in(case, plain[0]), _accept_plain(policy)),
    )


def _bring_in(case: Case, caller: Caller) -> Iterator[Remedy]:
    """A proxy for the client: by its namespace's label, if that is all that it lacks, and a restart."""
    kind, namespace, name = caller.subject.kind, caller.subject.namespace, caller.subject.name
    pod = caller.pods[0]
    asked = asks_for(pod.metadata, pod.spec, namespace_of(case, namespace))
    label = enrolment(case, case.namespace)
    if asked == PLAIN:
        command = f"kubectl label namespace {namespace} {label} --overwrite"
        yield Remedy(f"take namespace {namespace} into the mesh", command)
    if asked in (PLAIN, ISTIO) and kind in RESTARTABLE and not label.endswith(AMBIENT):
        command = f"kubectl -n {namespace} rollout restart {kind.lower()}/{name}"
        yield Remedy(
            "then replace the client's Pods, so that they have a proxy"
            if asked == PLAIN
            else "replace the client's Pods",
            command,
        )


def _accept_plain(policy: CustomObject) -> Remedy:
    item = f"peerauthentication {policy.metadata.name}"
    command = patch_command(policy.metadata.namespace, item, {"spec": {"mtls": {"mode": "PERMISSIVE"}}})
    return Remedy("or accept plain text beside mutual TLS while clients move", command)
