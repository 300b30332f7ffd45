"""A real cluster for the tests in this directory: made by kind for the session, or a running one by --kind-cluster.

    pytest tests/kind                       makes the cluster, and deletes it at the end
    pytest tests/kind --kind-cluster dev    uses `dev` and leaves it; the namespaces of the tests are deleted

Without kind or a Docker engine the tests are skipped, or fail where SVCDOCTOR_REQUIRE_KIND=1 says that they must run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cluster import (
    CLUSTER_NAME,
    Cluster,
    create,
    environment_of,
    kind,
    know_outside_names,
    permissive_crds,
    why_missing,
)
from reported import healthy, until

# Ten minutes long, and hard on the cluster: `make soak`.
collect_ignore = [] if os.environ.get("SVCDOCTOR_SOAK") else ["test_chaos_live.py"]


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    missing = why_missing()
    if missing and os.environ.get("SVCDOCTOR_REQUIRE_KIND") == "1":
        pytest.fail(f"SVCDOCTOR_REQUIRE_KIND=1, but {missing}", pytrace=False)
    if missing:
        pytest.skip(missing)
    directory = tmp_path_factory.mktemp("kind")
    kubeconfig = directory / "kubeconfig"
    running: str | None = request.config.getoption("--kind-cluster")
    if running:
        kubeconfig.write_text(kind("get", "kubeconfig", "--name", running), encoding="utf-8")
        found = Cluster(running, kubeconfig, environment_of(running, kubeconfig, directory))
        found.kubectl("apply", "-f", "-", input=permissive_crds())
        know_outside_names(found)
        yield found
        return
    kind("delete", "cluster", "--name", CLUSTER_NAME, "--kubeconfig", str(kubeconfig))
    try:
        create(kubeconfig)
        made = Cluster(CLUSTER_NAME, kubeconfig, environment_of(CLUSTER_NAME, kubeconfig, directory))
        made.kubectl("apply", "-f", "-", input=permissive_crds())
        know_outside_names(made)
        made.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=150s")
        made.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=150s")
        yield made
    finally:
        kind("delete", "cluster", "--name", CLUSTER_NAME, "--kubeconfig", str(kubeconfig))


@pytest.fixture(scope="module")
def healthy_cluster(cluster: Cluster) -> Cluster:
    until(cluster, healthy, "-A")
    return cluster
