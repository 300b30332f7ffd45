"""Text that is safe to show: the gate for untrusted strings, and how lengths of time and counts are written."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import UTC, datetime
from shlex import quote
from typing import Any

# What a terminal, a log viewer or a reader's eye would take for something else than text: C0 and C1 controls,
# line and paragraph separators, zero-width characters, bidirectional overrides, the byte order mark, surrogates
# and tag characters (Unicode TR #36, CVE-2021-25743).
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def printable(value: str) -> str:
    """The value with each character that does not print replaced by its visible escape, on one line."""
    # What str.isprintable() accepts holds none of them, and asking it costs next to nothing.
    return value if value.isprintable() else _UNPRINTABLE.sub(_escape, value)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character in "\n\t\r":
        return " "
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shorten(value: str, limit: int = 160) -> str:
    """The value, or its beginning and an ellipsis made of three dots, at most `limit` characters."""
    return value if len(value) <= limit else value[: limit - 3].rstrip() + "..."


def plural(count: int, noun: str, many: str = "") -> str:
    """`1 Pod`, `3 Pods`, `2 addresses` (with `many="addresses"`)."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"


def listing(names: list[str] | tuple[str, ...], limit: int = 3) -> str:
    """`a, b, c and 4 more`."""
    if len(names) <= limit:
        return ", ".join(names)
    return f"{', '.join(names[:limit])} and {len(names) - limit} more"


def parse_time(value: str | None) -> datetime | None:
    """An RFC 3339 time as the API server writes it (seconds or microseconds, UTC), or None where there is none."""
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def utc_time(value: str | None) -> str:
    """A time as a person compares it with a clock: `2026-03-01 11:55:00 UTC`; "" for none."""
    parsed = parse_time(value)
    return parsed.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if parsed else ""


def duration(seconds: float) -> str:
    """A length of time as kubectl writes ages: `12s`, `4m10s`, `3h`, `2d`."""
    if seconds == float("inf"):
        return "an unknown time"
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"


def patch_command(namespace: str, item: str, patch: object) -> str:
    """The kubectl line that patches `service cart`: a list is a JSON patch (RFC 6902), a mapping a merge patch."""
    kind = "json" if isinstance(patch, list) else "merge"
    return f"kubectl -n {namespace} patch {item} --type={kind} -p {quoted_json(patch)}"


def quoted_json(value: object) -> str:
    """A value as compact JSON, as one word of a shell line."""
    return quote(json.dumps(value, separators=(",", ":")))


def embedded_json(text: str | None) -> Any:
    """What an annotation holds as JSON; None where it is absent or is none: anybody may write anything there."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None


def selector_text(labels: dict[str, str]) -> str:
    """A set of labels as kubectl's `-l` takes it: `app=cart,tier=web`."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def label_words(labels: dict[str, str]) -> str:
    """A set of labels as `kubectl label` takes it, for a shell: `app=cart tier=web`."""
    return " ".join(quote(f"{key}={value}") for key, value in labels.items())


def is_word(name: str) -> bool:
    """Whether a shell takes a name for one operand as it stands, as it does every name that an API server gives out."""
    return quote(name) == name and not name.startswith("-")


def typable(command: str, odd: Collection[str]) -> str:
    """A command line; "" where one of these names stands in it, which are none that could be typed."""
    return "" if any(name in command for name in odd) else command


def whole_number(text: str) -> int | None:
    """What digits say; None for anything else, and for more of them than any count or port has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def words(text: str) -> frozenset[str]:
    """A set of words as one writes it down."""
    return frozenset(text.split())


def edit_distance(left: str, right: str, limit: int = 3) -> int:
    """Levenshtein distance between two short strings, or `limit` when it is at least that."""
    if abs(len(left) - len(right)) >= limit:
        return limit
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
        if min(row) >= limit:
            return limit
    return min(row[-1], limit)
