"""Speed of the dashboard on a real pseudo-terminal: 5,000 Services of 5 endpoints, 160x50.

    python bench/dashboard.py [SERVICES]

A child shows a synthetic Diagnosis; this side types, and times the bytes that come back. Times are this machine's;
bytes are the same everywhere.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUIET = 0.06  # seconds without output that end an answer
COLUMNS, LINES = 160, 50


def child(count: int) -> None:
    """The dashboard on made-up data; each SIGUSR1 is a watch event that turns one visible Service."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    import threading

    from msgspec.structs import replace

    from app_sources import CannedSource, Opener, Posted, endpoint, service, shop, with_services
    from svcdoctor.app import Dashboard
    from svcdoctor.finding import Status

    services = [
        service(
            f"svc-{number:05}",
            Status.FAIL if number % 50 == 0 else Status.PASS,
            namespace=f"team-{number % 40:02}",
            endpoints=[endpoint(f"svc-{number:05}", place) for place in range(5)],
        )
        for number in range(count)
    ]
    base = replace(shop(), missing=(), denied=())
    opener = Opener(Posted(with_services(base, *services)), CannedSource)
    dashboard = Dashboard(opener, ["bench"], context="bench", namespace=None)
    turns = threading.Semaphore(0)

    def churn() -> None:
        turn = 0
        while True:
            turns.acquire()
            turn += 1
            services[0] = replace(services[0], cause=f"mark-{turn}-end", status=Status.FAIL)
            opener.last.post(Posted(with_services(base, *services)))

    threading.Thread(target=churn, daemon=True).start()
    signal.signal(signal.SIGUSR1, lambda *_: turns.release())
    dashboard.run()


class Terminal:
    def __init__(self, count: int) -> None:
        self.started = time.perf_counter()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
            os.execve(sys.executable, [sys.executable, __file__, "--child", str(count)], environment)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))

    def wait_for(self, *marks: bytes) -> list[float]:
        """Seconds from the start until each mark had come."""
        seen = b""
        found: dict[bytes, float] = {}
        while len(found) < len(marks):
            seen += os.read(self.fd, 1 << 20)
            now = time.perf_counter() - self.started
            found |= {mark: now for mark in marks if mark in seen and mark not in found}
        return [found[mark] for mark in marks]

    def answer(self, act: Callable[[], object]) -> tuple[float, float, int]:
        """Milliseconds to the first and last byte that an act brings, and how many bytes."""
        self.drain()
        start = time.perf_counter()
        act()
        first = last = 0.0
        size = 0
        while select.select([self.fd], [], [], QUIET if size else 2.0)[0]:
            data = os.read(self.fd, 1 << 20)
            last = (time.perf_counter() - start) * 1000
            first = first or last
            size += len(data)
        return first, last, size

    def type(self, keys: str) -> tuple[float, float, int]:
        return self.answer(lambda: os.write(self.fd, keys.encode()))

    def drain(self) -> None:
        while select.select([self.fd], [], [], QUIET)[0]:
            os.read(self.fd, 1 << 20)

    def memory(self) -> float:
        """Megabytes resident now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1000


def row(name: str, answers: list[tuple[float, float, int]]) -> None:
    firsts = sorted(first for first, _, _ in answers)
    lasts = sorted(last for _, last, _ in answers)
    sizes = sorted(size for _, _, size in answers)
    p95 = firsts[min(int(len(firsts) * 0.95), len(firsts) - 1)]
    print(
        f"{name:<34} {statistics.median(firsts):>8.1f} {p95:>8.1f} {statistics.median(lasts):>9.1f}"
        f" {statistics.median(sizes) / 1000:>9.1f}"
    )


def main(count: int) -> None:
    terminal = Terminal(count)
    painted, usable = terminal.wait_for(b"filter", b"svc-00000")
    time.sleep(1.0)
    print(
        f"{count} Services of 5 endpoints, {COLUMNS}x{LINES}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    print(f"first paint {painted * 1000:.0f} ms, with data {usable * 1000:.0f} ms (making the data included)")
    print(f"{'':<34} {'p50 ms':>8} {'p95 ms':>8} {'last ms':>9} {'kB':>9}")
    row("down", [terminal.type("j") for _ in range(60)])
    row("page down", [terminal.type("\x1b[6~") for _ in range(30)])
    row("end, first row", [terminal.type(key) for key in "GgGgGgGg"])
    row("next fault", [terminal.type("]") for _ in range(20)])
    row("expand, collapse", [terminal.type(key) for key in "lhlhlhlhlh"])
    terminal.type("g")

    def turn() -> None:
        os.kill(terminal.pid, signal.SIGUSR1)

    row("update to paint", [terminal.answer(turn) for _ in range(30)])
    terminal.type("/")
    row("filter keystroke", [terminal.type(key) for key in "svc-00123"])
    row("filter letter taken back", [terminal.type("\x7f") for _ in range(9)])
    terminal.type("\x1b")
    row("faults only on, off", [terminal.type("f") for _ in range(6)])
    row("expand all faults, collapse all", [terminal.type(key) for key in "*-*-*-"])
    terminal.type("*")
    row("down, all faults open", [terminal.type("j") for _ in range(30)])
    row("page down, all faults open", [terminal.type("\x1b[6~") for _ in range(20)])
    print(f"resident {terminal.memory():.0f} MB")
    os.write(terminal.fd, b"q")
    os.waitpid(terminal.pid, 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
