"""Many cases on one small cluster: applied together, each in a namespace of its own, and looked at together."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, TypeVar

import msgspec

from cluster import Cluster, CommandError
from suites import CLUSTER_SCOPED, Document, ExpectedFinding, SuiteCase, reported
from svcdoctor.endpoints.reconcile import CONTROLLER, MANAGED_BY, SERVICE_NAME, desired_slices
from svcdoctor.objects import RESOURCE_OF_KIND, EndpointConditions, EndpointSlice, Pod

PODS_A_BATCH = 60
CASES_A_BATCH = 54
WORKERS = 2
COMPARED = ("fail", "warn", "unknown")
SECONDS_FOR_A_REMEDY = 90.0
SECONDS_FOR_SLICES = 20.0
SECONDS_BETWEEN_ROUNDS = 4.0
VERDICT_EXIT_CODES = (0, 1, 4)
COMMANDS_AT_ONCE = 4

T = TypeVar("T")


@dataclass(slots=True)
class Remedied:
    """A remedy that was applied as it was printed, what it was said to lead to, and what it led to."""

    service: str
    command: str
    then: str
    found: str = ""
    error: str = ""


@dataclass(slots=True)
class Outcome:
    """What became of one case on the cluster."""

    case: SuiteCase
    namespace: str
    expected: set[ExpectedFinding]
    found: set[ExpectedFinding] | None = None
    """None: svcdoctor has not said anything about this case."""
    met: bool = False
    error: str = ""
    """What kept the case from being tried at all."""
    waited: float = 0
    text: str = ""
    services: list[Document] = field(default_factory=list)
    """What the report said last of the Services of the case."""
    remedied: list[Remedied] = field(default_factory=list)
    slices: list[str] = field(default_factory=list)
    """Where the EndpointSlices of the case differ from what reconcile.py makes of its Services and Pods."""

    def explain(self) -> str:
        found = self.found or set()
        parts = [f"{self.case.where}: {self.case.title}, in namespace {self.namespace}, after {self.waited:.0f} s"]
        if self.error:
            parts.append(self.error)
        parts.append(_listing("expected, but not found", self.expected - found))
        parts.append(_listing("found, but not expected", found - self.expected))
        parts.append(_listing("found as expected", found & self.expected))
        if self.text:
            parts.append(self.text)
        return "\n\n".join(part for part in parts if part)


def batches(cases: Iterable[SuiteCase]) -> list[list[SuiteCase]]:
    """The cases in their order, cut so that a batch has no more Pods and cases than the machine carries."""
    result: list[list[SuiteCase]] = []
    room = 0
    for case in cases:
        pods = sum(pods_of(manifest) for manifest in case.manifests())
        if not result or pods > room or len(result[-1]) == CASES_A_BATCH:
            result.append([])
            room = PODS_A_BATCH
        result[-1].append(case)
        room -= pods
    return result


def pods_of(manifest: Document) -> int:
    """How many Pods a manifest brings."""
    spec = manifest.get("spec") or {}
    match manifest["kind"]:
        case "Pod":
            return 1
        case "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController":
            return int(spec.get("replicas", 1))
        case "DaemonSet":
            return WORKERS
        case "Job":
            return int(spec.get("parallelism", 1))
    return 0


def namespace_names(cases: Iterable[SuiteCase]) -> dict[str, str]:
    """A namespace for each case, by the case's id: short, readable, and not the beginning of another's second one."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for case in cases:
        stem = f"t-{case.slug[:30].strip('-')}"
        number, name = 1, stem
        while name in taken or f"{name}-other" in taken:
            number += 1
            name = f"{stem}-{number}"
        taken |= {name, f"{name}-other"}
        names[case.id] = name
    return names


def shorten_grace(manifests: Iterable[Document]) -> None:
    """Let no Pod take longer than a second to stop, so that a batch is gone before the next one comes."""
    for manifest in manifests:
        pod = manifest if manifest["kind"] == "Pod" else (manifest.get("spec") or {}).get("template") or {}
        spec = pod.get("spec") if manifest["kind"] != "CronJob" else None
        if isinstance(spec, dict) and "containers" in spec:
            spec["terminationGracePeriodSeconds"] = min(1, spec.get("terminationGracePeriodSeconds", 1))


def outsiders(manifests: Iterable[Document], namespace: str) -> list[str]:
    """What a case would change outside of its namespaces: such a case cannot share a cluster with others."""
    found = []
    for manifest in manifests:
        kind, metadata = manifest["kind"], manifest["metadata"]
        place = metadata["name"] if kind == "Namespace" else metadata.get("namespace", namespace)
        if kind == "Node" or (place != namespace and not place.startswith(f"{namespace}-")):
            found.append(f"{kind}/{metadata['name']}")
    return found


