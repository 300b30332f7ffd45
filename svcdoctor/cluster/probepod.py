"""What --probe-image adds to a cluster, field by field, and the words that say so before it is done.

A container is added to the client's Pod (an ephemeral container), or a Pod like it is created. Neither needs a right in
its namespace that the Pod Security Standard "restricted" does not give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from svcdoctor.names.lookup import Vantage
from svcdoctor.text import plural, printable, shorten

CONTAINER_SECONDS = 60
POD_SECONDS = 120
"""How long each lives where nobody ends it earlier; a Pod's time begins before its image is pulled."""
MANAGED_BY = "app.kubernetes.io/managed-by"
RUN = "svcdoctor.io/probe"
LABELLED = f"{MANAGED_BY}=svcdoctor,{RUN}"
"""The selector of every Pod that was ever created here."""

# What of the client's spec decides what its applications are told, and whether a Pod like it may run where it runs.
SAME = (
    "nodeName",
    "runtimeClassName",
    "tolerations",
    "dnsPolicy",
    "dnsConfig",
    "hostAliases",
    "serviceAccountName",
    "imagePullSecrets",
)
# Labels by which a controller tells the Pods of one workload from those of another: a Pod that lacks them is not taken
# for a replica. No policy is written for them.
BOOKKEEPING = (
    "pod-template-hash",
    "rollouts-pod-template-hash",
    "controller-uid",
    "batch.kubernetes.io/controller-uid",
)
# These never adopt by labels alone: StatefulSets go by the name, too.
NEVER_ADOPT = ("StatefulSet", "Job")
SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
# Why a container that waits will not start by waiting longer.
HOPELESS = (
    *("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"),
    *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
)


class Addition(NamedTuple):
    """A "container" in the Pod `client`, or a "pod" like it ("": like none) in the same namespace."""

    kind: str
    namespace: str
    client: str
    name: str
    image: str
    listed_by: tuple[str, ...] = ()  # Services that publish a Pod which is not ready

    @property
    def pod(self) -> str:
        """The Pod in which there is something to run scripts in."""
        return self.client if self.kind == "container" else self.name

    @property
    def vantage(self) -> Vantage:
        return Vantage(kind="exec", namespace=self.namespace, pod=self.client, added=self.kind, image=self.image)

    @property
    def right(self) -> str:
        """What one has to be allowed for it."""
        what = "patch pods/ephemeralcontainers" if self.kind == "container" else "create and delete pods"
        return f"{what} in {self.namespace}"

    @property
    def text(self) -> str:
        if self.kind == "container":
            return f"ephemeral container {self.name} in Pod {self.namespace}/{self.client}"
        like = f", like {self.client}" if self.client else ""
        return f"Pod {self.namespace}/{self.name}{like}"


class Place(NamedTuple):
    """Where scripts can be run: a container, and whose view it has."""

    namespace: str
    pod: str
    container: str
    vantage: Vantage


def ephemeral_container(addition: Addition) -> dict[str, Any]:
    """The strategic merge patch of pods/ephemeralcontainers: those that are there stay, as the API demands.

    It has no target container: it shares the Pod's network and resolv.conf, but sees no process of the application.
    """
    # As process 1 a bare sleep would not hear SIGTERM, and the Pod would take its whole grace period to be deleted.
    argv = ["sh", "-c", f"trap 'exit 0' TERM; sleep {CONTAINER_SECONDS} & wait"]
    container = {"name": addition.name, "image": addition.image, "command": argv, "securityContext": SECURITY}
    return {"spec": {"ephemeralContainers": [container]}}


