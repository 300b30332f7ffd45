"""Looking names up as a Pod does: inside the Pod, or at CoreDNS through a port-forward.

Inside the Pod one exec runs LOOK_UP, a fixed shell script, with whatever lookup tool the image has. Where no Pod lets
that happen, dnspython asks CoreDNS and replays the Pod's resolv.conf. Both only read. What a Pod prints is untrusted:
addresses have to parse, everything else passes printable() and is shortened.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from msgspec.structs import replace

from svcdoctor.cluster.kube import KubeError
from svcdoctor.cluster.shell import WITHIN
from svcdoctor.names.lookup import ANSWERED, NO_SHELL, NO_TOOL, Attempt, Lookup, Lookups, ResolvConf, Vantage
from svcdoctor.objects import Pod
from svcdoctor.text import printable, shorten

# The script gives up before its exec does, so that what it found so far still arrives.
EXEC_MARGIN = 1.0
# The longest wait for one name: glibc's 5 s for a first answer, and the moment its second try needs.
NAME_LIMIT = 6
# Who waited less than this in vain has not shown that nobody answers.
SHORTEST_TIMEOUT = 2.0
MAX_EXECS = 3
MAX_OUTPUT = 1 << 18
# How long one answer of CoreDNS may take through a port-forward, before the next CoreDNS Pod is asked.
COREDNS_WAIT = 2.0

# What libc may have to say at the end of a name: `error CODE WORDS`, as the interpreters below print it.
_PYTHON = """
import socket, sys
try:
    found = socket.getaddrinfo(sys.argv[1], None, 0, socket.SOCK_STREAM, 0, socket.AI_CANONNAME | socket.AI_ADDRCONFIG)
    print("canonical %s" % found[0][3])
    for entry in found: print("address %s" % entry[4][0])
except socket.gaierror as error:
    print("error %s %s" % error.args[:2])
"""
_NODE = """
require("dns").lookup(process.argv[1], {all: true}, (error, found) => {
    if (error) console.log("error", error.code);
    else found.forEach(entry => console.log("address", entry.address));
})
"""
_PERL = """
my ($error, @found) = Socket::getaddrinfo($ARGV[0], "", {socktype => Socket::SOCK_STREAM()});
print "error ", $error + 0, " $error\\n" if $error;
for (@found) {
    my ($failed, $address) = Socket::getnameinfo($_->{addr}, Socket::NI_NUMERICHOST(), Socket::NIx_NOSERV());
    print "address $address\\n";
}
"""
_RUBY = """
begin
    Addrinfo.getaddrinfo(ARGV[0], nil, nil, :STREAM).each { |entry| puts "address #{entry.ip_address}" }
rescue SocketError => error
    puts "error #{error.message}"
end
"""
_PHP = """
$found = gethostbynamel($argv[1]);
foreach ($found ? $found : [] as $address) echo "address $address\\n";
"""

# In the order of preference: getent sees what the application sees, the next three say most about a failure.
TOOLS = ("getent", "nslookup", "dig", "host", "python3", "python", "node", "perl", "ruby", "php")

# POSIX sh; beyond builtins it runs one lookup tool, and what `within` takes.
# Arguments: fence token, seconds, directory of resolv.conf and hosts, names. A line that begins with the token is the
# script's: TOKEN UPTIME EVENT. Everything between is what a tool or a file says.
LOOK_UP = (
    WITHIN
    + r"""
set -f
export LC_ALL=C
token=$1 budget=$2 etc=$3
shift 3

now() { read -r uptime rest 2>/dev/null </proc/uptime || uptime=$(date +%s); }
fence() { now; printf '\n%s %s %s\n' "$token" "$uptime" "$*"; }
show() { while read -r line || [ -n "$line" ]; do printf '%s\n' "$line"; done 2>/dev/null <"$1"; }
have() { command -v "$1" >/dev/null 2>&1; }

search= ndots=1
if [ -r "$etc/resolv.conf" ]; then
    while read -r word rest || [ -n "$word" ]; do
        case $word in
            search|domain) search=$rest ;;
            options) for option in $rest; do case $option in ndots:*) ndots=${option#ndots:} ;; esac; done ;;
        esac
    done <"$etc/resolv.conf"
fi
case $ndots in ''|*[!0-9]*) ndots=1 ;; esac

tool=none
for candidate in @TOOLS@; do
    if have $candidate; then tool=$candidate; break; fi
done
# getent and php do not say why they found nothing: another tool is asked for the reason.
reason=
case $tool in getent|php) for candidate in nslookup dig host; do
    if have $candidate; then reason=$candidate; break; fi
done ;; esac
fence tool "$tool"
deadline=$((${uptime%%.*} + budget))

run() {
    case $1 in
        getent)
            within $left getent ahosts "$2"; code=$?
            # musl's getent may not know ahosts
            if [ $code -eq 1 ]; then within $left getent hosts "$2"; code=$?; fi
            return $code ;;
        nslookup) within $left nslookup "$2" ;;
        dig) within $left dig +time=2 +tries=2 +noall +comments +answer "$2" A "$2" AAAA ;;
        host) within $left host -W 2 "$2" ;;
        python3|python) within $left "$1" -c '@PYTHON@' "$2" ;;
        node) within $left node -e '@NODE@' "$2" ;;
        perl) within $left perl -MSocket -e '@PERL@' "$2" ;;
        ruby) within $left ruby -rsocket -e '@RUBY@' "$2" ;;
        php) within $left php -r '@PHP@' -- "$2" ;;
    esac
}

