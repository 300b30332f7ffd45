"""Looking names up: the shell script with stand-in tools, recorded outputs of real ones, and a DNS server of our own.

The recordings are from busybox:1.36, agnhost:2.57 and nginx:1.22 on Kubernetes 1.37 with CoreDNS 1.14, if not said
otherwise; those of dig, host and bind's nslookup are as their source writes them.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import msgspec
import pytest

from svcdoctor.cluster.kube import KubeError
from svcdoctor.cluster.probe import (
    LOOK_UP,
    ask_server,
    look_up,
    look_up_at_coredns,
    look_up_in_pod,
    parse_resolv_conf,
    resolv_conf_of,
)
from svcdoctor.names.lookup import Attempt, Lookup, Lookups, ResolvConf, Vantage
from svcdoctor.objects import Pod

RESOLV_CONF = "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
HOSTS = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n10.244.3.2\tclient\n"
NO_SHELL = (
    "Internal error occurred: error executing command in container: failed to exec in container: failed to start exec "
    '"fd3f": OCI runtime exec failed: exec failed: unable to start container process: exec: "sh": executable file not '
    "found in $PATH"
)
SERVER = "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\n"


class Refused(KubeError):
    def __init__(self, reason: str, message: str = "") -> None:
        Exception.__init__(self, message)
        self.reason, self.message = reason, message


@dataclass
class ExecResult:
    stdout: str = ""
    stderr: str = ""
    code: int | None = 0
    error: str = ""
    timed_out: bool = False
    truncated: bool = False


class FakeCluster:
    """Answers each exec with the next of the given results; the ends of port-forwards come from `dial`."""

    def __init__(
        self,
        *results: ExecResult | Exception | Callable[[str], str],
        dial: Callable[[str], socket.socket] | None = None,
    ) -> None:
        self.results, self.dial = list(results), dial
        self.execs: list[tuple[str, str, str]] = []
        self.argv: list[str] = []

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
        self.execs.append((namespace, pod, container))
        self.argv = list(argv)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result if isinstance(result, ExecResult) else ExecResult(stdout=result(argv[4]))

    def port_forward(self, namespace: str, pod: str, port: int, *, timeout: float = 5.0) -> socket.socket:
        assert self.dial, "no port-forward was expected"
        return self.dial(pod)


@dataclass
class Ran:
    """One run of a tool, as the script would report it."""

    tool: str
    query: str
    text: str = ""
    code: int | None = 0
    seconds: float = 0.01


def transcript(
    *names: Sequence[Ran],
    tool: str = "getent",
    control: Ran | None = None,
    resolv_conf: str = RESOLV_CONF,
    hosts: str = HOSTS,
    finished: bool = True,
) -> Callable[[str], str]:
    """What the script prints when the tools say these things; a run without an exit code never ended."""

    def printed(token: str) -> str:
        now = 100.0
        lines = [f"\n{token} {now:.2f} tool {tool}\n"]

        def run(ran: Ran) -> None:
            nonlocal now
            lines.append(f"\n{token} {now:.2f} ask {ran.tool} {ran.query}\n{ran.text}\n")
            now += ran.seconds
            if ran.code is not None:
                lines.append(f"\n{token} {now:.2f} end {ran.code}\n")

        for number, runs in enumerate(names, 1):
            lines.append(f"\n{token} {now:.2f} name {number}\n")
            for ran in runs:
                run(ran)
        if control:
            lines.append(f"\n{token} {now:.2f} control\n")
            run(control)
        if finished:
            lines.append(f"\n{token} {now:.2f} resolv\n{resolv_conf}\n{token} {now:.2f} hosts\n{hosts}")
            lines.append(f"\n{token} {now:.2f} done\n")
        return "".join(lines)

    return printed


def ask(names: Sequence[str], result: ExecResult | Exception | Callable[[str], str], timeout: float = 10.0) -> Lookups:
    return look_up_in_pod(FakeCluster(result), "shop", "client", "app", names, timeout=timeout)


def one(name: str, *runs: Ran, **settings: object) -> Lookup:
    settings.setdefault("tool", runs[0].tool)
    found = ask([name], transcript(runs, **settings)).answer(name)  # type: ignore[arg-type]
    assert found
    return found


# --- what the tools say --------------------------------------------------------------------------------------------


def ahosts(address: str, canonical: str) -> str:
    return f"{address:15} STREAM {canonical}\n{address:15} DGRAM  \n{address:15} RAW    \n"


def test_getent_shows_the_addresses_and_the_name_that_answered() -> None:
    lookup = one("web", Ran("getent", "web", ahosts("10.96.202.120", "web.shop.svc.cluster.local")))
    assert (lookup.outcome, lookup.addresses) == ("answered", ("10.96.202.120",))
    assert lookup.query == "web.shop.svc.cluster.local."
    assert lookup.canonical == "", "a name completed by the search list is no CNAME"


def test_getent_shows_the_target_of_an_external_name() -> None:
    lookup = one("ext", Ran("getent", "ext", ahosts("10.96.202.120", "web.shop.svc.cluster.local")))
    assert (lookup.canonical, lookup.query) == ("web.shop.svc.cluster.local", "")


def test_getent_names_each_address_of_a_headless_service_once() -> None:
    text = ahosts("10.244.3.2", "peers.shop.svc.cluster.local") + ahosts("10.244.1.2", "")
    assert one("peers", Ran("getent", "peers", text)).addresses == ("10.244.1.2", "10.244.3.2")


def test_getent_hosts_as_musl_has_it() -> None:
    text = "10.96.202.120   web.shop.svc.cluster.local ext.shop.svc.cluster.local\n"
    lookup = one("ext", Ran("getent", "ext", text))
    assert (lookup.addresses, lookup.canonical) == (("10.96.202.120",), "web.shop.svc.cluster.local")


def test_getent_that_finds_nothing_means_nxdomain_where_another_name_was_found() -> None:
    found = [Ran("getent", "web", ahosts("10.96.202.120", "web.shop.svc.cluster.local"))]
    lookups = ask(["web", "nosuch"], transcript(found, [Ran("getent", "nosuch", code=2)]))
    lookup = lookups.answer("nosuch")
    assert lookup and lookup.outcome == "nxdomain"
    assert "exit code 2" in lookup.detail


def test_getent_that_finds_nothing_means_nxdomain_where_the_control_was_found() -> None:
    control = Ran(
        "getent", "kubernetes.default.svc.cluster.local.", ahosts("10.96.0.1", "kubernetes.default.svc.cluster.local")
    )
    lookups = ask(["nosuch"], transcript([Ran("getent", "nosuch", code=2)], control=control))
    assert [(lookup.name, lookup.outcome) for lookup in lookups.lookups] == [("nosuch", "nxdomain")]


@pytest.mark.parametrize("others", [[], [Ran("getent", "localhost", ahosts("127.0.0.1", "localhost"))]])
def test_getent_that_finds_nothing_at_all_is_no_nxdomain(others: list[Ran]) -> None:
    """kube-dns without endpoints refuses at once; /etc/hosts answers all the same."""
    lookups = ask(["nosuch", "localhost"], transcript([Ran("getent", "nosuch", code=2)], others))
    lookup = lookups.answer("nosuch")
    assert lookup and lookup.outcome == "error"
    assert "may not answer at all" in lookup.detail


@pytest.mark.parametrize(
    ("code", "seconds", "options"),
    [(2, 20.0, "ndots:5"), (2, 2.0, "timeout:1 attempts:1"), (124, 6.0, "ndots:5"), (143, 6.0, "ndots:5")],
)
def test_getent_that_waited_in_vain_is_a_timeout(code: int, seconds: float, options: str) -> None:
    dead = Ran("getent", "web", code=code, seconds=seconds)
    lookup = one("web", dead, resolv_conf=f"nameserver 10.244.77.77\noptions {options}\n")
    assert lookup.outcome == "timeout"
    assert lookup.seconds == seconds


def test_another_tool_says_why_getent_found_nothing() -> None:
    getent = Ran("getent", "nosuch", code=2)
    query = "nosuch.shop.svc.cluster.local."
    text = SERVER + f"** server can't find {query}: NXDOMAIN\n\n** server can't find {query}: NXDOMAIN\n"
    lookup = one("nosuch", getent, Ran("nslookup", query, text, code=1))
    assert (lookup.outcome, lookup.detail) == ("nxdomain", f"server can't find {query}: NXDOMAIN")


def test_two_tools_that_disagree_are_an_error() -> None:
    text = SERVER + "Name:\tweb.shop.svc.cluster.local\nAddress: 10.96.202.120\n"
    lookup = one("web", Ran("getent", "web", code=2), Ran("nslookup", "web.shop.svc.cluster.local.", text))
    assert (lookup.outcome, lookup.detail) == ("error", "getent finds nothing, nslookup finds 10.96.202.120")


BUSYBOX = {
    "web": (
        SERVER + "\nName:\tweb.shop.svc.cluster.local\nAddress: 10.96.202.120\n",
        0,
        ("answered", ("10.96.202.120",), ""),
    ),
    "headless": (
        SERVER + "Name:\tpeers.shop.svc.cluster.local\nAddress: 10.244.3.2\n"
        "Name:\tpeers.shop.svc.cluster.local\nAddress: 10.244.1.2\n",
        0,
        ("answered", ("10.244.1.2", "10.244.3.2"), ""),
    ),
    "ExternalName": (
        SERVER + "ext.shop.svc.cluster.local\tcanonical name = web.shop.svc.cluster.local\n"
        "Name:\tweb.shop.svc.cluster.local\nAddress: 10.96.202.120\n",
        0,
        ("answered", ("10.96.202.120",), "web.shop.svc.cluster.local"),
    ),
    "ExternalName, target missing": (SERVER, 0, ("nodata", (), "")),
    "NXDOMAIN": (
        SERVER + "** server can't find x.: NXDOMAIN\n\n** server can't find x.: NXDOMAIN\n",
        1,
        ("nxdomain", (), ""),
    ),
    "no AAAA beside an A": (
        SERVER + "Non-authoritative answer:\nName:\tx\nAddress: 10.0.0.1\n\n*** Can't find x: No answer\n",
        0,
        ("answered", ("10.0.0.1",), ""),
    ),
    "NXDOMAIN for AAAA beside an A": (
        SERVER + "** server can't find x: NXDOMAIN\n\nName:\tx\nAddress: 10.0.0.1\n",
        1,
        ("answered", ("10.0.0.1",), ""),
    ),
    "dead server": (";; connection timed out; no servers could be reached\n", 1, ("timeout", (), "")),
    "refused": (
        "nslookup: write to '127.0.0.9': Connection refused\n;; connection timed out; no servers could be reached\n",
        1,
        ("refused", (), ""),
    ),
    "busybox 1.28": (
        "Server:    10.96.0.10\nAddress 1: 10.96.0.10 kube-dns.kube-system.svc.cluster.local\n\n"
        "Name:      x\nAddress 1: 10.96.0.1 kubernetes.default.svc.cluster.local\n",
        0,
        ("answered", ("10.96.0.1",), ""),
    ),
    "busybox 1.28, NXDOMAIN": (
        "Server:    10.96.0.10\nAddress 1: 10.96.0.10 kube-dns.kube-system.svc.cluster.local\n\n"
        "nslookup: can't resolve 'x'\n",
        1,
        ("nxdomain", (), ""),
    ),
    "bind": (
        "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10#53\n\n"
        "ext.shop.svc.cluster.local\tcanonical name = example.com.\nName:\texample.com\nAddress: 192.0.2.7\n"
        "Name:\texample.com\nAddress: 2001:db8::7\n",
        0,
        ("answered", ("192.0.2.7", "2001:db8::7"), "example.com"),
    ),
    "bind, SERVFAIL": (
        "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10#53\n\n** server can't find x: SERVFAIL\n",
        1,
        ("servfail", (), ""),
    ),
    "bind, REFUSED": (
        "Server:\t\t10.96.0.10\nAddress:\t10.96.0.10#53\n\n** server can't find x: REFUSED\n",
        1,
        ("refused", (), ""),
    ),
}


@pytest.mark.parametrize("case", BUSYBOX)
def test_nslookup(case: str) -> None:
    text, code, expected = BUSYBOX[case]
    lookup = one("x.", Ran("nslookup", "x.", text, code))
    assert (lookup.outcome, lookup.addresses, lookup.canonical) == expected


@pytest.mark.parametrize(
    ("tool", "text", "code", "expected"),
    [
        (
            "dig",
            ";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1\n\n"
            "x.\t30\tIN\tCNAME\tweb.shop.svc.cluster.local.\nweb.shop.svc.cluster.local. 30 IN\tA\t10.96.202.120\n",
            0,
            ("answered", ("10.96.202.120",), "web.shop.svc.cluster.local"),
        ),
        ("dig", ";; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 1\n", 0, ("nxdomain", (), "")),
        ("dig", ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1\n", 0, ("nodata", (), "")),
        (
            "dig",
            ";; communications error to 10.96.0.10#53: timed out\n;; no servers could be reached\n",
            9,
            ("timeout", (), ""),
        ),
        (
            "host",
            "x is an alias for example.com.\nexample.com has address 192.0.2.7\n"
            "example.com has IPv6 address 2001:db8::7\n",
            0,
            ("answered", ("192.0.2.7", "2001:db8::7"), "example.com"),
        ),
        ("host", "Host x not found: 3(NXDOMAIN)\n", 1, ("nxdomain", (), "")),
        ("python3", "canonical x\naddress 10.0.0.1\naddress 10.0.0.1\n", 0, ("answered", ("10.0.0.1",), "")),
        ("python3", "error -2 Name or service not known\n", 0, ("nxdomain", (), "")),
        ("python3", "error -5 No address associated with hostname\n", 0, ("nodata", (), "")),
        ("python3", "error -3 Temporary failure in name resolution\n", 0, ("error", (), "")),
        ("node", "error ENOTFOUND\n", 0, ("nxdomain", (), "")),
        ("node", "address 10.0.0.1\n", 0, ("answered", ("10.0.0.1",), "")),
        ("perl", "error -2 Name or service not known\n", 0, ("nxdomain", (), "")),
        ("ruby", "error getaddrinfo: Name or service not known\n", 0, ("nxdomain", (), "")),
        ("php", "address 10.0.0.1\n", 0, ("answered", ("10.0.0.1",), "")),
    ],
)
def test_other_tools(tool: str, text: str, code: int, expected: tuple[str, tuple[str, ...], str]) -> None:
    lookup = one("x.", Ran(tool, "x.", text, code))
    assert (lookup.outcome, lookup.addresses, lookup.canonical) == expected


def test_an_interpreter_that_waited_in_vain_is_a_timeout() -> None:
    assert one("x.", Ran("node", "x.", "error EAI_AGAIN\n", seconds=10.0)).outcome == "timeout"


# --- more than one name, and less than all of the time ---------------------------------------------------------------


def test_the_first_name_of_the_search_list_that_answers_wins() -> None:
    nowhere = SERVER + "** server can't find web.other.shop.svc.cluster.local.: NXDOMAIN\n"
    found = SERVER + "Name:\tweb.other.svc.cluster.local\nAddress: 10.96.0.7\n"
    lookup = one(
        "web.other",
        Ran("nslookup", "web.other.shop.svc.cluster.local.", nowhere, code=1),
        Ran("nslookup", "web.other.svc.cluster.local.", found),
    )
    assert (lookup.outcome, lookup.query) == ("answered", "web.other.svc.cluster.local.")


def test_an_existing_name_without_address_outweighs_nxdomain_elsewhere() -> None:
    lookup = one(
        "ext",
        Ran("nslookup", "ext.shop.svc.cluster.local.", SERVER),
        Ran(
            "nslookup", "ext.svc.cluster.local.", SERVER + "** server can't find ext.svc.cluster.local.: NXDOMAIN\n", 1
        ),
    )
    assert lookup.outcome == "nodata"


def test_a_timeout_after_nxdomain_says_both() -> None:
    lookup = one(
        "example.com",
        Ran("nslookup", "example.com.shop.svc.cluster.local.", SERVER + "** server can't find a: NXDOMAIN\n", 1),
        Ran("nslookup", "example.com.", ";; connection timed out; no servers could be reached\n", 1, seconds=5.0),
    )
    assert lookup.outcome == "timeout"
    assert lookup.detail.endswith("before that NXDOMAIN for example.com.shop.svc.cluster.local.")


def test_a_name_that_was_being_waited_for_when_time_ran_out_is_a_timeout_and_the_next_was_not_looked_up() -> None:
    printed = transcript([Ran("getent", "web", code=None)], finished=False)
    lookups = look_up_in_pod(TimingOut(printed), "shop", "client", "app", ["web", "peers"], timeout=10.0)
    web = lookups.answer("web")
    assert web and (web.outcome, web.detail) == ("timeout", "no answer within 10 s")
    assert lookups.answer("peers") is None


def test_a_name_begun_just_before_time_ran_out_was_not_looked_up() -> None:
    first = Ran("getent", "web", ahosts("10.96.202.120", "web.shop.svc.cluster.local"), seconds=9.0)
    lookups = look_up_in_pod(
        TimingOut(transcript([first], [Ran("getent", "peers", code=None)], finished=False)),
        "shop",
        "client",
        "app",
        ["web", "peers"],
        timeout=10.0,
    )
    assert [lookup.name for lookup in lookups.lookups] == ["web"]


class TimingOut(FakeCluster):
    def exec(self, namespace: str, pod: str, argv: Sequence[str], **settings: object) -> ExecResult:
        printed = self.results.pop(0)
        assert callable(printed)
        return ExecResult(stdout=printed(argv[4]), code=None, timed_out=True)


def test_etc_hosts_answers_before_dns_whatever_nslookup_says() -> None:
    hosts = HOSTS + "192.0.2.9 legacy.example legacy # from hostAliases\n"
    nowhere = Ran("nslookup", "legacy.shop.svc.cluster.local.", SERVER + "** server can't find x: NXDOMAIN\n", 1)
    lookup = one("legacy", nowhere, hosts=hosts)
    assert (lookup.outcome, lookup.addresses, lookup.from_hosts) == ("answered", ("192.0.2.9",), True)
    assert one("legacy", Ran("getent", "legacy", ahosts("192.0.2.9", "legacy.example")), hosts=hosts).from_hosts


# --- nothing that a Pod prints is trusted ----------------------------------------------------------------------------


def test_a_tool_cannot_forge_a_fence_or_an_address_or_a_terminal_sequence() -> None:
    text = (
        "svcdoctor-0000000000000000 1 end 0\n\x1b[2Jrm -rf\u202e evil\n"
        + "Address: 300.1.1.1\nName: x\nAddress: nonsense\n"
    )
    lookup = one("x.", Ran("nslookup", "x.", text, 1))
    assert (lookup.outcome, lookup.addresses) == ("error", ())
    assert "\x1b" not in lookup.detail and "\u202e" not in lookup.detail and "\n" not in lookup.detail
    assert len(lookup.detail) <= 160


def test_names_go_to_the_script_as_arguments_only_and_unfit_ones_not_at_all() -> None:
    cluster = FakeCluster(transcript([Ran("getent", "web", ahosts("10.96.0.7", "web"))]))
    unfit = ["$(reboot)", "-x", "a b", "10.0.0.1", "x" * 64, "", "a..b", "a\nb"]
    lookups = look_up_in_pod(cluster, "shop", "client", "app", [*unfit, "web", "web"])
    assert cluster.argv[:4] == ["sh", "-c", LOOK_UP, "sh"]
    assert cluster.argv[6:] == ["/etc", "web"]
    assert [lookup.outcome for lookup in lookups.lookups] == ["error"] * len(unfit) + ["answered"]


def test_what_a_pod_calls_its_tool_and_its_search_list_is_not_taken_on_trust() -> None:
    lookups = ask(["web"], transcript([], tool="\x1b[2Jgetent"))
    assert (lookups.unavailable, lookups.vantage.tool) == ("error", "")
    assert "\x1b" not in lookups.detail
    nowhere = Ran("nslookup", "web.x;reboot.", SERVER + "** server can't find x: NXDOMAIN\n", 1)
    lookups = ask(["web"], transcript([nowhere], tool="nslookup", resolv_conf="search x;reboot good.example\n"))
    assert lookups.command("web").endswith("-- nslookup web.good.example.")


def test_each_run_has_a_fence_of_its_own() -> None:
    tokens = set()
    for _ in range(3):
        cluster = FakeCluster(transcript())
        look_up_in_pod(cluster, "shop", "client", "app", [])
        tokens.add(cluster.argv[4])
    assert len(tokens) == 3


# --- the script itself ------------------------------------------------------------------------------------------------


class LocalShell(FakeCluster):
    """Runs the argv here, with only the given stand-ins on PATH and an /etc of the test's own."""

    def __init__(
        self,
        shell: str,
        root: Path,
        tools: dict[str, str],
        resolv_conf: str = RESOLV_CONF,
        before: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.shell, self.root, self.before = shell, root, before
        (root / "bin").mkdir()
        for tool, script in tools.items():
            (root / "bin" / tool).write_text(f'#!/bin/sh\nprintf "%s\\n" "{tool} $*" >>"{root}/calls"\n{script}\n')
            (root / "bin" / tool).chmod(0o755)
        (root / "resolv.conf").write_text(resolv_conf)
        (root / "hosts").write_text(HOSTS.rstrip("\n"))

    def exec(self, namespace: str, pod: str, argv: Sequence[str], **settings: object) -> ExecResult:
        here = [*self.before, self.shell, *(str(self.root) if word == "/etc" else word for word in argv[1:])]
        done = subprocess.run(here, capture_output=True, text=True, env={"PATH": str(self.root / "bin")}, timeout=30)
        self.said = done.stderr
        return ExecResult(done.stdout, done.stderr, done.returncode)

    @property
    def calls(self) -> list[str]:
        calls = self.root / "calls"
        return calls.read_text().splitlines() if calls.exists() else []


SHELLS = [path for name in ("sh", "dash", "bash") if (path := shutil.which(name))]


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


GETENT = 'case $2 in web) echo "10.96.0.7 STREAM web.shop.svc.cluster.local" ;; *) exit 2 ;; esac'
NSLOOKUP = """
case $1 in
    web.other.svc.cluster.local.)
        printf '%s\\n' 'Server: 10.96.0.10' 'Address: 10.96.0.10:53' '' 'Name: x' 'Address: 10.96.0.9' ;;
    *) echo "** server can't find $1: NXDOMAIN"; exit 1 ;;
esac"""


def test_script_prefers_getent_and_reads_resolv_conf_and_hosts(shell: str, tmp_path: Path) -> None:
    cluster = LocalShell(shell, tmp_path, {"getent": GETENT, "python3": "exit 1"})
    lookups = look_up_in_pod(cluster, "shop", "client", "app", ["web"])
    assert lookups.vantage.tool == "getent"
    assert [(lookup.outcome, lookup.addresses) for lookup in lookups.lookups] == [("answered", ("10.96.0.7",))]
    assert lookups.resolv_conf == parse_resolv_conf(RESOLV_CONF)
    assert cluster.calls == ["getent ahosts web"]


def test_script_asks_nslookup_why_and_for_absolute_names_as_glibc_would(shell: str, tmp_path: Path) -> None:
    cluster = LocalShell(shell, tmp_path, {"getent": GETENT, "nslookup": NSLOOKUP})
    lookups = look_up_in_pod(cluster, "shop", "client", "app", ["nosuch"])
    assert lookups.lookups[0].outcome == "nxdomain"
    searched = [f"nslookup nosuch.{domain}." for domain in RESOLV_CONF.split()[1:4]]
    assert cluster.calls == ["getent ahosts nosuch", *searched], "a bare name is not asked for outside the search list"


@pytest.mark.parametrize(
    ("name", "options", "queries"),
    [
        ("web.other", "ndots:5", ["web.other.shop.svc.cluster.local.", "web.other.svc.cluster.local."]),
        ("web.other.svc.cluster.local.", "ndots:5", ["web.other.svc.cluster.local."]),
        ("web.other", "ndots:1", ["web.other.", "web.other.shop.svc.cluster.local.", "web.other.svc.cluster.local."]),
        ("web.other", "ndots:x", ["web.other.", "web.other.shop.svc.cluster.local.", "web.other.svc.cluster.local."]),
    ],
)
def test_script_expands_the_search_list_for_nslookup(
    name: str, options: str, queries: list[str], shell: str, tmp_path: Path
) -> None:
    conf = RESOLV_CONF.replace("ndots:5", options)
    cluster = LocalShell(shell, tmp_path, {"nslookup": NSLOOKUP}, conf)
    lookups = look_up_in_pod(cluster, "shop", "client", "app", [name])
    assert cluster.calls == [f"nslookup {query}" for query in queries]
    assert lookups.lookups[0].addresses == ("10.96.0.9",)
    assert lookups.lookups[0].query == "web.other.svc.cluster.local."


def test_script_asks_no_further_when_the_server_is_dead(shell: str, tmp_path: Path) -> None:
    cluster = LocalShell(
        shell, tmp_path, {"nslookup": "echo ';; connection timed out; no servers could be reached'; exit 1"}
    )
    lookups = look_up_in_pod(cluster, "shop", "client", "app", ["web"])
    assert lookups.lookups[0].outcome == "timeout"
    assert len(cluster.calls) == 1


def test_script_tries_the_control_when_getent_found_nothing(shell: str, tmp_path: Path) -> None:
    getent = (
        'case $2 in kubernetes.*) echo "10.96.0.1 STREAM kubernetes.default.svc.cluster.local" ;; *) exit 2 ;; esac'
    )
    cluster = LocalShell(shell, tmp_path, {"getent": getent})
    lookups = look_up_in_pod(cluster, "shop", "client", "app", ["nosuch"])
    assert lookups.lookups[0].outcome == "nxdomain"
    assert cluster.calls == ["getent ahosts nosuch", "getent ahosts kubernetes.default.svc.cluster.local."]


def test_script_falls_back_to_getent_hosts(shell: str, tmp_path: Path) -> None:
    getent = (
        '[ $1 = hosts ] || { echo "Unknown database: ahosts"; exit 1; }; echo "10.96.0.7  web.shop.svc.cluster.local"'
    )
    cluster = LocalShell(shell, tmp_path, {"getent": getent})
    assert look_up_in_pod(cluster, "shop", "client", "app", ["web"]).lookups[0].addresses == ("10.96.0.7",)


def test_script_uses_the_timeout_of_coreutils_alone(shell: str, tmp_path: Path) -> None:
    gnu = 'case $1 in --version) echo "timeout (GNU coreutils) 9.1" ;; *) shift; "$@" ;; esac'
    cluster = LocalShell(shell, tmp_path, {"timeout": gnu, "getent": GETENT})
    look_up_in_pod(cluster, "shop", "client", "app", ["web"])
    assert cluster.calls == ["timeout --version", "timeout 6 getent ahosts web", "getent ahosts web"]
    (tmp_path / "busybox").mkdir()
    cluster = LocalShell(shell, tmp_path / "busybox", {"timeout": "exit 1", "getent": GETENT})
    look_up_in_pod(cluster, "shop", "client", "app", ["web"])
    assert cluster.calls == ["timeout --version", "getent ahosts web"]


# Whatever is started and not waited for comes to the first process of a container, which may let it lie.
FIRST_PROCESS = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
code = subprocess.run(sys.argv[1:]).returncode
with open(f"/proc/self/task/{os.getpid()}/children") as children:
    print("left behind:", children.read().split(), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("getent", [GETENT, "exec /bin/sleep 30"], ids=["answers", "hangs"])
def test_script_leaves_no_process_behind(shell: str, getent: str, tmp_path: Path) -> None:
    tools = {"getent": getent, "sleep": 'exec /bin/sleep "$@"'}
    cluster = LocalShell(shell, tmp_path, tools, before=[sys.executable, "-c", FIRST_PROCESS])
    lookup = look_up_in_pod(cluster, "shop", "client", "app", ["web"], timeout=4.0).lookups[0]
    assert lookup.outcome == ("timeout" if "30" in getent else "answered")
    assert cluster.said == "left behind: []\n"


def test_script_without_any_tool(shell: str, tmp_path: Path) -> None:
    lookups = look_up_in_pod(LocalShell(shell, tmp_path, {}), "shop", "client", "app", ["web"])
    assert (lookups.unavailable, lookups.detail) == ("no-tool", "the container has a shell but no lookup tool")


def test_script_does_not_expand_what_resolv_conf_says(shell: str, tmp_path: Path) -> None:
    conf = "search * $(touch${IFS}owned) `reboot`\noptions ndots:5\n"
    cluster = LocalShell(shell, tmp_path, {"nslookup": NSLOOKUP}, conf)
    look_up_in_pod(cluster, "shop", "client", "app", ["web"])
    assert cluster.calls[0] == "nslookup web.*."
    assert not (tmp_path / "owned").exists()


# --- which Pod --------------------------------------------------------------------------------------------------------


def pod(name: str, *containers: str, running: bool = True, namespace: str = "shop", **spec: object) -> Pod:
    """Containers are given as `name=image`."""
    pairs = [container.split("=") for container in containers or ("app=web:1",)]
    state = {"running": {}} if running else {"waiting": {}}
    return msgspec.convert(
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"containers": [{"name": key, "image": image} for key, image in pairs], **spec},
            "status": {"phase": "Running", "containerStatuses": [{"name": key, "state": state} for key, _ in pairs]},
        },
        Pod,
    )


