"""Make dist/service-doctor.yaml, the manifest of the krew plugin, with an archive for each zipapp that is in dist/.

Usage: python contrib/build_krew.py URL (make krew URL=...), where URL is the project's page; the archives are expected
below its releases. krew knows no Python versions, so there is one zipapp a platform; nor does it allow `svc` in a name.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import sys
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
PLUGIN = "service-doctor"
BINARY = "svcdoctor.pyz"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
ZIPAPP = re.compile(
    r"svcdoctor-(?P<version>[^-]+)-cp3(?P<minor>\d+)-(?P<system>linux|darwin)-(?P<machine>x86_64|aarch64|arm64)\.pyz"
)


class Zipapp(NamedTuple):
    path: Path
    version: str
    python: str
    system: str  # as Go calls it, and krew
    machine: str


def zipapps(directory: Path) -> list[Zipapp]:
    """One of each platform, that of the newest Python. Raises SystemExit where there is none, or of two versions."""
    found: dict[tuple[str, str], Zipapp] = {}
    matches = [(path, match) for path in directory.glob("*.pyz") if (match := ZIPAPP.fullmatch(path.name))]
    for path, match in sorted(matches, key=lambda entry: int(entry[1]["minor"])):
        platform = match["system"], MACHINES[match["machine"]]
        found[platform] = Zipapp(path, match["version"], f"3.{match['minor']}", *platform)
    if not found:
        raise SystemExit(f"no zipapp in {directory}; run make zipapp on each platform, and put the files there")
    if len({zipapp.version for zipapp in found.values()}) > 1:
        raise SystemExit(f"{directory} holds zipapps of several versions; leave those of one")
    return [found[platform] for platform in sorted(found)]


def archive(zipapp: Zipapp) -> bytes:
    """A tar.gz of the zipapp and the licence; the same input gives the same bytes."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        for name, path, mode in ((BINARY, zipapp.path, 0o755), ("LICENSE", ROOT / "LICENSE", 0o644)):
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def manifest(url: str, built: list[tuple[Zipapp, str, bytes]]) -> dict[str, Any]:
    """The plugin manifest, of (zipapp, name of its archive, bytes of its archive)."""
    version = f"v{built[0][0].version}"
    pythons = sorted({f"python{zipapp.python} ({zipapp.system}/{zipapp.machine})" for zipapp, _, _ in built})
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": PLUGIN},
        "spec": {
            "version": version,
            "homepage": url,
            "shortDescription": "Find out why a Service does not answer",
            "description": (
                "Walks from a Service to its endpoints, labels, ports, names and callers, names the one cause with its "
                "evidence, and gives the command that fixes it. Changes nothing in the cluster. Without arguments it "
                "is a live dashboard."
            ),
            "caveats": f"Needs on the PATH, by platform: {', '.join(pythons)}.",
            "platforms": [
                {
                    "selector": {"matchLabels": {"os": zipapp.system, "arch": zipapp.machine}},
                    "uri": f"{url}/releases/download/{version}/{name}",
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "files": [{"from": BINARY, "to": "."}, {"from": "LICENSE", "to": "."}],
                    "bin": BINARY,
                }
                for zipapp, name, content in built
            ],
        },
    }


def build(url: str, directory: Path = DIST) -> Path:
    built = []
    for zipapp in zipapps(directory):
        name = f"{PLUGIN}_{zipapp.system}_{zipapp.machine}.tar.gz"
        content = archive(zipapp)
        (directory / name).write_bytes(content)
        built.append((zipapp, name, content))
    file = directory / f"{PLUGIN}.yaml"
    file.write_text(yaml.safe_dump(manifest(url, built), sort_keys=False), encoding="utf-8")
    return file


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].startswith("https://"):
        raise SystemExit("usage: make krew URL=https://...   (the project's page, with its releases below it)")
    print(build(sys.argv[1].rstrip("/")))
