"""The command that changes what a workload is configured with, for each place in which a setting may stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

from svcdoctor.clients.settings import Setting
from svcdoctor.finding import Remedy
from svcdoctor.pods.template import Template
from svcdoctor.text import patch_command, quoted_json

# What a text becomes, or None where what is to be changed is not in it.
Change = Callable[[str], str | None]
# A whole setting is shown only where nothing in it looks like a password.
_PRIVATE = re.compile(r"@|passw|pwd|secret|token|api.?key|\bauth", re.IGNORECASE)
_LONGEST = 400


def corrected(template: Template, setting: Setting, change: Change, what: str) -> Remedy:
    """The change as one command, where it can be written as one; else the object to edit."""
    kind, name, namespace = template.kind.lower(), template.name, template.namespace
    value = None if _PRIVATE.search(setting.text) else change(setting.text)
    if setting.env and value is not None and kind not in ("pod", "job"):
        assignment = shlex.quote(f"{setting.env}={value}")
        command = f"kubectl -n {namespace} set env {kind}/{name} -c {setting.container} {assignment}"
        return Remedy(f"{what} in {setting.env}", command)
    if setting.key and value is not None:
        patch = patch_command(namespace, f"configmap {setting.config}", {"data": {setting.key: value}})
        return Remedy(f"{what} in configmap {setting.config}", f"{patch}{_restart(template)}")
    if setting.config:
        return Remedy(f"{what} in it", f"kubectl -n {namespace} edit configmap {setting.config}")
    command = _command(template, setting, change)
    return Remedy(what, command or f"kubectl -n {namespace} edit {kind} {name}")


def _restart(template: Template) -> str:
    """Variables are read when a Pod starts."""
    if template.kind not in ("Deployment", "StatefulSet", "DaemonSet"):
        return ""
    return f" && kubectl -n {template.namespace} rollout restart {template.ref}"


def pod_path(template: Template) -> str:
    """Where the Pod's spec stands in its owner, as a JSON pointer."""
    return {"Pod": "/spec", "CronJob": "/spec/jobTemplate/spec/template/spec"}.get(template.kind, "/spec/template/spec")


def strategic_patch(template: Template, spec: dict[str, object]) -> str:
    """The command that changes fields of its Pods' spec; "" where the kind does not let them be changed."""
    if template.kind in ("Pod", "Job"):
        return ""
    patch: object = spec
    for field in reversed(pod_path(template).strip("/").split("/")):
        patch = {field: patch}
    return f"kubectl -n {template.namespace} patch {template.kind.lower()} {template.name} -p {quoted_json(patch)}"


def _command(template: Template, setting: Setting, change: Change) -> str:
    """A patch of the one word of a command or of the arguments that holds it."""
    if template.kind in ("Pod", "Job"):
        return ""
    spec = template.spec
    for field, containers in (("containers", spec.containers), ("initContainers", spec.init_containers)):
        for index, container in enumerate(containers or ()):
            for part, line in (("command", container.command), ("args", container.args)):
                for place, word in enumerate(line or () if container.name == setting.container else ()):
                    value = change(word)
                    if value is None or len(word) > _LONGEST or _PRIVATE.search(word):
                        continue
                    path = f"{pod_path(template)}/{field}/{index}/{part}/{place}"
                    patch = [{"op": "replace", "path": path, "value": value}]
                    return patch_command(template.namespace, f"{template.kind.lower()} {template.name}", patch)
    return ""


def with_host(old: str, new: str) -> Change:
    """Another host in the place of one; user names and paths are left alone."""
    pattern = re.compile(rf"(?<![\w.@/-])(//)?{re.escape(old)}(?=[:/,?;\s\"')]|$)(?!://)")

    def change(text: str) -> str | None:
        changed = pattern.sub(lambda match: (match.group(1) or "") + new, text)
        return changed if changed != text else None

    return change