WEB = transcript([Ran("getent", "web", ahosts("10.96.202.120", "web.shop.svc.cluster.local"))])


def choose(cluster: FakeCluster, *pods: Pod, coredns: bool = False, names: Sequence[str] = ("web",)) -> Lookups:
    return look_up(
        cluster,
        pods,
        names,
        coredns_pods=[("kube-system", "coredns-1")] if coredns else [],
        dns_service_ip="10.96.0.10",
        zone="cluster.local",
    )


def test_the_first_candidate_with_a_running_container_is_asked() -> None:
    cluster = FakeCluster(WEB)
    lookups = choose(cluster, pod("gone", running=False), pod("client"))
    assert cluster.execs == [("shop", "client", "app")]
    assert lookups.vantage == Vantage(kind="exec", namespace="shop", pod="client", container="app", tool="getent")
    assert lookups.attempts == (
        Attempt(
            vantage="asked inside shop/client",
            command="kubectl -n shop exec client -c app -- getent ahosts web",
            outcome="1 answered",
            seconds=lookups.attempts[0].seconds,
        ),
    )
    assert lookups.command("web").endswith("-- getent ahosts web.shop.svc.cluster.local.")


def test_an_image_without_shell_is_tried_once_and_a_sidecar_may_have_one() -> None:
    cluster = FakeCluster(ExecResult(code=None, error=NO_SHELL), WEB)
    lookups = choose(cluster, pod("a", "app=web:1", "proxy=envoy:1"), pod("b", "app=web:1"))
    assert cluster.execs == [("shop", "a", "app"), ("shop", "a", "proxy")]
    assert not lookups.unavailable
    assert [attempt.outcome for attempt in lookups.attempts] == ["the container has no shell", "1 answered"]


