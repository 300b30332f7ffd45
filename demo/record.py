"""Apply demo/shop.yaml to a kind cluster, heal and break some of it, and record each moment for `svcdoctor demo`.

Usage: python demo/record.py [CONTEXT]. Needs kubectl. Writes svcdoctor/demo.jsonl.xz.
"""

from __future__ import annotations

import lzma
import shlex
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from svcdoctor.cluster.collect import Collected, collect
from svcdoctor.cluster.kube import Cluster, ConnectOptions
from svcdoctor.diagnosis import Scope
from svcdoctor.finding import Diagnosis, Status
from svcdoctor.report import text

HERE = Path(__file__).parent
RECORDING = HERE.parent / "svcdoctor" / "demo.jsonl.xz"
AT_FIRST = {
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
# What a person does, and which causes it takes away (None) or brings.
STEPS: tuple[tuple[str, dict[str, str | None]], ...] = (
    ("set selector service cart app=cart", {"shop/cart": None}),
    ("set selector service orders app=orders,version=v2", {"shop/orders": "slice-ports-empty"}),
    ("scale deployment/web --replicas=0", {"shop/web": "workload-scaled-zero"}),
    ("scale deployment/web --replicas=2", {"shop/web": None}),
    (
        "patch service search --type=json "
        """-p '[{"op":"replace","path":"/spec/ports/0/targetPort","value":"http"}]'""",
        {"shop/search": None},
    ),
)
MINUTES = 4
NAMESPACES = ("", "default", "kube-system", "payments", "shop", "shop-prod")


def main() -> None:
    context = sys.argv[1] if len(sys.argv) > 1 else None
    kubectl = ["kubectl", *(["--context", context] if context else [])]
    subprocess.run([*kubectl, "apply", "-f", str(HERE / "shop.yaml")], check=True)
    cluster = Cluster.connect(ConnectOptions(context=context))
    causes = dict(AT_FIRST)
    moments = [settled(cluster, causes)]
    print(text.render(moments[0].diagnosis))
    for words, changes in STEPS:
        print("kubectl -n shop", words)
        subprocess.run([*kubectl, "-n", "shop", *shlex.split(words)], check=True)
        for name, cause in changes.items():
            causes.pop(name, None)
            if cause:
                causes[name] = cause
        moments.append(settled(cluster, causes))
    lines = []
    for moment in moments:
        moment.world.context = "demo"
        lines.append(of_the_demo(moment.world.record()))
    RECORDING.write_bytes(lzma.compress(b"\n".join(lines), preset=9))
    print(f"{RECORDING}: {len(moments)} moments, {RECORDING.stat().st_size} bytes")


def settled(cluster: Cluster, causes: dict[str, str]) -> Collected:
    """The first look at which these are the causes and nothing is unknown."""
    ends = time.monotonic() + MINUTES * 60
    while True:
        collected = collect(cluster, Scope())
        if has_settled(collected.diagnosis, causes):
            return collected
        if time.monotonic() > ends:
            sys.exit(text.render(collected.diagnosis) + f"\nnot settled within {MINUTES} minutes")
        time.sleep(3)


def of_the_demo(recording: bytes) -> bytes:
    """The recording without what else the cluster happens to hold."""
    parts = msgspec.json.decode(recording)
    for table in parts["objects"].values():
        table["items"] = [item for item in table["items"] if place(item["metadata"]) in NAMESPACES]
    parts["lookups"] = {name: said for name, said in parts["lookups"].items() if name in NAMESPACES}
    return msgspec.json.encode(parts)


def place(metadata: dict[str, str]) -> str:
    """The namespace that an object belongs to; "" for kinds of the whole cluster."""
    return metadata.get("namespace", "")


def has_settled(diagnosis: Diagnosis, wanted: dict[str, str]) -> bool:
    services = [entry for entry in diagnosis.services if entry.namespace in NAMESPACES]
    causes = {f"{entry.namespace}/{entry.name}": entry.cause for entry in services if entry.cause}
    restless = any(entry.status is Status.UNKNOWN for entry in services)
    return causes == wanted and not restless


if __name__ == "__main__":
    main()