ask() {
    now
    began=${uptime%%.*}
    left=$((deadline - began))
    out= code=1 spent=0
    if [ $left -lt 2 ]; then return; fi
    if [ $left -gt @NAME_LIMIT@ ]; then left=@NAME_LIMIT@; fi
    fence ask "$1" "$2"
    out=$(run "$1" "$2" 2>&1)
    code=$?
    printf '%s\n' "$out"
    fence end $code
    spent=$((${uptime%%.*} - began))
}

# The absolute names that glibc tries for $1, in its order; but a bare name never outside the search list, where only
# a top-level domain could have it.
expand() {
    case $1 in *.) printf '%s\n' "$1"; return ;; esac
    dots=$(IFS=.; set -- $1; echo $(($# - 1)))
    if [ "$dots" -ge "$ndots" ]; then printf '%s\n' "$1."; fi
    for domain in $search; do domain=${domain%.}; printf '%s\n' "$1${domain:+.$domain}."; done
    if [ "$dots" -lt "$ndots" ] && { [ "$dots" -gt 0 ] || [ -z "$search" ]; }; then printf '%s\n' "$1."; fi
}

# These tools do not search as libc does (busybox nslookup never for a name with a dot): one absolute name at a time.
walk() {
    for query in $(expand "$2"); do
        ask "$1" "$query"
        case $code in 124|143) return ;; esac
        case $out in
            *Name:*Address*|*IN?A?*|*IN?AAAA?*|*"has address"*|*"has IPv6 address"*) return ;;
            *"timed out"*|*"no servers"*|*"no response"*|*"onnection refused"*) return ;;
        esac
    done
}

answered=no number=0
for name; do
    number=$((number + 1))
    fence name $number
    case $tool in
        none) ;;
        nslookup|dig|host) walk $tool "$name" ;;
        *)
            ask $tool "$name"
            case $code$out in
                124*|143*) ;;
                0?*) answered=yes ;;
                *) if [ -n "$reason" ] && [ $spent -lt 2 ]; then walk $reason "$name"; fi ;;
            esac ;;
    esac
done

# Nothing found and nobody to say why: does the server answer at all, for the one name that every cluster has?
case $tool$reason$answered in getentno|phpno)
    for domain in $search; do case $domain in svc.*)
        fence control
        ask $tool "kubernetes.default.${domain%.}."
        break ;;
    esac; done ;;