@pytest.mark.parametrize(
    "failed",
    [
        ExecResult(code=None, error=NO_SHELL),
        ExecResult(code=None, error="crun: executable file `sh` not found in $PATH: No such file or directory"),
        ExecResult(
            code=126, stdout='OCI runtime exec failed: exec failed: exec: "sh": executable file not found in $PATH'
        ),
        Refused("not-found", 'pods "a" not found'),
        Refused("unreachable", "error dialing backend: dial tcp 172.18.0.2:10250: i/o timeout"),
        Refused("timeout", "timed out"),
        ExecResult(code=None, timed_out=True),
    ],
)
def test_the_next_candidate_is_asked_when_one_cannot(failed: ExecResult | Exception) -> None:
    cluster = FakeCluster(failed, WEB)
    assert choose(cluster, pod("a"), pod("b", "app=other:1")).vantage.pod == "b"


def test_at_most_three_execs() -> None:
    cluster = FakeCluster(*[Refused("not-found", "gone")] * 9)
    lookups = choose(cluster, *(pod(f"p{number}") for number in range(9)))
    assert len(cluster.execs) == len(lookups.attempts) == 3
    assert (lookups.unavailable, lookups.detail) == ("error", "gone")


def test_a_namespace_that_forbids_exec_is_not_asked_again_and_named() -> None:
    cluster = FakeCluster(Refused("forbidden", "no"), ExecResult(code=None, error=NO_SHELL))
    lookups = choose(cluster, pod("a"), pod("b"), pod("c", namespace="bank"))
    assert cluster.execs == [("shop", "a", "app"), ("bank", "c", "app")]
    assert (lookups.unavailable, lookups.detail) == ("forbidden", "create pods/exec in shop")


