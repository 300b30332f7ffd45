"""Where the evidence of a report stands in the manifests that it was made of: file and line, beside each source."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from svcdoctor.finding import Diagnosis, Evidence, Finding, Location, Subject
from svcdoctor.manifests.files import Manifest, field_of

_OBJECT = re.compile(r"([a-z]+)/([a-z0-9.-]+)(?: in (?:namespace )?([a-z0-9-]+))?")
_CONFIG_KEY = re.compile(r"(configmap)/([a-z0-9.-]+) key (\S+)")
_CONTAINER = re.compile(r"container (\S+)(?: env (\S+)| \.?(\w+))?")
_MADE = re.compile(r"(.+?)(?:-then)?-\d+")  # the name of a Pod that a workload makes (rollout.py)


def located(diagnosis: Diagnosis, manifests: Iterable[Manifest]) -> Diagnosis:
    """The same report; what stands in a manifest says in which line."""
    return _Lines(manifests).of(diagnosis)


class _Lines:
    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self.named: dict[tuple[str, str], list[Manifest]] = {}
        for manifest in manifests:
            key = (manifest.resource.kind.lower(), manifest.item.metadata.name)
            self.named.setdefault(key, []).append(manifest)

    def of(self, diagnosis: Diagnosis) -> Diagnosis:
        return replace(
            diagnosis,
            services=tuple(replace(one, findings=self.all(one.findings)) for one in diagnosis.services),
            missing=tuple(replace(one, findings=self.all(one.findings)) for one in diagnosis.missing),
            clients=tuple(replace(one, findings=self.all(one.findings)) for one in diagnosis.clients),
            cluster=replace(diagnosis.cluster, findings=self.all(diagnosis.cluster.findings)),
        )

    def all(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        return tuple(map(self.finding, findings))

    def finding(self, finding: Finding) -> Finding:
        namespace = finding.subject.namespace if finding.subject else ""
        evidence = tuple(self.evidence(item, namespace) for item in finding.evidence)
        first = next((item.location for item in evidence if item.location), None)
        subject = self.subject(finding.subject) if finding.subject else None
        return replace(finding, evidence=evidence, location=first or (subject.location() if subject else None))

    def evidence(self, item: Evidence, namespace: str) -> Evidence:
        place = self.place(item, namespace)
        if place is None:
            return item
        return replace(item, source=f"{item.source} ({place.file}:{place.line})", location=place)

    def place(self, item: Evidence, namespace: str) -> Location | None:
        config = _CONFIG_KEY.search(item.source)
        if config and (manifest := self.one(config[1], config[2], namespace)):
            return manifest.location(["data", config[3]])
        named = _OBJECT.match(item.source)
        if not named:
            return None
        kind, name, home = named[1], named[2], named[3] or namespace
        field = item.source[named.end() :].strip()
        manifest = self.one(kind, name, home)
        if manifest is None and kind == "pod" and (made := _MADE.fullmatch(name)):
            manifest = self.maker(made[1], home)
            field = f"{_template(manifest)}{field}" if manifest else ""
        if manifest is None:
            return None
        return manifest.location([*self.steps(manifest, field), *_key_of(item)])

    def steps(self, manifest: Manifest, field: str) -> list[str | int]:
        container = _CONTAINER.match(field)
        if not container:
            return field_of(field)
        kind = manifest.resource.kind
        around = field_of(f"{'' if kind == 'Pod' else _template(manifest)}.spec")
        inside = ["env", container[2], "value"] if container[2] else [container[3] or ""]
        choices = [[*around, group, container[1], *inside] for group in ("containers", "initContainers")]
        return max(choices, key=lambda steps: manifest.location(steps).line)

    def maker(self, name: str, namespace: str) -> Manifest | None:
        kinds = ("deployment", "statefulset", "daemonset", "replicaset", "job")
        return next((found for kind in kinds if (found := self.one(kind, name, namespace))), None)

    def subject(self, subject: Subject) -> Manifest | None:
        return self.one(subject.kind.lower(), subject.name, subject.namespace)

    def one(self, kind: str, name: str, namespace: str) -> Manifest | None:
        """The object of this kind and name in the namespace; or the only one of them, where it is in no namespace."""
        found = self.named.get((kind, name), [])
        here = [manifest for manifest in found if manifest.item.metadata.namespace in (namespace, "")]
        return here[0] if here else None


def _template(manifest: Manifest) -> str:
    return ".spec.jobTemplate.spec.template" if manifest.resource.kind == "CronJob" else ".spec.template"


def _key_of(item: Evidence) -> list[str]:
    """The key of labels or of a selector that the value speaks of."""
    is_map = item.source.endswith((".selector", ".labels", ".matchLabels", ".annotations", ".podSelector"))
    key, equals, _ = item.value.partition("=")
    return [key] if is_map and equals else []
