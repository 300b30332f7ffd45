"""Rights taken away one after the other, on a real API server: what cannot be seen is said to be unknown, and the rest
of the report stands.

`svcdoctor rbac` gives a user exactly its rights, less one kind or verb; the command runs `--as` this user in this
process. Each kind may not be listed once, by a user of the whole cluster or of one namespace; with SVCDOCTOR_SOAK=1 by
both, and each kind may not be watched or got either.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import yaml
from click.testing import CliRunner
from kubernetes import client, config

from cluster import Cluster
from honest import is_better, lies
from reported import AGNHOST, until
from svcdoctor.cli import cli
from svcdoctor.diagnosis import kinds_read
from svcdoctor.objects import RESOURCES
from svcdoctor.rbac import DNS_NAMESPACE, rights

SOAK = bool(os.environ.get("SVCDOCTOR_SOAK"))
NAMESPACE = "rights-shop"
KINDS = [kind for kind in kinds_read() if not RESOURCES[kind].metadata_only]
VERBS = ("list", "watch", "get") if SOAK else ("list",)
PLACES = ("cluster", "namespace")  # in which somebody has rights
WORKLOAD = """
kind: Deployment
apiVersion: apps/v1
metadata: {name: %(name)s}
spec:
  replicas: %(replicas)s
  selector: {matchLabels: {app: %(name)s}}
  template:
    metadata: {labels: {app: %(name)s}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: web
          image: %(image)s
          imagePullPolicy: IfNotPresent
          args: [netexec, --http-port=8080]
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2}
---
kind: Service
apiVersion: v1
metadata: {name: %(name)s}
spec: {selector: {app: %(name)s}, ports: [{port: 80, targetPort: 8080}]}
---
"""
SHOP = "".join(
    WORKLOAD % {"name": name, "replicas": replicas, "image": AGNHOST}
    for name, replicas in {"web": 1, "walled": 1, "idle": 0}.items()
)
SHOP += """
kind: NetworkPolicy
apiVersion: networking.k8s.io/v1
metadata: {name: wall}
spec: {podSelector: {matchLabels: {app: walled}}, policyTypes: [Ingress]}
---
kind: Service
apiVersion: v1
metadata: {name: typing-error}
spec: {selector: {app: wbe}, ports: [{port: 80, targetPort: 8080}]}
---
kind: Service
apiVersion: v1
metadata: {name: wrong-port}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
kind: Service
apiVersion: v1
metadata: {name: nobody}
spec: {ports: [{port: 80}]}
---
kind: Service
apiVersion: v1
metadata: {name: outside}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
kind: Service
apiVersion: v1
metadata: {name: alias}
spec: {type: ExternalName, externalName: gone.rights-shop.svc.cluster.local}
---
kind: Ingress
apiVersion: networking.k8s.io/v1
metadata: {name: shop}
spec:
  rules:
    - host: shop.example
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 8080}}}}]}
---
kind: HTTPRoute
apiVersion: gateway.networking.k8s.io/v1
metadata: {name: shop}
spec: {parentRefs: [{name: gone}], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
kind: CronJob
apiVersion: batch/v1
metadata: {name: caller}
spec:
  schedule: "0 0 1 1 *"
  suspend: true
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: caller, image: busybox:1.36, env: [{name: URL, value: "http://wbe:80/"}]}]
"""


# --- who may do what ---------------------------------------------------------------------------------------------


class Taken(NamedTuple):
    """What is not given, of that which `svcdoctor rbac` says is needed."""

    kind: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb}-{self.kind}"

    def of(self, role: dict[str, Any]) -> dict[str, Any]:
        """The role without it."""
        rules = []
        for rule in role["rules"]:
            others = [name for name in rule["resources"] if name != self.kind]
            rules += [{**rule, "resources": others}] if others else []
            if self.kind in rule["resources"]:
                verbs = [verb for verb in rule["verbs"] if verb != self.verb]
                rules.append({**rule, "resources": [self.kind], "verbs": verbs})
        return {**role, "rules": rules}


class User:
    """Somebody with the rights of `svcdoctor rbac`, in the whole cluster or in the shop alone."""

    def __init__(self, cluster: Cluster, place: str) -> None:
        self.cluster = cluster
        self.place = place
        self.name = f"rights-{place}"
        self._namespace = NAMESPACE if place == "namespace" else None
        self._roles = [*yaml.safe_load_all(rights(self._namespace, probe=True))]
        for role in self._roles:
            role["metadata"]["name"] = self.name
        self._api = config.new_client_from_config(str(cluster.kubeconfig))
        self._rbac = client.RbacAuthorizationV1Api(self._api)
        self._taken: Taken | None = None

    def make(self) -> None:
        """The Roles as they are printed, and what their first lines say to type."""
        self.cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(self._roles))
        for kind, scope in {(role["kind"], role["metadata"].get("namespace", "")) for role in self._roles}:
            role = f"--{kind.lower()}={self.name}"
            place = ("-n", scope) if scope else ()
            self.cluster.kubectl(*place, "create", f"{kind.lower()}binding", self.name, role, f"--user={self.name}")

    def remove(self) -> None:
        for role in self._roles:
            scope = role["metadata"].get("namespace")
            place = ("-n", scope) if scope else ()
            kinds = f"{role['kind'].lower()},{role['kind'].lower()}binding"
            self.cluster.kubectl(*place, "delete", kinds, self.name, "--ignore-not-found")
        self._api.close()

    def lose(self, taken: Taken | None) -> None:
        """This alone, until the API server knows it; None: have everything again."""
        for role in self._roles:
            if any(one and one.kind in rule["resources"] for one in (taken, self._taken) for rule in role["rules"]):
                self._replace(taken.of(role) if taken else role)
        for one in filter(None, (taken, self._taken)):
            while self._may(one) is (one == taken):
                time.sleep(0.02)
        self._taken = taken

    def _replace(self, role: dict[str, Any]) -> None:
        if role["kind"] == "ClusterRole":
            self._rbac.replace_cluster_role(self.name, role)
        else:
            self._rbac.replace_namespaced_role(self.name, role["metadata"]["namespace"], role)

    def _may(self, right: Taken) -> bool:
        asked = {"group": RESOURCES[right.kind].group, "resource": right.kind, "verb": right.verb}
        scope = self._namespace if self._namespace and RESOURCES[right.kind].namespaced else None
        asked |= {"namespace": scope} if scope else {}
        review = {"spec": {"user": self.name, "resourceAttributes": asked}}
        allowed: bool = client.AuthorizationV1Api(self._api).create_subject_access_review(review).status.allowed
        return allowed

    def diagnose(self, *flags: str) -> dict[str, Any]:
        return diagnose(self.cluster, "--as", self.name, *flags)


def diagnose(cluster: Cluster, *flags: str) -> dict[str, Any]:
    """What the command says of the shop, in JSON. An exception that nobody caught is raised here."""
    words = ["diagnose", "-n", NAMESPACE, "-o", "json", "--kubeconfig", str(cluster.kubeconfig), *flags]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code in (0, 1, 4), done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[str]:
    cluster.kubectl("create", "namespace", NAMESPACE)
    try:
        cluster.kubectl("-n", NAMESPACE, "wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", input=SHOP)
        until(cluster, has_settled, "-n", NAMESPACE, "--no-probe")
        yield NAMESPACE
    finally:
        cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")


def has_settled(_: int, report: dict[str, Any]) -> bool:
    found = {entry["name"]: entry["status"] for entry in report["services"]}
    return found.get("web") in ("pass", "fail", "warn") and "unknown" not in found.values()


@pytest.fixture(scope="module")
def user(request: pytest.FixtureRequest, cluster: Cluster, shop: str) -> Iterator[User]:
    made = User(cluster, request.param)
    with contextlib.ExitStack() as stack:
        stack.callback(made.remove)
        made.make()
        yield made


@pytest.fixture(scope="module")
def whole(user: User) -> dict[str, Any]:
    """What somebody is told who has every right that `svcdoctor rbac` names."""
    return user.diagnose("--no-probe")


# --- what is said ------------------------------------------------------------------------------------------------


def verdicts(report: dict[str, Any]) -> dict[str, set[tuple[str, str]]]:
    """Of each Service and of what stands beside: the codes with their statuses."""
    entries = [(entry["name"], entry["findings"]) for part in PARTS for entry in report[part]]
    entries.append(("the cluster", report["cluster"]["findings"]))
    return {name: {(one["code"], one["status"]) for one in found if one["code"]} for name, found in entries}


PARTS = ("services", "missing", "clients")


def unseen(report: dict[str, Any]) -> set[str]:
    return {name for name, found in verdicts(report).items() if "unknown" in {status for _, status in found}}


@pytest.mark.parametrize("user", PLACES, indirect=True)
def test_the_rights_as_they_are_printed_are_enough(user: User, cluster: Cluster, whole: dict[str, Any]) -> None:
    assert verdicts(whole) == verdicts(diagnose(cluster, "--no-probe"))
    assert unseen(whole) == unseen(user.diagnose()) == set(), "neither objects nor lookups are missing"
    inside = ("", NAMESPACE, DNS_NAMESPACE) if user.place == "cluster" else (NAMESPACE, DNS_NAMESPACE)
    refused = {gap["resource"] for gap in whole["denied"] if gap["namespace"] in inside}
    assert refused == set(), "whoever has a namespace alone is refused only what lies outside of it"


# Each kind is taken from one of the two, and in a soak each verb of each from both.
LESS = [
    (place, Taken(kind, verb))
    for verb in VERBS
    for number, kind in enumerate(KINDS)
    for place in (PLACES if SOAK else PLACES[number % 2 :][:1])
]


@pytest.mark.parametrize(("user", "taken"), LESS, indirect=["user"], ids=str)
def test_one_right_less(user: User, taken: Taken, whole: dict[str, Any]) -> None:
    user.lose(taken)
    told = user.diagnose("--no-probe")
    if taken.verb != "list":
        assert verdicts(told) == verdicts(whole), "a report lists, and nothing else"
        return
    found = lies(told, whole)
    if RESOURCES[taken.kind].optional:
        # What leads to a Service or works on its traffic may be out of sight: then that is said, and it itself is well.
        found = [lie for lie in found if not is_better(lie)]
    assert found == []
    if verdicts(told) != verdicts(whole):
        assert taken.kind in {gap["resource"] for gap in told["denied"]}


# --- the role that viewers have ----------------------------------------------------------------------------------


def test_a_viewer_is_told_what_is_broken(cluster: Cluster, shop: str) -> None:
    """`view` shows no nodes and nothing of other projects, unless they add it to the role."""
    cluster.kubectl("-n", shop, "create", "rolebinding", "rights-view", "--clusterrole=view", "--user=rights-viewer")
    told, whole = diagnose(cluster, "--no-probe", "--as", "rights-viewer"), diagnose(cluster, "--no-probe")
    assert [lie for lie in lies(told, whole) if not is_better(lie)] == []
    causes = {entry["name"]: entry["cause"] for entry in whole["services"] if entry["name"] != "web"}
    assert causes.items() <= {entry["name"]: entry["cause"] for entry in told["services"]}.items()
    assert "nodes" in {gap["resource"] for gap in told["denied"]}