def test_no_pod_to_ask() -> None:
    assert choose(FakeCluster()).unavailable == "no-pod"
    assert choose(FakeCluster(), pod("a", running=False)).detail == "no candidate Pod runs"


# --- at CoreDNS -------------------------------------------------------------------------------------------------------

CLUSTER_FIRST = ResolvConf(
    nameservers=("10.96.0.10",), searches=("shop.svc.cluster.local", "svc.cluster.local", "cluster.local"), ndots=5
)
# (name, type) -> the answer section: (owner, type, data...)
ZONE: dict[tuple[str, str], list[tuple[str, ...]]] = {
    ("web.shop.svc.cluster.local.", "A"): [("web.shop.svc.cluster.local.", "A", "10.96.202.120")],
    ("web.shop.svc.cluster.local.", "AAAA"): [],
    ("peers.shop.svc.cluster.local.", "A"): [("peers.shop.svc.cluster.local.", "A", "10.244.3.2", "10.244.1.2")],
    ("peers.shop.svc.cluster.local.", "AAAA"): [("peers.shop.svc.cluster.local.", "AAAA", "fd00::2")],
    ("ext.shop.svc.cluster.local.", "A"): [
        ("ext.shop.svc.cluster.local.", "CNAME", "web.shop.svc.cluster.local."),
        ("web.shop.svc.cluster.local.", "A", "10.96.202.120"),
    ],
    ("ext.shop.svc.cluster.local.", "AAAA"): [],
    # as CoreDNS 1.14 answers for an ExternalName whose target is gone: nothing, unless asked for the CNAME
    ("extbad.shop.svc.cluster.local.", "A"): [],
    ("extbad.shop.svc.cluster.local.", "AAAA"): [],
    ("extbad.shop.svc.cluster.local.", "CNAME"): [("extbad.shop.svc.cluster.local.", "CNAME", "nosuch.example.")],
}


