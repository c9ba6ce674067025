"""CUDA's libraries for paddlepaddle-gpu 2.6, which declares none: they are installed as wheels of their own.

Paddle loads them by names without a version, which those wheels lack. Its own libraries look for others in their folder
(DT_RUNPATH is $ORIGIN), after LD_LIBRARY_PATH and before the system's list. So links there are found however a process
is started. Only an LD_LIBRARY_PATH that names another CUDA has to be changed, and before the process starts.
"""

import importlib.util
import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

# What Paddle loads, and how the versions of CUDA 11.8 and what goes with it begin.
VERSIONS = {
    "libcublas.so": "11.11",
    "libcublasLt.so": "11.11",
    "libcudnn.so": "8",
    "libcufft.so": "10",
    "libcurand.so": "10",
    "libcusolver.so": "11",
    "libcusparse.so": "11",
    "libnccl.so": "2",
    "libnvrtc.so": "11.8",
}
_LIBS = "paddle/libs"


def link(packages: Path) -> None:
    """Makes the links that are missing in site-packages; takes all away where the machine itself has CUDA 11.8."""
    own = _has_its_own([])
    for place, library in _links(packages).items():
        if place.is_symlink() and (own or not place.exists()):
            place.unlink(missing_ok=True)
        if not own:
            with suppress(FileExistsError):
                place.symlink_to(os.path.relpath(library, place.parent))


def prepare(environment: Mapping[str, str]) -> dict[str, str]:
    """Makes links that are missing, as after an installation without make. Loads no paddle.

    Returns:
        LD_LIBRARY_PATH with their folder before all others, if what it is in `environment` names another CUDA first.
    """
    found = importlib.util.find_spec("paddle")
    if found is None or found.origin is None:
        return {}
    packages = Path(found.origin).parents[1]
    places = _links(packages)
    if not all(place.exists() for place in places):
        with suppress(OSError):  # an environment of somebody else, who has to run make install
            link(packages)
    names = {place.name for place in places if place.exists()}
    before = environment.get("LD_LIBRARY_PATH", "")
    folders = [Path(folder) for folder in before.split(os.pathsep) if before]
    first = next((folder for folder in folders if folder.is_dir() and names & set(os.listdir(folder))), None)
    libs = packages / _LIBS
    if first is None or first.samefile(libs) or _has_its_own(folders):
        return {}
    return {"LD_LIBRARY_PATH": f"{libs}{os.pathsep}{before}"}


def _links(packages: Path) -> dict[Path, Path]:
    """Where links should be, and the libraries that they lead to: by their names, and by those without a version."""
    if not any(packages.glob("paddlepaddle_gpu-2.*.dist-info")):  # 3.x finds its libraries itself
        return {}
    libraries = list(packages.glob("nvidia/*/lib/lib*.so*"))
    bare = {packages / _LIBS / (library.name.partition(".so")[0] + ".so"): library for library in libraries}
    return bare | {packages / _LIBS / library.name: library for library in libraries}


def _has_its_own(folders: Iterable[Path]) -> bool:
    """Whether the loader finds all of CUDA 11.8 in these folders or in the system's list."""
    try:
        environment = os.environ | {"PATH": f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin"}
        told = subprocess.run(["ldconfig", "-p"], capture_output=True, env=environment, check=False).stdout
    except OSError:
        told = b""
    # Of a name that comes twice the first one is loaded.
    listed = dict(reversed(re.findall(r"^\s*(\S+\.so) \(.*=> (.+)$", os.fsdecode(told), re.MULTILINE)))
    for name, version in VERSIONS.items():
        path = next((folder / name for folder in folders if (folder / name).exists()), listed.get(name, ""))
        if not f"{os.path.basename(os.path.realpath(path))}.".startswith(f"{name}.{version}."):
            return False
    return True
