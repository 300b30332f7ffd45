"""Does the kubelet of each node tell its Pods to ask kube-dns?

dns-kubelet-clusterdns-wrong
    Pods of a node are told to ask name servers that do not know the cluster.
    Why it breaks      The kubelet writes its own clusterDNS into the resolv.conf of each Pod with dnsPolicy
                       ClusterFirst. Where that is another address than kube-dns has (a node from another installer,
                       kube-dns made anew with another ClusterIP), nobody answers there; where it is not set, Pods get
                       the name servers of the node, and the event MissingClusterDNS. No Service resolves on that node,
                       while Pods of other nodes are well.
    Confirm by hand    kubectl -n NAMESPACE exec POD -- cat /etc/resolv.conf
                       kubectl get --raw /api/v1/nodes/NODE/proxy/configz (clusterDNS)
    Fix                Set clusterDNS in the kubelet's configuration to the ClusterIP of kube-dns, restart the kubelet,
                       and make the Pods of the node anew: a Pod keeps the resolv.conf that it was started with.
    Not a fault when   Something else answers at that address, such as a cache on each node: as soon as one name
                       resolves there, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail
from svcdoctor.names.lookup import CONTROL, Lookups
from svcdoctor.names.nameserver import is_told_of_cluster_dns, misled
from svcdoctor.objects import Pod
from svcdoctor.policies.adminpolicy import OTHER_KINDS
from svcdoctor.policies.traffic import kept_from_dns
from svcdoctor.text import listing

CHECK = Check(
    step=Step.DNS,
    codes={"dns-kubelet-clusterdns-wrong": Code(Stage.DNS, settles=False)},
    reads=("services", "pods", "endpointslices", "namespaces", "networkpolicies", *OTHER_KINDS),
    about="cluster",
)


def run(case: ClusterCase) -> Iterator[Finding]:
    def look() -> list[Lookups]:
        return [said for said in (case.world.lookups or {}).values() if said.vantage.kind == "exec"]

    told = case.shared("what Pods were told", look)
    by_node: dict[str, tuple[Pod, Lookups]] = {}
    for said in case.shared("Pods that were told nothing", lambda: [one for one in look() if not one.any_answered]):
        pod = misled(case, said)
        if pod is not None and pod.spec.node_name and not kept_from_dns(case, said.vantage):
            by_node.setdefault(pod.spec.node_name, (pod, said))
    for node, (pod, said) in sorted(by_node.items()):
        yield _misled(case, node, pod, said, told)


def _misled(case: ClusterCase, node: str, pod: Pod, said: Lookups, told: list[Lookups]) -> Finding:
    dns = case.kube_dns()
    own = (dns.spec.cluster_ip or "") if dns else ""
    config, control = said.resolv_conf, said.answer(CONTROL)
    servers = listing(config.nameservers) if config else ""
    outcome = control.outcome.upper() if control else ""
    others = dict(_elsewhere(case, node, told))
    evidence = [
        Evidence("nameservers", servers, f"resolv.conf of pod/{pod.metadata.name}, {said.vantage.text}"),
        Evidence("kube-dns", own, "service/kube-dns in kube-system .spec.clusterIP"),
        Evidence("dnsPolicy", pod.spec.dns_policy or "ClusterFirst", f"pod/{pod.metadata.name} .spec.dnsPolicy"),
        Evidence(f"asked for {CONTROL}", outcome, said.vantage.text),
        *(Evidence(f"Pods on {other}", f"ask {listing(heard)}", source) for other, (heard, source) in others.items()),
    ]
    return fail(
        "dns-kubelet-clusterdns-wrong",
        Subject("Node", "", node),
        f"Pods on {node} are told to ask {servers} for names, and kube-dns is {own}: no Service resolves there",
        *evidence[:6],
        remedies=(
            Remedy(
                "see what its kubelet tells Pods (clusterDNS)",
                f"kubectl get --raw /api/v1/nodes/{node}/proxy/configz",
                changes_cluster=False,
            ),
            Remedy(f"on {node} set clusterDNS to {own}, restart the kubelet, and make the Pods there anew"),
        ),
        pods=(pod.metadata.name,),
    )


def _elsewhere(case: ClusterCase, node: str, told: list[Lookups]) -> Iterator[tuple[str, tuple[tuple[str, ...], str]]]:
    """Other nodes whose Pods were asked and are well, for comparison."""
    for said in told:
        pods = case.or_without(lambda said=said: case.listed("pods", said.vantage.namespace), {})  # type: ignore[misc]
        pod: Pod | None = pods.get(said.vantage.pod)
        if pod is None or pod.spec.node_name == node or not is_told_of_cluster_dns(pod):
            continue
        if said.resolv_conf and said.any_answered:
            yield pod.spec.node_name or "", (said.resolv_conf.nameservers, said.vantage.text)
