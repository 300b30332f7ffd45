"""What keeps svcdoctor from an answer of a cluster: every error of this package is a KubeError."""

from __future__ import annotations


class KubeError(Exception):
    """What keeps us from an answer of the cluster.

    `reason` is a slug for programs; `message` is one printable sentence for a person, naming the file, field, verb or
    server and what to do next. Neither ever holds a token, key or password.
    """

    reason = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(KubeError):
    """A kubeconfig that is not there (`missing`, the service account of a Pod was tried as well) or cannot be used."""

    reason = "config"

    def __init__(self, message: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.missing = missing


class Unauthenticated(KubeError):
    """The server does not accept the credentials (401), or none could be had: expired, or the exec plugin failed."""

    reason = "unauthenticated"


class Unreachable(KubeError):
    """No connection to the API server: refused, unknown name, TLS, or nobody answered in time."""

    reason = "unreachable"


class ReadFailed(KubeError):
    """One request failed, others may not.

    `reason` is forbidden, not-found, timeout, server-error, malformed, gone or throttled. `status` is the HTTP status,
    0 where none was received. `retry_after` is how many seconds the server asks us to stay away, where it does.
    """

    def __init__(self, message: str, *, reason: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
