"""A container image of what runs these tests: this Python, the libraries it is linked to, svcdoctor and what it needs.

No registry is asked and nothing is built: the files are those of this machine, packed as `docker save` packs an image,
for `kind load image-archive`. It stands in for the image of deploy/Containerfile, whose base has to be pulled.

    python tests/kind/image.py svcdoctor:test image.tar
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[2]
PYTHON = "opt/python"
PACKAGES = "opt/packages"
LIBRARIES = "opt/lib"
LOADER = re.compile(r"/lib\S*/ld-linux\S*")
# Of the standard library, what a program without a screen or a compiler never imports.
LEFT_OUT = re.compile(
    r"(site-packages|dist-packages|test|idlelib|tkinter|turtledemo|ensurepip|lib2to3|pydoc_data|distutils|config-[^/]*)/"
    r"|lib-dynload/(_tkinter|_test)|.*\.opt-[12]\.pyc$"
)
# Of the official client, two thirds of it: what it imports only for those who ask for it, which svcdoctor never does.
NEVER_IMPORTED = re.compile(r"kubernetes/(aio/|client/api/|client/models/(?!__init__\.py))")
ENVIRONMENT = {
    "PATH": f"/{PYTHON}/bin",
    "PYTHONHOME": f"/{PYTHON}",
    "PYTHONPATH": f"/{PACKAGES}",
    "LD_LIBRARY_PATH": f"/{LIBRARIES}",
    "PYTHONUNBUFFERED": "1",
}
Files = dict[str, Path]


def build(tag: str, archive: Path) -> None:
    """Write an image of one layer, as an archive that docker and containerd load."""
    layer = archive.with_suffix(".layer")
    _pack(_files(), layer)
    layer_digest = _digest(layer)
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {
            "Entrypoint": [f"/{PYTHON}/bin/python", "-m", "svcdoctor"],
            "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
            "User": "65532:65532",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
    }
    content = json.dumps(config).encode()
    name = f"{hashlib.sha256(content).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [f"docker.io/library/{tag}"], "Layers": [f"{layer_digest}.tar"]}]
    with tarfile.open(archive, "w") as tar:
        tar.add(layer, f"{layer_digest}.tar")
        for path, data in ((name, content), ("manifest.json", json.dumps(manifest).encode())):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    layer.unlink()


def _files() -> Files:
    """Path in the image -> file here."""
    interpreter = Path(sys.executable).resolve()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    files = {f"{PYTHON}/bin/python": interpreter}
    files |= _tree(Path(sysconfig.get_path("stdlib")), f"{PYTHON}/lib/{version}")
    for name in _needed():
        found = distribution(name)
        for path in found.files or ():
            here = Path(str(path.locate()))
            if ".." not in path.parts and not NEVER_IMPORTED.match(str(path)) and here.is_file():
                files[f"{PACKAGES}/{path}"] = here
    files |= _tree(REPOSITORY / "svcdoctor", f"{PACKAGES}/svcdoctor")
    return files | _libraries(files.values(), interpreter)


def _tree(root: Path, place: str) -> Files:
    files = ((path.relative_to(root), path) for path in root.rglob("*") if path.is_file())
    return {f"{place}/{name}": path for name, path in files if not LEFT_OUT.match(str(name))}


def _needed() -> Iterator[str]:
    """The distributions that svcdoctor depends on, and theirs."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting, seen = list(project["dependencies"]), set()
    while waiting:
        wanted = Requirement(waiting.pop())
        applies = wanted.marker is None or any(
            wanted.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)
        )
        if applies and wanted.name not in seen:
            seen.add(wanted.name)
            yield wanted.name
            waiting += distribution(wanted.name).requires or []


def _libraries(files: Iterable[Path], interpreter: Path) -> Files:
    """What the interpreter and the extension modules are linked to, and the loader where the kernel looks for it."""
    linked = [str(interpreter), *(str(path) for path in files if ".so" in path.suffixes)]
    said = subprocess.run(["ldd", *linked], capture_output=True, encoding="utf-8").stdout
    found = {Path(path) for path in re.findall(r"=> (/\S+)", said)}
    loaders = {match[0]: Path(match[0]) for match in LOADER.finditer(said)}
    return {f"{LIBRARIES}/{path.name}": path for path in found} | {
        name.removeprefix("/"): path for name, path in loaders.items()
    }


def _pack(files: Files, layer: Path) -> None:
    with tarfile.open(layer, "w") as tar:
        parents = {str(parent) for name in files for parent in Path(name).parents}
        for name in sorted({*parents, "tmp"} - {"."}):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(directory)
        for name in sorted(files):
            entry = tar.gettarinfo(files[name].resolve(), name)
            entry.uid = entry.gid = 0
            entry.mode |= 0o444 | (0o111 if entry.mode & 0o100 else 0)
            # A second name of the same file would be a link to the path it has here.
            entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", files[name].stat().st_size
            with open(files[name], "rb") as file:
                tar.addfile(entry, file)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]))