@dataclass(slots=True)
class Batch:
    cluster: Cluster
    cases: list[SuiteCase]
    names: dict[str, str]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    _manifests: dict[str, list[Document]] = field(default_factory=dict)

    def run(self) -> dict[str, Outcome]:
        """Apply, look until all is as expected or time is up, delete; the outcomes by the ids of the cases."""
        for case in self.cases:
            namespace = self.names[case.id]
            expected = {one for one in case.live_findings(namespace) if one.status in COMPARED}
            self.outcomes[case.id] = Outcome(case, namespace, expected)
            self._manifests[case.id] = case.manifests(namespace)
            shorten_grace(self._manifests[case.id])
        for work in (self._try, self._delete):
            try:
                work()
            except (CommandError, subprocess.TimeoutExpired) as error:
                for outcome in self.outcomes.values():
                    outcome.met = False
                    outcome.error = outcome.error or f"the batch failed: {error}"
        return self.outcomes

    def _try(self) -> None:
        self._make_namespaces()
        self._at_once(self._apply, self.outcomes.values())
        self._poll()
        for outcome in self.outcomes.values():
            if not outcome.met:
                outcome.text = self._describe(outcome)
        met = [outcome for outcome in self.outcomes.values() if outcome.met]
        self._compare_slices(met)
        self._remedy(met)

    def _own_namespaces(self, outcome: Outcome) -> list[str]:
        declared = [one["metadata"]["name"] for one in self._manifests[outcome.case.id] if one["kind"] == "Namespace"]
        return [
            outcome.namespace,
            *(name for name in declared if name.startswith(f"{outcome.namespace}-")),
        ]

    def _all_namespaces(self) -> list[str]:
        return [name for outcome in self.outcomes.values() for name in self._own_namespaces(outcome)]

    def _make_namespaces(self) -> None:
        """Before anything else, and until each has its ServiceAccount: a Pod without one is refused."""
        names = self._all_namespaces()
        # What is left of an earlier try of the same case.
        self.cluster.kubectl("delete", "namespace", "--ignore-not-found", "--timeout=240s", *names, timeout=300)
        documents = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
        self.cluster.kubectl("apply", "-f", "-", input=_list(documents))
        self._at_once(
            lambda name: self.cluster.kubectl(
                "-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=60s"
            ),
            names,
        )

    def _at_once(self, work: Callable[[T], object], items: Iterable[T]) -> None:
        """The first error of some, if any, is raised."""
        with ThreadPoolExecutor(COMMANDS_AT_ONCE) as pool:
            list(pool.map(work, items))

    def _apply(self, outcome: Outcome) -> None:
        manifests = self._manifests[outcome.case.id]
        if outside := outsiders(manifests, outcome.namespace):
            outcome.error = f"not tried: it changes {', '.join(outside)}, which is not its own; say `skip:` in `live`"
            return
        try:
            if manifests:
                self.cluster.kubectl("apply", "-f", "-", input=_list(manifests))
            if outcome.case.sh:
                self.cluster.sh(outcome.case.sh, outcome.namespace)
        except (CommandError, subprocess.TimeoutExpired) as error:
            outcome.error = f"not tried: {error}"

    def _poll(self) -> None:
        """Until each case is as expected, and still is at the end: an alarm that comes late is false all the same.

        A case that is different at the end has the rest of its time to come back, since some faults come and go.
        """
        started = time.monotonic()
        services = self._services()
        tried = [outcome for outcome in self.outcomes.values() if not outcome.error]
        self._until_met(tried, services, started)
        met = [outcome for outcome in tried if outcome.met]
        if met:
            self._look(met, services)
            self._until_met([outcome for outcome in met if not outcome.met], services, started)

    def _until_met(self, pending: list[Outcome], services: dict[str, set[str]], started: float) -> None:
        while pending:
            self._look(pending, services)
            waited = time.monotonic() - started
            for outcome in pending:
                outcome.waited = waited
            pending = [one for one in pending if not one.met and not one.error and waited < one.case.live.wait]
            if pending:
                time.sleep(SECONDS_BETWEEN_ROUNDS)

    def _look(self, pending: list[Outcome], services: dict[str, set[str]]) -> None:
        """One round: a run of svcdoctor for all cases, and one more for each that asks for other arguments."""
        by_arguments: dict[tuple[str, ...], list[Outcome]] = {}
        for outcome in pending:
            by_arguments.setdefault(outcome.case.live.arguments(outcome.namespace), []).append(outcome)
        for arguments, outcomes in by_arguments.items():
            try:
                report = self._report(arguments)
            except (CommandError, subprocess.TimeoutExpired) as error:
                for outcome in outcomes:
                    outcome.error = str(error)
                continue
            for outcome in outcomes:
                # A namespace that nobody made is part of a case that is about its absence.
                own = [*self._own_namespaces(outcome), f"{outcome.namespace}-nowhere"]
                outcome.found = reported(report, own, COMPARED)
                outcome.services = [one for one in report["services"] if one["namespace"] in own]
                # "Nothing is wrong" holds only once the report speaks of what was applied.
                seen = {one["name"] for one in report["services"] if one["namespace"] == outcome.namespace}
                silent = not outcome.expected and not services.get(outcome.namespace, set()) <= seen
                outcome.met = outcome.found == outcome.expected and not silent

    def _report(self, arguments: tuple[str, ...]) -> Document:
        scope = () if {"-n", "--namespace"} & set(arguments) else ("-A",)
        command = ("diagnose", *scope, "-o", "json", "--kubeconfig", str(self.cluster.kubeconfig), *arguments)
        done = self.cluster.svcdoctor(*command)
        if done.returncode not in VERDICT_EXIT_CODES:
            raise CommandError(f"svcdoctor {' '.join(command)}: exit code {done.returncode}\n{done.stderr[-4000:]}")
        try:
            report: Document = json.loads(done.stdout)
        except ValueError as error:
            raise CommandError(
                f"svcdoctor {' '.join(command)} printed no JSON: {error}\n{done.stdout[:400]}"
            ) from error
        return report

    def _services(self) -> dict[str, set[str]]:
        """The names of the Services that there are, by namespace."""
        services: dict[str, set[str]] = {}
        for service in json.loads(self.cluster.kubectl("get", "services", "-A", "-o", "json"))["items"]:
            services.setdefault(service["metadata"]["namespace"], set()).add(service["metadata"]["name"])
        return services

    # --- what the controller makes of it

    def _compare_slices(self, met: list[Outcome]) -> None:
        """Pods come and go meanwhile: the two have to agree at some moment."""
        ends = time.monotonic() + SECONDS_FOR_SLICES
        pending = met
        while pending:
            held = json.loads(self.cluster.kubectl("get", "services,pods,endpointslices", "-A", "-o", "json"))["items"]
            for outcome in pending:
                own = self._own_namespaces(outcome)
                outcome.slices = differences([item for item in held if item["metadata"]["namespace"] in own])
            pending = [outcome for outcome in pending if outcome.slices and time.monotonic() < ends]
            if pending:
                time.sleep(SECONDS_BETWEEN_ROUNDS)

    # --- what is said to help

    def _remedy(self, met: list[Outcome]) -> None:
        """Each first remedy of a cause that was tried in memory, applied as it is printed."""
        for outcome in met:
            for service in outcome.services:
                for finding in service["findings"]:
                    first, *others = finding["remedies"] or [{}]
                    if finding.get("role") == "cause" and first.get("verified"):
                        steps = takewhile(lambda other: other["do"].startswith("then "), others)
                        command = " && ".join([first["command"], *(step["command"] for step in steps)])
                        outcome.remedied.append(Remedied(service["name"], command, first["then"]))
        pending = [outcome for outcome in met if outcome.remedied]
        self._at_once(self._apply_remedies, pending)
        ends = time.monotonic() + SECONDS_FOR_A_REMEDY
        while pending:
            reports = {arguments: self._report(arguments) for arguments in {self._arguments(one) for one in pending}}
            for outcome in pending:
                self._see(outcome, reports[self._arguments(outcome)])
            pending = [one for one in pending if any(not it.error and it.found != it.then for it in one.remedied)]
            if not pending or time.monotonic() > ends:
                return
            time.sleep(SECONDS_BETWEEN_ROUNDS)

    def _apply_remedies(self, outcome: Outcome) -> None:
        for remedied in outcome.remedied:
            try:
                self.cluster.sh(remedied.command, outcome.namespace)
            except (CommandError, subprocess.TimeoutExpired) as error:
                remedied.error = str(error)

    def _arguments(self, outcome: Outcome) -> tuple[str, ...]:
        return outcome.case.live.arguments(outcome.namespace)

    def _see(self, outcome: Outcome, report: Document) -> None:
        services = {one["name"]: one for one in report["services"] if one["namespace"] == outcome.namespace}
        for remedied in outcome.remedied:
            service = services.get(remedied.service)
            remedied.found = (service["cause"] or service["status"]) if service else "gone"

    def _describe(self, outcome: Outcome) -> str:
        """The report that a person would get now, and what kubectl shows beside it."""
        arguments = outcome.case.live.arguments(outcome.namespace)
        scope = () if {"-n", "--namespace"} & set(arguments) else ("-n", outcome.namespace)
        try:
            said = self.cluster.svcdoctor("diagnose", *scope, "-o", "text", *arguments).stdout
            seen = self.cluster.kubectl(
                *("-n", outcome.namespace, "get", "services,endpointslices,pods", "-o", "wide", "--show-labels")
            )
        except (CommandError, subprocess.TimeoutExpired) as error:
            return str(error)
        return f"svcdoctor says:\n{said}\nkubectl says:\n{seen}"

    def _delete(self) -> None:
        """Everything of the batch. Its namespaces go while the next batch comes: no two cases share a name."""
        namespaces = self._all_namespaces()
        self._release(namespaces)
        self.cluster.kubectl("delete", "namespace", "--ignore-not-found", "--wait=false", *namespaces)
        shared = [
            manifest
            for outcome in self.outcomes.values()
            for manifest in self._manifests[outcome.case.id]
            if manifest["kind"] in CLUSTER_SCOPED - {"Namespace", "Node"}
        ]
        if shared:
            self.cluster.kubectl("delete", "-f", "-", "--ignore-not-found", input=_list(shared))

    def _release(self, namespaces: list[str]) -> None:
        """Take the finalizers off, which a case may have set and which nothing else would remove."""
        for held in json.loads(self.cluster.kubectl("get", "services,pods", "-A", "-o", "json"))["items"]:
            metadata = held["metadata"]
            if metadata["namespace"] in namespaces and metadata.get("finalizers"):
                patch = ("--type=merge", "-p", '{"metadata":{"finalizers":null}}')
                self.cluster.kubectl("-n", metadata["namespace"], "patch", held["kind"], metadata["name"], *patch)


