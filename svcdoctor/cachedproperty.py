"""functools.cached_property without the lock that Python 3.11 takes for each first answer.

A Case is asked some thirty of them and lives for one thread alone; from Python 3.12 on there is no lock any more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

__all__ = ["cached_property"]

T = TypeVar("T")

if sys.version_info >= (3, 12):  # pragma: no cover - one of the two is never run
    from functools import cached_property
else:  # pragma: no cover

    class cached_property(Generic[T]):
        def __init__(self, answer: Callable[[Any], T]) -> None:
            self._answer = answer
            self.__doc__ = answer.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self._name = name

        @overload
        def __get__(self, case: None, owner: type) -> cached_property[T]: ...
        @overload
        def __get__(self, case: object, owner: type) -> T: ...
        def __get__(self, case: object | None, owner: type) -> cached_property[T] | T:
            if case is None:
                return self
            # What stands in the instance is found there from now on: this has no __set__.
            value = case.__dict__[self._name] = self._answer(case)
            return value
