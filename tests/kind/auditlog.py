"""What a user asked the API server of a kind cluster for, as its audit log has it."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from cluster import Cluster, CommandError

# The API server's names: exec and port-forward are `get` or `create` on a part of a Pod.
PROBES = ("pods/exec", "pods/portforward")


class Request(NamedTuple):
    verb: str
    what: str  # resource or resource/subresource, else a path such as /version
    uri: str

    @property
    def reads(self) -> bool:
        return self.verb in ("get", "list", "watch") and self.what not in PROBES

    @property
    def asks_for_rights(self) -> bool:
        return (self.verb, self.what) == ("create", "selfsubjectaccessreviews")

    @property
    def probes(self) -> bool:
        return self.verb in ("get", "create") and self.what in PROBES

    @property
    def changes_nothing(self) -> bool:
        return "dryRun=All" in self.uri


class Audited(NamedTuple):
    """A cluster seen by somebody who may do everything and is nobody else: what he asks for is all his own."""

    cluster: Cluster
    user: str

    def requests(self) -> list[Request]:
        lines = _inside(self.cluster, "sed", "-n", f"/{self.user}/p", _log_path(self.cluster)).splitlines()
        return [_request(event) for event in map(json.loads, lines) if event["user"]["username"] == self.user]


def audited(cluster: Cluster, directory: Path) -> Audited:
    """With a client certificate of the group that no rule holds back. Fails where the cluster has no audit log."""
    _log_path(cluster)
    user = f"reader-{secrets.token_hex(6)}"
    made = _inside(cluster, "kubeadm", "kubeconfig", "user", "--client-name", user, "--org", "system:masters")
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    config["users"][0]["user"] = yaml.safe_load(made)["users"][0]["user"]
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    environment = {**cluster.environment, "KUBECONFIG": str(kubeconfig)}
    return Audited(replace(cluster, kubeconfig=kubeconfig, environment=environment), user)


def _log_path(cluster: Cluster) -> str:
    """Inside the node, from the API server's flags."""
    found = re.search(
        r"--audit-log-path=(\S+)", _inside(cluster, "cat", "/etc/kubernetes/manifests/kube-apiserver.yaml")
    )
    if not found:
        pytest.fail(
            f"the API server of the kind cluster {cluster.name} writes no audit log: make the cluster from the "
            "configuration in tests/kind/cluster.py, or leave --kind-cluster out, so that the tests make one",
            pytrace=False,
        )
    return found[1]


def _inside(cluster: Cluster, *command: str) -> str:
    node = f"{cluster.name}-control-plane"
    done = subprocess.run(["docker", "exec", node, *command], capture_output=True, encoding="utf-8", timeout=60)
    if done.returncode:
        raise CommandError(f"{' '.join(command)} in {node}: exit code {done.returncode}\n{done.stderr}".strip())
    return done.stdout


def _request(event: Mapping[str, Any]) -> Request:
    asked = event.get("objectRef", {})
    what = "/".join(filter(None, (asked.get("resource"), asked.get("subresource"))))
    return Request(event["verb"], what or event["requestURI"].partition("?")[0], event["requestURI"])