def probe_pod(addition: Addition, client: Mapping[str, Any], run: str) -> dict[str, Any]:
    """A Pod with the labels, node, DNS settings and service account of `client`, whose manifest may be empty.

    It must not get any traffic, nor be taken for a replica:

    - A readiness gate that nobody ever passes keeps it from being ready, so that no EndpointSlice offers it. (A failing
      readiness probe would do the same with events and a kubelet at work.) Services that publish what is not ready list
      it all the same: these are named before it is created.
    - Without the labels of BOOKKEEPING no Deployment or Job adopts it. Controllers that go by the other labels alone
      (a DaemonSet, a ReplicaSet of its own) adopt whatever has no controller: for these the client is its controller.
      Not for all, since a PodDisruptionBudget in percent does not know what to make of such a Pod.
    - It asks for some CPU and memory, since an autoscaler that has a Pod without requests among its own gives up.

    The client owns it: whoever deletes the client deletes this too, and what prunes unknown objects leaves it alone.
    With nodeName the scheduler has no part in it: it can neither wait for room nor push others out.
    """
    metadata, spec = client.get("metadata") or {}, client.get("spec") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key not in BOOKKEEPING}
    owners = [_owner(metadata)] if metadata else []
    requests = {"cpu": "10m", "memory": "16Mi"}
    container = {
        "name": "probe",
        "image": addition.image,
        "command": ["sleep", str(POD_SECONDS)],
        "resources": {"requests": requests, "limits": {"cpu": "200m", "memory": "128Mi"}},
        "securityContext": SECURITY,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": addition.name,
            "namespace": addition.namespace,
            "labels": {**labels, MANAGED_BY: "svcdoctor", RUN: run},
            **({"ownerReferences": owners} if owners else {}),
        },
        "spec": {
            **{field: spec[field] for field in SAME if spec.get(field)},
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": POD_SECONDS,
            "terminationGracePeriodSeconds": 0,
            "readinessGates": [{"conditionType": "svcdoctor.io/never-ready"}],
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }


def _owner(metadata: Mapping[str, Any]) -> dict[str, Any]:
    controller = next((owner for owner in metadata.get("ownerReferences") or () if owner.get("controller")), None)
    told_apart = any(label in (metadata.get("labels") or {}) for label in BOOKKEEPING)
    adopts = controller is not None and controller["kind"] not in NEVER_ADOPT and not told_apart
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    return {**owner, "controller": True} if adopts else owner


def started(pod: Mapping[str, Any], container: str) -> str | None:
    """What a Pod's manifest says of a container: "" it runs, words why it never will, None that it may yet."""
    status = pod.get("status") or {}
    held = [*(status.get("containerStatuses") or ()), *(status.get("ephemeralContainerStatuses") or ())]
    state = next((item.get("state") or {} for item in held if item.get("name") == container), {})
    if "running" in state:
        return ""
    if ended := state.get("terminated"):
        return _words("it ended at once", ended.get("reason"), ended.get("message"))
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in HOPELESS:
        return _words("it does not start", waiting.get("reason"), waiting.get("message"))
    if status.get("phase") == "Failed" or (pod.get("metadata") or {}).get("deletionTimestamp"):
        return _words("its Pod has ended", status.get("reason"), status.get("message"))
    return None


def _words(*words: str | None) -> str:
    return shorten(printable(": ".join(" ".join(word.split()) for word in words if word)), 200)


# --- consent -----------------------------------------------------------------------------------------------------


def announcement(additions: Sequence[Addition]) -> str:
    """What is about to be created: every object, and how it goes away. All are of one kind and image."""
    first = additions[0]
    return (_of_containers if first.kind == "container" else _of_pods)(additions, first.image)


def _of_containers(additions: Sequence[Addition], image: str) -> str:
    count = plural(len(additions), "ephemeral container")
    lines = [
        "To look names up, and connect, where no container has a shell or tool for it,",
        f"{count} will be added:",
        *(f"  {addition.text}" for addition in additions),
        f"  image {image}, user 65532 without privileges",
        f"The process is ended after that, or ends by itself {CONTAINER_SECONDS} s after it began. Kubernetes",
        "cannot remove an ephemeral container: it stays listed in its Pod, ended, until that Pod is deleted.",
    ]
    return "\n".join(lines)


def _of_pods(additions: Sequence[Addition], image: str) -> str:
    lines = [
        "To look names up, and connect, where no container has a shell or tool for it,",
        f"{plural(len(additions), 'Pod')} will be created:",
        *(f"  {addition.text}" for addition in additions),
        f"  image {image}, user 65532 without privileges or token,",
        "  with labels, node, service account and DNS settings of the Pod that it is like",
    ]
    for addition in additions:
        for service in addition.listed_by:
            lines.append(f"  Service {addition.namespace}/{service} publishes what is not ready: it lists this Pod too")
    lines += [
        "It never becomes ready, so that no other Service sends it traffic. It is deleted at the end of this run. If",
        f"this run is killed, it ends by itself after {POD_SECONDS} s, and svcdoctor cleanup deletes it.",
    ]
    return "\n".join(lines)
