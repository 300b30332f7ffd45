"""The words that svcdoctor itself has: those that its code looks for in objects, and those that it merely says.

They are read off the modules that a diagnosis runs through: constants, patterns and the texts within functions, and the
fields and kinds of objects. So no list has to be kept, and no check can look for a word that is not here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from importlib import import_module
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import msgspec

from svcdoctor import diagnosis

WORD = re.compile(r"[A-Za-z]+")
_ESCAPE = re.compile(r"\\[A-Za-z]|\(\?[a-zA-Z]*:")
_OPTIONAL = re.compile(r"[A-Za-z]\?")
_ENDINGS = 2  # letters after a word that a pattern looks for: `healthz`, `readyz`


class Vocabulary(NamedTuple):
    """In lower case."""

    sought: frozenset[str]
    in_patterns: frozenset[str]
    said: frozenset[str]

    def looks_for(self, word: str) -> bool:
        return word in self.sought or any(word[:-cut] in self.in_patterns for cut in range(1, _ENDINGS + 1))

    def knows(self, word: str) -> bool:
        return word in self.said or self.looks_for(word)


@functools.cache
def vocabulary() -> Vocabulary:
    sought: set[str] = set()
    patterns: set[str] = set()
    said: set[str] = set()
    for module in _modules(diagnosis):
        for value in _own(module):
            for text in _texts(value):
                sought.update(_words(text))
            for pattern in _patterns(value):
                patterns.update(_words(pattern))
            for text in _within(value, module.__name__):
                (said if re.search(r"\s", text) else sought).update(_words(text))
    longer = {word for word in patterns if len(word) >= 4}
    return Vocabulary(frozenset(sought | patterns), frozenset(longer), frozenset(said))


def _modules(first: ModuleType) -> Iterable[ModuleType]:
    """The modules of svcdoctor whose functions and classes a module uses, directly or not; checks are listed whole."""
    found: dict[str, ModuleType] = {}
    waiting = [first, *first.ALL]
    while waiting:
        module = waiting.pop()
        if module.__name__ in found:
            continue
        found[module.__name__] = module
        names = {getattr(value, "__module__", None) or "" for value in vars(module).values()}
        waiting += [import_module(name) for name in names if name.startswith("svcdoctor.")]
    return found.values()


def _own(holder: object) -> list[Any]:
    """What a module or class holds, without what Python keeps there itself."""
    return [value for name, value in vars(holder).items() if not name.startswith("__")]


def _words(text: str) -> Iterator[str]:
    for version in (text, _ESCAPE.sub(" ", text), _OPTIONAL.sub("", _ESCAPE.sub(" ", text))):
        yield from (word.lower() for word in WORD.findall(version))


def _texts(value: Any) -> Iterator[str]:
    """The texts in a constant."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, tuple | list | set | frozenset):
        for item in value:
            yield from _texts(item)


def _patterns(value: Any) -> Iterator[str]:
    if isinstance(value, re.Pattern):
        yield value.pattern
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _patterns(item)
    elif isinstance(value, Mapping):
        yield from _patterns(list(value.values()))


def _within(value: Any, module: str) -> Iterator[str]:
    """The texts within a function or class of a module, and the fields of a Struct as JSON has them."""
    value = getattr(value, "__wrapped__", value)
    value = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", None) or value
    if isinstance(value, FunctionType):
        yield from (text for text in _of_code(value.__code__) if text != value.__doc__)
    elif isinstance(value, type) and value.__module__ == module:
        if issubclass(value, msgspec.Struct):
            yield from value.__struct_encode_fields__
        for item in _own(value):
            yield from _texts(item.value if isinstance(item, Enum) else item)
            yield from _within(item, module)


def _of_code(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _of_code(constant)
        else:
            yield from _texts(constant)
