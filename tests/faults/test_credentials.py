"""A token that nobody may see: searched for in everything that a run writes, whatever the server and a plugin do."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_apiserver import Exchange, failure, reply
from faulty_apiserver import FaultyApiServer
from svcdoctor.cluster.kube import Cluster, ConnectOptions, KubeError
from svcdoctor.objects import RESOURCES
from test_cli import Doctor
from test_live import shop

CANARY = "canary-7f3a9c51d2"
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
    failures: list[str] = []

    def read() -> None:
        for _ in range(6):
            try:
                cluster.list(RESOURCES["services"])
            except KubeError as error:
                failures.append(error.message)

    threads = [threading.Thread(target=read) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    cluster.close()
    assert not (tmp_path / "twice").exists()
    assert 4 <= len((tmp_path / "runs").read_text().split()) <= 12
    # Who was refused with a new token that others had used up meanwhile is told so; nobody hangs.
    assert len(failures) <= 16 and not [text for text in failures if CANARY in text]
