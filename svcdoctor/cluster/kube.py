"""The Kubernetes API: connect, list, get, watch, access reviews, exec and port-forward.

The official client brings what is hard to get right twice: TLS, proxies, its connection pool and the loading of
credentials. Its models, generated API classes and kubernetes.stream are not used: answers go from bytes to our Structs
(a fiftieth of the time and a tenth of the memory), and WebSockets are opened here, since kubernetes.stream forgets
impersonation and breaks a client that threads share. What a kubeconfig says is worked out in kubeconfig.py and handed
to that client in configuration.py; transport.py makes the connections that it does not, decoding.py reads answers,
watch.py a watch, and podsocket.py what Pods say.

A Cluster may be used by several threads at once. Everything that can go wrong is a KubeError.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import urllib3
import websocket
from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, load_kube_config_from_dict
from urllib3 import HTTPResponse
from urllib3.exceptions import (
    DecodeError,
    HTTPError,
    IncompleteRead,
    MaxRetryError,
    NameResolutionError,
    ProxyError,
    ReadTimeoutError,
)

from svcdoctor import __version__
from svcdoctor.cluster.answerhead import POOLS
from svcdoctor.cluster.configuration import (
    check_certificates,
    in_cluster,
    new_configuration,
    private_file,
    settle_proxy,
)
from svcdoctor.cluster.decoding import (
    DISCOVERY,
    JSON,
    METADATA_LIST,
    NAMELESS,
    NOT_DECODED,
    Discovery,
    PageMetadata,
    RawPage,
    Review,
    Skipped,
    Version,
    decoder,
    decoding_error,
    is_nameless,
    name_of,
    plain_text,
)
from svcdoctor.cluster.errors import ConfigError, KubeError, ReadFailed, Unauthenticated, Unreachable
from svcdoctor.cluster.kubeconfig import Access, ConnectOptions, Credential, CredentialSource, choose, without_password
from svcdoctor.cluster.podsocket import ExecResult, PodSocket, PortForwardError, parse_status, read_exec
from svcdoctor.cluster.transport import (
    hung_up_at,
    is_connect_timeout,
    is_dropped,
    open_connection,
    read_body,
    seconds_left,
    tls_error,
    words_of,
)
from svcdoctor.cluster.watch import Event, Watch
from svcdoctor.objects import Resource
from svcdoctor.sharing import share_neighbours
from svcdoctor.text import printable, shorten

__all__ = [
    "Cluster",
    "ConfigError",
    "ConnectOptions",
    "Event",
    "ExecResult",
    "KubeError",
    "Listing",
    "PodSocket",
    "PortForwardError",
    "ReadFailed",
    "Request",
    "Skipped",
    "Unauthenticated",
    "Unreachable",
    "Watch",
]

_PAGE = 500
"""Objects per page: more saves nothing, and one page is what a refused token or a slow link costs."""
_CONNECT_TIMEOUT = 4.0
_REQUEST_TIMEOUT = 60.0
_LONGEST_PAUSE = 10.0
"""Seconds of Retry-After that are waited for; when the server asks for more, the caller hears of it."""
_REVIEW_LIFETIME = 300.0
_CLOCK_ERROR, _CLOCK_NONSENSE = timedelta(seconds=5), timedelta(days=1)
"""What a Date may be off for being slow, and what no server's clock is off that speaks TLS."""
_DISCOVERY_LIFETIME = 60.0
_PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


class Listing(NamedTuple):
    """All objects of a list, those that were skipped, and the version from which a watch would go on.

    An optional kind that the server does not have is an empty list without a version.
    """

    items: list[Any]
    skipped: tuple[Skipped, ...]
    resource_version: str


class Request(NamedTuple):
    """One request as it was made: path with query, HTTP status (0: no answer), seconds.

    `bytes` are those of the body as it came over the wire, `unpacked` as it is read; of a watch neither is counted.
    """

    method: str
    path: str
    status: int
    seconds: float
    bytes: int = 0
    unpacked: int = 0