class DNSServer:
    """DNS over TCP on localhost. A name that is not in the zone is NXDOMAIN, or gets what `special` says:
    an rcode, or "close" to hang up."""

    def __init__(
        self, zone: dict[tuple[str, str], list[tuple[str, ...]]], special: dict[str, str] | None = None
    ) -> None:
        self.zone, self.special = zone, special or {}
        self.questions: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def dial(self, pod: str) -> socket.socket:
        return socket.create_connection(self.listener.getsockname())

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            while size := stream.read(2):
                query = dns.message.from_wire(stream.read(int.from_bytes(size, "big")))
                name, kind = str(query.question[0].name), dns.rdatatype.to_text(query.question[0].rdtype)
                self.questions.append(f"{name} {kind}")
                if self.special.get(name) == "close":
                    return
                reply = dns.message.make_response(query)
                records = self.zone.get((name, kind))
                for owner, rdtype, *data in records or ():
                    reply.answer.append(dns.rrset.from_text(owner, 30, "IN", rdtype, *data))
                if records is None:
                    reply.set_rcode(dns.rcode.from_text(self.special.get(name, "NXDOMAIN")))
                wire = reply.to_wire()
                stream.write(len(wire).to_bytes(2, "big") + wire)
                stream.flush()


@pytest.fixture
def server() -> Iterator[DNSServer]:
    special = {"bad.shop.svc.cluster.local.": "SERVFAIL", "no.shop.svc.cluster.local.": "REFUSED", "rude.": "close"}
    server = DNSServer(ZONE, special)
    yield server
    server.listener.close()


