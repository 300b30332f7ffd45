"""Does the API server reach the webhooks that it asks before it creates anything?

rdep-webhook
    The API server is told to ask a webhook, and the webhook's Service answers nobody.
    Why it breaks      For each request that a rule of the webhook covers the API server calls the Service. With
                       failurePolicy Fail the request is refused when the call fails ("failed calling webhook"): Pods
                       are not created, deployments do not roll, far from whoever broke the Service. With Ignore the
                       request passes after the timeout, unchecked. Without a port the call goes to 443.
    Confirm by hand    kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o wide
                       kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={name}
    Fix                Repair the Service. Until then let requests pass (failurePolicy Ignore), or delete the
                       configuration if its program is gone for good.
    Not a fault when   The webhook is called by URL, or its Service was only just created.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from svcdoctor.case import SETTLING_SECONDS, Case, case_of, may_be_called_by_api_server
from svcdoctor.check import Check, Code
from svcdoctor.clustercase import ClusterCase
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, Subject, fail, note, skipped, unknown
from svcdoctor.objects import ServicePort, Webhook, WebhookConfiguration
from svcdoctor.policies.policy import selects
from svcdoctor.policies.policyrule import shown
from svcdoctor.text import listing, plural, quoted_json
from svcdoctor.world import EVERYWHERE, NotRead

CONFIGURATIONS = {
    "validatingwebhookconfigurations": "validatingwebhookconfiguration",
    "mutatingwebhookconfigurations": "mutatingwebhookconfiguration",
}
CHECK = Check(
    step=Step.CALLERS,
    codes={"rdep-webhook": Code(Stage.SERVED)},
    reads=(*CONFIGURATIONS, "services", "endpointslices", "namespaces"),
    about="cluster",
    concerns=may_be_called_by_api_server,
)
HTTPS = 443


class Call(NamedTuple):
    """One webhook, as the API server calls it."""

    configuration: str  # `validatingwebhookconfiguration/checks`
    place: int
    webhook: Webhook

    @property
    def port(self) -> int:
        service = self.webhook.client_config.service
        return (service.port if service else None) or HTTPS

    @property
    def refuses(self) -> bool:
        return self.webhook.failure_policy != "Ignore"

    @property
    def source(self) -> str:
        return f"{self.configuration} .webhooks[{self.place}]"


def run(case: ClusterCase) -> Iterator[Finding]:
    calls: dict[tuple[str, str], list[Call]] = {}
    for resource, kind in CONFIGURATIONS.items():
        configurations = case.or_without(lambda resource=resource: case.listed(resource, EVERYWHERE), None)  # type: ignore[misc]
        if configurations is None:
            yield skipped(case.subject, f"{resource} may not be listed")
            return
        for name, configuration in configurations.items():
            for index, webhook in enumerate(_webhooks(configuration)):
                if service := webhook.client_config.service:
                    calls.setdefault((service.namespace, service.name), []).append(
                        Call(f"{kind}/{name}", index, webhook)
                    )
    for (namespace, name), own in sorted(calls.items()):
        try:
            yield from _judge(case, namespace, name, own)
        except NotRead as missing:
            if missing.gap is None:
                raise


def _webhooks(configuration: WebhookConfiguration) -> list[Webhook]:
    return configuration.webhooks or []


def _judge(case: ClusterCase, namespace: str, name: str, calls: list[Call]) -> Iterator[Finding]:
    service = case_of(case, namespace, name)
    failing = [(call, why) for call in calls if (why := _why_unserved(service, f"{namespace}/{name}", call.port))]
    if not failing:
        return
    if service and service.is_settling:
        message = f"the Service of a webhook is younger than {SETTLING_SECONDS:.0f}s; so far: {failing[0][1]}"
        yield unknown("unknown-settling", service.subject, message)
        return
    refusing = [pair for pair in failing if pair[0].refuses]
    concerned = refusing or failing
    first, why = concerned[0]
    what = _objects(concerned)
    subject = Subject("Service", namespace, name)
    outcome = (
        f"the API server refuses {what}: webhook {first.webhook.name} cannot be asked"
        if refusing
        else f"the API server asks webhook {first.webhook.name} about {what} in vain, and goes on without it"
    )
    evidence = (
        Evidence("service", why, f"service/{name} in namespace {namespace}"),
        *(Evidence("webhook", _said_of(call), call.source) for call, _ in concerned[:4]),
        *([Evidence("affected", _reach(case, refusing), "namespaces .metadata.labels")] if refusing else []),
        *(
            [Evidence("deadlock", "the Pods that would answer are created under its own rule", first.source)]
            if _guards_itself(case, service, namespace, refusing)
            else []
        ),
    )
    say = fail if refusing else note
    yield say(
        "rdep-webhook", subject, f"{outcome}: {why}", *evidence, remedies=tuple(_remedies(subject, service, concerned))
    )


def _why_unserved(service: Case | None, name: str, port: int) -> str:
    """What keeps the API server from reaching a port of the Service; "" if nothing that objects show."""
    if service is None:
        return f"there is no Service {name}"
    if service.is_external_name:
        return ""
    wanted = next((item for item in service.ports if item.port == port and item.protocol == "TCP"), None)
    if wanted is None:
        known = listing([str(item.port) for item in service.ports]) or "none"
        return f"Service {name} has no port {port}, only {known}"
    if not _is_served(service, wanted):
        return f"Service {name} has no ready endpoint for port {port}"
    return ""


def _is_served(service: Case, port: ServicePort) -> bool:
    return any(view.ready and service.carries(view, port) for view in service.endpoints)


def _objects(concerned: list[tuple[Call, str]]) -> str:
    rules = [rule for call, _ in concerned for rule in call.webhook.rules or ()]
    names = dict.fromkeys(name for rule in rules for name in rule.resources or ())
    return "every object" if not names or any(name.startswith("*") for name in names) else listing(list(names), 4)


def _said_of(call: Call) -> str:
    rules = call.webhook.rules or []
    operations = dict.fromkeys(operation for rule in rules for operation in rule.operations or ())
    return (
        f"{call.webhook.name}, failurePolicy {call.webhook.failure_policy}, on {listing(list(operations)) or 'nothing'}"
    )


# --- how far it reaches --------------------------------------------------------------------------------------------


def _reach(case: ClusterCase, refusing: list[tuple[Call, str]]) -> str:
    namespaces = case.or_without(lambda: case.listed("namespaces", EVERYWHERE), {})
    if not namespaces:
        return "all namespaces that the webhook's namespaceSelector matches"
    reached = [
        name
        for name, item in namespaces.items()
        if any(selects(call.webhook.namespace_selector, item.metadata.labels or {}) for call, _ in refusing)
    ]
    wanted = {shown(call.webhook.object_selector) for call, _ in refusing}
    only = f", objects with {listing(sorted(wanted))} only" if "all" not in wanted else ""
    if len(reached) == len(namespaces):
        return f"the whole cluster{only}"
    return f"{len(reached)} of {plural(len(namespaces), 'namespace')}: {listing(reached) or 'none now'}{only}"


def _guards_itself(case: ClusterCase, service: Case | None, namespace: str, refusing: list[tuple[Call, str]]) -> bool:
    """Whether the Pods that would answer cannot be created for want of an answer."""
    item = case.or_without(lambda: case.listed("namespaces", EVERYWHERE), {}).get(namespace)
    labels = (item.metadata.labels or {}) if item else {}
    # They have the labels that the Service looks for; what else they have is not looked up here.
    pods = service.selector if service else {}
    rules = [
        rule
        for call, _ in refusing
        if item and selects(call.webhook.namespace_selector, labels) and selects(call.webhook.object_selector, pods)
        for rule in call.webhook.rules or ()
    ]
    return any(
        {"pods", "*", "*/*"} & {*(rule.resources or ())} and {"CREATE", "*"} & {*(rule.operations or ())}
        for rule in rules
    )


def _remedies(subject: Subject, service: Case | None, concerned: list[tuple[Call, str]]) -> Iterator[Remedy]:
    if service:
        command = f"svcdoctor diagnose {subject.name} -n {subject.namespace}"
        yield Remedy("see what ails the Service", command, changes_cluster=False)
    if not concerned[0][0].refuses:
        return
    by_configuration: dict[str, list[int]] = {}
    for call, _ in concerned:
        by_configuration.setdefault(call.configuration, []).append(call.place)
    for configuration, places in list(by_configuration.items())[:2]:
        item = configuration.replace("/", " ")
        if service is None:
            yield Remedy("delete the configuration, if its program is gone for good", f"kubectl delete {item}")
        patch = [{"op": "add", "path": f"/webhooks/{place}/failurePolicy", "value": "Ignore"} for place in places]
        yield Remedy(
            "let requests pass until it is repaired", f"kubectl patch {item} --type=json -p {quoted_json(patch)}"
        )
