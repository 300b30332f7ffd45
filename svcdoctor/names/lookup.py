"""What looking names up brought to light: from where, with which tool, and what each name resolved to.

Data only. probe.py makes these; checks, the report and recordings read them.
"""

from __future__ import annotations

import ipaddress

from svcdoctor.cachedproperty import cached_property
from svcdoctor.objects import Object, Service

ANSWERED = "answered"
OUTCOMES = (ANSWERED, "nxdomain", "nodata", "timeout", "refused", "servfail", "error")
UNAVAILABLE = ("no-pod", "forbidden", "timeout", "no-tool", "error")
NO_SHELL = "the container has no shell"
NO_TOOL = "the container has a shell but no lookup tool"
INSIDE = "asked inside"
CONTROL = "kubernetes.default"  # the name that every cluster has


def service_name(name: str, namespace: str, zone: str) -> str:
    """The absolute name of a Service, which no search list has a part in."""
    return f"{name}.{namespace}.svc.{zone}."


def full_control(zone: str) -> str:
    """The control as people write full names: without the final dot, so that the search list is tried first."""
    return f"{CONTROL}.svc.{zone}"


def outside_name(service: Service, zone: str) -> str:
    """The absolute name of the world outside that an ExternalName Service is an alias of; "" where it is of none."""
    alias = (service.spec.external_name or "").rstrip(".").lower()
    if service.spec.type != "ExternalName" or "." not in alias or f".{alias}".endswith((f".{zone}", ".svc")):
        return ""
    try:
        ipaddress.ip_address(alias)
    except ValueError:
        return f"{alias}."
    return ""


class ResolvConf(Object, frozen=True):
    """/etc/resolv.conf as resolv.conf(5) defines it; the defaults are glibc's.

    No nameservers means that they are not known from objects: the Pod takes those of its node.
    """

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    ndots: int = 1
    timeout: int = 5
    """Seconds that the resolver waits for one answer."""
    attempts: int = 2

    def candidates(self, name: str) -> tuple[str, ...]:
        """The absolute names that glibc asks for `name`, in its order; the first that answers wins."""
        if name.endswith("."):
            return (name,)
        as_it_is = f"{name}."
        searched = [f"{name}.{search}".rstrip(".") + "." for search in self.searches]
        ordered = [as_it_is, *searched] if name.count(".") >= self.ndots else [*searched, as_it_is]
        return tuple(dict.fromkeys(ordered))

    def queries(self, name: str, absolute: str) -> int | None:
        """How many queries `name` costs until `absolute` answers, A and AAAA of each candidate; None where it is not
        among them."""
        candidates = self.candidates(name)
        return 2 * (candidates.index(absolute) + 1) if absolute in candidates else None


class Lookup(Object, frozen=True):
    """One name and what became of it."""

    name: str
    """As it was asked: relative, or absolute with its trailing dot."""
    outcome: str
    """One of OUTCOMES."""
    addresses: tuple[str, ...] = ()
    """IPv4 and IPv6, sorted: DNS servers rotate them."""
    canonical: str = ""
    """The CNAME target that the answer went through, without trailing dot; empty where the tool does not show one."""
    query: str = ""
    """The absolute name that answered; empty when none did, or when the tool does not say which."""
    from_hosts: bool = False
    """The Pod's /etc/hosts has the name: DNS was not asked."""
    seconds: float = 0.0
    concluded: bool = False
    """No server said that the name does not exist: the tool found nothing, and the server knows other names."""
    detail: str = ""
    """The tool's own words when it did not answer, on one printable line."""

    @property
    def answered(self) -> bool:
        return self.outcome == ANSWERED


class Vantage(Object, frozen=True):
    """From where a name was looked up."""

    kind: str
    """ "exec": inside the Pod. "coredns": at CoreDNS through a port-forward, replaying the Pod's resolv.conf."""
    namespace: str = ""
    pod: str = ""
    container: str = ""
    tool: str = ""
    """getent, nslookup, dig, host, python3, python, node, perl, ruby, php or dnspython; empty when there is none."""
    server: str = ""
    """The CoreDNS Pod that was asked, namespace/name, when kind is "coredns"."""
    added: str = ""
    """What was added to the cluster to look from: "container" to the Pod, or a "pod" like it, which `pod` then names.

    A new Pod where no other runs has nobody to be like: `pod` is empty.
    """
    image: str = ""
    """That of what was added."""

    @property
    def text(self) -> str:
        pod = f"{self.namespace}/{self.pod}"
        if self.added == "container":
            return f"{INSIDE} {pod}, in a container of {self.image}"
        if self.added:
            return f"{INSIDE} a new Pod {f'like {pod}' if self.pod else f'in {self.namespace}'}, of {self.image}"
        if self.kind == "exec":
            return f"{INSIDE} {pod}"
        return f"asked CoreDNS {self.server} through a port-forward" + (f", as {pod} would" if self.pod else "")

    @property
    def blind_spot(self) -> str:
        """What this vantage cannot see."""
        if self.added:
            own = ", nor a sidecar and the address of the application's Pod" if self.added == "pod" else ""
            return f"the resolver library of the application, which {self.image} need not have{own}"
        if self.kind == "exec":
            return "" if self.tool in ("", "getent") else f"{self.tool} is not the resolver library of the application"
        # The forward plugin asks the servers beyond over the protocol that it was asked over.
        return (
            "the way from the Pod to CoreDNS (kube-proxy, NetworkPolicy, UDP, NodeLocal DNSCache), the Pod's "
            "/etc/hosts, and for names outside the cluster whether UDP works where TCP does not"
        )