def replay(server: DNSServer, *names: str, conf: ResolvConf = CLUSTER_FIRST) -> Lookups:
    cluster = FakeCluster(dial=server.dial)
    return look_up_at_coredns(cluster, [("kube-system", "coredns-1")], conf, names, client=("shop", "client"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web", ("answered", ("10.96.202.120",), "", "web.shop.svc.cluster.local.")),
        ("web.shop", ("answered", ("10.96.202.120",), "", "web.shop.svc.cluster.local.")),
        ("web.shop.svc.cluster.local.", ("answered", ("10.96.202.120",), "", "web.shop.svc.cluster.local.")),
        ("peers", ("answered", ("10.244.1.2", "10.244.3.2", "fd00::2"), "", "peers.shop.svc.cluster.local.")),
        ("ext", ("answered", ("10.96.202.120",), "web.shop.svc.cluster.local", "ext.shop.svc.cluster.local.")),
        ("extbad", ("nodata", (), "nosuch.example", "")),
        ("nosuch", ("nxdomain", (), "", "")),
        ("bad", ("servfail", (), "", "")),
        ("no", ("refused", (), "", "")),
        ("10.0.0.1", ("error", (), "", "")),
    ],
)
def test_replay_at_coredns(server: DNSServer, name: str, expected: tuple[str, tuple[str, ...], str, str]) -> None:
    lookup = replay(server, name).answer(name)
    assert lookup and (lookup.outcome, lookup.addresses, lookup.canonical, lookup.query) == expected