esac
fence resolv; show "$etc/resolv.conf"
fence hosts; show "$etc/hosts"
fence done
"""
)
for _mark, _text in (
    ("@PYTHON@", _PYTHON),
    ("@NODE@", _NODE),
    ("@PERL@", _PERL),
    ("@RUBY@", _RUBY),
    ("@PHP@", _PHP),
    ("@NAME_LIMIT@", str(NAME_LIMIT)),
    ("@TOOLS@", " ".join(TOOLS)),
):
    LOOK_UP = LOOK_UP.replace(_mark, _text)


class ExecResult(Protocol):
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...
    @property
    def code(self) -> int | None: ...
    @property
    def error(self) -> str: ...
    @property
    def timed_out(self) -> bool: ...
    @property
    def truncated(self) -> bool: ...


class Cluster(Protocol):
    """What of kube.Cluster a lookup needs."""

    def exec(
        self,
        namespace: str,
        pod: str,
        argv: Sequence[str],
        *,
        container: str = "",
        timeout: float = 10.0,
        max_bytes: int = 1 << 20,
    ) -> ExecResult: ...

    def port_forward(self, namespace: str, pod: str, port: int, *, timeout: float = 5.0) -> Any: ...


# --- inside a Pod --------------------------------------------------------------------------------------------------


def look_up_in_pod(
    cluster: Cluster,
    namespace: str,
    pod: str,
    container: str,
    names: Sequence[str],
    *,
    vantage: Vantage | None = None,
    timeout: float = 10.0,
) -> Lookups:
    """Look the names up inside a running Pod, with one exec. Never raises: `unavailable` says why it did not work.

    `vantage` is whose view that is, where it is not the container's own.
    """
    names = list(dict.fromkeys(names))
    unfit = {name: why for name in names if (why := _why_unfit(name))}
    asked = [name for name in names if name not in unfit]
    vantage = vantage or Vantage(kind="exec", namespace=namespace, pod=pod, container=container)
    token = f"svcdoctor-{secrets.token_hex(8)}"
    budget = max(2, int(timeout - EXEC_MARGIN))
    began = time.monotonic()
    try:
        result = cluster.exec(
            namespace,
            pod,
            ["sh", "-c", LOOK_UP, "sh", token, str(budget), "/etc", *asked],
            container=container,
            timeout=timeout,
            max_bytes=MAX_OUTPUT,
        )
    except KubeError as error:
        reason = {"forbidden": "forbidden", "timeout": "timeout"}.get(error.reason, "error")
        words = f"create pods/exec in {namespace}" if reason == "forbidden" else one_line(error.message)
        return not_looked_up(vantage, asked, reason, words, time.monotonic() - began)
    seconds = time.monotonic() - began

    transcript = _Transcript.read(result.stdout, token)
    if transcript.tool not in (*TOOLS, "none"):
        # runc and crun put it differently, and some runtimes say it on stdout with exit code 126
        if NO_PROGRAM.search(f"{result.error}\n{result.stderr}\n{result.stdout}"):
            return not_looked_up(vantage, asked, "no-tool", NO_SHELL, seconds)
        if result.timed_out:
            return not_looked_up(vantage, asked, "timeout", f"no output within {timeout:.0f} s", seconds)
        words = (
            one_line(result.error or result.stderr or result.stdout.replace(token, "")) or f"exit code {result.code}"
        )
        return not_looked_up(vantage, asked, "error", words, seconds)
    if transcript.tool == "none":
        return not_looked_up(vantage, asked, "no-tool", NO_TOOL, seconds)

    vantage = replace(vantage, tool=transcript.tool)
    ended = timeout if result.timed_out else seconds
    found = dict(_judge(transcript, asked, ended))
    lookups = [
        Lookup(name=name, outcome="error", detail=unfit[name]) if name in unfit else found.get(name) for name in names
    ]
    attempt = _attempt(vantage, asked, _summary(found.values()), seconds, transcript.resolv_conf)
    return Lookups(
        vantage=vantage,
        lookups=tuple(lookup for lookup in lookups if lookup),
        resolv_conf=transcript.resolv_conf,
        attempts=(attempt,),
    )


NO_PROGRAM = re.compile(r"executable file.{0,40}not found|finding executable|no such file or directory", re.IGNORECASE)


@dataclass(slots=True)
class _Ask:
    """One run of one tool for one query."""

    tool: str
    query: str
    began: float
    text: str = ""
    ended: float | None = None
    code: int | None = None


@dataclass(slots=True)
class _Transcript:
    """What the script printed, taken apart at its fences."""

    tool: str = ""
    began: float = 0.0
    asks: dict[int, list[_Ask]] = field(default_factory=dict)
    control: list[_Ask] = field(default_factory=list)
    resolv_conf: ResolvConf | None = None
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, output: str, token: str) -> _Transcript:
        pieces = re.split(
            rf"^{re.escape(token)} (\d+(?:\.\d+)?) (tool|name|ask|end|control|resolv|hosts|done)(?: (.*))?$",
            output.replace("\r\n", "\n"),
            flags=re.MULTILINE,
        )
        transcript = cls()
        current: list[_Ask] = []
        # split() gives what comes before the first fence, then four pieces for each: its three groups and what follows
        for uptime, event, words, text in zip(*(iter(pieces[1:]),) * 4, strict=False):
            at, words = float(uptime), words or ""
            match event:
                case "tool":
                    transcript.tool, transcript.began = words, at
                case "name":
                    current = transcript.asks.setdefault(int(words) if words.isdecimal() else 0, [])
                case "control":
                    current = transcript.control
                case "ask":
                    tool, _, query = words.partition(" ")
                    current.append(_Ask(tool=one_line(tool), query=one_line(query, 254), began=at, text=text))
                case "end" if current and current[-1].ended is None:
                    current[-1].ended = at
                    current[-1].code = int(words) if words.isdecimal() else None
                case "resolv":
                    transcript.resolv_conf = parse_resolv_conf(text)
                case "hosts":
                    transcript.hosts = _parse_hosts(text)
        return transcript


def _judge(transcript: _Transcript, names: Sequence[str], elapsed: float) -> Iterator[tuple[str, Lookup]]:
    """What became of each name that the script reached."""
    conf = transcript.resolv_conf or ResolvConf()
    verdicts = {
        name: [
            verdict for ask in transcript.asks.get(number, ()) if (verdict := _verdict(ask, transcript, conf, elapsed))
        ]
        for number, name in enumerate(names, 1)
    }
    control = [verdict for ask in transcript.control if (verdict := _verdict(ask, transcript, conf, elapsed))]
    # A tool that found something beyond /etc/hosts proves that its server answers: only then does another name's
    # silence mean NXDOMAIN.
    known = {name for name in names if _key(name) in transcript.hosts}
    proofs = [control, *(found for name, found in verdicts.items() if name not in known)]
    server_answers = any(verdict.outcome == ANSWERED for found in proofs for verdict in found)
    for number, (name, found) in enumerate(verdicts.items(), 1):
        if not found:
            continue
        asks = transcript.asks[number]
        last = asks[-1] if asks[0].tool in _DNS_TOOLS else asks[0]
        seconds = round(max(0.0, (last.ended or transcript.began + elapsed) - asks[0].began), 2)
        hosts = transcript.hosts.get(_key(name), ())
        # nslookup, dig and host do not read /etc/hosts; the application does, and believes it before DNS.
        if hosts and (asks[0].tool in _DNS_TOOLS or set(hosts) & {a for v in found for a in v.addresses}):
            yield name, Lookup(name=name, outcome=ANSWERED, addresses=hosts, from_hosts=True, seconds=seconds)
        else:
            yield name, replace(_settle(name, found, conf, server_answers), seconds=seconds)


# These ask the server themselves, for one absolute name, and show each CNAME as such.
_DNS_TOOLS = ("nslookup", "dig", "host", "dnspython")


@dataclass(slots=True, frozen=True)
class _Verdict:
    """What one run of a tool, or one query, says. "silent": it found nothing and does not tell why."""

    outcome: str
    query: str = ""
    tool: str = ""
    addresses: tuple[str, ...] = ()
    canonical: str = ""
    detail: str = ""


# How glibc sums up a search in which no name answered: a name that exists counts most, NXDOMAIN least.
_WORST_FIRST = ("nodata", "timeout", "refused", "servfail", "error", "nxdomain", "silent")


def _settle(name: str, verdicts: Sequence[_Verdict], conf: ResolvConf, server_answers: bool) -> Lookup:
    """One Lookup out of what each query for the name gave."""
    candidates = conf.candidates(name)
    answer = next((verdict for verdict in verdicts if verdict.outcome == ANSWERED), None)
    canonical = next((verdict.canonical for verdict in verdicts if verdict.canonical), "")
    if answer:
        first, query = verdicts[0], answer.query if answer.query in candidates else ""
        if first.outcome == "silent" and answer.tool != first.tool:
            detail = f"{first.tool} finds nothing, {answer.tool} finds {answer.addresses[0]}"
            return Lookup(name=name, outcome="error", detail=detail)
        if answer.tool not in _DNS_TOOLS and f"{canonical}." in candidates:
            # getaddrinfo calls canonical what its search list made of the name, too: that is no CNAME.
            canonical, query = "", f"{canonical}."
        return Lookup(name=name, outcome=ANSWERED, addresses=answer.addresses, canonical=canonical, query=query)
    spoken = [verdict for verdict in verdicts if verdict.outcome != "silent"]
    worst = min(spoken or verdicts, key=lambda verdict: _WORST_FIRST.index(verdict.outcome))
    outcome, detail = worst.outcome, worst.detail
    concluded = outcome == "silent" and server_answers
    if outcome in ("timeout", "refused", "servfail") and verdicts[0].outcome == "nxdomain":
        detail = f"{detail}; before that NXDOMAIN for {verdicts[0].query}"
    if outcome == "silent":
        outcome = "nxdomain" if server_answers else "error"
        if not server_answers:
            detail += "; nothing else was found either, so the DNS server may not answer at all"
    return Lookup(name=name, outcome=outcome, canonical=canonical, detail=detail, concluded=concluded)


# --- the tools' words ----------------------------------------------------------------------------------------------

# Most telling first: busybox says "Connection refused" and then "timed out"; a failed AAAA says NXDOMAIN beside NODATA.
_WORDS = (
    ("refused", re.compile(r"connection refused|\brefused\b", re.IGNORECASE)),
    ("timeout", re.compile(r"timed out|no servers could be reached|no response|try again later", re.IGNORECASE)),
    ("servfail", re.compile(r"servfail", re.IGNORECASE)),
    (
        "nxdomain",
        re.compile(
            r"nxdomain|not found: 3|can't resolve|ENOTFOUND|name or service not known|name does not resolve",
            re.IGNORECASE,
        ),
    ),
    ("nodata", re.compile(r"no answer|no address associated|has no A+ record", re.IGNORECASE)),
)


def _verdict(ask: _Ask, transcript: _Transcript, conf: ResolvConf, elapsed: float) -> _Verdict | None:
    """What one run says; None when it was cut off too early to say anything."""
    if ask.ended is None:
        waited = elapsed - (ask.began - transcript.began)
        if waited < SHORTEST_TIMEOUT:
            return None
        return _Verdict("timeout", ask.query, ask.tool, detail=f"no answer within {waited:.0f} s")
    waited = ask.ended - ask.began
    addresses, canonical = _READERS.get(ask.tool, _read_interpreter)(ask.text)
    if addresses:
        return _Verdict(ANSWERED, ask.query, ask.tool, addresses, canonical)
    outcome, detail = _failure(ask, waited, conf)
    return _Verdict(outcome, ask.query, ask.tool, canonical=canonical, detail=detail)


def _failure(ask: _Ask, waited: float, conf: ResolvConf) -> tuple[str, str]:
    # 124 is timeout(1) of coreutils, 143 that of busybox
    if ask.code in (124, 143):
        return "timeout", f"no answer within {waited:.0f} s"
    # A tool that had to wait through every try of resolv.conf had no answer, whatever it calls that.
    gave_up = waited >= min(0.95 * conf.timeout * conf.attempts, 4.0)
    if ask.tool in ("getent", "php"):
        if gave_up:
            return "timeout", f"{ask.tool} gave up after {waited:.1f} s"
        return "silent", f"{ask.tool} found nothing and does not say why (exit code {ask.code})"
    if ask.tool in _DNS_TOOLS:
        for outcome, words in _WORDS:
            if line := _line_with(words, ask.text):
                return outcome, line
        # The reply of an ExternalName whose target is gone: NOERROR and empty, of which these tools say nothing.
        if ask.code == 0:
            return "nodata", "no address in the answer"
        return "error", one_line(ask.text) or f"exit code {ask.code}"
    said = next((line.removeprefix("error ") for line in ask.text.splitlines() if line.startswith("error ")), "")
    if re.search(r"^-3\b|EAI_AGAIN|temporary failure|try again", said, re.IGNORECASE):
        return ("timeout" if gave_up else "error"), one_line(said)
    for outcome, words in _WORDS:
        if words.search(said):
            return outcome, one_line(said)
    if match := re.match(r"-?\d+\b", said):
        return {"-2": "nxdomain", "-5": "nodata"}.get(match[0], "error"), one_line(said)
    return "error", one_line(said or ask.text) or f"exit code {ask.code}"


def _read_getent(text: str) -> tuple[tuple[str, ...], str]:
    """`ADDRESS STREAM CANONICAL` (ahosts; the canonical name once), or `ADDRESS CANONICAL ALIAS...` (hosts)."""
    found, canonical = [], ""
    for words in map(str.split, text.splitlines()):
        if words and _is_address(words[0]):
            found.append(words[0])
            named = words[2:3] if words[1:2] in (["STREAM"], ["DGRAM"], ["RAW"]) else words[1:2]
            canonical = canonical or "".join(named)
    return _sorted(found), _name(canonical)


def _read_nslookup(text: str) -> tuple[tuple[str, ...], str]:
    """bind's and busybox's dialects. What comes before the first `Name:` is the server's own address."""
    found, canonical, named = [], "", False
    for line in text.splitlines():
        if match := re.match(r"\S+\s+canonical name = (\S+)", line):
            canonical = match[1]
        elif re.match(r"Name:\s", line):
            named = True
        elif named and (match := re.match(r"Address(?: \d+)?:\s*(\S+)", line)):
            found.append(match[1])
    return _sorted(found), _name(canonical)


