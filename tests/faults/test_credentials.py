"""A token that nobody may see: searched for in everything that a run writes, whatever the server and a plugin do."""

from __future__ import annotations

import json
import os
import ssl
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_apiserver import CERTIFICATE, KEY, Exchange, FakeApiServer, failure, reply
from faulty_apiserver import FaultyApiServer
from svcdoctor.cluster.kube import Cluster, ConnectOptions, KubeError, Unauthenticated
from svcdoctor.cluster.kubeconfig import Credential
from svcdoctor.objects import RESOURCES
from test_cli import Doctor
from test_live import shop

CANARY = "canary-7f3a9c51d2"
# A second pair, for "renewed", made for these tests and worth nothing anywhere else.
RENEWED_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQp2eLJgIKJ7bB+Jh
lNhcegLdVFO0bjvQNbOG8i5LPGKhRANCAAQgft9aCCLN2untwyz7rEGr0+ofjZG7
6/mS3AlxTrBS6fODfFfi1lBdJi28DUFrGmnEoeGsoJx3BULBSfrSkSss
-----END PRIVATE KEY-----
"""
RENEWED = """\
-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUMpGEMMxHH1UQbWa1XhIdEiFc5g0wCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHcmVuZXdlZDAgFw0yNjExMjMxNjA1MjVaGA8yMTI1MDYxNzE2
MDUyNVowEjEQMA4GA1UEAwwHcmVuZXdlZDBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABCB+31oIIs3a6e3DLPusQavT6h+Nkbvr+ZLcCXFOsFLp84N8V+LWUF0mLbwN
QWsaacSh4aygnHcFQsFJ+tKRKyyjUzBRMB0GA1UdDgQWBBQshvDouU1r6tAenoud
BO99ivSvljAfBgNVHSMEGDAWgBQshvDouU1r6tAenoudBO99ivSvljAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCID9u9U/F/AzmelTuL9sUpDEoskJn
K48nudAhdH2smt8nAiEAvAGJUACXxQS0lykhnzHNGTS2b8yC9OaHi06ZV7sc7QI=
-----END CERTIFICATE-----
"""
BETA = "client.authentication.k8s.io/v1beta1"


@pytest.fixture
def server() -> Iterator[FaultyApiServer]:
    with FaultyApiServer(shop()) as running:
        yield running


def echoes(exchange: Exchange, _: bytes) -> None:
    """As a proxy does that shows what it was asked."""
    said = "; ".join(f"{name}: {value}" for name, value in exchange.request.headers)
    answers = (
        failure(500, f"cannot forward: {said}", "InternalError"),
        reply(said.encode(), 400, content_type="text/plain"),
        failure(403, said, "Forbidden"),
        reply(b"", 302, location=f"https://login.example/?{said.replace(' ', '+')}"),
    )
    exchange.send(answers[len(exchange.request.path) % len(answers)])


@pytest.mark.parametrize("kinds", [("pods", "endpointslices", "deployments", "nodes"), ()], ids=["some", "all"])
def test_a_token_that_the_server_says_back_is_written_nowhere(
    server: FaultyApiServer, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    doctor = Doctor(server, home)
    server.kubeconfig(home, user={"token": CANARY}, namespace="shop")
    server.ail(echoes, *kinds)
    files = [f"{name}={out / name}" for name in ("text", "html", "sarif", "junit", "markdown", "prometheus", "jsonl")]
    wanted = [word for file in files for word in ("-o", file)]
    said = [
        doctor("diagnose", "-A", "--no-probe", "-v", "-o", "json", *wanted),
        doctor("capture", "-A", "--no-probe", str(out / "world.json.zst")),
        doctor("diagnose", "--replay", str(out / "world.json.zst"), "-o", "yaml"),
    ]
    assert any(CANARY in request.header("authorization") for request in server.received)
    assert "cannot list pods" in said[0].stdout
    for done in said:
        assert CANARY not in done.stdout and CANARY not in done.stderr
    for file in out.iterdir():
        assert CANARY.encode() not in file.read_bytes()


def many(read: Callable[[], object]) -> list[str]:
    """Sixteen threads that read six times each, and what they were told instead of an answer."""
    failures: list[str] = []

    def again_and_again() -> None:
        for _ in range(6):
            try:
                read()
            except KubeError as error:
                failures.append(error.message)

    threads = [threading.Thread(target=again_and_again) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return failures


def test_one_refresh_at_a_time_for_many_threads_when_every_token_is_short_lived(
    server: FaultyApiServer, tmp_path: Path
) -> None:
    """A slow and noisy plugin; each token is refused after a few requests."""
    script = tmp_path / "login"
    answer = json.dumps({"apiVersion": BETA, "kind": "ExecCredential", "status": {"token": "NUMBER"}})
    script.write_text(
        f"#!/bin/sh\ncd {tmp_path}\nmkdir running || touch twice\necho x >> runs\nprintf '%9999s' '{CANARY}' >&2\n"
        f"sleep 0.05\nrmdir running\necho '{answer}' | sed s/NUMBER/t$(wc -l < runs | tr -d ' ')/\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    uses: dict[str, int] = {}

    def refuses(exchange: Exchange, honest: bytes) -> None:
        token = exchange.request.header("authorization")
        uses[token] = uses.get(token, 0) + 1
        exchange.send(honest if uses[token] <= 20 else failure(401, "expired", "Unauthorized"))

    server.ail(refuses)
    user = {"exec": {"apiVersion": BETA, "command": "./login"}}
    cluster = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path, user=user))))
    failures = many(lambda: cluster.list(RESOURCES["services"]))
    cluster.close()
    assert not (tmp_path / "twice").exists()
    assert 4 <= len((tmp_path / "runs").read_text().split()) <= 12
    # Who was refused with a new token that others had used up meanwhile is told so; nobody hangs.
    assert len(failures) <= 16 and not [text for text in failures if CANARY in text]


def renew(directory: Path, **files: str) -> None:
    """As those who rotate credentials do it: a file is never seen half written."""
    for name, content in files.items():
        (directory / "new").write_text(content)
        os.replace(directory / "new", directory / name)


def test_a_token_file_that_is_rotated_under_many_threads_is_read_once_more(
    server: FaultyApiServer, tmp_path: Path
) -> None:
    renew(tmp_path, token="first-of-all")
    asked = iter(range(1000))

    def expires(exchange: Exchange, honest: bytes) -> None:
        if next(asked) == 30:
            renew(tmp_path, token="the-second")
        late = (tmp_path / "token").read_text() == "the-second"
        old = exchange.request.header("authorization") == "Bearer first-of-all"
        exchange.send(failure(401, "expired", "Unauthorized") if late and old else honest)

    server.ail(expires)
    cluster = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path, user={"tokenFile": "token"}))))
    source = cluster._source
    assert source
    fetch, running, most = source._fetch, list[int](), list[int]()

    def counted() -> Credential:
        running.append(1)
        most.append(len(running))
        credential = fetch()
        running.pop()
        return credential

    source._fetch = counted
    assert many(lambda: cluster.list(RESOURCES["services"])) == []
    cluster.close()
    assert most == [1]


def test_a_client_certificate_that_is_renewed_on_disk_is_used_by_new_connections(tmp_path: Path) -> None:
    """The old one is refused on connections that were made with it, as the API server does once it has expired."""
    renew(tmp_path, crt=CERTIFICATE, key=KEY)
    expired = threading.Event()
    seen: list[str] = []

    def admits(exchange: Exchange) -> None:
        shown = exchange.connection.getpeercert()  # type: ignore[attr-defined]
        name = shown["subject"][0][0][1]
        seen.append(name)
        refused = expired.is_set() and name != "renewed"
        exchange.send(failure(401, "expired", "Unauthorized") if refused else reply({"gitVersion": "v1.37.2"}))

    with FakeApiServer(tls=True) as server:
        assert server._context
        server._context.verify_mode = ssl.CERT_REQUIRED
        server._context.load_verify_locations(cadata=CERTIFICATE + RENEWED)
        server.on("/version", admits)
        user = {"client-certificate": "crt", "client-key": "key"}
        path = server.kubeconfig(tmp_path, user=user, insecure_skip_tls_verify=True)
        cluster = Cluster.connect(ConnectOptions(kubeconfig=str(path)))
        assert many(cluster.version) == []
        renew(tmp_path, crt=RENEWED, key=RENEWED_KEY)
        expired.set()
        assert many(cluster.version) == []
        cluster.close()
    assert seen[0] == "localhost" and seen[-1] == "renewed"


def test_a_client_certificate_that_is_refused_and_not_renewed_is_told_so(tmp_path: Path) -> None:
    renew(tmp_path, crt=CERTIFICATE, key=KEY)
    with FakeApiServer(tls=True) as server:
        server.on("/version", failure(401, "x509: certificate has expired", "Unauthorized"))
        user = {"client-certificate": "crt", "client-key": "key"}
        path = server.kubeconfig(tmp_path, user=user, insecure_skip_tls_verify=True)
        cluster = Cluster.connect(ConnectOptions(kubeconfig=str(path)))
        with pytest.raises(Unauthenticated, match="certificate has expired"):
            cluster.version()
        (tmp_path / "crt").unlink()
        with pytest.raises(Unauthenticated, match=r"client-certificate .*/crt cannot be read: no such file"):
            cluster.version()
        cluster.close()
