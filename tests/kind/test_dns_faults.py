"""Faults of CoreDNS, which serves names to the whole cluster: one at a time, each undone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluster import Cluster
from reported import AGNHOST, SHOP, codes, diagnose, healthy, service, shared_fault, shop, until


def test_dns_is_asked_at_coredns_where_no_pod_has_a_shell(healthy_cluster: Cluster) -> None:
    with shop(healthy_cluster, "f-distroless", image="svcdoctor/agnhost-distroless:2.57") as namespace:
        _, report = diagnose(healthy_cluster, "-n", namespace)
        dns = next(step for step in service(report, namespace, "web")["steps"] if step["step"] == "dns")
        assert dns["status"] == "pass" and "CoreDNS" in dns["message"]


def test_coredns_scaled_to_zero(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    with shop(healthy_cluster, "f-coredns-down") as namespace:
        kubectl("-n", "kube-system", "scale", "deployment/coredns", "--replicas=0")
        try:
            report = until(
                healthy_cluster,
                lambda code, found: code == 1 and "dns-coredns-down" in codes(found["cluster"]["findings"], "fail"),
                "-n",
                namespace,
            )
            assert service(report, namespace, "web")["cause"] is None, "a fault that all share is said once"
        finally:
            kubectl("-n", "kube-system", "scale", "deployment/coredns", "--replicas=2")
            kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
        until(healthy_cluster, healthy, "-n", namespace)


def test_kube_dns_selects_nothing(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    kubectl("-n", "kube-system", "set", "selector", "service", "kube-dns", "k8s-app=coredns")
    try:
        until(
            healthy_cluster,
            lambda code, found: "dns-kubedns-no-endpoints" in codes(found["cluster"]["findings"], "fail"),
            "-A",
        )
    finally:
        kubectl("-n", "kube-system", "set", "selector", "service", "kube-dns", "k8s-app=kube-dns")
    until(healthy_cluster, healthy, "-A")


def test_the_corefile_answers_for_a_service(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    with shop(healthy_cluster, "f-corefile") as namespace:
        config = json.loads(kubectl("-n", "kube-system", "get", "configmap", "coredns", "-o", "json"))["data"][
            "Corefile"
        ]
        rule = f"template ANY ANY web.{namespace}.svc.cluster.local {{\n        rcode NXDOMAIN\n    }}\n    kubernetes "
        try:
            configure_coredns(healthy_cluster, config.replace("kubernetes ", rule, 1))
            report = until(
                healthy_cluster,
                lambda code, found: service(found, namespace, "web")["cause"] == "dns-corefile-override",
                "-n",
                namespace,
            )
            cause = service(report, namespace, "web")["findings"][0]
            assert any("template" in item["value"] for item in cause["evidence"]), "the rule is quoted"
        finally:
            configure_coredns(healthy_cluster, config)
        until(healthy_cluster, healthy, "-A")


def configure_coredns(cluster: Cluster, corefile: str) -> None:
    patch = json.dumps({"data": {"Corefile": corefile}})
    cluster.kubectl("-n", "kube-system", "patch", "configmap", "coredns", "--type=merge", "-p", patch)
    cluster.kubectl("-n", "kube-system", "rollout", "restart", "deployment/coredns")
    cluster.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")


def corefile_of(cluster: Cluster) -> str:
    config = json.loads(cluster.kubectl("-n", "kube-system", "get", "configmap", "coredns", "-o", "json"))
    text: str = config["data"]["Corefile"]
    return text


@contextmanager
def corefile(cluster: Cluster, text: str, *, restart: bool = True, healed: tuple[str, ...] = ("-A",)) -> Iterator[None]:
    """CoreDNS with another configuration, which new Pods of it may refuse."""
    before = corefile_of(cluster)
    write = ("-n", "kube-system", "patch", "configmap", "coredns", "--type=merge", "-p")
    try:
        cluster.kubectl(*write, json.dumps({"data": {"Corefile": text}}))
        if restart:
            cluster.kubectl("-n", "kube-system", "rollout", "restart", "deployment/coredns")
        yield
    finally:
        configure_coredns(cluster, before)
        until(cluster, healthy, *healed)


def test_the_corefile_is_refused_by_new_pods_of_coredns(healthy_cluster: Cluster) -> None:
    with corefile(healthy_cluster, corefile_of(healthy_cluster).replace("cache 30", "cahce 30")):
        report = until(healthy_cluster, certain("dns-corefile-invalid"), "-A")
    cause = finding(report, "dns-corefile-invalid")
    assert any("cahce 30" in item["value"] for item in cause["evidence"]), "the line is quoted"


def test_coredns_serves_another_zone_than_pods_search(healthy_cluster: Cluster) -> None:
    text = corefile_of(healthy_cluster)
    assert "kubernetes cluster.local" in text
    with shop(healthy_cluster, "f-zone") as namespace:
        with corefile(healthy_cluster, text.replace("kubernetes cluster.local", "kubernetes k8s.example")):
            report = until(
                healthy_cluster,
                lambda _, found: service(found, namespace, "web")["cause"] == "dns-corefile-zone-wrong",
                "-n",
                namespace,
            )
        assert "k8s.example" in service(report, namespace, "web")["headline"]


def test_coredns_asks_itself(healthy_cluster: Cluster) -> None:
    text = corefile_of(healthy_cluster).replace("forward . /etc/resolv.conf", "forward . 127.0.0.1")
    with corefile(healthy_cluster, text):
        shared_fault(healthy_cluster, "dns-loop", "fail", "warn")


def test_coredns_may_not_read_slices(healthy_cluster: Cluster) -> None:
    """The Pods that run go on with what they know; one that is made anew becomes ready only once it has read them."""
    kubectl = healthy_cluster.kubectl
    role = json.loads(kubectl("get", "clusterrole", "system:coredns", "-o", "json"))
    rules: list[dict[str, Any]] = role["rules"]
    fewer = [rule for rule in rules if "discovery.k8s.io" not in rule["apiGroups"]]
    assert fewer != rules
    kubectl("patch", "clusterrole", "system:coredns", "--type=merge", "-p", json.dumps({"rules": fewer}))
    try:
        kubectl("-n", "kube-system", "rollout", "restart", "deployment/coredns")
        shared_fault(healthy_cluster, "dns-coredns-rbac")
    finally:
        kubectl("patch", "clusterrole", "system:coredns", "--type=merge", "-p", json.dumps({"rules": rules}))
        kubectl("-n", "kube-system", "rollout", "restart", "deployment/coredns")
        kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
    until(healthy_cluster, healthy, "-A")


def test_kube_dns_has_no_port_for_udp(healthy_cluster: Cluster) -> None:
    """The remedy, as it is printed, gives it back."""
    kubectl = healthy_cluster.kubectl
    ports = json.loads(kubectl("-n", "kube-system", "get", "service", "kube-dns", "-o", "json"))["spec"]["ports"]
    place = next(index for index, port in enumerate(ports) if port["protocol"] == "UDP")
    patch = [{"op": "remove", "path": f"/spec/ports/{place}"}]
    kubectl("-n", "kube-system", "patch", "service", "kube-dns", "--type=json", "-p", json.dumps(patch))
    report = until(healthy_cluster, certain("dns-kubedns-svc-missing-port"), "-A")
    healthy_cluster.sh(finding(report, "dns-kubedns-svc-missing-port")["remedies"][0]["command"], "kube-system")
    until(healthy_cluster, healthy, "-A")


NODE_CACHE = """
kind: DaemonSet
apiVersion: apps/v1
metadata: {name: node-local-dns, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: node-local-dns}}
  template:
    metadata: {labels: {k8s-app: node-local-dns}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - {name: node-cache, image: registry.k8s.io/e2e-test-images/agnhost:2.57, args: [no-such-command]}
"""


def test_the_cache_of_the_nodes_does_not_start(healthy_cluster: Cluster) -> None:
    healthy_cluster.kubectl("apply", "-f", "-", input=NODE_CACHE)
    try:
        shared_fault(healthy_cluster, "dns-nodelocal-broken")
    finally:
        healthy_cluster.kubectl("-n", "kube-system", "delete", "daemonset", "node-local-dns", "--timeout=60s")
    until(healthy_cluster, healthy, "-A")


def test_the_kubelet_of_a_node_names_another_server(healthy_cluster: Cluster) -> None:
    """The kubelet says it for some seconds: a Pod keeps the resolv.conf that it was started with."""
    node, other = f"{healthy_cluster.name}-worker2", "10.96.0.99"
    kubectl = healthy_cluster.kubectl
    own = kubectl("-n", "kube-system", "get", "service", "kube-dns", "-o", "jsonpath={.spec.clusterIP}")
    with shop(healthy_cluster, "f-kubelet", placement=f"nodeName: {node}") as namespace:
        again = ("-n", namespace, "replace", "--force", "-f", "-")
        manifest = SHOP % {"image": AGNHOST, "placement": f"nodeName: {node}"}
        tell_pods(node, own, other)
        try:
            kubectl(*again, input=manifest)
            kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
        finally:
            tell_pods(node, other, own)
        report = until(healthy_cluster, certain("dns-kubelet-clusterdns-wrong"), "-n", namespace)
        message = finding(report, "dns-kubelet-clusterdns-wrong")["message"]
        assert node in message and other in message and own in message
        kubectl(*again, input=manifest)
        until(healthy_cluster, healthy, "-n", namespace)


ALIASES = """
kind: Service
apiVersion: v1
metadata: {name: pay}
spec: {type: ExternalName, externalName: api.payments.test}
---
kind: Service
apiVersion: v1
metadata: {name: mail}
spec: {type: ExternalName, externalName: smtp.mailer.test}
"""


def test_coredns_forwards_to_servers_that_are_not_there(healthy_cluster: Cluster) -> None:
    """Nobody listens on that port beside CoreDNS, so that it fails at once with every name of the outside."""
    text = corefile_of(healthy_cluster).replace("forward . /etc/resolv.conf", "forward . 127.0.0.1:9")
    with shop(healthy_cluster, "f-upstream") as namespace:
        healthy_cluster.kubectl("-n", namespace, "apply", "-f", "-", input=ALIASES)
        with corefile(healthy_cluster, text, healed=("-n", "kube-system")):
            report = until(
                healthy_cluster,
                lambda _, found: "dns-upstream-broken" in codes(found["cluster"]["findings"], "warn"),
                "-n",
                namespace,
            )
        assert "127.0.0.1:9" in finding(report, "dns-upstream-broken")["message"]
        assert service(report, namespace, "web")["status"] == "pass", "names of the cluster resolve"


WILDCARD = """
kind: ConfigMap
apiVersion: v1
metadata: {name: resolver}
data:
  Corefile: |
    wild.test:53 {
        template IN A {
            answer "{{ .Name }} 60 IN A 192.0.2.66"
        }
        template IN AAAA {
            rcode NOERROR
        }
    }
    .:53 {
        forward . %(dns)s
    }
---
kind: Pod
apiVersion: v1
metadata: {name: resolver, labels: {app: resolver}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: coredns
      image: %(image)s
      imagePullPolicy: IfNotPresent
      args: [-conf, /etc/coredns/Corefile]
      volumeMounts: [{name: config, mountPath: /etc/coredns}]
  volumes: [{name: config, configMap: {name: resolver}}]
---
kind: Service
apiVersion: v1
metadata: {name: resolver}
spec:
  selector: {app: resolver}
  ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
"""
SEARCHING = """
kind: Pod
apiVersion: v1
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  dnsPolicy: None
  dnsConfig:
    nameservers: [%(resolver)s]
    searches: [%(searches)s]
    options: [{name: ndots, value: "5"}]
  containers:
    - {name: client, image: registry.k8s.io/e2e-test-images/agnhost:2.57, imagePullPolicy: IfNotPresent, args: [pause]}
"""


def test_a_search_domain_answers_every_name(healthy_cluster: Cluster) -> None:
    """A name server of its own, which has a wildcard record; nothing of the cluster is changed."""
    kubectl = healthy_cluster.kubectl
    system = ("-n", "kube-system", "get")
    dns = kubectl(*system, "service", "kube-dns", "-o", "jsonpath={.spec.clusterIP}")
    image = kubectl(*system, "deployment", "coredns", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    code = "dns-search-wildcard-hijack"
    with shop(healthy_cluster, "f-wildcard") as namespace:
        inside = f"{namespace}.svc.cluster.local, svc.cluster.local, cluster.local"
        apply = ("-n", namespace, "apply", "-f", "-")
        kubectl(*apply, input=WILDCARD % {"dns": dns, "image": image})
        kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/resolver", "--timeout=60s")
        resolver = kubectl("-n", namespace, "get", "service", "resolver", "-o", "jsonpath={.spec.clusterIP}")
        asked = ("-n", namespace, "web", "--from", "client")

        def ask_from(searches: str) -> None:
            kubectl("-n", namespace, "delete", "pod", "client", "--ignore-not-found", "--timeout=60s")
            kubectl(*apply, input=SEARCHING % {"resolver": resolver, "searches": searches})
            kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s")

        ask_from(inside)
        until(healthy_cluster, lambda status, _: status == 0, *asked)
        ask_from(f"{inside}, wild.test")
        until(healthy_cluster, lambda _, found: code in codes(found["cluster"]["findings"], "fail"), *asked)
        ask_from(f"wild.test, {inside}")
        until(healthy_cluster, lambda _, found: service(found, namespace, "web")["cause"] == code, *asked)


def tell_pods(node: str, before: str, after: str) -> None:
    """Have the kubelet of a node write another name server into the resolv.conf of its Pods."""
    file = "/var/lib/kubelet/config.yaml"
    script = f"sed -i 's/^- {before}$/- {after}/' {file} && grep -q '^- {after}$' {file} && systemctl restart kubelet"
    subprocess.run(["docker", "exec", node, "sh", "-c", script], check=True, capture_output=True, timeout=60)


CALLER = """
kind: Pod
apiVersion: v1
metadata: {name: caller}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: caller
      image: registry.k8s.io/e2e-test-images/agnhost:2.57
      args: [pause]
      env: [{name: PAYMENTS_URL, value: "http://stripe.com"}]
"""


def test_a_namespace_is_called_like_a_domain(healthy_cluster: Cluster) -> None:
    kubectl = healthy_cluster.kubectl
    with shop(healthy_cluster, "f-shadow") as namespace:
        kubectl("create", "namespace", "com")
        try:
            kubectl("-n", "com", "create", "service", "externalname", "stripe", "--external-name=example.org")
            kubectl("-n", namespace, "apply", "-f", "-", input=CALLER)
            until(
                healthy_cluster,
                lambda _, found: any(
                    "dns-tld-namespace-shadow" in codes(client["findings"], "warn") for client in found["clients"]
                ),
                "-n",
                namespace,
            )
        finally:
            kubectl("delete", "namespace", "com", "--timeout=120s")
    until(healthy_cluster, healthy, "-A")


def certain(code: str) -> Any:
    """Until the report holds it against the cluster, and says that it saw it happen."""
    return lambda _, found: any(
        one["code"] == code and one["status"] in ("fail", "warn") and one["certainty"] == "observed"
        for one in found["cluster"]["findings"]
    )


def finding(report: Any, code: str) -> Any:
    return next(one for one in report["cluster"]["findings"] if one["code"] == code)
