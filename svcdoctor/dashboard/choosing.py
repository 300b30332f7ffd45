"""What is chosen from a list: where to look, from whom, in which order and which colours."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from svcdoctor.dashboard.feeding import Feeding
from svcdoctor.text import printable
from svcdoctor.widgets.choose import Choice, Item, Menu, Picker
from svcdoctor.widgets.rows import SORTS
from svcdoctor.widgets.source import SourceRequest


class Choosing(Feeding):
    """The actions that open a menu or a picker."""

    def action_sort(self) -> None:
        words = {
            "status": "status: faults first",
            "name": "name",
            "namespace": "namespace",
            "endpoints": "endpoints: the smallest share of ready ones first",
            "age": "age: the youngest first",
            "changed": "changed: what changed last first",
        }
        items = [Item(sort[0] if sort != "namespace" else "p", words[sort], sort) for sort in SORTS]

        def sorted_by(sort: str | None) -> None:
            if sort:
                self.outline.sort(sort, False)

        self.push_screen(Menu("sort by", items), sorted_by)

    def action_namespace(self) -> None:
        services = self.update.diagnosis.services if self.update else ()
        known = sorted({service.namespace for service in services} | {self.request.namespace or ""} - {""})
        choices = [Choice("*", "all namespaces"), *(Choice(name) for name in known if name)]

        def chosen(name: str | None) -> None:
            if name is not None:
                self.open(self.request._replace(namespace=None if name == "*" else name))

        picker = Picker("namespace", choices, typed=True, note="a name that cannot be listed may be typed")
        self.push_screen(picker, chosen)
        listing = getattr(self.source, "namespaces", None)
        if listing is not None:
            self._aside(lambda: self._offer(picker, listing))

    def _offer(self, picker: Picker, listing: Callable[[], Iterable[str]]) -> None:
        try:
            choices = [Choice(name) for name in listing()]
        except Exception as error:  # names that cannot be listed may be typed
            words = f"namespaces cannot be listed: {printable(str(error) or type(error).__name__)}"
            self._then(lambda: self.notify(words, severity="warning", markup=False))
            return
        self._then(lambda: picker.offer(choices))

    def action_all_namespaces(self) -> None:
        if self.request.namespace is not None:
            self.open(self.request._replace(namespace=None))
        else:
            self.notify("all namespaces are listed", markup=False)

    def action_context(self) -> None:
        choices = [Choice(name, "now" if name == self.request.context else "") for name in self.contexts]

        def chosen(name: str | None) -> None:
            if name is not None:
                self.open(SourceRequest(name, ""))

        note = "" if choices else "the kubeconfig names no context"
        self.push_screen(Picker("context", choices, note=note), chosen)

    def action_client(self) -> None:
        services = self.update.diagnosis.services if self.update else ()
        pods = dict.fromkeys(
            f"{service.namespace}/{row.pod}" for service in services for row in service.endpoints if row.pod
        )
        choices = [Choice("", "any running Pod of the namespace"), *(Choice(pod) for pod in list(pods)[:2000])]

        def chosen(pod: str | None) -> None:
            if pod is not None:
                self.open(self.request._replace(client=pod))

        self.push_screen(Picker("look up and connect from", choices, typed=True, note="POD or NAMESPACE/POD"), chosen)

    def action_theme(self) -> None:
        names = sorted(self.available_themes, key=lambda name: (not name.startswith("svcdoctor"), name))

        def chosen(name: str | None) -> None:
            if name:
                self.theme = name

        choices = [Choice(name, "now" if name == self.theme else "") for name in names]
        self.push_screen(Picker("theme", choices), chosen)
