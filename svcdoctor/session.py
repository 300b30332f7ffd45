"""A cluster as the dashboard looks at it: the live diagnosis, and what only the server has (manifests and logs)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import yaml

from svcdoctor.cluster.kube import Cluster
from svcdoctor.diagnosis import Scope
from svcdoctor.endpoints.reconcile import SERVICE_NAME
from svcdoctor.live import Live, Replayed, Update
from svcdoctor.objects import RESOURCES, ContainerStatus, EndpointSlice, Pod, Resource
from svcdoctor.text import printable
from svcdoctor.widgets.source import SourceRequest
from svcdoctor.world import EVERYWHERE

SLICES = RESOURCES["endpointslices"]
SHOWN_SLICES = 20  # a Service of thousands of endpoints is not read as YAML


class Session(Live):
    """What the dashboard asks of its data (widgets/source.py), for a real cluster."""

    def __init__(
        self,
        cluster: Cluster,
        scope: Scope,
        *,
        probe: bool,
        post: Callable[[Update], None],
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        super().__init__(cluster, scope, probe=probe, post=post, failed=failed)
        self._source = cluster
        # Which namespace the context's own turned out to be; None is all of them.
        self.namespace = None if scope.namespace == EVERYWHERE else scope.namespace

    @classmethod
    def open(
        cls,
        cluster: Cluster,
        request: SourceRequest,
        *,
        probe: bool,
        post: Callable[[Update], None],
        failed: Callable[[Exception], None],
    ) -> Session:
        """The session that the dashboard asks for; "" is the context's own namespace."""
        namespace = EVERYWHERE if request.namespace is None else request.namespace or cluster.namespace
        home, slash, pod = request.client.rpartition("/")
        client = (home if slash else namespace or cluster.namespace, pod) if pod else None
        return cls(cluster, Scope(namespace, client=client), probe=probe, post=post, failed=failed)

    def objects(self, namespace: str, name: str) -> str:
        """The Service and its EndpointSlices as the server has them, in YAML. Raises KubeError."""
        documents = [self._source.manifest(RESOURCES["services"], namespace, name)]
        label = f"kubernetes.io/service-name={name}"
        slices = self._source.list(SLICES, namespace, label_selector=label).items[:SHOWN_SLICES]
        documents += [self._source.manifest(SLICES, namespace, item.metadata.name) for item in slices]
        return "---\n".join(_yaml(document) for document in documents)

    def containers(self, namespace: str, pod: str) -> list[str]:
        """The containers of a Pod, those that say why it does not work first."""
        return by_trouble(self._source.get(RESOURCES["pods"], namespace, pod))

    def logs(self, namespace: str, pod: str, container: str, follow: bool, previous: bool) -> Iterator[str]:
        for line in self._source.logs(namespace, pod, container=container, follow=follow, previous=previous):
            yield printable(line)


def by_trouble(pod: Pod) -> list[str]:
    """Init containers that fail, then containers that are not ready, then those that are; last what is over."""

    def rank(status: ContainerStatus, is_init: bool) -> int:
        ended = status.state and status.state.terminated
        if is_init and (status.ready or (ended and ended.exit_code == 0)):
            return 3
        return 2 if status.ready else 0 if is_init else 1

    spec, said = pod.spec, pod.status
    places = [(container.name, 3) for container in spec.init_containers or ()]
    places += [(container.name, 2) for container in spec.containers or ()]
    ranks = dict(places)
    ranks |= {status.name: rank(status, True) for status in said.init_container_statuses or () if has_begun(status)}
    ranks |= {status.name: rank(status, False) for status in said.container_statuses or () if has_begun(status)}
    return sorted(ranks, key=ranks.__getitem__)


def has_begun(status: ContainerStatus) -> bool:
    """Whether it has ever run: what has not has no log."""
    state = status.state
    return bool(status.restart_count or (state and (state.running or state.terminated)))


class Recording(Replayed):
    """The same for recorded Worlds: of manifests they hold the fields that a diagnosis reads, and no logs."""

    def objects(self, namespace: str, name: str) -> str:
        services = [item for item in self._world.held("services", namespace) if item.metadata.name == name]
        slices = [item for item in self._world.held(SLICES.name, namespace) if _service_of(item) == name]
        documents = [_document(RESOURCES["services"], item) for item in services]
        documents += [_document(SLICES, item) for item in slices[:SHOWN_SLICES]]
        return "# as recorded: the fields that a diagnosis reads\n" + "---\n".join(map(_yaml, documents))


def _service_of(item: EndpointSlice) -> str:
    return (item.metadata.labels or {}).get(SERVICE_NAME, "")


def _document(resource: Resource, item: Any) -> dict[str, Any]:
    version = f"{resource.group}/{resource.version}" if resource.group else resource.version
    return {"apiVersion": version, "kind": resource.kind, **msgspec.to_builtins(item)}


def _yaml(document: dict[str, Any]) -> str:
    document.get("metadata", {}).pop("managedFields", None)
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
    return "\n".join(printable(line) for line in text.splitlines()) + "\n"
