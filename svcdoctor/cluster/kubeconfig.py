"""Which cluster, and as whom: kubectl's flags and kubeconfig files, read, checked and reduced to one choice.

Everything a person can get wrong here ends in a ConfigError that names the file and the field. The official client's
loader is kept for what it does well (certificates, tokens, proxy-url, tls-server-name) and given a kubeconfig of one
context only. What it leaves out is done here: several files merged the way kubectl merges them, `--cluster` and
`--user`, impersonation, and exec plugins whose failure is heard.

Sources: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ (fields),
https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ (merging),
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins (plugins).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import yaml

from svcdoctor.cluster.errors import ConfigError, Unauthenticated
from svcdoctor.text import listing, parse_time, printable, shorten

_PLUGIN_TIMEOUT = 30.0
_EXPIRY_MARGIN = 30.0
"""Seconds before its expiry at which a credential is renewed."""
_MINIMUM_AGE = 10.0
"""Seconds a credential is kept whatever its expiry: a plugin with a wrong clock is not run for each request."""


@dataclass(frozen=True, kw_only=True)
class ConnectOptions:
    """kubectl's global flags of the same names, with the same meanings.

    `request_timeout` is in seconds per request; None means our defaults, 0 means wait without limit.
    """

    kubeconfig: str | None = None
    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()
    as_uid: str | None = None
    request_timeout: float | None = None


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What proves who we are: a bearer token, a client certificate (PEM), or both. `expires` in seconds since 1970.

    `files` are certificate and key where they stand on disk anyway.
    """

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    files: tuple[str, str] | None = None
    expires: float | None = None


class CredentialSource:
    """A credential that has to be fetched again and again; safe to share between threads, which wait for one fetch.

    `may_ask`: fetching it may need a person, as a login in a browser does. `ask` fetches it with the terminal, where
    it cannot be had without and whoever has the terminal lends it (`lend`); in vain once, it is not asked again.
    """

    def __init__(
        self, fetch: Callable[[], Credential], *, may_ask: bool = False, ask: Callable[[], Credential] | None = None
    ) -> None:
        self._fetch = fetch
        self._ask = ask
        self._asked_in_vain = False
        self.lend: Callable[[], AbstractContextManager[object]] | None = None
        self.may_ask = may_ask
        self._lock = threading.Lock()
        self._held: Credential | None = None
        self._fetched = 0.0

    def current(self) -> Credential:
        """The credential, fetched when there is none or it is about to expire. Raises Unauthenticated."""
        with self._lock:
            if self._held is None or self._is_due(self._held):
                self._held = self._renewed()
                self._fetched = time.monotonic()
            return self._held

    def _renewed(self) -> Credential:
        try:
            return self._fetch()
        except Unauthenticated:
            if self._ask is None or self.lend is None or self._asked_in_vain:
                raise
        self._asked_in_vain = True
        with self.lend():
            credential = self._ask()
        self._asked_in_vain = False
        return credential

    def reject(self, credential: Credential) -> None:
        """Forget a credential that the server refused, unless another thread has replaced it already."""
        with self._lock:
            if self._held is credential:
                self._held = None

    def _is_due(self, credential: Credential) -> bool:
        if credential.expires is None or time.monotonic() - self._fetched < _MINIMUM_AGE:
            return False
        return time.time() > credential.expires - _EXPIRY_MARGIN


@dataclass(frozen=True, kw_only=True)
class Access:
    """One cluster and one identity.

    `config` is a kubeconfig of a single context for the official loader: absolute paths, no plugin, no token file.
    `impersonate` are the headers to send with each request. `source` renews the credential when it has to be fetched.
    """

    context: str
    namespace: str
    server: str
    config: dict[str, Any] = field(repr=False)
    impersonate: tuple[tuple[str, str], ...] = ()
    source: CredentialSource | None = None


def choose(options: ConnectOptions) -> Access | None:
    """What the flags and files select, or None where there is no kubeconfig at all. Raises ConfigError."""
    paths = _paths(options.kubeconfig)
    documents = [(path, document) for path in paths if (document := _load(path))]
    if not documents:
        if options.kubeconfig:
            raise ConfigError(f"kubeconfig {printable(options.kubeconfig)} is empty; give another with --kubeconfig")
        return None
    return _Merged(documents).select(options)