def differences(held: Iterable[Document]) -> list[str]:
    """Where the slices of Services that select Pods are not those that reconcile.py expects, in words."""
    kinds: dict[str, list[Any]] = {}
    for item in held:
        kinds.setdefault(item["kind"], []).append(msgspec.convert(item, RESOURCE_OF_KIND[item["kind"]].type))
    found = []
    for service in kinds.get("Service", ()):
        namespace, name = service.metadata.namespace, service.metadata.name
        if not service.spec.selector or service.spec.type == "ExternalName":
            continue
        pods = [pod for pod in kinds.get("Pod", ()) if pod.metadata.namespace == namespace]
        real = [
            piece
            for piece in kinds.get("EndpointSlice", ())
            if piece.metadata.namespace == namespace
            and (piece.metadata.labels or {}).get(SERVICE_NAME) == name
            and (piece.metadata.labels or {}).get(MANAGED_BY) == CONTROLLER
        ]
        ended = [pod for pod in pods if pod.status.phase in ("Succeeded", "Failed")]
        expected, seen = content(desired_slices(service, pods)), content(real, lagging=ended)
        found += [f"{namespace}/{name}: expected, not there: {line}" for line in sorted(expected - seen)]
        found += [f"{namespace}/{name}: there, not expected: {line}" for line in sorted(seen - expected)]
    return found


