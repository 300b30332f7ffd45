"""Can CoreDNS work with the configuration and the rights that it has?

dns-corefile-invalid
    The Corefile holds a line that CoreDNS refuses.
    Why it breaks      A CoreDNS that starts with it ends at once (CrashLoopBackOff). One that runs keeps its old
                       configuration without a word to anybody but its log, and dies of the new one at its next start.
    Confirm by hand    kubectl -n kube-system logs -l k8s-app=kube-dns --tail=20 (Error during parsing, Syntax error)
    Fix                Correct the line; CoreDNS reads its configuration again within two minutes.
    Not a fault when   CoreDNS was built with a plugin of that name.

dns-loop
    CoreDNS forwards queries to itself.
    Why it breaks      A name outside of the cluster is asked for in a circle. The loop plugin notices that at the start
                       and ends CoreDNS (CrashLoopBackOff), so that no name resolves at all; without it each such query
                       is multiplied until it times out.
    Confirm by hand    kubectl -n kube-system logs -l k8s-app=kube-dns --tail=20 (plugin/loop: Loop ... detected)
    Fix                Forward to the name servers beyond the cluster: addresses, or the node's /etc/resolv.conf.
    Not a fault when   Another name server listens on that address and port inside of CoreDNS's Pod.

dns-coredns-rbac
    The ClusterRole system:coredns does not let CoreDNS see Services or their endpoints.
    Why it breaks      CoreDNS answers from what it lists and watches. Without the right to it a new Pod of it never
                       becomes ready, and one that runs goes on answering from what it saw before: names of new
                       Services are NXDOMAIN.
    Confirm by hand    kubectl auth can-i list endpointslices -A --as=system:serviceaccount:kube-system:coredns
    Fix                Give the role list and watch on services, namespaces, pods and endpointslices.
    Not a fault when   Another role gives the same rights to CoreDNS's service account.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from svcdoctor.case import SETTLING_SECONDS
from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, warn
from svcdoctor.names.corefault import ROLE, Complaint, complaints, crashing
from svcdoctor.names.corefile import DEFAULT_FILE, Directive
from svcdoctor.text import listing, patch_command, plural
from svcdoctor.view import ClusterDNS

CHECK = Check(
    step=Step.DNS,
    codes={
        "dns-corefile-invalid": Code(Stage.DNS, settles=False),
        "dns-loop": Code(Stage.DNS, settles=False),
        "dns-coredns-rbac": Code(Stage.DNS),
    },
    reads=("services", "pods", "endpointslices", "configmaps", "clusterroles"),
    about="cluster",
)
COREFILE = Subject("ConfigMap", "kube-system", "coredns")
LOGS = Remedy(
    "read what CoreDNS says of it",
    "kubectl -n kube-system logs -l k8s-app=kube-dns --tail=20",
    changes_cluster=False,
)


def run(case: ClusterCase) -> Iterator[Finding]:
    dns = None if case.served_dns() else case.cluster_dns()
    if dns is None or not dns.pods:
        return
    found = case.or_without(lambda: _refused(case, dns), None) or case.or_without(lambda: _circle(case, dns), None)
    if found:
        yield found
    elif _may_be_blind(case, dns) and (missing := case.coredns_lacks()):
        yield _blind(dns, missing)


def _state(dns: ClusterDNS) -> Evidence:
    crashed = crashing(dns.pods)
    ready = f"{len(dns.ready_pods)} of {plural(len(dns.pods), 'Pod')} ready"
    restarts = sum(status.restart_count for pod in crashed[:1] for status in pod.status.container_statuses or ())
    ended = f", {plural(restarts, 'restart')} of {crashed[0].metadata.name}" if crashed else ""
    return Evidence("CoreDNS", f"{ready}{ended}", "pods in kube-system labelled k8s-app=kube-dns")


# --- its configuration ---------------------------------------------------------------------------------------------


def _refused(case: ClusterCase, dns: ClusterDNS) -> Finding | None:
    crashes = bool(crashing(dns.pods))
    found = [
        complaint
        for complaint in complaints(case.corefile_text(), case.corefile_imports())
        # Somebody may have built a plugin in. One that crashes, or a name that is a slip of a known one, says not.
        if complaint.certain or crashes or complaint.meant
    ]
    if not found:
        return None
    first = found[0]
    evidence = [Evidence("line", item.line, f"configmap/coredns in kube-system, {item.where}") for item in found[:3]]
    evidence.append(_state(dns))
    custom = first.where.partition(" line ")[0] != DEFAULT_FILE
    config = "coredns-custom" if custom else "coredns"
    meant = f": write {first.meant}" if first.meant else ""
    edit = Remedy(f"correct {first.where}{meant}", f"kubectl -n kube-system edit configmap {config}")
    message = f"CoreDNS refuses {first.where}: {first.why}"
    if dns.outage and crashes:
        return fail("dns-corefile-invalid", COREFILE, message, *evidence, remedies=(edit, LOGS))
    if crashes:
        message = f"{message}; the Pods that were started before still answer"
    else:
        message = f"{message}; it still runs with an older one, and cannot start again"
        evidence.append(_unless(first))
    return warn("dns-corefile-invalid", COREFILE, message, *evidence, remedies=(edit, LOGS), inferred=not crashes)


def _unless(complaint: Complaint) -> Evidence:
    if complaint.certain:
        return Evidence("unless", "this CoreDNS is of a version that accepts it", "log of CoreDNS")
    return Evidence("unless", "this CoreDNS was built with a plugin of that name", "log of CoreDNS")


def _circle(case: ClusterCase, dns: ClusterDNS) -> Finding | None:
    found = case.coredns_circle()
    if found is None:
        return None
    directive, target = found
    crashes = bool(crashing(dns.pods))
    evidence = [
        Evidence("line", directive.text, f"configmap/coredns in kube-system, {directive.where}"),
        _state(dns),
    ]
    message = f"CoreDNS forwards what it does not serve to {target}"
    if dns.outage and crashes:
        return fail("dns-loop", COREFILE, message, *evidence, remedies=(_forward(directive), LOGS))
    evidence.append(Evidence("unless", "CoreDNS has not read this line yet", "log of CoreDNS"))
    return warn(
        "dns-loop",
        COREFILE,
        f"{message}: names outside of the cluster do not resolve, and it ends when it is started again",
        *evidence,
        remedies=(_forward(directive), LOGS),
        inferred=True,
    )


def _forward(directive: Directive) -> Remedy:
    return Remedy(
        f"forward to /etc/resolv.conf of the node, or to a name server, in {directive.where}",
        "kubectl -n kube-system edit configmap coredns",
    )


# --- its rights ----------------------------------------------------------------------------------------------------


def _may_be_blind(case: ClusterCase, dns: ClusterDNS) -> bool:
    """Whether something is wrong that missing rights would explain: Pods that run and are not ready, names denied."""
    waiting = [
        pod
        for pod in dns.pods
        if pod.status.phase == "Running"
        and not is_ready(pod)
        and not case.is_younger(pod.status.start_time, SETTLING_SECONDS)
    ]
    return bool(waiting) or _denies_a_service(case)


def _denies_a_service(case: ClusterCase) -> bool:
    ending = f".svc.{case.zone}."
    for said in (case.world.lookups or {}).values():
        for answer in said.lookups:
            if answer.outcome == "nxdomain" and answer.name.endswith(ending):
                name, _, namespace = answer.name.removesuffix(ending).partition(".")
                if name in case.or_without(partial(case.listed, "services", namespace), {}):
                    return True
    return False


def _blind(dns: ClusterDNS, missing: list[str]) -> Finding:
    if dns.outage:
        message = f"CoreDNS may not {listing(missing)}: none of its Pods becomes ready"
    else:
        message = f"CoreDNS may not {listing(missing)}: it answers from what it saw before, and knows no new Service"
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    grant = patch_command("kube-system", f"clusterrole {ROLE}", {"rules": rules}).replace(" -n kube-system", "")
    return fail(
        "dns-coredns-rbac",
        Subject("ClusterRole", "", ROLE),
        message,
        Evidence("missing", listing(missing, 6), f"clusterrole/{ROLE} .rules"),
        _state(dns),
        Evidence("unless", "another role gives them to its service account", "clusterrolebindings"),
        remedies=(Remedy("give CoreDNS the rights that it needs", grant), LOGS),
        inferred=True,
    )