def _read_dig(text: str) -> tuple[tuple[str, ...], str]:
    found, canonical = [], ""
    for words in map(str.split, text.splitlines()):
        if len(words) == 5 and words[2] == "IN" and not words[0].startswith(";"):
            if words[3] == "CNAME":
                canonical = words[4]
            elif words[3] in ("A", "AAAA"):
                found.append(words[4])
    return _sorted(found), _name(canonical)


def _read_host(text: str) -> tuple[tuple[str, ...], str]:
    aliases = re.findall(r"is an alias for (\S+)", text)
    return _sorted(re.findall(r"has (?:IPv6 )?address (\S+)", text)), _name(aliases[-1] if aliases else "")


def _read_interpreter(text: str) -> tuple[tuple[str, ...], str]:
    said = [line.partition(" ") for line in text.splitlines()]
    canonical = next((words for key, _, words in said if key == "canonical"), "")
    return _sorted(words for key, _, words in said if key == "address"), _name(canonical)


_READERS = {"getent": _read_getent, "nslookup": _read_nslookup, "dig": _read_dig, "host": _read_host}


def parse_resolv_conf(text: str) -> ResolvConf:
    """/etc/resolv.conf as glibc reads it: the last search line wins, options add up, three nameservers at most."""
    nameservers: list[str] = []
    searches: tuple[str, ...] = ()
    options = {"ndots": 1, "timeout": 5, "attempts": 2}
    for words in map(str.split, text.splitlines()):
        match words:
            case ["nameserver", address, *_] if _is_address(address):
                nameservers.append(address)
            case [("search" | "domain"), *domains]:
                # what no zone is called would only end up in a command line that somebody copies
                searches = tuple(domain for domain in domains[:32] if re.fullmatch(r"[A-Za-z0-9._-]{1,253}", domain))
            case ["options", *given]:
                for option in given:
                    key, _, value = option.partition(":")
                    if key in options and value.isdecimal():
                        options[key] = min(int(value[:4]), {"ndots": 15, "timeout": 30, "attempts": 5}[key])
    return ResolvConf(nameservers=tuple(nameservers[:3]), searches=searches, **options)


