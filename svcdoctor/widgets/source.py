"""What the dashboard asks of its data: a source that is started, stopped and paused, and the updates it posts.

live.py watches a cluster and replays recordings behind this shape; tests stand in with their own. A source may also
have `objects(namespace, name) -> str`, `events(namespace, name) -> list[str]`, `containers(namespace, pod) ->
list[str]` in the order to show them, `logs(namespace, pod, container, follow, previous) -> Iterator[str]`,
`labels(namespace, name) -> Mapping[str, str]`, `namespaces() -> list[str]`, `record() -> bytes` and, where it replays
several moments, `step(by)`; where one is absent, the part that would show it says so. All but `labels` and `step` are
called in threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import NamedTuple, Protocol

from svcdoctor.finding import Diagnosis

ServiceName = tuple[str, str]  # namespace, name


class Stream(Protocol):
    """How one list/watch fares."""

    @property
    def resource(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def state(self) -> str:
        """One of listing, watching, broken, denied, absent."""

    @property
    def since(self) -> datetime: ...
    @property
    def message(self) -> str: ...
    @property
    def last_heard(self) -> datetime | None: ...
    @property
    def verb(self) -> str:
        """`list` or `watch`, where that is denied."""


class Logged(Protocol):
    """One read or probe, in the words of kubectl, dig or curl."""

    @property
    def kind(self) -> str:
        """`read` or `probe`."""

    @property
    def command(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def at(self) -> datetime: ...


class Update(Protocol):
    """Everything there is to show; a ServiceDiagnosis that did not change is the object it was."""

    @property
    def diagnosis(self) -> Diagnosis: ...
    @property
    def checking(self) -> AbstractSet[ServiceName]:
        """The Services whose walk is under way."""

    @property
    def changed(self) -> AbstractSet[ServiceName]:
        """The Services that say something else than in the Update before, or have other labels; those that are new."""

    @property
    def streams(self) -> Sequence[Stream]: ...
    @property
    def log(self) -> Sequence[Logged]: ...
    @property
    def moment(self) -> tuple[int, int] | None:
        """Of a recording: which one this is, from 1, and how many there are."""


class Picture(NamedTuple):
    """An Update."""

    diagnosis: Diagnosis
    streams: Sequence[Stream]
    log: Sequence[Logged]
    checking: AbstractSet[ServiceName] = frozenset()
    changed: AbstractSet[ServiceName] = frozenset()
    moment: tuple[int, int] | None = None


class Source(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def run_again(self, names: AbstractSet[ServiceName] | None = None) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class SourceRequest(NamedTuple):
    """What to look at."""

    context: str
    namespace: str | None  # None: all of them
    client: str = ""  # the Pod to judge from, POD or NAMESPACE/POD


Post = Callable[[Update], None]
OpenSource = Callable[[SourceRequest, Post], Source]
