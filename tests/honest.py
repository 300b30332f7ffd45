"""What may be said where something could not be seen: nothing but what a complete look says, or `unknown`."""

from __future__ import annotations

from typing import Any

FAULTS = ("fail", "warn")
PARTS = ("services", "missing", "clients")
NOTHING_LACKS = "something is unknown, and nothing is said to be lacking"


def lies(report: dict[str, Any], whole: dict[str, Any]) -> list[str]:
    """What a report says that the one of the healthy server does not bear out; both as `-o json` prints them."""
    found: list[str] = []
    known = {(entry["namespace"], entry["name"]): entry for entry in whole["services"]}
    for entry in report["services"]:
        place = f"{entry['namespace']}/{entry['name']}"
        before = known.get((entry["namespace"], entry["name"]))
        if before is None:
            found.append(f"{place} is not there")
            continue
        unknown = [finding for finding in entry["findings"] if finding["status"] == "unknown"]
        if entry["status"] not in ("unknown", before["status"]) and not (entry["status"] in FAULTS and unknown):
            found.append(f"{place} is {entry['status']}, and {before['status']} when all is seen")
        if entry["status"] == "pass" and before["status"] != "pass":
            found.append(f"{place} passes")
        found += [f"{place} has {fault}" for fault in worse(entry, before)]
        if entry["status"] == "unknown" and not unknown and not report["cluster"]["findings"]:
            found.append(f"{place} is unknown for no reason")
    for part in ("missing", "clients"):
        all_of_them = {"findings": [finding for entry in whole[part] for finding in entry["findings"]]}
        found += [f"{part}: {fault}" for entry in report[part] for fault in worse(entry, all_of_them)]
    # What leads to a Service is told of by itself where it is not seen that it does: the same fault, in another place.
    everything = set().union(*(faults(entry) for part in PARTS for entry in whole[part]))
    told = {*everything, *((code, "warn") for code, _ in everything)}
    found += [f"cluster: {fault}" for fault in worse(report["cluster"], whole["cluster"]) if fault not in told]
    lacking = any(finding["status"] == "unknown" for entry in report["services"] for finding in entry["findings"])
    if lacking and not report["denied"] and not report["unreadable"] and not _settles(report):
        found.append(NOTHING_LACKS)
    return found


def worse(entry: dict[str, Any], before: dict[str, Any]) -> list[tuple[str, str]]:
    """Faults that are new, where nothing as bad was said: a cause that is only told less exactly is none of these."""
    known = faults(before)
    worst = min((FAULTS.index(status) for _, status in known), default=len(FAULTS))
    return sorted(fault for fault in faults(entry) - known if FAULTS.index(fault[1]) < worst)


def faults(entry: dict[str, Any]) -> set[tuple[str, str]]:
    return {(finding["code"], finding["status"]) for finding in entry["findings"] if finding["status"] in FAULTS}


def _settles(report: dict[str, Any]) -> bool:
    return any(
        finding["code"] in ("unknown-settling", "unknown-no-probe-pod")
        for entry in report["services"]
        for finding in entry["findings"]
    )


def is_better(lie: str) -> bool:
    """What leads to a Service or works on its traffic may be out of sight while the Service itself is well."""
    return lie.endswith(" passes") or " is pass, and " in lie or " is warn, and fail " in lie