def _key(name: str) -> str:
    """The name as _parse_hosts files it."""
    return name.rstrip(".").lower()


def _parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    hosts: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *named = line.partition("#")[0].split() or [""]
        if _is_address(address):
            for name in named:
                hosts[_key(name)] = _sorted((*hosts.get(_key(name), ()), address))
    return hosts


# --- at CoreDNS, through a port-forward ----------------------------------------------------------------------------


def look_up_at_coredns(
    cluster: Cluster,
    coredns_pods: Sequence[tuple[str, str]],
    resolv_conf: ResolvConf,
    names: Sequence[str],
    *,
    client: tuple[str, str],
    dns_port: int = 53,
    timeout: float = 5.0,
) -> Lookups:
    """Look the names up at the first CoreDNS Pod that answers, as the client Pod's resolv.conf would have it.

    The port-forward ends at localhost inside the CoreDNS Pod and speaks TCP: this shows what CoreDNS answers, nothing
    about the way there. Never raises: `unavailable` says why it did not work.
    """
    deadline = time.monotonic() + timeout
    attempts: list[Attempt] = []
    outcome = Lookups(
        vantage=Vantage(kind="coredns", namespace=client[0], pod=client[1], tool="dnspython"),
        unavailable="no-pod",
        detail="no CoreDNS Pod to ask",
        resolv_conf=resolv_conf,
    )
    for namespace, pod in coredns_pods:
        if time.monotonic() >= deadline:
            break
        latest = _look_up_at(cluster, (namespace, pod), resolv_conf, names, client, dns_port, deadline)
        attempts.extend(latest.attempts)
        if not latest.unavailable or outcome.unavailable:
            outcome = latest
        # A replica that says nothing at all is not asked again; the next one may be well.
        if any(_spoke(lookup) for lookup in outcome.lookups):
            break
    return replace(outcome, attempts=tuple(attempts))


