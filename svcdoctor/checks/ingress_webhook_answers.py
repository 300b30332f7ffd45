"""Can Ingresses be created, where a webhook has to admit them?

ingress-webhook-down
    The Service of a webhook that has to admit every Ingress has no ready endpoint.
    Why it breaks      The API server asks the webhook before it stores an Ingress. With failurePolicy Fail nobody can
                       create or change one while it does not answer: "failed calling webhook ... no endpoints
                       available for service". What is there already goes on working.
    Confirm by hand    kubectl get validatingwebhookconfigurations
    Fix                Get the controller's Pods ready again; if it was removed, delete its webhook configuration.
    Not a fault when   The webhook's failurePolicy is Ignore.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from svcdoctor.case import Case, may_be_called_by_api_server
from svcdoctor.check import Check, Code
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, warn
from svcdoctor.objects import Webhook, WebhookConfiguration

CHECK = Check(
    step=Step.ENTRY,
    codes={"ingress-webhook-down": Code(Stage.ENTRY, symptom=True)},
    reads=("endpointslices", "validatingwebhookconfigurations"),
)


def run(case: Case) -> Iterator[Finding]:
    # Where slices may not be read, the step that is about them says so.
    if case.is_external_name or case.or_without(lambda: bool(case.ready_endpoints), True):
        return
    if not may_be_called_by_api_server(case.service):
        return
    held: Mapping[str, WebhookConfiguration] = case.or_without(
        lambda: case.listed("validatingwebhookconfigurations", ""), {}
    )
    for name, configuration in held.items():
        webhook = next((item for item in configuration.webhooks or () if _admits_ingresses(case, item)), None)
        if webhook:
            yield _down(case, name, webhook)
            return


def _admits_ingresses(case: Case, webhook: Webhook) -> bool:
    called = webhook.client_config.service
    is_this = called and (called.namespace, called.name) == (case.namespace, case.name)
    ruled = any("ingresses" in (rule.resources or ()) for rule in webhook.rules or ())
    return bool(is_this and ruled and webhook.failure_policy == "Fail")


def _down(case: Case, configuration: str, webhook: Webhook) -> Finding:
    command = f"kubectl get validatingwebhookconfiguration {configuration} -o yaml"
    return warn(
        "ingress-webhook-down",
        case.subject,
        f"webhook {webhook.name} has to admit every Ingress and calls this Service, which has no ready endpoint: "
        "Ingresses can neither be created nor changed",
        Evidence("webhook", f"{webhook.name}, failurePolicy Fail", f"validatingwebhookconfiguration/{configuration}"),
        Evidence("endpoints", f"0 ready of {len(case.endpoints)}", f"endpointslices of service/{case.name}"),
        remedies=(
            Remedy(
                "delete the webhook if its controller was removed: see what it is for", command, changes_cluster=False
            ),
        ),
    )
