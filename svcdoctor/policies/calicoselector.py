"""Calico's label selectors: `app == 'cart' && (has(tier) || zone in {'a', 'b'})`. Pure.

The grammar is that of the selectors in Calico's documentation of GlobalNetworkPolicy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_TOKEN = re.compile(r"""\s*(?:(&&|\|\||[!=]=|[!(){},])|'([^']*)'|"([^"]*)"|([\w./-]+))""")


def holds_selector(written: str, labels: Mapping[str, str]) -> bool:
    """Whether a selector holds for labels; an empty one does, one that cannot be read does not."""
    if not written.strip():
        return True
    try:
        reader = _Reader(_tokens(written), labels)
        return reader.either() and not reader.left
    except _UnreadableError:
        return False


class _UnreadableError(Exception):
    """Not a selector of this grammar."""


def _tokens(written: str) -> list[str]:
    """Words and signs as they are, and quoted values with a quote before them."""
    found, place, end = [], 0, len(written.rstrip())
    while place < end:
        token = _TOKEN.match(written, place)
        if token is None:
            raise _UnreadableError(written)
        sign, single, double, word = token.groups()
        quoted = single if single is not None else double
        found.append(sign or word or f"'{quoted}")
        place = token.end()
    return found


class _Reader:
    """Reads tokens from left to right; both sides of && and || are read, whatever the first one says."""

    def __init__(self, tokens: list[str], labels: Mapping[str, str]) -> None:
        self.left = tokens[::-1]
        self.labels = labels

    def either(self) -> bool:
        answer = self.both()
        while self._takes("||"):
            answer = self.both() or answer
        return answer

    def both(self) -> bool:
        answer = self.term()
        while self._takes("&&"):
            answer = self.term() and answer
        return answer

    def term(self) -> bool:
        if self._takes("!"):
            return not self.term()
        if self._takes("("):
            answer = self.either()
            self._expects(")")
            return answer
        word = self._next()
        if self._takes("("):
            key = "" if word in ("all", "global") else self._next()
            self._expects(")")
            return word == "all" or (word == "has" and key in self.labels)
        return self._compared(self.labels.get(word))

    def _compared(self, value: str | None) -> bool:
        operator = self._next()
        if operator in ("starts", "ends"):
            self._expects("with")
        if operator == "not":
            self._expects("in")
            return value not in self._values()
        if operator == "in":
            return value in self._values()
        wanted = self._value()
        match operator:
            case "==":
                return value == wanted
            case "!=":
                return value != wanted
            case "contains":
                return wanted in (value or "")
            case "starts":
                return value is not None and value.startswith(wanted)
            case "ends":
                return value is not None and value.endswith(wanted)
        raise _UnreadableError(operator)

    def _values(self) -> set[str]:
        self._expects("{")
        found = set()
        while not self._takes("}"):
            found.add(self._value())
            self._takes(",")
        return found

    def _value(self) -> str:
        token = self._next()
        if not token.startswith("'"):
            raise _UnreadableError(token)
        return token[1:]

    def _next(self) -> str:
        if not self.left:
            raise _UnreadableError("it ends too soon")
        return self.left.pop()

    def _takes(self, token: str) -> bool:
        if self.left and self.left[-1] == token:
            self.left.pop()
            return True
        return False

    def _expects(self, token: str) -> None:
        if not self._takes(token):
            raise _UnreadableError(token)
