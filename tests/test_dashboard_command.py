"""The command that opens the dashboard, on a pseudo-terminal: over a cluster, a capture, and the demo."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from simulate import simulate
from terminal import Started, read_until, started
from test_cli import BROKEN, Doctor
from watched_apiserver import WatchedApiServer

SCREEN = {"TERM": "xterm-256color"}
RESTORED = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l")  # the shell's screen, a cursor, no mouse


@pytest.fixture
def server() -> Iterator[WatchedApiServer]:
    with WatchedApiServer(simulate(BROKEN)) as found:
        yield found


@pytest.fixture
def doctor(server: WatchedApiServer, tmp_path: Path) -> Doctor:
    return Doctor(server, tmp_path)


def press(opened: Started, keys: bytes, mark: bytes) -> None:
    os.write(opened.terminal, keys)
    read_until(opened.terminal, mark)


def quit_with(opened: Started, keys: bytes) -> None:
    os.write(opened.terminal, keys)
    last = read_until(opened.terminal, b"")
    assert all(mark in last for mark in RESTORED)
    assert os.waitstatus_to_exitcode(os.waitpid(opened.process, 0)[1]) == 0


def test_a_cluster_is_shown_as_it_changes(server: WatchedApiServer, doctor: Doctor) -> None:
    with started(doctor.environment | SCREEN, "--no-probe") as opened:
        read_until(opened.terminal, b"1 fail")
        press(opened, b"gj3", b"targetPort: 8080")
        server.change("services", "DELETED", server.get("services", "shop", "cart"))
        read_until(opened.terminal, b"1 svc")
        press(opened, b"0", b"all namespaces")
        quit_with(opened, b"q")


def test_a_capture_is_shown_as_it_was(doctor: Doctor, tmp_path: Path) -> None:
    file = str(tmp_path / "world.json.zst")
    assert doctor("capture", "--no-probe", "-o", file).returncode == 0
    with started(doctor.environment | SCREEN, "--replay", file) as opened:
        read_until(opened.terminal, b"shop")
        press(opened, b"gj3", b"# as recorded")
        quit_with(opened, b"q")


def test_the_demo_goes_from_one_moment_to_the_next(doctor: Doctor) -> None:
    with started(doctor.environment | SCREEN, "demo") as opened:
        read_until(opened.terminal, b"svc")
        quit_with(opened, b".,q")


def test_without_a_kubeconfig_nothing_is_opened_and_it_is_said_why(doctor: Doctor) -> None:
    with started(doctor.environment | SCREEN | {"KUBECONFIG": "/nonexistent"}) as opened:
        said = read_until(opened.terminal, b"")
        assert b"no kubeconfig" in said and b"svcdoctor demo" in said and b"\x1b[?1049h" not in said
        assert os.waitstatus_to_exitcode(os.waitpid(opened.process, 0)[1]) == 3


def test_a_login_plugin_is_asked_before_the_screen_is_taken(doctor: Doctor, tmp_path: Path) -> None:
    config = yaml.safe_load(doctor.kubeconfig.read_text())
    plugin = tmp_path / "plugin"
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}
    plugin.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\necho '{json.dumps(credential)}'\n")
    plugin.chmod(0o755)
    execs = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin), "interactiveMode": "Never"}
    config["users"][0]["user"] = {"exec": execs}
    doctor.kubeconfig.write_text(yaml.safe_dump(config))
    with started(doctor.environment | SCREEN, "--no-probe") as opened:
        read_until(opened.terminal, b"\x1b[?1049h")
        assert (tmp_path / "asked").exists()
        read_until(opened.terminal, b"1 fail")
        quit_with(opened, b"q")