_RequestLog = list[Request]


class _Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes
    credential: Credential | None


_LOG_SILENCE = 3600.0  # seconds that a followed log may say nothing


class Cluster:
    """A connection to one API server as one identity.

    `context` and `namespace` are the kubeconfig's ("in-cluster" and the service account's own in a Pod), `server` its
    URL. `requests` is the log of everything that was asked, in the order of the answers.
    """

    context: str
    server: str
    namespace: str
    requests: _RequestLog

    def __init__(self, access: Access, configuration: Configuration, request_timeout: float | None = None) -> None:
        self.context = access.context
        self.server = printable(access.server)
        self.namespace = access.namespace
        self.requests = []
        self._configuration = configuration
        self._source: CredentialSource | None = access.source
        self._impersonate = access.impersonate
        self._timeout = _REQUEST_TIMEOUT if request_timeout is None else request_timeout or None
        self._lock = threading.Lock()
        self._certificate = ""
        self._clock = timedelta()  # how far the server's is ahead of ours
        self._reviews: dict[tuple[str, ...], tuple[float, bool]] = {}
        self._discovering = threading.Lock()
        self._discovered: tuple[float, dict[tuple[str, str], tuple[str, ...]] | None] = (float("-inf"), None)
        self._api = self._new_client()

    def __repr__(self) -> str:
        return f"Cluster(context={self.context!r}, server={self.server!r})"

    @classmethod
    def connect(cls, options: ConnectOptions, access: Access | None = None) -> Cluster:
        """Read the kubeconfig (or a Pod's service account), run its exec plugin if it has one, and be ready.

        The server is not asked yet: version() is the cheapest proof that it answers and knows us.
        Raises ConfigError, and Unauthenticated when the plugin fails.
        """
        access = access or choose(options)
        if access is None:
            access, configuration = in_cluster(options)
        else:
            configuration = new_configuration()
            try:
                load_kube_config_from_dict(access.config, client_configuration=configuration, persist_config=False)  # type: ignore[no-untyped-call]
            except (ConfigException, OSError, ValueError) as error:
                # Fields are checked before; what is left are files that vanish in between and the like.
                raise ConfigError(f"the kubeconfig cannot be used: {printable(shorten(str(error)))}") from None
        if not configuration.verify_ssl:
            # The kubeconfig says so; a warning per request would only spoil the screen.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        settle_proxy(configuration, access)
        check_certificates(configuration, access)
        cluster = cls(access, configuration, options.request_timeout)
        cluster._client()
        return cluster

    def close(self) -> None:
        """Close the pooled connections."""
        self._api.close()  # type: ignore[no-untyped-call]

    # --- reading ----------------------------------------------------------------------------------------------

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        timeout: float | None = None,
    ) -> Listing:
        """All objects of a kind, in one namespace or ("") in all, read in pages of one consistent snapshot.

        No resourceVersion is sent: the server answers with what is stored at that moment ("most recent"), never with
        what a cache held a while ago, and the pages that follow are of the same moment. Where that was compacted away
        in the meantime (410), the list is read anew, in one piece. A watch goes on from the version of the list.

        `timeout` is in seconds for all pages together; without it each page has the time of one request. An object
        that does not decode is skipped and named. Raises KubeError; a list that was not read to its end is no list.
        """
        what = f"list {resource.name}" + (f" in namespace {printable(namespace)}" if namespace else "")
        served = self.served(resource, timeout=timeout)
        if served is None:
            return Listing([], (), "")
        path = served.path(quote(namespace, safe=""))
        accept = METADATA_LIST if resource.metadata_only else JSON
        selectors = [("labelSelector", label_selector), ("fieldSelector", field_selector)]
        ends = None if timeout is None else time.monotonic() + timeout
        items: Any = []
        skipped: tuple[Skipped, ...] = ()
        version = token = ""
        limit = str(_PAGE)
        seen: set[str] = set()
        while True:
            query = [("limit", limit), ("continue", token), *selectors]
            try:
                answer = self._read(what, "GET", path, query, timeout=seconds_left(ends), accept=accept)
            except ReadFailed as error:
                if error.reason == "not-found" and resource.optional:
                    return Listing([], (), "")
                if error.reason != "gone" or not token:
                    raise
                # The snapshot behind the token is compacted away: once more, in one piece so that it cannot recur.
                items, skipped, version, token, limit = [], (), "", "", ""
                continue
            page_items, page_skipped, metadata = self._decode_page(what, resource, answer)
            share_neighbours(page_items)
            items += page_items
            skipped += page_skipped
            version = version or metadata.resource_version
            token = metadata.continue_ or ""
            if not token:
                return Listing(items, skipped, version)
            if token in seen:
                raise self._malformed(what, answer, "it sends the same page again and again")
            seen.add(token)

    def served(self, resource: Resource, *, timeout: float | None = None) -> Resource | None:
        """The kind under the version that the server has of it; None for an optional kind that it does not serve.

        Where the server does not say what it serves, the kind is as RESOURCES has it.
        """
        if not resource.optional:
            return resource
        with self._discovering:
            asked, versions = self._discovered
            if time.monotonic() - asked > _DISCOVERY_LIFETIME:
                versions = self._discover(timeout)
                self._discovered = (time.monotonic(), versions)
        if versions is None:
            return resource
        found = versions.get((resource.group, resource.plural), ())
        version = resource.version if resource.version in found else next(iter(found), "")
        return msgspec.structs.replace(resource, version=version) if version else None

    def _discover(self, timeout: float | None) -> dict[tuple[str, str], tuple[str, ...]] | None:
        """The versions of each (group, plural), the server's favourite first: aggregated discovery (KEP-3352)."""
        what = "read which APIs the server has"
        try:
            answer = self._read(what, "GET", "/apis", timeout=timeout, accept=DISCOVERY)
            groups = self._decode(what, answer, Discovery).items
        except KubeError:
            return None
        if not groups:  # a server older than v1.27 names its groups only
            return None
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for group in groups:
            for version in group.versions:
                for served in version.resources:
                    key = (group.metadata.name, served.resource)
                    found[key] = (*found.get(key, ()), version.version)
        return found

    def get(self, resource: Resource, namespace: str, name: str, *, timeout: float | None = None) -> Any:
        """One object, as the Struct of its kind. Raises KubeError (ReadFailed with reason not-found: there is none)."""
        what = f"get {resource.name} {printable(namespace)}{'/' if namespace else ''}{printable(name)}"
        path = resource.path(quote(namespace, safe=""), quote(name, safe=""))
        answer = self._read(what, "GET", path, timeout=timeout)
        return self._decode(what, answer, resource.type)

    def may(self, verb: str, resource: str, namespace: str = "", *, group: str = "", subresource: str = "") -> bool:
        """Whether we may do this, by a SelfSubjectAccessReview; an answer holds for five minutes. Raises KubeError."""
        key = (verb, resource, namespace, group, subresource)
        known = self._reviews.get(key)
        if known and time.monotonic() - known[0] < _REVIEW_LIFETIME:
            return known[1]
        names = ("verb", "resource", "namespace", "group", "subresource")
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {name: value for name, value in zip(names, key, strict=True) if value}},
        }
        what = f"ask for the right to {verb} {resource}{'/' if subresource else ''}{subresource}"
        answer = self._read(what, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        allowed = bool(self._decode(what, answer, Review).status.allowed)
        self._reviews[key] = (time.monotonic(), allowed)
        return allowed

    def dry_run(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        *,
        style: str,
        subresource: str = "",
        timeout: float | None = None,
    ) -> str:
        """What the server says against a patch that it is to admit and not to store; "" where it would take it.

        `style` is json, merge or strategic. Raises KubeError where it gave no verdict.
        """
        what = f"patch {resource.name} {printable(namespace)}/{printable(name)} (dry run)"
        path = resource.path(quote(namespace, safe=""), quote(name, safe="")) + (
            f"/{subresource}" if subresource else ""
        )
        query = (("dryRun", "All"), ("fieldManager", "svcdoctor"))
        try:
            self._read(what, "PATCH", path, query, body=body, timeout=timeout, content_type=_PATCHES[style])
        except ReadFailed as error:
            if 400 <= error.status < 500 and error.status != 429:
                return error.message.removeprefix(f"cannot {what}: ")
            raise
        return ""

    def version(self) -> str:
        """The server's version, such as `v1.37.2`. Raises KubeError."""
        what = "read the server's version"
        answer = self._read(what, "GET", "/version")
        return printable(shorten(self._decode(what, answer, Version).git_version))

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        timeout_seconds: int,
        read_timeout: float = 70.0,
    ) -> Watch:
        """What happens to a kind from a version on, for at most `timeout_seconds`; the connection is made by iterating.

        Bookmarks come about once a minute, so that `read_timeout` seconds of silence mean that nobody is there.
        """
        served = self.served(resource) or resource
        return Watch(self, served, namespace, resource_version, timeout_seconds, read_timeout)

    def open_watch(
        self, what: str, target: str, read_timeout: float, connected: Callable[[Any], None], accept: str = JSON
    ) -> tuple[Any, HTTPResponse]:
        """A connection of its own and the answer to a watch, its body unread. `connected` is given the socket."""
        for last in (False, True):
            api, credential = self._client()
            _, url, headers, *_ = api.param_serialize(
                "GET",
                target,
                # Uncompressed: an event must not wait in a compressor for the next one.
                header_params={"Accept": accept, "Accept-Encoding": "identity"},
                auth_settings=["BearerToken"],
            )
            started = time.monotonic()
            status = 0
            connection = None
            try:
                connection = open_connection(api.rest_client.pool_manager, url, _CONNECT_TIMEOUT)
                connected(connection.sock)
                connection.timeout = read_timeout
                path = url.removeprefix(f"{urlsplit(url).scheme}://{urlsplit(url).netloc}")
                connection.request("GET", path, headers=self._headers(headers), preload_content=False)
                response: HTTPResponse = connection.getresponse()
                status = response.status
                if status == 200:
                    return connection, response
                body = response.read(1 << 16)
            except (HTTPError, http.client.HTTPException, OSError) as error:
                if connection is not None:
                    connection.close()
                if isinstance(error, TimeoutError):
                    raise self._timed_out(what) from None
                raise self.transport_failure(what, error, answering=bool(status)) from None
            finally:
                self.requests.append(Request("GET", target, status, time.monotonic() - started))
            connection.close()
            if status == 401 and self._source and credential and not last:
                self._source.reject(credential)
                continue
            raise self.failure(what, status, response.headers, body)
        raise AssertionError("the second attempt returns or raises")

    # --- Pods -------------------------------------------------------------------------------------------------

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        container: str = "",
        timeout: float = 10.0,
        max_bytes: int = 1 << 20,
    ) -> ExecResult:
        """Run a command in a container of a running Pod, without stdin or terminal, for at most `timeout` seconds.

        Output beyond `max_bytes` is cut off. The server asks for `get` and, from 1.35, `create` on pods/exec. Raises
        ReadFailed (forbidden, not-found, ...), Unreachable, Unauthenticated; a command that fails is a result.
        """
        ends = time.monotonic() + timeout
        query = [*(("command", argument) for argument in argv), ("stdout", "true"), ("stderr", "true")]
        if container:
            query.append(("container", container))
        what = f"exec in pod {printable(namespace)}/{printable(pod)}"
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/exec"
        connection = self._open(what, path, query, ("v5.channel.k8s.io", "v4.channel.k8s.io"), ends)
        return read_exec(connection, ends=ends, max_bytes=max_bytes)

    def port_forward(self, namespace: str, pod: str, port: int, *, timeout: float = 5.0) -> PodSocket:
        """A new TCP connection to a port inside a Pod; `timeout` seconds to open it, and at first for each call on it.

        That the socket is there says only that the node took the request: see PodSocket.connected(). Raises as exec().
        """
        ends = time.monotonic() + timeout
        what = f"port-forward to pod {printable(namespace)}/{printable(pod)} port {port}"
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/portforward"
        return PodSocket(self._open(what, path, [("ports", str(port))], ("v4.channel.k8s.io",), ends), timeout)

    def manifest(self, resource: Resource, namespace: str, name: str) -> dict[str, Any]:
        """One object with every field that the server has. Raises KubeError."""
        what = f"get {resource.name} {printable(namespace)}/{printable(name)}"
        answer = self._read(what, "GET", resource.path(quote(namespace, safe=""), quote(name, safe="")))
        manifest: dict[str, Any] = self._decode(what, answer, dict[str, Any])
        return manifest

    def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str = "",
        tail: int = 200,
        follow: bool = False,
        previous: bool = False,
    ) -> Iterator[str]:
        """The last `tail` lines that a container printed, and with `follow` those to come, until the caller stops.

        `previous`: those of the run before its last restart.
        """
        what = f"read the log of pod {printable(namespace)}/{printable(pod)}"
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/log"
        query = {"tailLines": str(tail), **({"container": container} if container else {})}
        if previous:
            query["previous"] = "true"
        if not follow:
            answer = self._read(what, "GET", path, tuple(query.items()))
            yield from answer.body.decode("utf-8", "replace").splitlines()
            return
        target = f"{path}?{urlencode({**query, 'follow': 'true'})}"
        connection, response = self.open_watch(what, target, _LOG_SILENCE, lambda _: None)
        try:
            yield from self._lines(response)
        except (HTTPError, OSError) as error:
            raise self.transport_failure(what, error, answering=True) from None
        finally:
            response.close()
            connection.close()

    @staticmethod
    def _lines(response: HTTPResponse) -> Iterator[str]:
        rest = b""
        while chunk := response.read1(1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in lines)
        if rest:
            yield rest.decode("utf-8", "replace")

    # --- the time ---------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The server's time, by which the times in its objects were written: this machine's may be hours off."""
        return datetime.now(UTC) + self._clock

    def _set_clock(self, said: str | None) -> None:
        """From the Date of an answer. It is in whole seconds, and was a while under way: a few seconds are nothing."""
        try:
            moment = parsedate_to_datetime(said or "")
        except (TypeError, ValueError):
            return
        off = moment.replace(tzinfo=UTC) - datetime.now(UTC)
        self._clock = off if _CLOCK_ERROR < abs(off) < _CLOCK_NONSENSE else timedelta()

    # --- credentials ------------------------------------------------------------------------------------------

    def _new_client(self) -> ApiClient:
        try:
            api = ApiClient(self._configuration)
        except (ImportError, HTTPError, ValueError) as error:
            # urllib3 speaks SOCKS only with another package beside it.
            why = "SOCKS needs the package PySocks" if isinstance(error, ImportError) else "it is not a proxy's URL"
            shown = printable(without_password(self._configuration.proxy or ""))
            raise ConfigError(f"the proxy {shown} of context {self.context} cannot be used: {why}") from None
        api.user_agent = f"svcdoctor/{__version__}"
        manager = api.rest_client.pool_manager
        if manager.pool_classes_by_scheme is urllib3.poolmanager.pool_classes_by_scheme:  # SOCKS has pools of its own
            manager.pool_classes_by_scheme = POOLS
        return api

    def _client(self) -> tuple[ApiClient, Credential | None]:
        """The official client with a credential that is good for now. Raises Unauthenticated."""
        if self._source is None:
            return self._api, None
        credential = self._source.current()
        with self._lock:
            if credential.token:
                self._configuration.api_key["BearerToken"] = f"Bearer {credential.token}"
            if credential.certificate and credential.certificate != self._certificate:
                # Connections of the pool keep the certificate they were made with, so that a new one needs a new pool.
                self._certificate = credential.certificate
                self._configuration.cert_file, self._configuration.key_file = credential.files or (
                    private_file(credential.certificate),
                    private_file(credential.key),
                )
                self._api = self._new_client()
            return self._api, credential

    # --- requests ---------------------------------------------------------------------------------------------

    def _read(
        self,
        what: str,
        method: str,
        path: str,
        query: Iterable[tuple[str, str]] = (),
        *,
        body: Any = None,
        timeout: float | None = None,
        accept: str = JSON,
        content_type: str = JSON,
    ) -> _Answer:
        """One request, repeated where that may help: a refused credential, a throttled or stumbling server."""
        timeout = self._timeout if timeout is None else timeout
        ends = None if timeout is None else time.monotonic() + timeout
        encoded = urlencode([(name, value) for name, value in query if value])
        target = f"{path}?{encoded}" if encoded else path
        pauses = {"throttled": 2, "server-error": 1, "renewed": 1}
        while True:
            answer = self._ask(what, method, target, body, ends, accept, content_type)
            if 200 <= answer.status < 300:
                return answer
            if answer.status == 401 and self._source and answer.credential and pauses["renewed"]:
                pauses["renewed"] -= 1
                self._source.reject(answer.credential)
                continue
            failure = self.failure(what, answer.status, answer.headers, answer.body)
            if not isinstance(failure, ReadFailed) or not pauses.get(failure.reason):
                raise failure
            pauses[failure.reason] -= 1
            pause = failure.retry_after if failure.retry_after is not None else 0.3
            if pause > _LONGEST_PAUSE or (ends is not None and time.monotonic() + pause >= ends):
                raise failure
            time.sleep(pause)

    def _ask(
        self,
        what: str,
        method: str,
        target: str,
        body: Any,
        ends: float | None,
        accept: str,
        content_type: str,
    ) -> _Answer:
        """One exchange with the server. A pooled connection that proves dead at once is replaced once."""
        api, credential = self._client()
        for last in (False, True):
            left = seconds_left(ends)
            if left is not None and left <= 0:
                raise self._timed_out(what)
            # Three attempts to connect (see Retry below) have to fit in.
            timeouts = (None, None) if left is None else (min(_CONNECT_TIMEOUT, left / 3), left)
            headers = {"Accept": accept, "Accept-Encoding": "gzip"}
            if body is not None:
                headers["Content-Type"] = content_type
            sent = api.param_serialize(method, target, header_params=headers, body=body, auth_settings=["BearerToken"])
            started = time.monotonic()
            status = size = unpacked = 0
            try:
                response = api.call_api(
                    sent[0], sent[1], self._headers(sent[2]), sent[3], _request_timeout=timeouts
                ).response
                status = response.status
                self._set_clock(response.headers.get("date"))
                content = read_body(response, ends)
                size, unpacked = response.tell(), len(content)
                return _Answer(status, response.headers, content, credential)
            except (HTTPError, ApiException) as error:
                if status or last or not is_dropped(error):
                    raise self.transport_failure(what, error, answering=bool(status)) from None
            except TimeoutError:
                raise self._timed_out(what) from None
            finally:
                self.requests.append(Request(method, target, status, time.monotonic() - started, size, unpacked))
        raise AssertionError("the second attempt returns or raises")

    def _headers(self, headers: dict[str, str]) -> Any:
        merged = urllib3.HTTPHeaderDict(headers)
        for name, value in self._impersonate:
            # http.client writes headers as Latin-1; the server reads them as UTF-8.
            merged.add(name, value.encode().decode("latin-1"))
        return merged

    def _decode(self, what: str, answer: _Answer, type_: Any) -> Any:
        try:
            return decoder(type_).decode(answer.body)
        except NOT_DECODED as error:
            raise self._malformed(what, answer, decoding_error(error)) from None

    def _decode_page(
        self, what: str, resource: Resource, answer: _Answer
    ) -> tuple[Any, tuple[Skipped, ...], PageMetadata]:
        try:
            page = decoder(resource.type, page=True).decode(answer.body)
            if not any(is_nameless(resource, item) for item in page.items or ()):
                return page.items or (), (), page.metadata
        except (msgspec.ValidationError, UnicodeDecodeError):
            pass  # some object is odd: find out which, the others are still good
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._malformed(what, answer, decoding_error(error)) from None
        raw: RawPage = self._decode(what, answer, RawPage)
        items, skipped = [], []
        decode = decoder(resource.type).decode
        for item in raw.items or ():
            try:
                decoded = decode(item)
            except NOT_DECODED as error:
                skipped.append(Skipped(*name_of(item), decoding_error(error)))
                continue
            if is_nameless(resource, decoded):
                skipped.append(Skipped(*name_of(item), NAMELESS))
            else:
                items.append(decoded)
        return items, tuple(skipped), raw.metadata

    # --- WebSockets -------------------------------------------------------------------------------------------

    def _open(
        self, what: str, path: str, query: Iterable[tuple[str, str]], protocols: Sequence[str], ends: float
    ) -> websocket.WebSocket:
        """A WebSocket with the headers, TLS settings and proxy of any other request, or the error of its handshake."""
        target = f"{path}?{urlencode(list(query))}"
        for last in (False, True):
            api, credential = self._client()
            _, url, headers, *_ = api.param_serialize("GET", target, header_params={}, auth_settings=["BearerToken"])
            lines = [f"{name}: {value}" for name, value in (*headers.items(), *self._impersonate)]
            started = time.monotonic()
            status = 0
            try:
                pools = api.rest_client.pool_manager
                connected = open_connection(pools, url, min(_CONNECT_TIMEOUT, max(0.01, ends - started))).sock
                connected.settimeout(max(0.01, ends - time.monotonic()))
                connection = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
                try:
                    with hung_up_at(ends, connected):
                        connection.connect(  # type: ignore[no-untyped-call]
                            "ws" + url.removeprefix("http"),
                            socket=connected,
                            header=lines,
                            subprotocols=list(protocols),
                            suppress_origin=True,
                            redirect_limit=0,
                        )
                except websocket.WebSocketBadStatusException as error:
                    status = error.status_code
                    if status == 401 and self._source and credential and not last:
                        self._source.reject(credential)
                        continue
                    raise self.failure(what, status, error.resp_headers or {}, error.resp_body or b"") from None
                except (websocket.WebSocketTimeoutException, TimeoutError):
                    raise self._timed_out(what) from None
                except (websocket.WebSocketException, OSError, ValueError) as error:
                    if time.monotonic() >= ends:
                        raise self._timed_out(what) from None
                    text = printable(shorten(str(error) or type(error).__name__))
                    message = f"cannot {what}: the server, or a proxy before it, does not take a WebSocket: {text}"
                    raise ReadFailed(message, reason="malformed") from None
                status = 101
                return connection
            except (HTTPError, OSError) as error:
                raise self.transport_failure(what, error, answering=False) from None
            finally:
                self.requests.append(Request("GET", target, status, time.monotonic() - started))
        raise AssertionError("the second attempt returns or raises")

    # --- what went wrong --------------------------------------------------------------------------------------

    def failure(self, what: str, status: int, headers: Any, body: bytes) -> KubeError:
        """The error for an HTTP status that is not a success."""
        body = self._without_credentials(body.decode("utf-8", "replace")).encode()
        answer = parse_status(body)
        said = printable(shorten((answer.message or answer.reason) if answer else plain_text(body), 400))
        said = said or f"HTTP status {status}"
        if status == 401:
            return Unauthenticated(
                f"{self.server} does not accept the credentials of context {self.context} ({said}); "
                "log in again, or check the user in the kubeconfig"
            )
        if 300 <= status < 400:
            where = printable(
                shorten(without_password(self._without_credentials(headers.get("location") or "somewhere else")))
            )
            message = (
                f"cannot {what}: {self.server} redirects to {where}; is that the API server, or a login page before it?"
            )
            return ReadFailed(message, reason="malformed", status=status)
        asked = str(
            headers.get("retry-after") or (answer and answer.details and answer.details.retry_after_seconds) or ""
        )
        retry_after = float(asked) if asked.isdecimal() else None
        if status == 504:
            reason = "timeout"
        else:
            reason = {403: "forbidden", 404: "not-found", 410: "gone", 429: "throttled"}.get(status, "server-error")
        return ReadFailed(f"cannot {what}: {said}", reason=reason, status=status, retry_after=retry_after)

    def _without_credentials(self, text: str) -> str:
        """What a server says, or a proxy that shows what it was asked, without the words by which it knows us."""
        for header in self._configuration.api_key.values():
            secret = header.rpartition(" ")[2]
            text = text.replace(secret, "REDACTED") if len(secret) > 7 else text
        return text

    def _malformed(self, what: str, answer: _Answer, why: str) -> ReadFailed:
        kind = str(answer.headers.get("content-type") or "").partition(";")[0].strip()
        if kind and not kind.endswith("json"):
            why = f"it is {printable(shorten(kind, 60))}, not JSON; is there a login page or a proxy before it?"
        message = f"cannot {what}: the answer of {self.server} cannot be read: {why}"
        return ReadFailed(message, reason="malformed", status=answer.status)

    def _timed_out(self, what: str) -> ReadFailed:
        return ReadFailed(
            f"cannot {what}: {self.server} did not answer in time; try again, or give it longer with --request-timeout",
            reason="timeout",
        )

    def _unreachable(self, why: str, advice: str) -> Unreachable:
        return Unreachable(f"cannot reach {self.server} (context {self.context}): {why}; {advice}")

    def transport_failure(self, what: str, error: Exception, *, answering: bool) -> KubeError:
        """The error for a connection that was not made, or (`answering`) broke after the server's first words."""
        cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        if isinstance(cause, ApiException) and isinstance(cause.__context__, HTTPError):
            cause = cause.__context__
        if isinstance(cause, ReadTimeoutError):
            return self._timed_out(what)
        if isinstance(cause, DecodeError):
            return ReadFailed(
                f"cannot {what}: the compressed answer of {self.server} is damaged; try again", reason="malformed"
            )
        if answering:
            lost = "ended too early" if isinstance(cause, IncompleteRead) else "was cut off"
            return ReadFailed(f"cannot {what}: the answer of {self.server} {lost}; try again", reason="server-error")
        if isinstance(cause, ProxyError):
            shown = printable(without_password(self._configuration.proxy or "proxy"))
            return self._unreachable(
                f"the proxy {shown} fails: {words_of(cause.original_error)}", "check proxy-url and HTTPS_PROXY"
            )
        why = words_of(cause)
        if isinstance(cause, NameResolutionError):
            advice = "check the server in the kubeconfig, the network and VPN"
        elif isinstance(cause, TimeoutError) or is_connect_timeout(cause):
            advice = "check the network, VPN and firewall"
        elif tls_error(cause):
            advice = "check server, certificate-authority and tls-server-name in the kubeconfig"
        else:
            advice = "is the cluster running, and is this the right context?"
        return self._unreachable(why, advice)