def context_names(options: ConnectOptions) -> list[str]:
    """The contexts that the files name, sorted; [] where there is no kubeconfig. Raises ConfigError."""
    documents = [(path, document) for path in _paths(options.kubeconfig) if (document := _load(path))]
    return _Merged(documents).contexts() if documents else []


def no_kubeconfig() -> ConfigError:
    """The error for a computer that has no kubeconfig and is no Pod either."""
    where = os.environ.get("KUBECONFIG") or "~/.kube/config"
    return ConfigError(
        f"no kubeconfig found at {printable(where)}, and this is not a Pod with a service account; "
        "give one with --kubeconfig or set KUBECONFIG",
        missing=True,
    )


def impersonation(
    user: str, groups: tuple[str, ...] = (), uid: str = "", extra: dict[str, list[str]] | None = None
) -> tuple[tuple[str, str], ...]:
    """The headers that ask the server to act as somebody else (https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/)."""
    if not user:
        if groups or uid or extra:
            raise ConfigError("a group, uid or extra to impersonate needs a user as well; add --as")
        return ()
    headers = [("Impersonate-User", user)]
    headers += [("Impersonate-Group", group) for group in groups]
    if uid:
        headers.append(("Impersonate-Uid", uid))
    for key, values in (extra or {}).items():
        name = "Impersonate-Extra-" + quote(key, safe="!#$&'*+-.^_`|~")
        headers += [(name, value) for value in values]
    for name, value in headers:
        if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
            raise ConfigError(f"the name to impersonate for {name} has a control character: {printable(value)}")
    return tuple(headers)


def token_file(path: str) -> CredentialSource:
    """A token that something else rewrites now and then, such as a service account's: read again each minute."""

    def fetch() -> Credential:
        try:
            with open(path, encoding="utf-8") as file:
                token = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unauthenticated(f"the token file {printable(path)} cannot be read: {_os_text(error)}") from None
        if not token or not _fits_header(token):
            raise Unauthenticated(f"the token file {printable(path)} {'holds something else' if token else 'is empty'}")
        return Credential(token=token, expires=time.time() + 60 + _EXPIRY_MARGIN)

    return CredentialSource(fetch)


def certificate_files(certificate: str, key: str) -> CredentialSource:
    """A client certificate that something else renews on disk: looked at again each minute, and when it is refused.

    A connection keeps the certificate that it was made with, so that whoever holds connections has to be told.
    """

    def fetch() -> Credential:
        try:
            with open(certificate, encoding="utf-8") as file:
                content = file.read()
        except (OSError, UnicodeDecodeError) as error:
            why = f"the client-certificate {printable(certificate)} cannot be read: {_os_text(error)}"
            raise Unauthenticated(why) from None
        expires = time.time() + 60 + _EXPIRY_MARGIN
        return Credential(certificate=content, files=(certificate, key), expires=expires)

    return CredentialSource(fetch)


def _fits_header(token: str) -> bool:
    """Whether a token can be sent in an Authorization header, and nothing else with it."""
    return token.isascii() and token.isprintable() and " " not in token


# --- files -------------------------------------------------------------------------------------------------------


def _paths(flag: str | None) -> list[str]:
    """The files to read, the one that wins first. $KUBECONFIG is read now, not when something was imported."""
    if flag:
        if not os.path.exists(flag):
            raise ConfigError(f"kubeconfig {printable(flag)} does not exist; check --kubeconfig")
        return [flag]
    listed = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    candidates = listed or [os.path.join("~", ".kube", "config")]
    return [path for path in map(os.path.expanduser, candidates) if os.path.exists(path)]


def _load(path: str) -> dict[str, Any]:
    shown = printable(path)
    try:
        with open(path, encoding="utf-8") as file:
            document = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        # Only the parser's complaint and the place: the snippet it would print may be part of a token.
        line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{shown} is not valid YAML{line}: {printable(error.problem or 'unreadable')}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError):
        raise ConfigError(f"{shown} is not valid YAML: it holds characters that are not text") from None
    except RecursionError:
        raise ConfigError(f"{shown} is no kubeconfig: it is nested too deeply") from None
    except OSError as error:
        raise ConfigError(f"kubeconfig {shown} cannot be read: {_os_text(error)}") from None
    if document is None:
        return {}
    return _mapping(document, shown, "the document")


