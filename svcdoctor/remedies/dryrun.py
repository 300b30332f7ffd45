"""Whether the API server would take the first fix of each cause: its patches, sent with dryRun=All.

The server admits such a request as it would the real one (validation, webhooks, quotas) and stores nothing. Still it is
a write to whoever watches the audit log, so nobody but a person who asks for it gets here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from svcdoctor.cluster.kube import Cluster, KubeError
from svcdoctor.cluster.parallel import in_parallel
from svcdoctor.finding import Diagnosis, Finding
from svcdoctor.remedies.firstfix import first_fixes, is_fixed_first, with_findings
from svcdoctor.remedies.kubectl import Patch, patches
from svcdoctor.world import World

ACCEPTED = "accepted"
REFUSED = "refused: "
NOT_TRIED = "not tried: "
SECONDS = 10.0  # for one request


def tried_on_server(cluster: Cluster, world: World, diagnosis: Diagnosis) -> Diagnosis:
    """The report with what the server says of each first fix that consists of patches. What it refuses is no longer
    told as one that helps."""
    commands = {fix.cause.remedies[0].command: fix.remedy.command for fix in first_fixes(diagnosis)}
    asked = [(command, sent) for command, line in commands.items() if (sent := patches(line, world.listed_or_nothing))]
    said = {job[0]: answer for job, answer in in_parallel(asked, lambda job: _answer(cluster, job[1]))}

    def told(finding: Finding) -> Finding:
        if not is_fixed_first(finding) or not (answer := said.get(finding.remedies[0].command)):
            return finding
        first, *others = finding.remedies
        holds = not answer.startswith(REFUSED)
        first = replace(first, dry_run=answer, verified=first.verified and holds, then=first.then if holds else "")
        return replace(finding, remedies=(first, *others))

    return with_findings(diagnosis, told)


def _answer(cluster: Cluster, sent: Sequence[Patch]) -> str:
    try:
        if missing := _missing_right(cluster, sent):
            return f"{NOT_TRIED}needs {missing}"
        for patch in sent:
            if refusal := cluster.dry_run(
                patch.resource,
                patch.namespace,
                patch.name,
                patch.body,
                style=patch.style,
                subresource=patch.subresource,
                timeout=SECONDS,
            ):
                # A webhook with side effects, which the server does not call without meaning it.
                unable = "does not support dry run" in refusal
                return f"{NOT_TRIED if unable else REFUSED}{refusal}"
    except KubeError as error:
        return f"{NOT_TRIED}{error.message}"
    return ACCEPTED


def _missing_right(cluster: Cluster, sent: Iterable[Patch]) -> str:
    for patch in sent:
        resource = patch.resource
        if not cluster.may(
            "patch", resource.name, patch.namespace, group=resource.group, subresource=patch.subresource
        ):
            part = f"/{patch.subresource}" if patch.subresource else ""
            where = f" in namespace {patch.namespace}" if patch.namespace else ""
            return f"patch {resource.name}{part}{where}"
    return ""
