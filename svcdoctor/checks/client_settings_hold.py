"""Do the settings of this workload reach its program as they were meant?

client-env-shadowed
    A variable that names a Service is set twice, and what the program gets leads elsewhere.
    Why it breaks      Of several variables of one name in a container the last one counts, and `env` counts more than
                       `envFrom`. The value that names the Service is there to be read in the manifest, and the program
                       calls another host.
    Confirm by hand    kubectl -n {namespace} exec {kind}/{name} -- env
    Fix                Remove one of the two.
    Not a fault when   The other host is meant, and the first value is left over.

client-env-missing
    A command uses a variable that nothing defines.
    Why it breaks      A shell takes a variable that is not set for nothing, so that `http://$BACKEND_UR/` becomes a URL
                       without a host; `$(NAME)` stays as it stands where the kubelet does not know the name.
    Confirm by hand    kubectl -n {namespace} exec {kind}/{name} -- env
    Fix                Define the variable, or correct its name.
    Not a fault when   The image sets it (ENV), or a file that the script reads.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

from svcdoctor.check import Check, Code
from svcdoctor.clientcase import ClientCase
from svcdoctor.clients.correction import Change, corrected, pod_path
from svcdoctor.clients.hosts import Host, hosts_in
from svcdoctor.clients.settings import Setting, Variable, containers_of, is_complete, variables_of
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, fail
from svcdoctor.objects import Container
from svcdoctor.text import edit_distance, patch_command, shorten, words

CHECK = Check(
    step=Step.CALLERS,
    codes={
        "client-env-shadowed": Code(Stage.DNS, settles=False),
        "client-env-missing": Code(Stage.DNS, settles=False),
    },
    reads=("services", "configmaps"),
    about="client",
)
_LOCAL = words("localhost 127.0.0.1 0.0.0.0 ::1")


def run(case: ClientCase) -> Iterator[Finding]:
    if case.is_idle:
        return
    for container in containers_of(case.template.spec):
        where = f"{case.template.ref} container {container.name}"
        read = partial(case.config, case.namespace)
        yield from _shadowed(case, container, where)
        if is_complete(container, read):
            yield from _missing(case, container, where, variables_of(container, where, read))


# --- set twice -----------------------------------------------------------------------------------------------------


def _shadowed(case: ClientCase, container: Container, where: str) -> Iterator[Finding]:
    """Only where the value that is lost names a Service that there is, and the one that counts does not."""
    names = [entry.name for entry in container.env or ()]
    if not container.env_from and len(set(names)) == len(names):
        return
    read = partial(case.config, case.namespace)
    given: dict[str, list[tuple[Variable, int | None]]] = {}
    for source in container.env_from or ():
        lone = Container(name=container.name, env_from=[source])
        for name, variable in variables_of(lone, where, read).items():
            given.setdefault(name, []).append((variable, None))
    for index, entry in enumerate(container.env or ()):
        lone = Container(name=container.name, env=[entry])
        given.setdefault(entry.name, []).append((variables_of(lone, where, read)[entry.name], index))
    for name, several in given.items():
        lost, (last, place) = several[:-1], several[-1]
        meant = next((one for one in lost if one[0].text != last.text and _services(case, one[0])), None)
        if meant and last.text is not None and not _services(case, last) and _leads_elsewhere(last):
            yield _set_twice(case, container, name, meant, (last, place))


def _services(case: ClientCase, variable: Variable) -> list[str]:
    return [
        host.name
        for host in hosts_in(variable.name, variable.text or "", None)
        if host.name.partition(".")[0] in (case.services_of(_home(case, host)) or {})
    ]


def _home(case: ClientCase, host: Host) -> str:
    labels = host.name.split(".")
    return labels[1] if len(labels) > 1 and labels[1] in case.known_namespaces() else case.namespace


def _leads_elsewhere(variable: Variable) -> bool:
    text = variable.text or ""
    return any(local in text for local in _LOCAL) or any(hosts_in(variable.name, text, None)) or not text


def _set_twice(
    case: ClientCase,
    container: Container,
    name: str,
    lost: tuple[Variable, int | None],
    last: tuple[Variable, int | None],
) -> Finding:
    meant = _services(case, lost[0])[0]
    hosts = [host.name for host in hosts_in(name, last[0].text or "", None)]
    instead = hosts[0] if hosts else shorten(re.sub(r".*@", "", last[0].text or "") or "nothing", 40)
    return fail(
        "client-env-shadowed",
        case.subject,
        f"{name} names {meant}, but is set again afterwards: the program gets {instead}",
        Evidence("lost", meant, _place(lost)),
        Evidence("counts", instead, _place(last)),
        remedies=_without(case, container, name, last),
    )


def _place(given: tuple[Variable, int | None]) -> str:
    variable, index = given
    return variable.source if index is None else f"{variable.source} (entry {index + 1})"


def _without(
    case: ClientCase, container: Container, name: str, last: tuple[Variable, int | None]
) -> tuple[Remedy, ...]:
    index = last[1]
    if index is None or case.template.kind in ("Pod", "Job"):
        return ()
    spec = case.template.spec
    field = "containers" if container in (spec.containers or ()) else "initContainers"
    place = (spec.containers or [] if field == "containers" else spec.init_containers or []).index(container)
    path = f"{pod_path(case.template)}/{field}/{place}/env/{index}"
    item = f"{case.template.kind.lower()} {case.template.name}"
    command = patch_command(case.namespace, item, [{"op": "remove", "path": path}])
    return (Remedy(f"remove the second {name}", command),)


# --- not set -------------------------------------------------------------------------------------------------------

_USE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$([A-Za-z_][A-Za-z0-9_]*)")
_SHELLS = words("sh bash ash dash zsh")
# What a script sets itself: `X=1`, `for X in`, `read X`, `export X`.
_SET = re.compile(
    r"(?:^|[\s;&|(])(?:export\s+|local\s+|declare\s+)?([A-Za-z_]\w*)=|\bfor\s+(\w+)\s+in\b|\bread\s+(?:-\w+\s+)*(\w+)"
)
_READS_FILES = re.compile(r"(?:^|[\s;&])(?:\.|source|eval)\s")
# The kubelet, the runtime and shells set these.
_ALWAYS = re.compile(
    r"(HOSTNAME|HOME|PATH|PWD|USER|SHELL|TERM|IFS|RANDOM|SECONDS|LINENO|OLDPWD|UID|.*_SERVICE_(HOST|PORT).*|.*_PORT(_\d+_.*)?|KUBERNETES_.*)"
)
# Images that set no such variables themselves.
_BARE = re.compile(
    r"(?:^|/)(?:busybox|alpine|curl|curlimages/curl|agnhost|agnhost-distroless|nginx|netshoot|wget)(?::|@|$)"
)
_BEFORE_HOST = re.compile(
    r"(?:://(?:[^\s/@]*@)?|\b(?:nc|ping|nslookup|telnet|connect|dial)\s+(?:-\S+\s+)*|\b(?:curl|wget)\s+(?:-\S+\s+)*[\"']?)$"
)


class Use(NamedTuple):
    name: str
    as_written: str
    line: str  # the word or script it stands in
    by_kubelet: bool  # $(NAME) outside of a shell's script


def _missing(case: ClientCase, container: Container, where: str, defined: Mapping[str, Variable]) -> Iterator[Finding]:
    is_bare = bool(_BARE.search(container.image))
    for use in _uses(container):
        if use.name in defined or _ALWAYS.fullmatch(use.name):
            continue
        near = _near(use.name, defined)
        if near or is_bare or use.by_kubelet:
            yield _not_set(case, container, where, use, near)


def _uses(container: Container) -> Iterator[Use]:
    """Variables in the place of a host, or of what is called, in commands and arguments; each once."""
    line = [*(container.command or ()), *(container.args or ())]
    in_shell = bool(line) and line[0].rpartition("/")[2] in _SHELLS
    script = "\n".join(line)
    if _READS_FILES.search(script):
        return
    own = {name for match in _SET.finditer(script) for name in match.groups() if name}
    seen: set[str] = set()
    for index, word in enumerate(line):
        for match in _USE.finditer(word):
            by_kubelet, *by_shell = match.groups()
            name = by_kubelet or next((one for one in by_shell if one), "")
            before = (
                " ".join([*line[:index], ""])[-80:] + word[: match.start()] if not in_shell else word[: match.start()]
            )
            if name in own or name in seen or word[match.start() - 1 : match.start()] in ("$", "\\"):
                continue
            # `$(NAME)` in a script is a command to run, unless it can be none; `$NAME` outside of one is plain text.
            is_used = not by_kubelet or by_kubelet.isupper() if in_shell else bool(by_kubelet)
            if is_used and (_BEFORE_HOST.search(before) or _NAMES_HOST.search(name)):
                seen.add(name)
                yield Use(name, match.group(), word, bool(by_kubelet) and not in_shell)


_NAMES_HOST = re.compile(r"(?:^|_)(?:HOST|HOSTNAME|ADDR|ADDRESS|ENDPOINT|URL|URI|UR|UPSTREAM|BACKEND|SERVER|SERVICE)$")


def _near(name: str, defined: Mapping[str, Variable]) -> str:
    close = [other for other in sorted(defined) if edit_distance(name.upper(), other.upper()) < 3 and len(name) > 3]
    return min(close, key=lambda other: edit_distance(name.upper(), other.upper()), default="")


def _not_set(case: ClientCase, container: Container, where: str, use: Use, near: str) -> Finding:
    left = f"{use.as_written} stays as it stands" if use.by_kubelet else f"{use.as_written} is empty"
    evidence = [
        Evidence("used", use.as_written, f"{where} command"),
        Evidence("defined", near, f"{where} env") if near else Evidence("defined", "nowhere", f"{where} env, envFrom"),
    ]
    if not use.by_kubelet:
        given = "has a command" if use.as_written.startswith("$(") else "sets"
        evidence.append(Evidence("unless", f"the image {given} {use.name}", f"image {container.image}"))
    setting = Setting("", "", "", container=container.name)
    if near:
        remedy = corrected(case.template, setting, _renamed(use.name, near), f"write {near}")
    else:
        item = f"{case.template.kind.lower()}/{case.template.name}"
        assignment = shlex.quote(f"{use.name}=VALUE").replace("VALUE", "HOST")
        remedy = Remedy(
            f"define {use.name}", f"kubectl -n {case.namespace} set env {item} -c {container.name} {assignment}"
        )
    return fail(
        "client-env-missing",
        case.subject,
        f"container {container.name} uses {use.name}, which nothing defines: {left}",
        *evidence,
        remedies=(remedy,),
        inferred=not use.by_kubelet,
    )


def _renamed(old: str, new: str) -> Change:
    pattern = re.compile(rf"(\$[({{]?){re.escape(old)}(?![A-Za-z0-9_])")

    def change(text: str) -> str | None:
        changed = pattern.sub(lambda match: match.group(1) + new, text)
        return changed if changed != text else None

    return change