def content(slices: Iterable[EndpointSlice], *, lagging: Iterable[Pod] = ()) -> set[str]:
    """Every endpoint with its conditions and ports; how they are cut into slices does not matter.

    lagging: Pods that ran to their end. The controller does not wake up for a changed phase alone, so one that was
    listed as not ready just before stays listed until something else happens to it; that is left out.
    """
    left_behind = {pod.metadata.uid for pod in lagging}
    return {
        f"{piece.address_type} {(endpoint.addresses or ['?'])[0]} ready={ready} serving={serving} "
        f"terminating={terminating} hostname={endpoint.hostname} on {endpoint.node_name} ports={ports}"
        for piece in slices
        for ports in [sorted(f"{port.name or ''}:{port.port}/{port.protocol}" for port in piece.ports or ())]
        for endpoint in piece.endpoints or ()
        for conditions in [endpoint.conditions or EndpointConditions()]
        for ready in [conditions.ready is not False]
        if ready or not endpoint.target_ref or endpoint.target_ref.uid not in left_behind
        for serving in [ready if conditions.serving is None else conditions.serving]
        for terminating in [bool(conditions.terminating)]
    }


def _list(documents: list[Document]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})


def _listing(title: str, findings: set[ExpectedFinding]) -> str:
    return "\n".join([f"{title}:", *(f"  {finding}" for finding in sorted(findings))]) if findings else ""