def _os_text(error: Exception) -> str:
    return (error.strerror or type(error).__name__).lower() if isinstance(error, OSError) else "it is not text"


_WORD_FOR = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a map",
}


def _wrong(where: str, name: str, wanted: str, value: object) -> ConfigError:
    hint = "; put it in quotes" if wanted == "a string" and isinstance(value, (int, float)) else ""
    return ConfigError(f"{where}: {name} must be {wanted}, not {_WORD_FOR.get(type(value), 'something else')}{hint}")


def _mapping(value: object, where: str, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(where, name, "a map", value)
    return value


def _sequence(value: object, where: str, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(where, name, "a list", value)
    return value


def _string(value: object, where: str, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _wrong(where, name, "a string", value)
    return value


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A named context, cluster or user, and the file it came from."""

    path: str
    label: str
    body: dict[str, Any] = field(repr=False)

    @property
    def where(self) -> str:
        return printable(self.path)

    def text(self, key: str) -> str:
        return _string(self.body.get(key), self.where, f"{self.label}.{key}")

    def texts(self, key: str) -> list[str]:
        name = f"{self.label}.{key}"
        values = _sequence(self.body.get(key), self.where, name)
        return [_string(value, self.where, f"{name}[{index}]") for index, value in enumerate(values)]

    def flag(self, key: str) -> bool:
        value = self.body.get(key)
        if value is not None and not isinstance(value, bool):
            raise _wrong(self.where, f"{self.label}.{key}", "true or false", value)
        return bool(value)

    def error(self, key: str, what: str) -> ConfigError:
        return ConfigError(f"{self.where}: {self.label}.{key} {what}")

    def absolute(self, key: str) -> str:
        """The path in a field: relative ones start at the kubeconfig's own directory."""
        value = self.text(key)
        return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(self.path)), value)) if value else ""

    def file(self, key: str) -> str:
        path = self.absolute(key)
        if path:
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise self.error(key, f"names {printable(path)}, which cannot be read: {_os_text(error)}") from None
        return path

    def pem(self, key: str) -> dict[str, str]:
        """`key-data` where it is given, else the file of `key`, as the official loader wants them."""
        data = self.text(key + "-data")
        if data:
            try:
                base64.b64decode("".join(data.split()), validate=True)
            except (binascii.Error, ValueError):
                raise self.error(key + "-data", "is not base64; copy it again from a working kubeconfig") from None
            return {key + "-data": data}
        path = self.file(key)
        return {key: path} if path else {}


