"""How fast the one-shot diagnosis is, beside what the same bytes cost without one: `make bench`.

    python bench/run.py [--sizes 100,1000,5000,20000] [--only throughput,single,redo,start]

Prints one table. An API server in a process of its own (apiserver.py) holds a made-up cluster (world.py); each figure
is a fresh process, in turns with its yardstick (download.py), the median of at least five, of three at the largest
size. Ratios are what counts: both sides meet the same machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import world
from dashboard import KUBECONFIG, Server
from measure import IMPORTED, ROOT, Cost, alternating, run, svcdoctor

PARTS = ("throughput", "single", "redo", "start")
BENCH = str(ROOT / "bench")


class Setting(NamedTuple):
    """A made-up cluster that is served."""

    count: int
    server: Server
    kubeconfig: str

    def asked(self) -> list[str]:
        """The paths that were asked for since this was asked last, in order."""
        paths: list[str] = self.server.tell("stats")["asked"]
        return paths

    def diagnose(self, *arguments: str) -> Cost:
        # As long as it takes: a busy machine shall not cut the reading short.
        patient = ("--deadline", "0", "--request-timeout", "0")
        always = ("-o", "json", "--no-probe", "--kubeconfig", self.kubeconfig)
        return svcdoctor("diagnose", *arguments, *patient, *always)

    def download(self, paths: list[str], *options: str) -> Cost:
        return run(f"{BENCH}/download.py", *options, str(self.server.port), *dict.fromkeys(paths))

    def bytes_of(self, job: Callable[[], Cost]) -> int:
        before = self.server.tell("stats")["bytes"]
        job()
        sent: int = self.server.tell("stats")["bytes"] - before
        return sent


@contextmanager
def cluster(count: int) -> Iterator[Setting]:
    server = Server(count)
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as kubeconfig:
            kubeconfig.write(KUBECONFIG.replace("PORT", str(server.port)))
            kubeconfig.flush()
            yield Setting(count, server, kubeconfig.name)
    finally:
        server.stop()


def line(what: str, figure: str, target: str = "") -> None:
    print(f"{what:<58}{figure:<44}{target}", flush=True)


def throughput(setting: Setting) -> float:
    """Milliseconds of processor time a Service."""
    setting.asked()
    setting.diagnose("-A")
    paths = setting.asked()
    times = 3 if setting.count > 5000 else 5
    ours, raw = alternating(times, lambda: setting.diagnose("-A"), lambda: setting.download(paths))
    ratio = ours.over(raw)
    what = f"diagnose -A, {setting.count:,} Services"
    line(what, f"{ours.wall:.1f} s, {ours.processor:.1f} s of processor, {ours.peak:.0f} MB, {len(paths)} requests")
    line("  download and json.loads", f"{raw.wall:.1f} s, {raw.processor:.1f} s of processor, {raw.peak:.0f} MB")
    line(
        "  ratio of wall, processor, peak", f"{ratio.wall:.2f}, {ratio.processor:.2f}, {ratio.peak:.2f}", "1.5, -, 1.0"
    )
    return ours.processor / setting.count * 1000


def single(setting: Setting) -> None:
    """Of a Service that is well, one with an Ingress, one that is not well; next to the server, and far from it."""
    for number in (1, 0, 7):
        namespace, name = world.place(setting.count, number)
        setting.diagnose(name, "-n", namespace)  # what one namespace holds is made when it is asked for
        setting.asked()
        setting.diagnose(name, "-n", namespace)
        paths = setting.asked()
        jobs: tuple[Callable[[], Cost], ...] = (
            lambda: setting.diagnose(name, "-n", namespace),  # noqa: B023
            lambda: setting.download(paths, "--importing", IMPORTED),  # noqa: B023
            lambda: setting.download(paths),  # noqa: B023
        )
        kind = world.fault(number) or ("healthy, with an Ingress" if number % 10 == 0 else "healthy")
        for words, slow in (("next to it", "slow"), ("30 ms away", "slow?milliseconds=30&megabits=100")):
            setting.server.tell(slow)
            ours, alone, script = alternating(5, *jobs)
            what = f"diagnose NAME of {setting.count:,}, {kind}, {words}"
            line(what, f"{ours.wall:.2f} s, {len(paths)} requests", "12 requests")
            figure = "{:.2f}, {:.2f}, {:.2f}".format(*ours.over(alone))
            line("  over its imports and requests: wall, processor, peak", figure, "1.3, -, -")
            line("  over the requests of a script without imports", "{:.2f}, {:.2f}, {:.2f}".format(*ours.over(script)))
        setting.server.tell("slow")
        sent = setting.bytes_of(jobs[0])
        line("  bytes", f"{sent / 1000:.0f} kB, {sent / setting.bytes_of(jobs[2]):.2f} of those of the requests")


def redo(count: int) -> None:
    told = subprocess.run([sys.executable, f"{BENCH}/redo.py", str(count)], capture_output=True, text=True, check=True)
    for kind, cost in json.loads(told.stdout).items():
        target = "5 ms" if kind in ("Pod", "EndpointSlice", "Service") else ""
        line(
            f"one {kind} of {count:,} Services changed, p95", f"{cost['p95']:.1f} ms, {cost['services']} judged", target
        )


def start() -> None:
    commands = (["--help"], ["--version"], ["explain", "selector-value-mismatch"], ["completion", "bash"])
    with tempfile.TemporaryDirectory() as empty:
        fresh = {"PYTHONPYCACHEPREFIX": str(Path(empty) / "none"), "PYTHONDONTWRITEBYTECODE": "1"}
        for arguments in commands:
            ours, bare, cold = alternating(
                7,
                lambda: svcdoctor(*arguments),  # noqa: B023
                lambda: run("-c", "pass"),
                lambda: svcdoctor(*arguments, environment=fresh),  # noqa: B023
            )
            figure = f"{ours.wall * 1000:.0f} ms = {ours.wall / bare.wall:.1f} x python -c pass"
            line(" ".join(arguments), f"{figure}, {cold.wall * 1000:.0f} ms without bytecode")
        demo, cold = alternating(
            5, lambda: svcdoctor("demo", "-o", "text"), lambda: svcdoctor("demo", "-o", "text", environment=fresh)
        )
        line("demo, to its report", f"{demo.wall:.2f} s, {cold.wall:.2f} s without bytecode")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="100,1000,5000,20000")
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args()
    parts = options.only.split(",")
    line("what", "measured", "target: at most")
    if "start" in parts:
        start()
    costs: dict[int, float] = {}
    for count in map(int, options.sizes.split(",") if {"throughput", "single"} & set(parts) else ()):
        if "throughput" not in parts and count != 5000:
            continue
        with cluster(count) as setting:
            if "throughput" in parts:
                costs[count] = throughput(setting)
            if "single" in parts and count == 5000:
                single(setting)
    if 1000 in costs and max(costs) > 1000:
        growth = costs[max(costs)] / costs[1000]
        line(f"time a Service at {max(costs):,}, over that at 1,000", f"{growth:.2f}", "1.3")
    if "redo" in parts:
        redo(5000)


if __name__ == "__main__":
    main()
