"""The command that opens the dashboard, on a pseudo-terminal: over a cluster, a capture, and the demo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

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