class Attempt(Object, frozen=True):
    """One thing that was tried in order to look names up, whether it worked or not."""

    vantage: str
    command: str
    """The same in kubectl words."""
    outcome: str
    seconds: float = 0.0


class Lookups(Object, frozen=True, dict=True, gc=True):
    """The names looked up from one vantage. A name that is missing was not looked up."""

    vantage: Vantage
    lookups: tuple[Lookup, ...] = ()
    resolv_conf: ResolvConf | None = None
    unavailable: str = ""
    """One of UNAVAILABLE when no vantage could look at all."""
    detail: str = ""
    attempts: tuple[Attempt, ...] = ()

    def answer(self, name: str) -> Lookup | None:
        """What became of the name, or None when it was not looked up."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Lookup]:
        return {lookup.name: lookup for lookup in reversed(self.lookups)}

    @property
    def lacks_tools(self) -> bool:
        """Nobody was asked from the inside, for want of a running container that has a shell and a tool for it."""
        if self.vantage.kind == "exec" and not self.unavailable:
            return False
        inside = [attempt.outcome for attempt in self.attempts if attempt.vantage.startswith(INSIDE)]
        return not inside or NO_SHELL in inside or NO_TOOL in inside

    @property
    def any_answered(self) -> bool:
        """DNS knew one of the names: each Pod has its own in /etc/hosts."""
        return any(lookup.answered and not lookup.from_hosts for lookup in self.lookups)

    def knows_the_cluster(self, zone: str) -> bool:
        """Whoever was asked has answered for the control, so that what else is said comes from a server that works."""
        asked = [self.answer(name) for name in (CONTROL, service_name("kubernetes", "default", zone))]
        return any(answer is not None and answer.answered for answer in asked)

    @property
    def all_failed(self) -> bool:
        """At least one name was looked up and none resolved."""
        return bool(self.lookups) and not self.any_answered

    def command(self, name: str) -> str:
        """The line that lets a person see the same for one name."""
        lookup = self.answer(name)
        query = lookup.query if lookup else ""
        # What does not search by itself, as dig does not and busybox nslookup at times, needs an absolute name.
        if not query and self.resolv_conf and self.vantage.tool not in ("getent", "python3", "python", "node"):
            query = self.resolv_conf.candidates(name)[0]
        return command_line(self.vantage, query or name)


_TOOL_COMMANDS = {
    "getent": "getent ahosts {name}",
    "nslookup": "nslookup {name}",
    "dig": "dig {name}",
    "host": "host {name}",
    "python3": "python3 -c 'import socket; print(socket.getaddrinfo(\"{name}\", None))'",
    "python": "python -c 'import socket; print(socket.getaddrinfo(\"{name}\", None))'",
    "node": 'node -e \'require("dns").lookup("{name}", {{all: true}}, console.log)\'',
    "perl": "perl -MSocket -e 'print inet_ntoa(inet_aton(\"{name}\"))'",
    "ruby": "ruby -rsocket -e 'puts Addrinfo.getaddrinfo(\"{name}\", nil)'",
    "php": "php -r 'print_r(gethostbynamel(\"{name}\"));'",
}


def command_line(vantage: Vantage, name: str) -> str:
    """The kubectl line that asks for `name` as this vantage did."""
    if vantage.added:
        tool = _TOOL_COMMANDS.get(vantage.tool, "nslookup {name}").format(name=name)
        how = f"debug {vantage.pod} -it" if vantage.pod else "run lookup -it --rm --restart=Never"
        return f"kubectl -n {vantage.namespace} {how} --image={vantage.image} -- {tool}"
    if vantage.kind == "exec":
        container = f" -c {vantage.container}" if vantage.container else ""
        tool = _TOOL_COMMANDS.get(vantage.tool, "nslookup {name}").format(name=name)
        return f"kubectl -n {vantage.namespace} exec {vantage.pod}{container} -- {tool}"
    namespace, _, pod = vantage.server.partition("/")
    forward = f"kubectl -n {namespace} port-forward pod/{pod} 5353:53"
    return f"{forward} & dig +tcp @127.0.0.1 -p 5353 {name}"