class _Merged:
    """Several files as one: the first that has a name, or a current-context, wins."""

    def __init__(self, documents: list[tuple[str, dict[str, Any]]]) -> None:
        self._files = listing([printable(path) for path, _ in documents])
        self._current = ""
        self._entries: dict[str, dict[str, _Entry]] = {"context": {}, "cluster": {}, "user": {}}
        for path, document in documents:
            where = printable(path)
            self._current = self._current or _string(document.get("current-context"), where, "current-context")
            for kind, entries in self._entries.items():
                for name, entry in self._read(path, document, kind).items():
                    entries.setdefault(name, entry)

    @staticmethod
    def _read(path: str, document: dict[str, Any], kind: str) -> dict[str, _Entry]:
        where, section = printable(path), kind + "s"
        entries: dict[str, _Entry] = {}
        for index, item in enumerate(_sequence(document.get(section), where, section)):
            item = _mapping(item, where, f"{section}[{index}]")
            name = _string(item.get("name"), where, f"{section}[{index}].name")
            if not name:
                raise ConfigError(f"{where}: {section}[{index}].name is not set")
            if name in entries:
                raise ConfigError(f"{where}: {section} has two entries named {printable(name)}; remove one")
            label = f"{section}[{printable(name)}].{kind}"
            entries[name] = _Entry(path=path, label=label, body=_mapping(item.get(kind), where, label))
        return entries

    def _find(self, kind: str, name: str, asked_by: str) -> _Entry:
        entries = self._entries[kind]
        if name not in entries:
            known = (
                f"known {kind}s: {listing(sorted(map(printable, entries)), 12)}" if entries else f"it has no {kind}s"
            )
            raise ConfigError(
                f"{self._files}: there is no {kind} {printable(name)!r}, asked for by {asked_by}; {known}"
            )
        return entries[name]

    def contexts(self) -> list[str]:
        return sorted(printable(name) for name in self._entries["context"])

    def select(self, options: ConnectOptions) -> Access:
        name = options.context or self._current
        if not name and not options.cluster:
            known = listing(sorted(map(printable, self._entries["context"])), 12)
            hint = f"choose one with --context: {known}" if known else "it has no contexts either"
            raise ConfigError(f"{self._files}: current-context is not set; {hint}")
        context = _Entry(path="", label="context", body={})
        if name:
            context = self._find("context", name, "--context" if options.context else "current-context")
        cluster_name = options.cluster or context.text("cluster")
        if not cluster_name:
            raise context.error("cluster", "is not set; name a cluster there or with --cluster")
        cluster = self._find("cluster", cluster_name, "--cluster" if options.cluster else context.label)
        user_name = options.user or context.text("user")
        user = _Entry(path=context.path, label="user", body={})
        if user_name:
            user = self._find("user", user_name, "--user" if options.user else context.label)
        server = _server(cluster, user)
        plain, source = _user(user, cluster, server)
        return Access(
            context=printable(name or cluster_name),
            namespace=context.text("namespace") or "default",
            server=server,
            config={
                "current-context": "chosen",
                "contexts": [{"name": "chosen", "context": {"cluster": "chosen", "user": "chosen"}}],
                "clusters": [{"name": "chosen", "cluster": _cluster(cluster, server)}],
                "users": [{"name": "chosen", "user": plain}],
            },
            impersonate=_impersonate(user, options),
            source=source,
        )


def _server(cluster: _Entry, user: _Entry) -> str:
    """The server's URL, with the scheme that client-go would take when it is left out."""
    server = cluster.text("server")
    if not server:
        raise cluster.error("server", "is not set")
    if "://" not in server:
        keys = ("certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify")
        tls = any(cluster.body.get(key) for key in keys) or any(
            user.body.get(key) for key in ("client-certificate", "client-certificate-data")
        )
        server = f"{'https' if tls else 'http'}://{server}"
    wrong = cluster.error("server", f"is not an http or https URL: {printable(without_password(server))}")
    try:
        parts = urlsplit(server)
        _ = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in server):
        raise wrong
    if parts.query or parts.fragment or parts.username is not None:
        raise cluster.error("server", "must be scheme, host, port and path only; remove user, query and fragment")
    return server.rstrip("/")