def test_replay_asks_what_glibc_would_ask(server: DNSServer) -> None:
    replay(server, "web.shop")
    expected = ["web.shop.shop.svc.cluster.local.", "web.shop.svc.cluster.local."]
    assert server.questions == [f"{name} {kind}" for name in expected for kind in ("A", "AAAA")]


def test_replay_says_from_where_it_looked_and_what_shows_the_same(server: DNSServer) -> None:
    lookups = replay(server, "web")
    assert lookups.vantage.text == "asked CoreDNS kube-system/coredns-1 through a port-forward, as shop/client would"
    assert "NetworkPolicy" in lookups.vantage.blind_spot
    forward = "kubectl -n kube-system port-forward pod/coredns-1 5353:53"
    assert lookups.command("web") == f"{forward} & dig +tcp @127.0.0.1 -p 5353 web.shop.svc.cluster.local."


def test_a_connection_that_breaks_spoils_one_name_only(server: DNSServer) -> None:
    lookups = replay(server, "web", "rude.", "peers")
    assert [lookup.outcome for lookup in lookups.lookups] == ["answered", "error", "answered"]


def test_the_next_coredns_pod_is_asked_when_one_does_not_answer(server: DNSServer) -> None:
    def dial(pod: str) -> socket.socket:
        if pod == "coredns-1":
            raise ConnectionRefusedError("failed to connect to localhost:53: connection refused")
        return server.dial(pod)

    pods = [("kube-system", "coredns-1"), ("kube-system", "coredns-2")]
    lookups = look_up_at_coredns(FakeCluster(dial=dial), pods, CLUSTER_FIRST, ["web"], client=("shop", "client"))
    assert lookups.vantage.server == "kube-system/coredns-2"
    assert [attempt.outcome for attempt in lookups.attempts] == [
        "failed to connect to localhost:53: connection refused",
        "1 answered",
    ]


def test_coredns_that_says_nothing_is_a_timeout() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    cluster = FakeCluster(dial=lambda pod: socket.create_connection(silent.getsockname()))
    lookups = look_up_at_coredns(
        cluster,
        [("kube-system", "coredns-1")],
        CLUSTER_FIRST,
        ["web", "peers"],
        client=("shop", "client"),
        timeout=0.05,
    )
    silent.close()
    assert [(lookup.name, lookup.outcome) for lookup in lookups.lookups] == [("web", "timeout")]


