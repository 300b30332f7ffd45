"""An hour of rolling restarts, as fast as the live engine takes them: does its memory stay as it is?

    python bench/churn.py [--services 1000] [--events 200000]

Prints one table. This process is the one that is measured: it runs what the dashboard runs without its screen, against
an API server of its own (apiserver.py). 200,000 events are those of 3,000 rolling restarts of five Pods; each brings
Pods with names that nobody had before. When all is over the cluster is what it was, so everything held has to be too.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import world
from dashboard import KUBECONFIG, Server

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from svcdoctor.cluster.kube import Cluster, ConnectOptions
from svcdoctor.diagnosis import Scope
from svcdoctor.live import Live, Update
from svcdoctor.objects import RESOURCES

MARKED = 11  # its selector is broken and healed to see that all before it has come
QUARTERS = 4
GROWTH = 1.1  # of the last quarter over the first: the heap has found its size by then, and may not creep


class Screen:
    """The latest Update, in place of a dashboard."""

    def __init__(self) -> None:
        self.last: Update | None = None
        self.failed: Exception | None = None

    def post(self, update: Update) -> None:
        self.last = update

    def fail(self, error: Exception) -> None:
        self.failed = error

    def until(self, condition: Callable[[Update], bool]) -> Update:
        while True:
            if self.failed:
                raise self.failed
            if self.last and not self.last.checking and condition(self.last):
                return self.last
            time.sleep(0.01)


def memory() -> float:
    """Megabytes resident now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def processor() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def held(live: Live) -> dict[str, int]:
    return {name: len(live.world.held(name)) for name in RESOURCES}


def lists(server: Server) -> int:
    return sum(page["pages"] for page in server.tell("stats")["pages"].values())


def events(server: Server) -> int:
    count: int = sum(server.tell("stats")["events"].values())
    return count


def take(server: Server, screen: Screen, number: int) -> int:
    """So many events, until the last of them is judged; how many there were."""
    before = events(server)
    server.tell(f"churn?events={number}")
    while events(server) - before < number or any(server.tell("stats")["waiting"].values()):
        time.sleep(0.1)
    for command, broken in (("break", True), ("heal", False)):
        server.tell(f"{command}?service={MARKED}")
        screen.until(lambda update: broken == (marked(update) != "pass"))  # noqa: B023
    return events(server) - before


def verdicts(update: Update) -> list[tuple[str, str]]:
    return [(service.name, service.headline) for service in update.diagnosis.services]


def marked(update: Update) -> str:
    name = world.place(0, MARKED)[1]
    return next(service.status.value for service in update.diagnosis.services if service.name == name)


def line(what: str, figure: str, target: str = "") -> None:
    print(f"{what:<44}{figure:<52}{target}", flush=True)


def measure(server: Server, cluster: Cluster, number: int) -> None:
    screen = Screen()
    live = Live(cluster, Scope(), probe=False, post=screen.post, failed=screen.fail)
    live.start()
    first = screen.until(lambda update: update.is_whole)
    objects, pages = held(live), lists(server)
    line("after loading", f"{sum(objects.values()):,} objects, {pages} pages of lists, {memory():.0f} MB")
    started, used, quarters, taken = time.monotonic(), processor(), [], 0
    for _ in range(QUARTERS):
        taken += take(server, screen, number // QUARTERS)
        quarters.append(memory())
        line(f"resident after {taken:,} events", f"{quarters[-1]:.0f} MB")
    wall, used = time.monotonic() - started, processor() - used
    last = screen.until(lambda update: verdicts(update) == verdicts(first))
    line("an event", f"{used / taken * 1e6:.0f} us of processor, {taken / wall:.0f} a second, {last.judged} judged")
    line("memory, of the first quarter", f"{quarters[-1] / quarters[0]:.2f}", f"{GROWTH}")
    line("lists after the first", f"{lists(server) - pages} pages", "0")
    line("objects held that are gone", f"{sum(held(live).values()) - sum(objects.values())}", "0")
    live.stop()
    if quarters[-1] > quarters[0] * GROWTH or lists(server) != pages or held(live) != objects:
        raise SystemExit("bench: the live engine keeps what it need not, or lists again")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--events", type=int, default=200_000)
    options = parser.parse_args()
    server = Server(options.services)
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as kubeconfig:
            kubeconfig.write(KUBECONFIG.replace("PORT", str(server.port)))
            kubeconfig.flush()
            measure(server, Cluster.connect(ConnectOptions(kubeconfig=kubeconfig.name)), options.events)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
