"""The official client's Configuration, from a kubeconfig or in a Pod, with what it gets wrong put right."""

from __future__ import annotations

import atexit
import contextlib
import os
import ssl
import tempfile
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

import urllib3
from kubernetes.client.configuration import Configuration
from kubernetes.config import ConfigException, incluster_config

from svcdoctor.cluster.errors import ConfigError
from svcdoctor.cluster.kubeconfig import Access, ConnectOptions, impersonation, no_kubeconfig, token_file


def new_configuration() -> Configuration:
    configuration = Configuration()
    configuration.keep_alive = True
    configuration.connection_pool_maxsize = 32
    # Only connecting is repeated here: Cluster knows better what to do about an answer, and a redirect is not followed,
    # since it would carry the token elsewhere.
    configuration.retries = urllib3.Retry(
        total=2,
        connect=2,
        read=0,
        other=1,
        status=0,
        redirect=False,
        backoff_factor=0.2,
        respect_retry_after_header=False,
    )
    return configuration


def in_cluster(options: ConnectOptions) -> tuple[Access, Configuration]:
    """A Pod's own service account, where there is one. Raises ConfigError."""
    configuration = new_configuration()
    if options.context or options.cluster or options.user:
        raise no_kubeconfig()
    try:
        incluster_config.load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, UnicodeDecodeError):
        raise no_kubeconfig() from None
    path = incluster_config.SERVICE_TOKEN_FILENAME
    try:
        with open(os.path.join(os.path.dirname(path), "namespace"), encoding="utf-8") as file:
            namespace = file.read().strip()
    except (OSError, UnicodeDecodeError):
        namespace = ""
    access = Access(
        context="in-cluster",
        namespace=namespace or "default",
        server=configuration.host,
        config={},
        impersonate=impersonation(options.as_user or "", options.as_groups, options.as_uid or ""),
        source=token_file(path),
    )
    return access, configuration


def settle_proxy(configuration: Configuration, access: Access) -> None:
    """Give the proxy its password, and keep loopback servers away from a proxy of the environment, as kubectl does."""
    clusters = access.config.get("clusters") or [{"cluster": {}}]
    if configuration.proxy and not clusters[0]["cluster"].get("proxy-url"):
        host = urlsplit(access.server).hostname or ""
        if host == "localhost" or _is_loopback(host):
            configuration.proxy = None
    if configuration.proxy:
        parts = urlsplit(configuration.proxy)
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            configuration.proxy_headers = urllib3.make_headers(proxy_basic_auth=login)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_certificates(configuration: Configuration, access: Access) -> None:
    """Say now, and by its field, what TLS would say of a bad certificate in the middle of a request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if configuration.ssl_ca_cert:
            context.load_verify_locations(configuration.ssl_ca_cert)
    except (OSError, ValueError):
        raise ConfigError(
            f"context {access.context}: the cluster's certificate-authority is not a PEM certificate"
        ) from None
    try:
        if configuration.cert_file:
            # The empty password keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(configuration.cert_file, configuration.key_file, password="")
    except (OSError, ValueError):
        raise ConfigError(
            f"context {access.context}: the user's client-certificate and client-key "
            "are not a matching pair in PEM without password"
        ) from None


def private_file(content: str) -> str:
    """The content in a file that only we can read, until we end: OpenSSL takes certificates from nowhere else."""
    descriptor, path = tempfile.mkstemp(prefix="svcdoctor-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    atexit.register(_remove, path)
    return path


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
