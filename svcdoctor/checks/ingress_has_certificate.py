"""Is the certificate there that an Ingress names?

ingress-tls-secret
    An Ingress names a Secret for TLS that its namespace does not have.
    Why it breaks      Without the Secret the controller serves a certificate of its own making ("Kubernetes Ingress
                       Controller Fake Certificate"), or none for that host: browsers and clients refuse it. An Ingress
                       reads Secrets of its own namespace only.
    Confirm by hand    kubectl -n {namespace} get secret; kubectl -n {namespace} describe ingress
    Fix                Create it (kubectl -n {namespace} create secret tls NAME --cert=FILE --key=FILE), copy it from
                       the namespace that has it, or see why cert-manager has not issued it.
    Not a fault when   cert-manager is about to issue it. What is in the Secret is never read: whether it is of type
                       kubernetes.io/tls, valid and for that host is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from svcdoctor.case import Case
from svcdoctor.check import Check, Code
from svcdoctor.entry.entrypoint import ENTRY_RESOURCES
from svcdoctor.finding import Evidence, Finding, Remedy, Stage, Step, warn
from svcdoctor.objects import Ingress, IngressTLS, Secret
from svcdoctor.text import edit_distance, listing, patch_command

CHECK = Check(
    step=Step.ENTRY,
    codes={"ingress-tls-secret": Code(Stage.ENTRY, settles=False)},
    reads=(*ENTRY_RESOURCES, "secrets"),
)
ISSUE_SECONDS = 300.0  # cert-manager needs about a minute to be believed by an issuer
ISSUERS = ("cert-manager.io/", "acme.cert-manager.io/", "kubernetes.io/tls-acme", "cert.gardener.cloud/")


def run(case: Case) -> Iterator[Finding]:
    entries = case.or_without(lambda: case.entries, [])
    for ingress in [entry.owner for entry in entries if isinstance(entry.owner, Ingress)]:
        named = [entry for entry in ingress.spec.tls or () if entry.secret_name]
        # Most viewers may not list Secrets; then nothing is said of them.
        secrets: Mapping[str, Secret] | None = case.or_without(lambda: case.listed("secrets"), None) if named else None
        if secrets is None:
            continue
        for index, entry in enumerate(ingress.spec.tls or ()):
            if entry.secret_name and entry.secret_name not in secrets and not _is_being_issued(case, ingress):
                yield _missing(case, ingress, index, entry, secrets)


def _issuer(ingress: Ingress) -> str:
    keys = ingress.metadata.annotations or {}
    return next((key for key in sorted(keys) if key.startswith(ISSUERS)), "")


def _is_being_issued(case: Case, ingress: Ingress) -> bool:
    return bool(_issuer(ingress)) and case.is_younger(ingress.metadata.creation_timestamp, ISSUE_SECONDS)


def _missing(case: Case, ingress: Ingress, index: int, entry: IngressTLS, secrets: Mapping[str, Secret]) -> Finding:
    name, ref, issuer = entry.secret_name, f"ingress/{ingress.metadata.name}", _issuer(ingress)
    hosts = listing(entry.hosts or []) or "every host"
    near = sorted(
        (other for other in secrets if edit_distance(name, other) < 3), key=lambda one: edit_distance(name, one)
    )
    item = f"ingress {ingress.metadata.name}"
    if near:
        patch = [{"op": "replace", "path": f"/spec/tls/{index}/secretName", "value": near[0]}]
        remedy = Remedy(f"name {near[0]}", patch_command(case.namespace, item, patch))
    elif issuer:
        command = f"kubectl -n {case.namespace} describe certificate,certificaterequest,order"
        remedy = Remedy("see why the certificate has not been issued", command, changes_cluster=False)
    else:
        command = f"kubectl -n {case.namespace} create secret tls {name} --cert=FILE --key=FILE"
        remedy = Remedy("create the Secret", command)
    return warn(
        "ingress-tls-secret",
        case.subject,
        f"{ref} leads here over TLS for {hosts}, and its Secret {name} does not exist: clients get another certificate",
        Evidence("Secret", name, f"{ref} .spec.tls[{index}].secretName"),
        Evidence("nearest", listing(near) or "none", f"secrets of namespace {case.namespace}, by name only"),
        *(
            [Evidence("issuer", "asked to issue it, and has not", f"{ref} .metadata.annotations[{issuer}]")]
            if issuer
            else []
        ),
        remedies=(remedy,),
    )