def ask_server(cluster: Cluster, server: tuple[str, str], names: Sequence[str], *, timeout: float = 5.0) -> Lookups:
    """What one CoreDNS Pod (namespace, name) says for absolute names, over one port-forward. Never raises.

    Who says nothing at all is asked a second time, where `timeout` seconds leave room for that.
    """
    deadline = time.monotonic() + timeout
    said = _look_up_at(cluster, server, ResolvConf(), names, ("", ""), 53, deadline)
    silent = said.unavailable != "forbidden" and not any(_spoke(lookup) for lookup in said.lookups)
    if silent and deadline - time.monotonic() >= SHORTEST_TIMEOUT:
        again = _look_up_at(cluster, server, ResolvConf(), names, ("", ""), 53, deadline)
        return replace(again, attempts=said.attempts + again.attempts)
    return said


def _look_up_at(
    cluster: Cluster,
    server: tuple[str, str],
    resolv_conf: ResolvConf,
    names: Sequence[str],
    client: tuple[str, str],
    dns_port: int,
    deadline: float,
) -> Lookups:
    vantage = Vantage(kind="coredns", namespace=client[0], pod=client[1], tool="dnspython", server="/".join(server))
    began = time.monotonic()
    lookups: list[Lookup] = []
    connection: Any = None
    unavailable: Lookups | None = None
    try:
        for name in dict.fromkeys(names):
            asked = time.monotonic()
            if why := _why_unfit(name):
                lookups.append(Lookup(name=name, outcome="error", detail=why))
                continue
            if asked >= deadline:
                break
            if connection is None:
                connection = cluster.port_forward(*server, dns_port, timeout=deadline - asked)
                # dnspython does the waiting itself, within its timeout; a blocking socket it would wait on for ever.
                connection.setblocking(False)
            lookup, usable = _replay(connection, resolv_conf, name, deadline)
            lookups.append(replace(lookup, seconds=round(time.monotonic() - asked, 2)))
            if not usable:
                # A late answer to this name would be taken for that to the next one: the next one gets a connection
                # of its own, if this server has ever said anything.
                connection.close()
                connection = None
                if not any(_spoke(lookup) for lookup in lookups):
                    break
    except KubeError as error:
        reason = {"forbidden": "forbidden", "timeout": "timeout"}.get(error.reason, "error")
        words = f"create pods/portforward in {server[0]}" if reason == "forbidden" else one_line(error.message)
        unavailable = not_looked_up(vantage, names, reason, words, time.monotonic() - began, resolv_conf)
    except OSError as error:
        reason = "timeout" if isinstance(error, TimeoutError) else "error"
        unavailable = not_looked_up(vantage, names, reason, one_line(str(error)), time.monotonic() - began, resolv_conf)
    finally:
        if connection is not None:
            connection.close()
    if unavailable and not any(_spoke(lookup) for lookup in lookups):
        return unavailable
    attempt = _attempt(vantage, names, _summary(lookups), time.monotonic() - began, resolv_conf)
    return Lookups(vantage=vantage, lookups=tuple(lookups), resolv_conf=resolv_conf, attempts=(attempt,))


def _spoke(lookup: Lookup) -> bool:
    """The server said something about the name, be it that there is none."""
    return lookup.outcome not in ("timeout", "error") or "NXDOMAIN for" in lookup.detail


def _replay(connection: Any, conf: ResolvConf, name: str, deadline: float) -> tuple[Lookup, bool]:
    """What glibc would make of the name, and whether the connection can carry another question."""
    import dns.exception  # here and below: a run that asks no server starts without it, a tenth of a second sooner

    verdicts: list[_Verdict] = []
    # glibc would end with the bare name itself, which only a top-level domain could have: nothing to learn from that.
    queries = [query for query in conf.candidates(name) if query != f"{name}." or "." in name or not conf.searches]
    for query in queries:
        try:
            verdict = _query(connection, query, deadline)
        except dns.exception.Timeout:
            verdicts.append(_Verdict("timeout", query, "dnspython", detail=f"no answer to {query}"))
            return _settle(name, verdicts, conf, server_answers=False), False
        except (OSError, EOFError, dns.exception.DNSException) as error:
            words = one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
            verdicts.append(_Verdict("error", query, "dnspython", detail=words))
            return _settle(name, verdicts, conf, server_answers=False), False
        verdicts.append(verdict)
        # Whoever refuses one name refuses them all, and glibc ends its search there; after SERVFAIL it goes on.
        if verdict.outcome in (ANSWERED, "refused"):
            break
    return _settle(name, verdicts, conf, server_answers=True), True


