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


def link(site_packages: Path) -> None:
    """Makes the links, those that are missing; takes them away where the machine has the whole of CUDA 11.8 itself."""
    libs = site_packages / "paddle/libs"
    own = _has_its_own([])
    for library in site_packages.glob("nvidia/*/lib/lib*.so*"):
        for name in {library.name, library.name.partition(".so")[0] + ".so"}:
            place = libs / name
            if place.is_symlink() and (own or not place.exists()):
                place.unlink()
            if not own and not os.path.lexists(place):
                place.symlink_to(os.path.relpath(library, libs))


def search_path(environment: Mapping[str, str]) -> dict[str, str]:
    """LD_LIBRARY_PATH with the folder of the links before all others, if what it is now names another CUDA first."""
    before = environment.get("LD_LIBRARY_PATH", "")
    found = importlib.util.find_spec("paddle") if before else None
    if found is None or found.origin is None:
        return {}
    libs = Path(found.origin).parent / "libs"
    names = {path.name for path in libs.glob("*.so*") if path.is_symlink()}
    folders = [Path(folder) for folder in before.split(os.pathsep)]
    first = next((folder for folder in folders if folder.is_dir() and names & set(os.listdir(folder))), None)
    if first is None or first.samefile(libs) or _has_its_own(folders):
        return {}
    return {"LD_LIBRARY_PATH": f"{libs}{os.pathsep}{before}"}


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
