"""An Ingress or Route, seen with all that a check may look at."""

from __future__ import annotations

from svcdoctor.cachedproperty import cached_property
from svcdoctor.entry.entrypoint import Entry, EntryBackend, backends_of
from svcdoctor.view import View
from svcdoctor.world import World


class EntryCase(View):
    """One Ingress or Route, and the Services that it leads to."""

    def __init__(self, world: World, entry: Entry) -> None:
        super().__init__(world, entry.namespace)
        self.entry = entry
        self.subject = entry.subject

    @cached_property
    def backends(self) -> list[EntryBackend]:
        """Every Service that it names, once for each port."""
        return backends_of(self.entry.owner)

    @cached_property
    def is_told_of_services(self) -> bool:
        """Whether it leads to a Service of its own namespace that exists: what ails it is said of that Service."""
        services = self.or_without(lambda: self.listed("services"), None)
        here = [backend.name for backend in self.backends if backend.namespace == self.namespace]
        return any(services is None or name in services for name in here)

    def calls(self, namespace: str, names: tuple[str, ...]) -> bool:
        """Whether it leads to one of these Services; any namespace counts where none is given."""
        return any(backend.name in names and namespace in ("", backend.namespace) for backend in self.backends)
