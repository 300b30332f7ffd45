"""What the findings of a report are about, in the order in which a person wants to read of it.

Every format but JSON and YAML goes through these, so that all say the same of the same things.
"""

from __future__ import annotations

from typing import NamedTuple

from svcdoctor.finding import WORST_FIRST, Diagnosis, Finding, ServiceDiagnosis, Status, worst


class Entry(NamedTuple):
    """A Service, a name that nothing serves, a client, or what all of the cluster share."""

    kind: str  # of the object: Service, Deployment, ...; Cluster
    namespace: str  # "" for the cluster
    name: str  # of the object; the context for the cluster
    about: str  # a few words: what is wrong with a Service, what another entry is
    status: Status
    findings: tuple[Finding, ...]
    service: ServiceDiagnosis | None = None  # None where there is no such object, or another one

    @property
    def title(self) -> str:
        """`shop/cart`; `cluster`."""
        return f"{self.namespace}/{self.name}" if self.namespace else "cluster"

    @property
    def named(self) -> str:
        """`shop/cart`; `deployment/web in shop`, which a Service of that name is not; `cluster`."""
        return self.title if self.kind in ("Service", "Cluster") else f"{self.noun} in {self.namespace}"

    @property
    def noun(self) -> str:
        """As kubectl writes it: `service/cart`."""
        return f"{self.kind.lower()}/{self.name}"

    @property
    def is_troubled(self) -> bool:
        return self.status in (Status.FAIL, Status.WARN, Status.UNKNOWN)

    @property
    def headline(self) -> str:
        """What is wrong in one line, or what was found to be good."""
        if self.service:
            return self.about
        return next((finding.message for finding in self.findings if finding.status is self.status), self.about)

    @property
    def code(self) -> str:
        """The code of what is wrong: of the cause, or of what could not be seen. "" where nothing is."""
        told = (finding for finding in self.findings if finding.status is self.status and finding.code)
        cause = self.service.cause if self.service else None
        return cause or next((finding.code or "" for finding in told), "")


# A note does not make a Service any worse than another.
RANK = {status: min(WORST_FIRST.index(status), WORST_FIRST.index(Status.PASS)) for status in WORST_FIRST}


def entries(diagnosis: Diagnosis) -> list[Entry]:
    """What all Services depend on first, then names, clients and Services; of these, the worst first."""
    found = []
    if any(finding.code for finding in diagnosis.cluster.findings):
        found.append(_group("Cluster", "", diagnosis.context, diagnosis.context, diagnosis.cluster.findings))
    for name in diagnosis.missing:
        found.append(_group("Service", name.namespace, name.name, "no such Service", name.findings))
    for client in diagnosis.clients:
        if any(finding.status is not Status.PASS for finding in client.findings):
            found.append(_group(client.kind, client.namespace, client.name, client.kind, client.findings))
    for entry in sorted(diagnosis.services, key=lambda entry: (RANK[entry.status], entry.namespace, entry.name)):
        about = (entry.headline, entry.status, entry.findings)
        found.append(Entry("Service", entry.namespace, entry.name, *about, entry))
    return found


def faults_first(diagnosis: Diagnosis) -> list[Entry]:
    return sorted(entries(diagnosis), key=lambda entry: RANK[entry.status])


def _group(kind: str, namespace: str, name: str, about: str, findings: tuple[Finding, ...]) -> Entry:
    return Entry(kind, namespace, name, about, worst([finding.status for finding in findings]), findings)
