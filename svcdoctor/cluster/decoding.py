"""From the bytes of an answer to our Structs, and what is said of bytes that are something else."""

from __future__ import annotations

import re
import threading
from typing import Any, NamedTuple

import msgspec

from svcdoctor.objects import Resource
from svcdoctor.text import printable, shorten

# What is asked for. No fallback in those of metadata: an answer in another form is an error, never a whole Secret.
JSON = "application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


class Skipped(NamedTuple):
    """An object that could not be decoded, and why: `$.spec.ports: expected array, got int`."""

    namespace: str
    name: str
    error: str


class PageMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(default=None, name="continue")


class RawPage(msgspec.Struct):
    items: list[msgspec.Raw] | None
    metadata: PageMetadata = msgspec.field(default_factory=PageMetadata)


class _GroupName(msgspec.Struct):
    name: str = ""


class _ServedKind(msgspec.Struct):
    resource: str = ""


class _ServedVersion(msgspec.Struct):
    version: str = ""
    resources: list[_ServedKind] = []


class _ServedGroup(msgspec.Struct):
    metadata: _GroupName
    versions: list[_ServedVersion] = []


class Discovery(msgspec.Struct):
    """An APIGroupDiscoveryList of apidiscovery.k8s.io/v2, as far as we need it."""

    items: list[_ServedGroup] = []


class Review(msgspec.Struct):
    class Status(msgspec.Struct):
        allowed: bool = False

    status: Status


class Version(msgspec.Struct, rename="camel"):
    git_version: str


class RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Versioned(msgspec.Struct):
    class Metadata(msgspec.Struct, rename="camel"):
        resource_version: str = ""

    metadata: Metadata


class _Named(msgspec.Struct):
    metadata: dict[str, Any]


# What msgspec raises for bytes that are not what was asked for; the last where they are nested too deeply.
NOT_DECODED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Built under a lock: while one thread makes a decoder, msgspec 0.22 lets another decode with the half-made description
# of a Struct that both know, and the interpreter dies.
_BUILDING = threading.Lock()
_DECODERS: dict[tuple[Any, bool], msgspec.json.Decoder[Any]] = {}


def decoder(type_: Any, *, page: bool = False) -> msgspec.json.Decoder[Any]:
    with _BUILDING:
        decoder = _DECODERS.get((type_, page))
        if decoder is None:
            decoder = _DECODERS[type_, page] = msgspec.json.Decoder(_page_of(type_) if page else type_)
    return decoder


def _page_of(type_: Any) -> Any:
    """A whole page. `items` has no default: an answer without it is no empty list but no list."""
    return msgspec.defstruct(
        "Page",
        [
            ("items", list[type_] | None),
            ("metadata", PageMetadata, msgspec.field(default_factory=PageMetadata)),
        ],
    )


_DECODING_ERROR = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)


def decoding_error(error: Exception) -> str:
    """msgspec's words with the field first: `$.spec.ports: expected array, got int`."""
    if isinstance(error, UnicodeDecodeError):
        return "it holds text that is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    match = _DECODING_ERROR.fullmatch(str(error))
    what, path = (match["what"], match["path"]) if match else (str(error), None)
    what = what[:1].lower() + what[1:].replace("`", "").replace(" | null", "")
    return printable(shorten(f"{path}: {what}" if path else what))


NAMELESS = "an object has no name, or no namespace"


def is_nameless(resource: Resource, item: Any) -> bool:
    return not item.metadata.name or (resource.namespaced and not item.metadata.namespace)


def name_of(item: msgspec.Raw) -> tuple[str, str]:
    """Namespace and name of an object that is broken elsewhere, as far as they can be read."""
    try:
        metadata = decoder(_Named).decode(item).metadata
    except NOT_DECODED:
        return "", "?"
    namespace, name = (
        value if isinstance(value, str) else "" for value in (metadata.get("namespace"), metadata.get("name"))
    )
    return printable(shorten(namespace)), printable(shorten(name)) or "?"


def version_of(item: msgspec.Raw) -> str:
    try:
        versioned: _Versioned = decoder(_Versioned).decode(item)
        return versioned.metadata.resource_version
    except NOT_DECODED:
        return ""


def plain_text(body: bytes) -> str:
    """The beginning of an error's body that is no Status: nothing where it is a page of HTML."""
    text = body[:400].decode("utf-8", "replace").strip()
    return "" if text.startswith("<") else text
