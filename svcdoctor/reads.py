"""Who asked what: so that a change is told to those who asked about it, and to nobody else.

A question is a tuple such as ("object", "pods", "shop", "cart-1"); an asker is one that names what was worked out
from the answers, such as ("service", "shop", "cart"). While an asker works, every question that reaches the World is
noted as its own; when the answer to one changes, its askers become stale. Nobody declares what it depends on, so nobody
can forget to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Question = tuple[Hashable, ...]
Asker = tuple[Hashable, ...]
T = TypeVar("T")


class Reads:
    def __init__(self) -> None:
        self.stale: set[Asker] = set()
        self._open: list[set[Question]] = []
        self._asked: dict[Asker, tuple[Question, ...]] = {}
        # Of a large cluster these are hundreds of thousands, and most are asked by one alone: he needs no set.
        self._askers: dict[Question, Asker | set[Asker]] = {}
        self._shared: dict[Hashable, Any] = {}

    def note(self, *questions: Question) -> None:
        """The one at work asks these; nobody at work, nothing noted."""
        if self._open:
            self._open[-1].update(questions)

    @contextmanager
    def asking(self, asker: Asker) -> Iterator[None]:
        """What is asked within is asked by this one, instead of what he asked before."""
        asked: set[Question] = set()
        self._open.append(asked)
        try:
            yield
        finally:
            self._open.pop()
            self._replace(asker, asked)
            self.stale.discard(asker)

    def forget(self, asker: Asker) -> None:
        """There is no such asker any more."""
        self._replace(asker, set())
        self.stale.discard(asker)

    def _replace(self, asker: Asker, asked: set[Question]) -> None:
        before = set(self._asked.pop(asker, ()))
        for question in before - asked:
            askers = self._askers[question]
            if isinstance(askers, set) and len(askers) > 1:
                askers.discard(asker)
            else:
                del self._askers[question]
        for question in asked - before:
            askers = self._askers.setdefault(question, asker)
            if isinstance(askers, set):
                askers.add(asker)
            elif askers != asker:
                self._askers[question] = {askers, asker}
        if asked:
            self._asked[asker] = tuple(asked)

    def _asking(self, question: Question) -> tuple[Asker, ...]:
        askers = self._askers.get(question, ())
        return tuple(askers) if isinstance(askers, set) else (askers,) if askers else ()

    def shared(self, key: Hashable, build: Callable[[], T]) -> T:
        """A value worked out once for all who ask for it, and again when the answer to a question of `build` changes.

        `build` has to ask the World itself for all that it uses: what its caller asked before is not noted here.
        """
        asker: Asker = ("shared", key)
        if key not in self._shared:
            asked: set[Question] = set()
            self._open.append(asked)
            try:
                self._shared[key] = build()
            finally:
                self._open.pop()
                self.note(*asked) if key not in self._shared else self._replace(asker, asked)
        self.note(asker)
        return self._shared[key]  # type: ignore[no-any-return]

    def kept(self, key: Hashable) -> tuple[Any, set[str]] | None:
        """Such a value where it is there already, as World.derived keeps one; who asks for it asks for it here."""
        if key not in self._shared:
            return None
        self.note(("shared", key))
        return self._shared[key], set()

    def is_worked_out_from(self, key: Hashable, questions: Collection[Question]) -> bool:
        """Whether such a value may be another if the answers to these are: some have thousands of askers, a value has
        asked few."""
        return any(
            question in questions or (question[0] == "shared" and self.is_worked_out_from(question[1], questions))
            for question in self._asked.get(("shared", key), ())
        )

    def changed(self, questions: Iterable[Question]) -> None:
        """The answers to these are not what they were."""
        waiting = list(questions)
        while waiting:
            for asker in self._asking(waiting.pop()):
                if asker[0] == "shared":
                    self._shared.pop(asker[1], None)
                    self._replace(asker, set())
                    waiting.append(asker)
                else:
                    self.stale.add(asker)
