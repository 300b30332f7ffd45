"""The rules of an Ingress, path by path."""

from __future__ import annotations

import re
from typing import NamedTuple

from svcdoctor.objects import Ingress, IngressBackend


class IngressPath(NamedTuple):
    """One path of one host, and the Service it leads to."""

    host: str  # "" for every host
    path: str  # "" for every path
    type: str
    service: str
    port: int | str  # 0 where none is given
    source: str  # the field that holds its backend: `.spec.rules[0].http.paths[1].backend`

    @property
    def pointer(self) -> str:
        """Where a JSON patch finds the backend."""
        return re.sub(r"[.\[]", "/", self.source.replace("]", ""))

    @property
    def url(self) -> str:
        return f"{self.host}{self.path}" or "every request"


def paths_of(ingress: Ingress) -> list[IngressPath]:
    """Every path that leads to a Service, in its order, with the default backend last."""
    found = [
        _path(rule.host, path.path, path.path_type, path.backend, f".spec.rules[{number}].http.paths[{index}].backend")
        for number, rule in enumerate(ingress.spec.rules or ())
        for index, path in enumerate((rule.http.paths if rule.http else None) or ())
    ]
    found.append(_path("", "", "", ingress.spec.default_backend, ".spec.defaultBackend"))
    return [path for path in found if path]


def _path(host: str, path: str, kind: str, backend: IngressBackend | None, source: str) -> IngressPath | None:
    if backend is None or backend.service is None:
        return None
    port = backend.service.port.name or backend.service.port.number
    return IngressPath(host, path, kind, backend.service.name, port, source)