_RCODES = {"NOERROR": "nodata", "NXDOMAIN": "nxdomain", "SERVFAIL": "servfail", "REFUSED": "refused"}


def _query(connection: Any, query: str, deadline: float) -> _Verdict:
    """A and AAAA of one absolute name; an address found wins over whatever the other type gave."""
    import dns.message
    import dns.query
    import dns.rcode
    import dns.rdatatype

    found: list[str] = []
    canonical = ""
    codes: list[str] = []
    for record_type in (dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.CNAME):
        # An ExternalName whose target does not resolve shows its CNAME only to whom asks for it: CoreDNS leaves it out
        # of an answer without addresses.
        if record_type == dns.rdatatype.CNAME and (found or canonical or codes != ["NOERROR"] * 2):
            break
        wait = max(0.05, min(COREDNS_WAIT, deadline - time.monotonic()))
        reply = dns.query.tcp(dns.message.make_query(query, record_type), "0.0.0.0", timeout=wait, sock=connection)
        if not isinstance(reply, dns.message.QueryMessage):
            raise dns.message.NotQueryResponse
        chain = reply.resolve_chaining()
        if record_type == dns.rdatatype.CNAME:
            canonical = "".join(str(record.target) for record in chain.answer or ())
            break
        codes.append(dns.rcode.to_text(reply.rcode()))
        found.extend(record.address for record in chain.answer or ())
        if chain.cnames:
            canonical = str(chain.canonical_name)
    if found:
        return _Verdict(ANSWERED, query, "dnspython", _sorted(found), _name(canonical))
    outcomes = [_RCODES.get(code, "error") for code in codes]
    worst = min(outcomes, key=_WORST_FIRST.index)
    detail = f"{codes[outcomes.index(worst)]} for {query}"
    if worst == "nodata":
        detail = f"NOERROR without an address for {query}"
    return _Verdict(worst, query, "dnspython", canonical=_name(canonical), detail=detail)


# --- which of them -------------------------------------------------------------------------------------------------


def resolv_conf_of(pod: Pod, *, dns_service_ip: str, zone: str) -> ResolvConf:
    """What the kubelet writes into the Pod's /etc/resolv.conf, as far as objects show it.

    With the node's own resolver (dnsPolicy Default, or ClusterFirst on the host network, which the kubelet treats the
    same) nameservers and search list are the node's and not known here.
    """
    spec, namespace = pod.spec, pod.metadata.namespace
    policy = spec.dns_policy or "ClusterFirst"
    nameservers: list[str] = []
    searches: list[str] = []
    options: dict[str, int] = {}
    if policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.host_network):
        nameservers = [dns_service_ip] if dns_service_ip else []
        searches = [f"{namespace}.svc.{zone}", f"svc.{zone}", zone]
        options["ndots"] = 5
    if extra := spec.dns_config:
        nameservers += extra.nameservers or []
        searches += extra.searches or []
        for option in extra.options or ():
            if option.name in ("ndots", "timeout", "attempts") and (option.value or "").isdecimal():
                options[option.name] = int(option.value or "0")
    return ResolvConf(
        nameservers=tuple(dict.fromkeys(nameservers))[:3], searches=tuple(dict.fromkeys(searches)), **options
    )


def look_up(
    cluster: Cluster,
    candidates: Sequence[Pod],
    names: Sequence[str],
    *,
    coredns_pods: Sequence[tuple[str, str]],
    dns_service_ip: str,
    zone: str,
    timeout: float = 10.0,
) -> Lookups:
    """Look the names up from the best vantage there is: inside a candidate, else at CoreDNS as a candidate would.

    At most MAX_EXECS containers are tried, and `timeout` seconds are for all of them. A container is passed over when
    its namespace forbade an exec before, or when another of the same image had nothing to look names up with.
    """
    deadline = time.monotonic() + timeout
    attempts: list[Attempt] = []
    failures: list[Lookups] = []
    forbidden: set[str] = set()
    useless: set[str] = set()
    execs = 0
    for pod, container, image in running_containers(candidates):
        namespace = pod.metadata.namespace
        if namespace in forbidden or image in useless:
            continue
        left = deadline - time.monotonic()
        if execs == MAX_EXECS or (failures and left < SHORTEST_TIMEOUT):
            break
        execs += 1
        found = look_up_in_pod(cluster, namespace, pod.metadata.name, container, names, timeout=left)
        attempts.extend(found.attempts)
        if not found.unavailable:
            return replace(found, attempts=tuple(attempts))
        failures.append(found)
        if found.unavailable == "forbidden":
            forbidden.add(namespace)
        elif found.unavailable == "no-tool":
            useless.add(image)

    left = deadline - time.monotonic()
    if left > 0 and (replayed := _at_coredns(cluster, candidates, names, coredns_pods, dns_service_ip, zone, left)):
        attempts.extend(replayed.attempts)
        if not replayed.unavailable:
            return replace(replayed, attempts=tuple(attempts))
        failures.append(replayed)
    return _none_worked(failures, candidates, tuple(attempts))