def test_without_a_shell_coredns_is_asked_as_the_first_candidate(server: DNSServer) -> None:
    cluster = FakeCluster(ExecResult(code=None, error=NO_SHELL), dial=server.dial)
    lookups = choose(cluster, pod("a"), coredns=True)
    assert (lookups.vantage.kind, lookups.vantage.pod, lookups.vantage.tool) == ("coredns", "a", "dnspython")
    assert lookups.any_answered
    assert len(lookups.attempts) == 2


def test_coredns_is_not_asked_for_a_pod_that_does_not_use_it() -> None:
    cluster = FakeCluster(ExecResult(code=None, error=NO_SHELL))
    assert choose(cluster, pod("a", dnsPolicy="Default"), coredns=True).unavailable == "no-tool"


def test_without_any_pod_only_names_that_mean_the_same_everywhere_are_asked(server: DNSServer) -> None:
    cluster = FakeCluster(dial=server.dial)
    lookups = choose(cluster, coredns=True, names=("web", "web.shop"))
    assert [lookup.name for lookup in lookups.lookups] == ["web.shop"]


def test_forbidden_exec_and_port_forward_are_both_named() -> None:
    def dial(pod: str) -> socket.socket:
        raise Refused("forbidden", "no")

    lookups = choose(FakeCluster(Refused("forbidden", "no"), dial=dial), pod("a"), coredns=True)
    assert lookups.unavailable == "forbidden"
    assert lookups.detail == "create pods/exec in shop; create pods/portforward in kube-system"


# --- resolv.conf ------------------------------------------------------------------------------------------------------

SEARCH = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ResolvConf(("10.96.0.10",), SEARCH, 5)),
        ({"hostNetwork": True}, ResolvConf()),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, ResolvConf(("10.96.0.10",), SEARCH, 5)),
        ({"dnsPolicy": "Default"}, ResolvConf()),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"], "options": [{"name": "edns0"}]}},
            ResolvConf(("192.0.2.1",)),
        ),
        (
            {
                "dnsConfig": {
                    "nameservers": ["192.0.2.1", "10.96.0.10"],
                    "searches": ["corp.example", "cluster.local"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "timeout", "value": "1"}],
                }
            },
            ResolvConf(("10.96.0.10", "192.0.2.1"), (*SEARCH, "corp.example"), 2, 1),
        ),
    ],
)
def test_resolv_conf_of_a_pod(spec: dict[str, object], expected: ResolvConf) -> None:
    assert resolv_conf_of(pod("a", **spec), dns_service_ip="10.96.0.10", zone="cluster.local") == expected


def test_parse_resolv_conf_as_glibc_does() -> None:
    text = "; comment\nsearch a.example\nsearch b.example c.example\nnameserver 10.0.0.1\nnameserver nonsense\n"
    text += "nameserver ::1\noptions ndots:99 timeout:2\noptions attempts:3 rotate\n"
    assert parse_resolv_conf(text) == ResolvConf(("10.0.0.1", "::1"), ("b.example", "c.example"), 15, 2, 3)


@pytest.mark.parametrize(
    ("name", "ndots", "expected"),
    [
        ("a", 1, ["a.x.", "a.y.", "a."]),
        ("a.b", 1, ["a.b.", "a.b.x.", "a.b.y."]),
        ("a.b", 5, ["a.b.x.", "a.b.y.", "a.b."]),
        ("a.", 5, ["a."]),
    ],
)
def test_candidates_in_the_order_of_glibc(name: str, ndots: int, expected: list[str]) -> None:
    assert list(ResolvConf(searches=("x", "y."), ndots=ndots).candidates(name)) == expected


def test_lookups_survive_a_recording() -> None:
    lookups = choose(FakeCluster(WEB), pod("client"))
    assert msgspec.json.decode(msgspec.json.encode(lookups), type=Lookups) == lookups


def test_one_coredns_pod_is_asked_over_one_port_forward(server: DNSServer) -> None:
    dialled: list[str] = []

    def dial(pod: str) -> socket.socket:
        dialled.append(pod)
        return server.dial(pod)

    names = ["web.shop.svc.cluster.local.", "nosuch.shop.svc.cluster.local."]
    said = ask_server(FakeCluster(dial=dial), ("kube-system", "coredns-1"), names)
    assert [(lookup.name, lookup.outcome) for lookup in said.lookups] == [
        (names[0], "answered"),
        (names[1], "nxdomain"),
    ]
    assert dialled == ["coredns-1"]
    assert said.vantage.text == "asked CoreDNS kube-system/coredns-1 through a port-forward"


def test_a_coredns_pod_that_hangs_up_is_asked_a_second_time(server: DNSServer) -> None:
    server.special["web.shop.svc.cluster.local."] = "close"
    said = ask_server(FakeCluster(dial=server.dial), ("kube-system", "coredns-1"), ["web.shop.svc.cluster.local."])
    assert [lookup.outcome for lookup in said.lookups] == ["error"]
    assert len(said.attempts) == 2


def test_a_port_forward_that_is_forbidden_is_tried_once() -> None:
    dialled: list[str] = []

    def dial(pod: str) -> socket.socket:
        dialled.append(pod)
        raise Refused("forbidden", "no")

    said = ask_server(FakeCluster(dial=dial), ("kube-system", "coredns-1"), ["web.shop.svc.cluster.local."])
    assert (said.unavailable, said.detail) == ("forbidden", "create pods/portforward in kube-system")
    assert dialled == ["coredns-1"]


@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("web", 2),
        ("web.shop", 4),
        ("web.shop.svc.cluster.local", 8),
        ("web.shop.svc.cluster.local.", 2),
        ("web.other", None),
    ],
)
def test_how_many_queries_a_name_costs(name: str, queries: int | None) -> None:
    assert CLUSTER_FIRST.queries(name, "web.shop.svc.cluster.local.") == queries
