"""Apply demo/shop.yaml to the current kind cluster, wait until it has settled, and record it for `svcdoctor demo`.

Usage: python demo/record.py [CONTEXT]. Needs kubectl. Writes svcdoctor/demo.json.gz.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from svcdoctor.collect import collect
from svcdoctor.diagnose import Scope
from svcdoctor.finding import Diagnosis, Status
from svcdoctor.kube import Cluster, ConnectOptions
from svcdoctor.report import text

HERE = Path(__file__).parent
RECORDING = HERE.parent / "svcdoctor" / "demo.json.gz"
EXPECTED = {
    "shop/cart": "selector-value-mismatch",
    "shop/catalog": "pods-not-ready-probe",
    "shop/search": "slice-ports-empty",
    "shop/recommend": "pods-image-pull",
    "shop/mailer": "workload-scaled-zero",
    "shop/checkout": "pods-crashloop",
    "shop/orders": "selector-value-mismatch",
    "shop/mainframe": "extname-ip-literal",
    "shop-prod/db": "sec-db-public",
}
MINUTES = 4
NAMESPACES = ("", "default", "kube-system", "payments", "shop", "shop-prod")


def main() -> None:
    context = sys.argv[1] if len(sys.argv) > 1 else None
    chosen = ["--context", context] if context else []
    subprocess.run(["kubectl", *chosen, "apply", "-f", str(HERE / "shop.yaml")], check=True)
    cluster = Cluster.connect(ConnectOptions(context=context))
    ends = time.monotonic() + MINUTES * 60
    while True:
        collected = collect(cluster, Scope())
        if has_settled(collected.diagnosis):
            break
        if time.monotonic() > ends:
            sys.exit(text.render(collected.diagnosis) + f"\nnot settled within {MINUTES} minutes")
        time.sleep(5)
    collected.world.context = "demo"
    RECORDING.write_bytes(gzip.compress(of_the_demo(collected.world.record()), mtime=0))
    print(text.render(collected.diagnosis))
    print(f"{RECORDING}: {RECORDING.stat().st_size} bytes")


def of_the_demo(recording: bytes) -> bytes:
    """The recording without what else the cluster happens to hold."""
    parts = msgspec.json.decode(recording)
    for table in parts["objects"].values():
        table["items"] = [item for item in table["items"] if item["metadata"].get("namespace", "") in NAMESPACES]
    parts["lookups"] = {name: said for name, said in parts["lookups"].items() if name in NAMESPACES}
    return msgspec.json.encode(parts)


def has_settled(diagnosis: Diagnosis) -> bool:
    services = [entry for entry in diagnosis.services if entry.namespace in NAMESPACES]
    causes = {f"{entry.namespace}/{entry.name}": entry.cause for entry in services if entry.cause}
    restless = any(entry.status is Status.UNKNOWN for entry in services)
    return causes == EXPECTED and not restless


if __name__ == "__main__":
    main()