def _at_coredns(
    cluster: Cluster,
    candidates: Sequence[Pod],
    names: Sequence[str],
    coredns_pods: Sequence[tuple[str, str]],
    dns_service_ip: str,
    zone: str,
    seconds: float,
) -> Lookups | None:
    """CoreDNS asked as the first candidate that uses it; None when no candidate does, or no CoreDNS Pod is known."""
    if not coredns_pods:
        return None
    for pod in candidates:
        conf = resolv_conf_of(pod, dns_service_ip=dns_service_ip, zone=zone)
        # A Pod that asks another server would not get CoreDNS's answer: replaying it would prove nothing.
        if dns_service_ip and conf.nameservers[:1] == (dns_service_ip,):
            client = (pod.metadata.namespace, pod.metadata.name)
            return look_up_at_coredns(cluster, coredns_pods, conf, names, client=client, timeout=seconds)
    if candidates:
        return None
    # Without any Pod a name without a dot means nothing, since its namespace is not known; the others do.
    conf = ResolvConf(nameservers=(dns_service_ip,), searches=(f"svc.{zone}", zone), ndots=5)
    dotted = [name for name in names if "." in name]
    if not dotted:
        return None
    return look_up_at_coredns(cluster, coredns_pods, conf, dotted, client=("", ""), timeout=seconds)


def _none_worked(failures: Sequence[Lookups], candidates: Sequence[Pod], attempts: tuple[Attempt, ...]) -> Lookups:
    """Why nothing could look: what the user can ask an administrator for comes first."""
    if not failures:
        words = "no candidate Pod runs" if candidates else "no Pod to ask from"
        return Lookups(vantage=Vantage(kind="exec"), unavailable="no-pod", detail=words, attempts=attempts)
    precedence = ("forbidden", "timeout", "no-tool", "error", "no-pod")
    worst = min(failures, key=lambda failure: precedence.index(failure.unavailable))
    details = dict.fromkeys(failure.detail for failure in failures if failure.unavailable == worst.unavailable)
    return replace(worst, detail="; ".join(details), attempts=attempts)


def running_containers(pods: Sequence[Pod]) -> Iterator[tuple[Pod, str, str]]:
    """Each Pod's first running container, Pod by Pod, then their other ones: sidecars have a shell at times."""
    running = []
    for pod in pods:
        statuses = {status.name: status for status in pod.status.container_statuses or ()}
        running.append(
            [
                (pod, container.name, container.image)
                for container in pod.spec.containers or ()
                if (status := statuses.get(container.name)) and status.state and status.state.running
            ]
        )
    for containers in running:
        yield from containers[:1]
    for containers in running:
        yield from containers[1:]


# --- words ---------------------------------------------------------------------------------------------------------


def _why_unfit(name: str) -> str:
    """Why the name cannot be asked for; empty when it can."""
    if len(name) > 254 or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*\.?", name):
        return "not a DNS name"
    if any(len(label) > 63 for label in name.split(".")):
        return "a label of more than 63 characters"
    return "an address, not a name" if _is_address(name) else ""


def not_looked_up(
    vantage: Vantage,
    names: Sequence[str],
    reason: str,
    words: str,
    seconds: float,
    resolv_conf: ResolvConf | None = None,
) -> Lookups:
    """That names were not looked up, and why: `reason` is one of UNAVAILABLE."""
    said = f"forbidden: {words}" if reason == "forbidden" else words
    attempt = _attempt(vantage, names, said, seconds, resolv_conf)
    return Lookups(vantage=vantage, unavailable=reason, detail=words, attempts=(attempt,), resolv_conf=resolv_conf)


def _attempt(
    vantage: Vantage, names: Sequence[str], outcome: str, seconds: float, resolv_conf: ResolvConf | None = None
) -> Attempt:
    shown = Lookups(vantage=vantage, resolv_conf=resolv_conf)
    command = shown.command(next(iter(names), "kubernetes.default"))
    return Attempt(vantage=vantage.text, command=command, outcome=outcome, seconds=round(seconds, 2))


def _summary(lookups: Iterable[Lookup]) -> str:
    counts: dict[str, int] = {}
    for lookup in lookups:
        counts[lookup.outcome] = counts.get(lookup.outcome, 0) + 1
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "nothing was looked up"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _sorted(addresses: Iterable[str]) -> tuple[str, ...]:
    """Real addresses only, each once, IPv4 before IPv6, in numeric order."""
    real = {ipaddress.ip_address(text) for text in addresses if _is_address(text)}
    return tuple(str(address) for address in sorted(real, key=lambda address: (address.version, int(address))))


def _name(text: str) -> str:
    return one_line(text.rstrip("."), 253)


def _line_with(words: re.Pattern[str], text: str) -> str:
    return next((one_line(line.lstrip("*; ")) for line in text.splitlines() if words.search(line)), "")


def one_line(text: str, limit: int = 160) -> str:
    return shorten(printable(" ".join(text[:4096].split())), limit)
