"""A kind cluster as the tests use it: how one is made, and the commands that run on it."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from svcdoctor.objects import RESOURCES

CLUSTER_NAME = "svcdoctor-test"
REPOSITORY = Path(__file__).parents[2]
BUILT_IN_GROUPS = ("networking.k8s.io", "apiregistration.k8s.io")
# Each with an audit log, for what proves that nothing is written. kubeadm's configuration writes flags in two ways.
KIND_CONFIG = """\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
  extraMounts:
  - {hostPath: %(directory)s, containerPath: /etc/kubernetes/audit, readOnly: true}
  kubeadmConfigPatches:
  - |
    kind: ClusterConfiguration
    apiVersion: kubeadm.k8s.io/v1beta4
    apiServer:
      extraArgs:
      - {name: audit-policy-file, value: /etc/kubernetes/audit/policy.yaml}
      - {name: audit-log-path, value: /var/log/kubernetes/audit.log}
      extraVolumes:
      - {name: audit, hostPath: /etc/kubernetes/audit, mountPath: /etc/kubernetes/audit, pathType: Directory}
      - {name: log, hostPath: /var/log/kubernetes, mountPath: /var/log/kubernetes, pathType: DirectoryOrCreate}
  - |
    kind: ClusterConfiguration
    apiVersion: kubeadm.k8s.io/v1beta3
    apiServer:
      extraArgs:
        audit-policy-file: /etc/kubernetes/audit/policy.yaml
        audit-log-path: /var/log/kubernetes/audit.log
      extraVolumes:
      - {name: audit, hostPath: /etc/kubernetes/audit, mountPath: /etc/kubernetes/audit, pathType: Directory}
      - {name: log, hostPath: /var/log/kubernetes, mountPath: /var/log/kubernetes, pathType: DirectoryOrCreate}
- role: worker
- role: worker
"""
# Everybody but the cluster itself, without the bodies.
AUDIT_POLICY = """\
kind: Policy
apiVersion: audit.k8s.io/v1
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:kube-proxy"]
- level: None
  userGroups: ["system:nodes", "system:serviceaccounts"]
- level: Metadata
"""


class CommandError(Exception):
    """A command that failed, with what it printed."""


@dataclass(frozen=True, slots=True)
class Cluster:
    name: str
    kubeconfig: Path
    environment: Mapping[str, str]
    """What a shell needs to work on the cluster: KUBECONFIG, and a PATH that has kubectl."""

    def kubectl(self, *args: str, input: str | None = None, timeout: float = 180) -> str:
        """What kubectl prints; CommandError when it fails."""
        return self._checked(["kubectl", *args], input, timeout)

    def sh(self, script: str, namespace: str, timeout: float = 180) -> str:
        """What a shell script prints that runs with $NS; CommandError when a command of it fails."""
        return self._checked(["bash", "-euo", "pipefail", "-c", script], None, timeout, {"NS": namespace})

    def svcdoctor(self, *args: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """A run of svcdoctor as a person would start it, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "svcdoctor", *args],
            cwd=REPOSITORY,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
        )

    def _checked(
        self, command: list[str], input: str | None, timeout: float, variables: Mapping[str, str] | None = None
    ) -> str:
        done = subprocess.run(
            command,
            env={**self.environment, **(variables or {})},
            input=input or "",
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
        )
        if done.returncode:
            raise CommandError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".strip())
        return done.stdout


def create(kubeconfig: Path) -> None:
    """A cluster whose API server writes an audit log."""
    audit = kubeconfig.parent / "audit"
    audit.mkdir()
    (audit / "policy.yaml").write_text(AUDIT_POLICY, encoding="utf-8")
    image = os.environ.get("KIND_NODE_IMAGE")
    kind(
        *("create", "cluster", "--name", CLUSTER_NAME, "--kubeconfig", str(kubeconfig)),
        *("--config", "-", "--wait", "150s", *(["--image", image] if image else [])),
        input=KIND_CONFIG % {"directory": json.dumps(str(audit))},
    )


# Names of the world outside that suites and manifests use. Where the tests run, nobody may be there to ask for them.
OUTSIDE = "example.com example.org api.example.com db.example.com ledger.example.com cart.example.com kubernetes.io"


def know_outside_names(cluster: Cluster) -> None:
    """Let CoreDNS answer for OUTSIDE; it reads its configuration again within a minute."""
    config = json.loads(cluster.kubectl("-n", "kube-system", "get", "configmap", "coredns", "-o", "json"))
    text: str = config["data"]["Corefile"]
    if OUTSIDE in text:
        return
    hosts = f"    hosts {{\n        192.0.2.7 {OUTSIDE}\n        fallthrough\n    }}\n"
    patch = json.dumps({"data": {"Corefile": text.replace("    kubernetes ", f"{hosts}    kubernetes ", 1)}})
    cluster.kubectl("-n", "kube-system", "patch", "configmap", "coredns", "--type=merge", "-p", patch)


def permissive_crds() -> str:
    """A List of CustomResourceDefinitions for every kind of another project that a check may read.

    They accept any content, and status as a part of the object: no controller is there to write it.
    """
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}}
    definitions = [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{resource.plural}.{resource.group}",
                "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
            },
            "spec": {
                "group": resource.group,
                "names": {"plural": resource.plural, "singular": resource.kind.lower(), "kind": resource.kind},
                "scope": "Namespaced" if resource.namespaced else "Cluster",
                "versions": [{"name": resource.version, "served": True, "storage": True, "schema": schema}],
            },
        }
        for resource in RESOURCES.values()
        if resource.optional and resource.group not in BUILT_IN_GROUPS
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions})


def why_missing() -> str | None:
    """Why no kind cluster can be had on this machine; None when one can."""
    if shutil.which("kind") is None:
        return "kind is not on PATH"
    if shutil.which("docker") is None:
        return "docker is not on PATH"
    engine = subprocess.run(["docker", "version"], capture_output=True, encoding="utf-8", timeout=60)
    return f"no Docker engine answers: {engine.stderr.strip()}" if engine.returncode else None


def kind(*args: str, input: str = "") -> str:
    done = subprocess.run(["kind", *args], input=input, capture_output=True, encoding="utf-8", timeout=600)
    if done.returncode:
        raise CommandError(f"kind {' '.join(args)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".strip())
    return done.stdout


def environment_of(name: str, kubeconfig: Path, directory: Path) -> dict[str, str]:
    """This process's environment for the cluster; where kubectl is missing, one that asks the control plane for it."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "NO_COLOR": "1", "PYTHONUTF8": "1"}
    if shutil.which("kubectl") is None:
        kubectl = directory / "kubectl"
        inside = f"docker exec -i {name}-control-plane kubectl --kubeconfig /etc/kubernetes/admin.conf"
        kubectl.write_text(f'#!/bin/sh\nexec {inside} "$@"\n', encoding="utf-8")
        kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
        environment["PATH"] = f"{directory}{os.pathsep}{os.environ['PATH']}"
    return environment