def without_password(url: str) -> str:
    """The URL without the user and password it may carry, to be shown."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return scheme + separator + authority.rpartition("@")[2] + slash + path


def _cluster(cluster: _Entry, server: str) -> dict[str, Any]:
    plain: dict[str, Any] = {"server": server, **cluster.pem("certificate-authority")}
    if cluster.flag("insecure-skip-tls-verify"):
        plain["insecure-skip-tls-verify"] = True
    for key in ("tls-server-name", "proxy-url"):
        if value := cluster.text(key):
            plain[key] = value
    return plain


def _user(user: _Entry, cluster: _Entry, server: str) -> tuple[dict[str, Any], CredentialSource | None]:
    """The part of a user that stands still, and the source of the part that does not.

    A token in the file beats a plugin, as in client-go.
    """
    plain: dict[str, Any] = {**user.pem("client-certificate"), **user.pem("client-key")}
    has_certificate, has_key = (
        any(key.startswith(name) for key in plain) for name in ("client-certificate", "client-key")
    )
    if has_certificate != has_key:
        raise user.error(
            "client-key" if has_certificate else "client-certificate", "is not set; both or none are needed"
        )
    if path := user.file("tokenFile"):
        return plain, token_file(path)
    if token := user.text("token"):
        if not _fits_header(token):
            raise user.error("token", "has spaces, line breaks or foreign letters in it; copy it again")
        return {**plain, "token": token}, None
    if user.text("username"):
        return {**plain, "username": user.text("username"), "password": user.text("password")}, None
    if user.body.get("auth-provider"):
        return {**plain, "token": _provider_token(user)}, None
    if user.body.get("exec") is not None:
        plugin = _ExecPlugin(user, cluster, server)
        return plain, CredentialSource(plugin, may_ask=plugin.may_ask, ask=plugin.ask if plugin.may_ask else None)
    if "client-certificate" in plain and "client-key" in plain:  # both are files, neither is in the kubeconfig itself
        return plain, certificate_files(plain["client-certificate"], plain["client-key"])
    return plain, None


def _provider_token(user: _Entry) -> str:
    """The token that a built-in provider of old kubectl left in the file, while it is valid.

    It is not refreshed: a refresh may invalidate the token that kubectl still has on disk, and we do not write there.
    """
    where = f"{user.label}.auth-provider"
    provider = _mapping(user.body["auth-provider"], user.where, where)
    name = printable(_string(provider.get("name"), user.where, f"{where}.name"))
    config = _mapping(provider.get("config"), user.where, f"{where}.config")
    key = "id-token" if name == "oidc" else "access-token"
    token = _string(config.get(key), user.where, f"{where}.config.{key}")
    expires = (
        _expiry_of_jwt(token)
        if name == "oidc"
        else _seconds(_string(config.get("expiry"), user.where, f"{where}.config.expiry"))
    )
    if not token or (expires is not None and expires < time.time()):
        state = "has expired" if token else "is missing"
        raise Unauthenticated(
            f"{user.where}: the token of {where} ({name}) {state}; run any kubectl command to renew it, "
            "or use an exec plugin in place of auth-provider"
        )
    return token


def _expiry_of_jwt(token: str) -> float | None:
    """The `exp` claim, unverified: only to say early what the server would say with a bare 401."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def _seconds(moment: str) -> float | None:
    parsed = parse_time(moment)
    return parsed.timestamp() if parsed else None


def _impersonate(user: _Entry, options: ConnectOptions) -> tuple[tuple[str, str], ...]:
    extra = {
        str(key): [
            _string(value, user.where, f"{user.label}.as-user-extra")
            for value in _sequence(values, user.where, f"{user.label}.as-user-extra.{printable(str(key))}")
        ]
        for key, values in _mapping(user.body.get("as-user-extra"), user.where, f"{user.label}.as-user-extra").items()
    }
    return impersonation(
        options.as_user or user.text("as"),
        options.as_groups or tuple(user.texts("as-groups")),
        options.as_uid or user.text("as-uid"),
        extra,
    )


# --- exec plugins ------------------------------------------------------------------------------------------------


