"""Do the Pods become ready, and if not, what stops them?

pods-pending-unschedulable
    No node takes the Pod: it has no address and cannot start.
    Why it breaks      The scheduler finds no node with the labels, the room, the ports or the tolerated taints that the
                       Pod asks for, or no scheduler of the name it asks for is running.
    Confirm by hand    kubectl -n {namespace} get pods --field-selector=status.phase=Pending -o wide
    Fix                Change what the Pod asks for, or give a node the label or the room it lacks.
    Not a fault when   The Pod is younger than 30 s, or a cluster autoscaler is bringing up a node for it.

pods-pending-pvc
    The Pod waits for a volume: its claim is not bound, or the volume is not attached or mounted.
    Why it breaks      A Pod starts only when all its volumes are there. A claim stays unbound when it names a
                       StorageClass that does not exist; a ReadWriteOnce volume can be attached to one node only.
    Confirm by hand    kubectl -n {namespace} get pvc
    Fix                Name a StorageClass that exists, create the volume, or free it on the node that holds it.
    Not a fault when   The volume is being made, within the first 30 s.

pods-image-pull
    The image cannot be pulled.
    Why it breaks      The registry has no such image or tag, refuses access, limits pulls, or cannot be reached from
                       the node. The container never starts.
    Confirm by hand    kubectl -n {namespace} get events --field-selector=reason=Failed
    Fix                Correct the name, add the pull secret, or give the node a way to the registry.
    Not a fault when   The image is large and still on its way.

pods-config-error
    A container cannot be created: a ConfigMap, Secret or key it needs is missing, or its command does not exist.
    Why it breaks      The kubelet puts environment, volumes and command together before the start; one piece missing
                       stops it each time.
    Confirm by hand    kubectl -n {namespace} describe pods
    Fix                Create what is missing, or name what exists.
    Not a fault when   The object is created a moment later: the kubelet tries again by itself.

pods-init-blocked
    An init container does not finish, and the containers that serve wait for it.
    Why it breaks      Init containers run one after another to their end before anything else starts. They often wait
                       for another Service: then that one is the fault to look at.
    Confirm by hand    kubectl -n {namespace} get pods -o wide
    Fix                What the init container waits for, or its command.
    Not a fault when   It does long work, such as a migration, and ends by itself.

pods-native-sidecar-blocked
    A sidecar (an init container with restartPolicy Always) does not start, and the other containers wait for it.
    Why it breaks      The next container begins only when the sidecar has started and passed its startup probe.
    Confirm by hand    kubectl -n {namespace} describe pods
    Fix                Whatever stops the sidecar: its log and its startup probe say.
    Not a fault when   It has just started.

pods-crashloop
    A container ends again and again.
    Why it breaks      While it is down, and for longer each time (up to five minutes), the Pod is not ready and gets no
                       requests. A process that runs to its end with exit code 0 is restarted in the same way.
    Confirm by hand    kubectl -n {namespace} get pods; kubectl -n {namespace} logs POD --previous
    Fix                What the last lines of its log say.
    Not a fault when   It was restarted long ago and has stayed up since.

pods-oomkilled
    The kernel kills a container because it uses more memory than its limit.
    Why it breaks      The container ends at once, with every request that it was answering.
    Confirm by hand    kubectl -n {namespace} get pods -o jsonpath='{.items[*].status.containerStatuses[*].lastState}'
    Fix                Raise the limit, or use less memory.
    Not a fault when   It happened long ago.

pods-liveness-kill
    The kubelet kills a container again and again because its liveness probe fails.
    Why it breaks      The probe asks the wrong port or path, or is too impatient. A container that would serve well is
                       restarted every few seconds.
    Confirm by hand    kubectl -n {namespace} get events --field-selector=reason=Unhealthy
    Fix                Probe the port and path that the container serves, with time enough to answer.
    Not a fault when   The process really hangs: then the probe does its work, and the hang is the fault.

pods-startup-probe
    The startup probe fails until its budget is used up, and the container is killed before it has started.
    Why it breaks      failureThreshold times periodSeconds is all the time the container gets; then it begins anew.
    Confirm by hand    kubectl -n {namespace} get events --field-selector=reason=Unhealthy
    Fix                Probe what the container serves, or give it more time.
    Not a fault when   The budget is not used up yet.

pods-not-ready-probe
    The container runs, and its readiness probe fails.
    Why it breaks      Only ready Pods get requests. The probe asks a port where nothing listens, a path that answers
                       with an error, or for longer than its timeout; or the application says that it cannot serve.
    Confirm by hand    kubectl -n {namespace} get events --field-selector=reason=Unhealthy
    Fix                Probe the port and path that the container serves, or mend what the application waits for.
    Not a fault when   The container has just started, or is within initialDelaySeconds.

pods-readiness-dependency
    The Pods run, and are not ready because something that they share is not: all at once they leave the endpoints.
    Why it breaks      A readiness probe that asks for a database or another Service makes its outage the outage of
                       every Pod that asks: none is left to answer even what needs no database.
    Confirm by hand    kubectl -n {namespace} get events --field-selector=reason=Unhealthy
    Fix                Bring back what they ask for; then let the probe answer for its own Pod alone.
    Not a fault when   Without that dependency no request can be answered at all, and clients retry.

pods-readiness-gate
    All containers are ready, but the Pod waits for a condition that some controller must set.
    Why it breaks      spec.readinessGates names conditions that must be True besides the containers. When the
                       controller behind one is missing, the Pod is never ready.
    Confirm by hand    kubectl -n {namespace} get pods -o wide
    Fix                Bring the controller back, or drop the gate from the Pod template.
    Not a fault when   The controller is registering the Pod and sets the condition in a moment.

pods-sidecar-not-ready
    The container that serves is ready; another one of the Pod is not, and so the Pod is not.
    Why it breaks      A Pod is ready only when all its containers are.
    Confirm by hand    kubectl -n {namespace} get pods
    Fix                That other container, or its readiness probe.
    Not a fault when   It has just started.

pods-completed
    All Pods behind the Service have run to their end, and nothing starts new ones.
    Why it breaks      A Pod that has ended is taken out of the endpoints. With restartPolicy Never or OnFailure nobody
                       starts it again.
    Confirm by hand    kubectl -n {namespace} get pods
    Fix                Run a process that stays, in a Deployment.
    Not a fault when   They are the Pods of a Job that only share the labels.

pods-no-ip
    The Pod is on a node and has no IP address.
    Why it breaks      The network plugin of the node could not set up the Pod: it is missing, not ready, or has no
                       addresses left.
    Confirm by hand    kubectl -n {namespace} get events --field-selector=reason=FailedCreatePodSandBox
    Fix                The network plugin on that node.
    Not a fault when   The Pod was scheduled a moment ago.

pods-node-notready
    The node under the Pod is not ready, or has stopped reporting.
    Why it breaks      For about 40 s requests still go to its Pods and time out; then they are taken out of the
                       endpoints, and after five minutes replaced elsewhere.
    Confirm by hand    kubectl get nodes
    Fix                The node: its kubelet, its network, its disk.
    Not a fault when   No Pod of the Service is on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.finding import Finding, Stage, Status, Step, passed, skipped
from svcdoctor.pods.podverdict import SETTLING, VERDICTS_READ, verdicts
from svcdoctor.text import plural

_BEFORE_START = Code(Stage.POD_ADDRESSES)
_NOT_READY = Code(Stage.PODS_READY)

CHECK = Check(
    step=Step.ENDPOINTS,
    codes={
        "pods-pending-unschedulable": _BEFORE_START,
        "pods-pending-pvc": _BEFORE_START,
        "pods-image-pull": _BEFORE_START,
        "pods-config-error": _BEFORE_START,
        "pods-init-blocked": _BEFORE_START,
        "pods-native-sidecar-blocked": _BEFORE_START,
        "pods-no-ip": _BEFORE_START,
        "pods-completed": _BEFORE_START,
        "pods-crashloop": _NOT_READY,
        "pods-oomkilled": _NOT_READY,
        "pods-liveness-kill": _NOT_READY,
        "pods-startup-probe": _NOT_READY,
        "pods-not-ready-probe": _NOT_READY,
        "pods-readiness-dependency": _NOT_READY,
        "pods-readiness-gate": _NOT_READY,
        "pods-sidecar-not-ready": _NOT_READY,
        "pods-node-notready": _NOT_READY,
    },
    reads=VERDICTS_READ,
)


def run(case: Case) -> Iterator[Finding]:
    if case.is_external_name or not case.selector:
        yield skipped(case.subject, "no selector, so no Pods of its own")
        return
    found = list(verdicts(case, {*CHECK.codes, SETTLING}))
    if found:
        yield from found
    elif not case.live_pods:
        yield skipped(case.subject, "no Pod to look at")
    elif {state.status for state in case.pod_states.values() if not state.ready} <= {Status.SKIP}:
        yield passed(case.subject, f"{plural(len(case.pod_states), 'Pod')} ready or leaving")
