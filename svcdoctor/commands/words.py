"""What is written behind a flag or a command, understood; errors say which word and what it should have been."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from svcdoctor.labels import Requirement

SERVICE_NOUNS = ("svc", "service", "services")


class Seconds(click.ParamType[float]):
    """kubectl's duration: `5`, `1s`, `2m`, `3h`; 0 means without limit."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", value.strip())
        if not match:
            self.fail(f"{value!r} is no duration; examples are 5, 1s, 2m and 3h", param, ctx)
        return float(match[1]) * {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}[match[2]]


class Patience(Seconds):
    """The same as kubectl waits by: 0 is to look once, what is negative waits for a week."""

    WEEK = 7 * 24 * 3600.0

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        negative = isinstance(value, str) and value.strip().startswith("-")
        seconds = super().convert(value.strip()[1:] if negative else value, param, ctx)
        return self.WEEK if negative and seconds else seconds


class Codes(click.ParamType[tuple[str, ...]]):
    """A comma-separated list of codes, each of which must exist."""

    name = "codes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        from svcdoctor.catalogue import pages

        codes = tuple(code.strip() for code in value.split(",") if code.strip())
        for code in codes:
            if code not in pages():
                self.fail(f"no such code: {code!r}{nearest(code, pages())}", param, ctx)
        return codes

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given, comma, last = incomplete.rpartition(",")
        return completions(last, f"{given}{comma}")


def completions(incomplete: str, before: str = "") -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from svcdoctor.catalogue import pages

    return [CompletionItem(before + code) for code in pages() if code.startswith(incomplete)]


def nearest(word: str, known: Any) -> str:
    import difflib

    close = difflib.get_close_matches(word, list(known), n=3)
    return f"; did you mean {', '.join(close)}?" if close else ""


def service_names(names: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for word in names:
        noun, slash, name = word.rpartition("/")
        if slash and noun.lower() not in SERVICE_NOUNS:
            raise click.UsageError(f"{word!r} is no Service; write NAME or svc/NAME, and -n for its namespace")
        if not name:
            raise click.UsageError(f"{word!r} names no Service")
        found.append(name)
    return tuple(dict.fromkeys(found))


def request_path(path: str) -> str:
    from svcdoctor.clients.requestplan import PATH

    if not PATH.fullmatch(path):
        raise click.UsageError(f"--http {path!r} is no path; write one such as /healthz, with %20 for a space")
    return path


def requirements(selector: str | None) -> tuple[Requirement, ...]:
    from svcdoctor.labels import parse

    if not (selector or "").strip():
        return ()
    try:
        return parse(selector or "")
    except ValueError as error:
        raise click.UsageError(
            f"--selector {selector!r} does not parse {error}; write KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY or !KEY"
        ) from None


def client_named(client: str | None, namespace: str) -> tuple[str, str] | None:
    from svcdoctor.clients import clientpod

    if client is None:
        return None
    try:
        return clientpod.client_named(client, namespace)
    except ValueError as error:
        forms = "POD, deploy/NAME, sts/NAME, ds/NAME or sa/NAME, and NAMESPACE/ before it"
        raise click.UsageError(f"--from {error}; write {forms}") from None