class _ExecPlugin:
    """Runs a credential plugin: no terminal, a time limit, and its complaint in our error.

    The official client would lend it our terminal unasked, also the dashboard's, and swallow its failure.
    """

    def __init__(self, user: _Entry, cluster: _Entry, server: str) -> None:
        body = _mapping(user.body["exec"], user.where, f"{user.label}.exec")
        self._entry = entry = _Entry(path=user.path, label=f"{user.label}.exec", body=body)
        self._command = entry.text("command")
        if not self._command:
            raise entry.error("command", "is not set")
        self._arguments = entry.texts("args")
        self._version = entry.text("apiVersion")
        if not self._version.startswith("client.authentication.k8s.io/"):
            raise entry.error("apiVersion", "must be client.authentication.k8s.io/v1 or .../v1beta1")
        self._hint = printable(shorten(entry.text("installHint").strip(), 400))
        self._mode = entry.text("interactiveMode")
        self._environment = {}
        for index, item in enumerate(_sequence(body.get("env"), entry.where, f"{entry.label}.env")):
            where = f"{entry.label}.env[{index}]"
            pair = _mapping(item, entry.where, where)
            name = _string(pair.get("name"), entry.where, f"{where}.name")
            self._environment[name] = _string(pair.get("value"), entry.where, f"{where}.value")
        self._cluster = _cluster_information(cluster, server) if entry.flag("provideClusterInfo") else None

    @property
    def may_ask(self) -> bool:
        """Without a word about it a plugin may, as kubectl takes it too (interactiveMode IfAvailable)."""
        return self._mode != "Never"

    def __call__(self) -> Credential:
        if self._mode == "Always":
            raise self._failed(
                "wants a terminal (interactiveMode: Always), which it cannot have here; use one that can do without"
            )
        return self._run(interactive=False)

    def ask(self) -> Credential:
        """With the terminal, for as long as the person takes."""
        return self._run(interactive=True)

    def _run(self, *, interactive: bool) -> Credential:
        try:
            # In a session of its own it has no terminal to open: it cannot take keys from the dashboard.
            done = subprocess.run(
                [self._executable(), *self._arguments],
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None if interactive else subprocess.PIPE,
                timeout=None if interactive else _PLUGIN_TIMEOUT,
                env={**os.environ, **self._environment, "KUBERNETES_EXEC_INFO": self._information(interactive)},
                start_new_session=not interactive,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._failed(
                f"did not answer within {_PLUGIN_TIMEOUT:.0f} s; log in with it once in another terminal"
            ) from None
        except (OSError, ValueError) as error:
            raise self._failed(f"cannot be run: {_os_text(error)}", hint=True) from None
        if done.returncode:
            lines = [line for line in (done.stderr or b"").decode("utf-8", "replace").splitlines() if line.strip()]
            said = f": {printable(shorten(lines[0].strip(), 300))}" if lines else " and said nothing"
            raise self._failed(f"failed with exit code {done.returncode}{said}", hint=True)
        return self._credential(done.stdout)

    def _failed(self, what: str, *, hint: bool = False) -> Unauthenticated:
        more = f"; {self._hint}" if hint and self._hint else ""
        return Unauthenticated(f"the credential plugin {printable(self._command)} ({self._entry.where}) {what}{more}")

    def _executable(self) -> str:
        """The plugin's path: beside the kubeconfig when the command is a relative path, else from $PATH."""
        if os.path.dirname(self._command):
            return self._entry.absolute("command")
        found = shutil.which(self._command)
        if not found:
            raise self._failed("is not installed: no such command in PATH", hint=True)
        return found

    def _information(self, interactive: bool) -> str:
        spec: dict[str, Any] = {"interactive": interactive}
        if self._cluster is not None:
            spec["cluster"] = self._cluster
        return json.dumps({"apiVersion": self._version, "kind": "ExecCredential", "spec": spec})

    def _credential(self, output: bytes) -> Credential:
        """What the plugin printed. Nothing of it goes into a message: it may be the token."""
        try:
            answer = json.loads(output)
            status = answer["status"]
            texts = {
                key: status.get(key) or ""
                for key in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
            }
            version = answer.get("apiVersion")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise self._failed("printed something else than an ExecCredential with a status") from None
        if version != self._version:
            raise self._failed(
                f"answered in another apiVersion than {printable(self._version)}, which the kubeconfig asks for"
            )
        if not all(isinstance(value, str) for value in texts.values()):
            raise self._failed("printed an ExecCredential with a field that is not a string")
        if bool(texts["clientCertificateData"]) != bool(texts["clientKeyData"]):
            raise self._failed("gave a client certificate without its key, or the key alone")
        token = texts["token"].strip()
        if not _fits_header(token):
            raise self._failed("gave a token with spaces or line breaks in it")
        if not token and not texts["clientCertificateData"]:
            raise self._failed("gave neither a token nor a client certificate")
        return Credential(
            token=token,
            certificate=texts["clientCertificateData"],
            key=texts["clientKeyData"],
            expires=_seconds(texts["expirationTimestamp"]),
        )


def _cluster_information(cluster: _Entry, server: str) -> dict[str, Any]:
    """`spec.cluster` of an ExecCredential, for plugins that ask for it."""
    information: dict[str, Any] = {"server": server}
    for key in ("tls-server-name", "proxy-url", "certificate-authority-data"):
        if value := cluster.text(key):
            information[key] = value
    if cluster.flag("insecure-skip-tls-verify"):
        information["insecure-skip-tls-verify"] = True
    path = cluster.file("certificate-authority")
    if path and "certificate-authority-data" not in information:
        with open(path, "rb") as file:
            information["certificate-authority-data"] = base64.b64encode(file.read()).decode()
    for item in _sequence(cluster.body.get("extensions"), cluster.where, f"{cluster.label}.extensions"):
        extension = _mapping(item, cluster.where, f"{cluster.label}.extensions")
        if extension.get("name") == "client.authentication.k8s.io/exec":
            information["config"] = extension.get("extension")
    return information
