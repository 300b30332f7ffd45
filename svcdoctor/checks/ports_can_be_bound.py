"""Can the containers have the ports that they want?

port-sidecar-conflict
    Two containers of a Pod want the same port, and one of them ends each time it starts.
    Why it breaks      Containers of a Pod share one network: a port can be taken once. The second to start finds it in
                       use and ends; the Pod is never ready as a whole.
    Confirm by hand    kubectl -n {namespace} logs POD -c CONTAINER --previous
    Fix                Move one of the two to another port.
    Not a fault when   The container ends for another reason: where its log is not part of its status, this is inferred.

port-privileged-bind
    A container wants a port below 1024 and may not have it, so it ends each time it starts.
    Why it breaks      Ports below net.ipv4.ip_unprivileged_port_start belong to root, or to who has the capability
                       NET_BIND_SERVICE. A program that runs as another user gets: permission denied.
    Confirm by hand    kubectl -n {namespace} logs POD --previous
    Fix                Let the program listen on a high port, or set the sysctl in the Pod's securityContext.
    Not a fault when   The container runtime opens low ports to all, as containerd does since version 2.

port-hostport-conflict
    A Pod waits for a port of the node itself, and no node that it may run on has that port free.
    Why it breaks      hostPort, and every port of a Pod on the host network, is taken on the node: one Pod a node.
    Confirm by hand    kubectl -n {namespace} get pods -o wide
    Fix                Remove the hostPort: the Service reaches the Pods without it. Or run fewer Pods than nodes.
    Not a fault when   The Pod that holds the port is about to go, as in a rollout.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Finding, Stage, Step
from svcdoctor.pods.podverdict import verdicts
from svcdoctor.pods.template import WORKLOAD_RESOURCES
from svcdoctor.policies.adminpolicy import OTHER_KINDS

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={
        "port-sidecar-conflict": Code(Stage.PODS_READY),
        "port-privileged-bind": Code(Stage.PODS_READY),
        "port-hostport-conflict": Code(Stage.POD_ADDRESSES),
    },
    reads=(
        "pods",
        "events",
        "nodes",
        *WORKLOAD_RESOURCES,
        "services",
        "endpointslices",
        "configmaps",
        "networkpolicies",
        *OTHER_KINDS,
        "namespaces",
    ),
)


def run(case: Case) -> Iterator[Finding]:
    if case.selector and not case.is_external_name:
        yield from verdicts(case, CHECK.codes)
