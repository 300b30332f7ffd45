"""A healthy shop with one fault in it, or two: the fault is named, and nothing else is.

The shop is drawn anew for each example (names, labels, ports, replicas, who calls whom); the fault is chosen at random.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from simulate import simulate
from svcdoctor.diagnosis import Scope, diagnose
from svcdoctor.finding import Finding, Role

NAMES = ("cart", "orders", "catalog", "payments", "search", "ledger", "users", "mailer", "prices", "stock")
Document = dict[str, Any]


class App(NamedTuple):
    """A Deployment with its Service, as one file would hold them."""

    deployment: Document
    service: Document
    observed: list[Document]

    @property
    def name(self) -> str:
        name: str = self.service["metadata"]["name"]
        return name

    @property
    def container(self) -> Document:
        container: Document = self.pod["containers"][0]
        return container

    @property
    def pod(self) -> Document:
        spec: Document = self.deployment["spec"]["template"]["spec"]
        return spec

    @property
    def port(self) -> Document:
        port: Document = self.service["spec"]["ports"][0]
        return port


class Shop(NamedTuple):
    apps: list[App]
    more: list[Document]

    def caller_of(self, app: App) -> App:
        """Each names the one after it."""
        return self.apps[self.apps.index(app) - 1]


class Injected(NamedTuple):
    code: str
    subject: str  # KIND/NAME


@st.composite
def shops(draw: st.DrawFn) -> Shop:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=3, max_size=5, unique=True))
    key = draw(st.sampled_from(("app", "app.kubernetes.io/name", "k8s-app")))
    apps = [_app(draw, name, key) for name in names]
    for caller, called in zip(apps, [*apps[1:], apps[0]], strict=True):
        url = f"http://{called.name}:{called.port['port']}"
        caller.container["env"] = [{"name": "BACKEND_URL", "value": url}]
    return Shop(apps, [])


def _app(draw: st.DrawFn, name: str, key: str) -> App:
    number = draw(st.sampled_from((8080, 9000, 3000, 5000)))
    labels = {key: name, **({"team": "shop"} if draw(st.booleans()) else {})}
    named = draw(st.booleans())
    container = {
        "name": name,
        "image": f"registry.example/{name}:1",
        "ports": [{"name": "http", "containerPort": number}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": number}},
    }
    deployment = {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": draw(st.integers(1, 3)),
            "selector": {"matchLabels": {key: name}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    port = {"name": "http", "port": draw(st.sampled_from((80, number))), "targetPort": "http" if named else number}
    service = {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {key: name}, "ports": [port]},
    }
    return App(copy.deepcopy(deployment), copy.deepcopy(service), [])


# --- what may go wrong -------------------------------------------------------------------------------------------

INJECTIONS: list[Callable[[Shop, App], Injected]] = []


def injection(inject: Callable[[Shop, App], Injected]) -> Callable[[Shop, App], Injected]:
    INJECTIONS.append(inject)
    return inject


def of_service(code: str, app: App) -> Injected:
    return Injected(code, f"Service/{app.name}")


@injection
def a_misspelt_value(shop: Shop, app: App) -> Injected:
    (key,) = app.service["spec"]["selector"]
    app.service["spec"]["selector"] = {key: f"{app.name}x"}
    return of_service("selector-value-mismatch", app)


@injection
def another_key(shop: Shop, app: App) -> Injected:
    app.service["spec"]["selector"] = {"run": app.name}
    return of_service("selector-key-mismatch", app)


@injection
def a_label_too_many(shop: Shop, app: App) -> Injected:
    app.service["spec"]["selector"]["release"] = "blue"
    return of_service("selector-extra-label", app)


@injection
def no_selector(shop: Shop, app: App) -> Injected:
    del app.service["spec"]["selector"]
    return of_service("svc-no-selector-no-endpoints", app)


@injection
def no_replicas(shop: Shop, app: App) -> Injected:
    app.deployment["spec"]["replicas"] = 0
    return of_service("workload-scaled-zero", app)


@injection
def a_port_by_a_name_that_nobody_declares(shop: Shop, app: App) -> Injected:
    app.port["targetPort"] = "htpp"
    return of_service("slice-ports-empty", app)


@injection
def a_port_that_nobody_serves(shop: Shop, app: App) -> Injected:
    app.port["targetPort"] = 9999
    return of_service("port-target-unlistened", app)


@injection
def another_protocol(shop: Shop, app: App) -> Injected:
    app.port["targetPort"] = 5353
    app.container["ports"] = [{"name": "http", "containerPort": 5353, "protocol": "UDP"}]
    app.container["readinessProbe"] = {"exec": {"command": ["check-port", "5353"]}}
    return of_service("port-protocol-mismatch", app)


@injection
def an_image_that_is_not_there(shop: Shop, app: App) -> Injected:
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image: "not found"'}
    app.observed.append(_pods(app, {"ready": False, "state": {"running": None, "waiting": waiting}}, phase="Pending"))
    return of_service("pods-image-pull", app)


@injection
def a_container_that_ends(shop: Shop, app: App) -> Injected:
    ended = {"exitCode": 1, "reason": "Error", "finishedAt": {"secondsAgo": 60}}
    state = {"state": {"running": None, "waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}
    app.observed.append(_pods(app, {"ready": False, "restartCount": 9, **state}))
    return of_service("pods-crashloop", app)


@injection
def a_node_for_nobody(shop: Shop, app: App) -> Injected:
    message = "0/3 nodes are available: 3 Insufficient cpu."
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    status = {
        "phase": "Pending",
        "podIP": "",
        "podIPs": [],
        "conditions": [unscheduled, {"type": "Ready", "status": "False"}],
        "containerStatuses": [],
    }
    app.observed.append(
        {"kind": "Pod", "metadata": {"name": f"{app.name}-*"}, "spec": {"nodeName": ""}, "status": status}
    )
    return of_service("pods-pending-unschedulable", app)


@injection
def a_proxy_that_is_not_there(shop: Shop, app: App) -> Injected:
    app.service["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "nobody"}
    return of_service("svc-ignored-by-proxy", app)


@injection
def an_address_of_somebody_else(shop: Shop, app: App) -> Injected:
    app.service["spec"]["externalIPs"] = ["203.0.113.9"]
    return of_service("svc-externalips", app)


@injection
def a_caller_of_another_port(shop: Shop, app: App) -> Injected:
    shop.caller_of(app).container["env"] = [{"name": "BACKEND_URL", "value": f"http://{app.name}:7777"}]
    return of_service("port-client-uses-wrong-port", app)


@injection
def a_caller_of_another_name(shop: Shop, app: App) -> Injected:
    name = f"{app.name}-svc"
    shop.caller_of(app).container["env"] = [{"name": "BACKEND_URL", "value": f"http://{name}:80"}]
    return Injected("dns-client-wrong-name", f"Service/{name}")


@injection
def a_caller_with_the_names_of_its_node(shop: Shop, app: App) -> Injected:
    app.pod["dnsPolicy"] = "Default"
    return Injected("dns-policy-default", f"Deployment/{app.name}")


@injection
def a_caller_behind_a_proxy(shop: Shop, app: App) -> Injected:
    app.container["env"].append({"name": "HTTP_PROXY", "value": "http://proxy.corp.example:3128"})
    return Injected("client-proxy-env", f"Deployment/{app.name}")


@injection
def a_policy_that_lets_nobody_in(shop: Shop, app: App) -> Injected:
    labels = app.deployment["spec"]["selector"]["matchLabels"]
    shop.more.append(_policy(f"deny-{app.name}", {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]}))
    return of_service("netpol-default-deny-ingress", app)


@injection
def a_policy_for_somebody_else(shop: Shop, app: App) -> Injected:
    rule = {"from": [{"podSelector": {"matchLabels": {"role": "monitoring"}}}]}
    labels = app.deployment["spec"]["selector"]["matchLabels"]
    spec = {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"], "ingress": [rule]}
    shop.more.append(_policy(f"some-{app.name}", spec))
    return of_service("netpol-ingress-no-match", app)


@injection
def an_ingress_to_another_port(shop: Shop, app: App) -> Injected:
    shop.more.append(_ingress(f"web-{app.name}", app.name, 7070))
    return of_service("ingress-backend-port-missing", app)


@injection
def an_ingress_of_no_class(shop: Shop, app: App) -> Injected:
    ingress = _ingress(f"web-{app.name}", app.name, app.port["port"])
    ingress["spec"]["ingressClassName"] = "nosuch"
    del ingress["status"]
    shop.more.append(ingress)
    return of_service("ingress-class-missing", app)


@injection
def an_ingress_to_nobody(shop: Shop, app: App) -> Injected:
    shop.more.append(_ingress(f"web-{app.name}", f"{app.name}-web", 80))
    return Injected("ingress-backend-service-missing", f"Service/{app.name}-web")


@injection
def an_alias_of_an_address(shop: Shop, app: App) -> Injected:
    name = f"{app.name}-old"
    spec = {"type": "ExternalName", "externalName": "10.0.0.5"}
    shop.more.append({"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec})
    return Injected("extname-ip-literal", f"Service/{name}")


@injection
def a_set_of_a_service_that_is_not_there(shop: Shop, app: App) -> Injected:
    name = f"{app.name}-db"
    template = {"metadata": {"labels": {"db": name}}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}
    spec = {"replicas": 3, "serviceName": name, "selector": {"matchLabels": {"db": name}}, "template": template}
    shop.more.append({"kind": "StatefulSet", "apiVersion": "apps/v1", "metadata": {"name": name}, "spec": spec})
    return Injected("sts-service-missing", f"Service/{name}")


def _pods(app: App, state: Document, phase: str = "Running") -> Document:
    conditions = [
        {"type": kind, "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": {"secondsAgo": 600}}
        for kind in ("ContainersReady", "Ready")
    ]
    status = {
        "phase": phase,
        "conditions": [{"type": "PodScheduled", "status": "True"}, *conditions],
        "containerStatuses": [{"name": app.name, "ready": False, "started": False, **state}],
    }
    return {"kind": "Pod", "metadata": {"name": f"{app.name}-*"}, "status": status}


def _policy(name: str, spec: Document) -> Document:
    return {"kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": {"name": name}, "spec": spec}


def _ingress(name: str, service: str, port: int) -> Document:
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service, "port": {"number": port}}}}
    return {
        "kind": "Ingress",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": name},
        "spec": {"ingressClassName": "edge", "rules": [{"host": f"{name}.example", "http": {"paths": [path]}}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.10"}]}},
    }


# What stands around every shop: a class for its Ingresses, and a network plugin that enforces policies.
AROUND: list[Document] = [
    {"kind": "IngressClass", "metadata": {"name": "edge"}, "spec": {"controller": "example.com/edge"}},
    {
        "kind": "DaemonSet",
        "metadata": {"name": "kindnet", "namespace": "kube-system"},
        "spec": {"template": {"metadata": {"labels": {"app": "kindnet"}}, "spec": {"hostNetwork": True}}},
    },
]


def faults(shop: Shop) -> list[Finding]:
    documents = [*AROUND, *(one for app in shop.apps for one in (app.deployment, app.service)), *shop.more]
    world = simulate(documents, [one for app in shop.apps for one in app.observed])
    outcome = diagnose(world, Scope())
    assert not outcome.wants
    return [finding for finding in outcome.diagnosis.findings() if finding.is_fault]


def named(finding: Finding) -> Injected:
    assert finding.subject and finding.code
    return Injected(finding.code, f"{finding.subject.kind}/{finding.subject.name}")


@given(shop=shops())
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_a_healthy_shop_has_no_fault(shop: Shop) -> None:
    assert [named(finding) for finding in faults(shop)] == []


@given(shop=shops(), data=st.data())
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_one_fault_is_the_cause_and_nothing_else_is(shop: Shop, data: st.DataObject) -> None:
    inject = data.draw(st.sampled_from(INJECTIONS))
    expected = inject(shop, data.draw(st.sampled_from(shop.apps)))
    found = faults(shop)
    assert [named(finding) for finding in found if finding.role is not Role.CONSEQUENCE] == [expected], inject.__name__
    assert all(finding.role is Role.CAUSE for finding in found if named(finding) == expected)


@given(shop=shops(), data=st.data())
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_two_faults_are_both_named_and_nothing_else_is(shop: Shop, data: st.DataObject) -> None:
    first, second = data.draw(
        st.lists(st.sampled_from(shop.apps), min_size=2, max_size=2, unique_by=lambda app: app.name)
    )
    # The caller of the one may be the other: what its own setting hides is another matter.
    chosen = data.draw(st.lists(st.sampled_from(INJECTIONS), min_size=2, max_size=2, unique=True))
    expected = {inject(shop, app) for inject, app in zip(chosen, (first, second), strict=True)}
    found = {named(finding) for finding in faults(shop) if finding.role is not Role.CONSEQUENCE}
    assert found == expected, [inject.__name__ for inject in chosen]
