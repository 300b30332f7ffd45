"""A workload that calls Services, seen with all that a check may look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from svcdoctor.cachedproperty import cached_property
from svcdoctor.case import Case
from svcdoctor.clients.callers import Reference, hosts_of
from svcdoctor.clients.hosts import Host
from svcdoctor.clients.mentions import words_of
from svcdoctor.clients.peers import Peer, peers_of
from svcdoctor.clients.settings import Setting, configs_of, settings_of
from svcdoctor.objectindexes import MENTIONING
from svcdoctor.objects import Service
from svcdoctor.pods.template import TEMPLATE_KINDS, Template, template_of
from svcdoctor.view import View
from svcdoctor.world import World


class ClientCase(View):
    """One workload, as a caller of Services; or of one alone (`to`), which it need not name."""

    def __init__(self, world: World, template: Template, to: Case | None = None) -> None:
        super().__init__(world, template.namespace)
        self.template = template
        self.subject = template.subject
        self.to = to

    @cached_property
    def references(self) -> list[Reference]:
        """Every Service that this workload names in its settings and commands."""
        found = self.references_of(self.template)
        if self.to is None:
            return found
        place = (self.to.name, self.to.namespace)
        named = [item for item in found if item.certain and (item.service, item.namespace) == place]
        return named or [self.to.reference_of_client]

    @cached_property
    def settings(self) -> list[Setting]:
        """Every piece of text in which it may be told of a host."""
        return list(settings_of(self.template, partial(self.config, self.namespace)))

    @cached_property
    def hosts(self) -> list[tuple[Setting, Host]]:
        """Every host that it names, of the cluster or not, with where it does."""
        return list(hosts_of(self.settings))

    def calls(self, namespace: str, names: tuple[str, ...]) -> bool:
        """Whether it names one of these Services; any namespace counts where none is given."""
        if words_of(self.template.spec).isdisjoint(names) and not configs_of(self.template.spec):
            return False
        return any(
            reference.service in names and namespace in ("", reference.namespace) for reference in self.references
        )

    @cached_property
    def named(self) -> dict[tuple[str, str], list[Reference]]:
        """The (namespace, name) of each Service that it surely names, with where it does."""
        found: dict[tuple[str, str], list[Reference]] = defaultdict(list)
        for reference in self.references:
            if reference.certain:
                found[reference.namespace, reference.service].append(reference)
        return found

    @cached_property
    def absent(self) -> dict[tuple[str, str], list[Reference]]:
        """Those of them that do not exist, and that nothing else answers."""
        return {
            (namespace, name): uses
            for (namespace, name), uses in self.named.items()
            if (services := self.services_of(namespace)) is not None
            and name not in services
            and not all(self._has_another_answer(use) for use in uses)
        }

    def services_of(self, namespace: str) -> Mapping[str, Service] | None:
        """The Services of a namespace by name; None where they may not be read: then nothing is said about them."""
        return self.or_without(lambda: self.listed("services", namespace), None)

    def _has_another_answer(self, reference: Reference) -> bool:
        """Whether something else than a Service of that name answers it, or may."""
        labels = reference.host.rstrip(".").split(".")
        config = self.template.spec.dns_config
        if len(labels) < 3 and config and config.searches:
            return True
        if len(labels) == 2 and labels[1] in (self.services_of(self.namespace) or {}):
            return True  # a Pod of a headless Service
        if labels[0] in self.or_without(self.nodes, {}):
            return True  # kube-proxy names the node of the control plane
        asked = (self.world.lookups or {}).get(self.namespace)
        answer = asked.answer(reference.host) if asked else None
        return answer is not None and answer.answered

    def askers_for(self, service: str) -> list[Peer]:
        """Where this workload, or another that was read, names a Service of its own namespace, or Pods of this one."""
        found = peers_of(self.template, service, partial(self.config, self.namespace))
        for resource, kind in TEMPLATE_KINDS.items():
            self.touched.add(resource)
            for item in self.world.found_in_sight(MENTIONING[resource], service):
                other = template_of(kind, item)
                if other.subject != self.subject:
                    read = partial(self.config, other.namespace)
                    found += peers_of(other, service, read, owner=self.template.name)
        return found

    @property
    def is_idle(self) -> bool:
        """Runs nothing now and calls nobody: scaled to zero, or run to its end."""
        owner = self.template.owner
        if self.template.kind == "Pod":
            return owner.status.phase in ("Succeeded", "Failed")
        if self.template.kind == "Job":
            ended = (owner.status.conditions if owner.status else None) or ()
            return any(condition.type in ("Complete", "Failed") and condition.status == "True" for condition in ended)
        return self.template.desired == 0

    @property
    def asks_cluster_dns(self) -> bool:
        """Whether the kubelet gives its Pods the cluster's DNS server; on the host network ClusterFirst does not."""
        policy = self.template.spec.dns_policy
        return policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not self.template.spec.host_network)
