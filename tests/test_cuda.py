"""CUDA's libraries beside paddlepaddle-gpu 2.6, on a machine with another CUDA or none."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ds2 import cuda
from tests.documents import ROOT

# Run in a process of its own: Paddle's library that loads those of CUDA, and its own functions for that.
ASK = """
import ctypes, sys
from ctypes import byref, c_int, c_void_p

phi = ctypes.CDLL(sys.argv[1])

def library(name):
    load = phi[f"_ZN3phi7dynload{len(name) + 12}Get{name}DsoHandleEv"]
    load.restype = c_void_p
    return ctypes.CDLL(name, handle=load())

def told(function, *before):
    number = c_int()
    assert function(*before, byref(number)) == 0
    return number.value

blas, sparse, major = library("Cublas"), library("Cusparse"), c_int()
print("cublas", told(blas.cublasGetProperty, 0), told(blas.cublasGetProperty, 1))
print("cublasLt", library("CublasLt").cublasLtGetVersion())
print("cudnn", library("CUDNN").cudnnGetVersion())
print("cufft", told(library("CUFFT").cufftGetVersion))
print("curand", told(library("Curand").curandGetVersion))
print("cusolver", told(library("Cusolver").cusolverGetVersion))
print("cusparse", told(sparse.cusparseGetProperty, 0), told(sparse.cusparseGetProperty, 1))
print("nccl", told(library("NCCL").ncclGetVersion))
print("nvrtc", told(library("NVRTC").nvrtcVersion, byref(major)), "of", major.value)
ctypes.CDLL(sys.argv[1].replace("libphi", "libcudart"))  # tells its version to a driver only
"""
TOLD = {
    "cublas": "11 11",
    "cublasLt": "111103",
    "cudnn": "8600",
    "cufft": "10900",
    "curand": "10300",
    "cusolver": "11401",
    "cusparse": "11 7",
    "nccl": "21605",
    "nvrtc": "8 of 11",
}


def child(*command: str, **environment: str) -> subprocess.CompletedProcess:
    """Python in an environment that names no folder of libraries and no tool of CUDA."""
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=280)


@pytest.fixture
def wheels(tmp_path):
    """Site-packages with the gpu wheel's own libraries and CUDA's wheels, without the links."""
    packages = Path(importlib.util.find_spec("paddle").origin).parents[1]
    if not (packages / "nvidia/cudnn/lib").exists():
        pytest.skip("the wheel for the CPU loads no CUDA")
    (tmp_path / "nvidia").symlink_to(packages / "nvidia")
    (tmp_path / "paddlepaddle_gpu-2.6.2.dist-info").mkdir()
    (tmp_path / "paddle/libs").mkdir(parents=True)
    for library in (packages / "paddle/libs").iterdir():
        if not library.is_symlink():
            (tmp_path / "paddle/libs" / library.name).symlink_to(library)
    return tmp_path


@pytest.mark.wheel
def test_all_of_cuda_is_found_by_the_names_that_paddle_uses(wheels):
    phi = str(wheels / "paddle/libs/libphi.so")
    assert "libcublas.so: cannot open shared object file" in child("-c", ASK, phi).stderr
    cuda.link(wheels)
    done = child("-c", ASK, phi)
    assert done.returncode == 0, done.stderr
    assert dict(line.split(" ", 1) for line in done.stdout.splitlines()) == TOLD


@pytest.mark.wheel
@pytest.mark.usefixtures("wheels")  # for what it skips
def test_paddle_finds_its_cudnn_whatever_cuda_the_user_has_set(tmp_path):
    for name in ("libcudnn.so", "libcublas.so.11"):
        (tmp_path / name).write_text("another CUDA")
    asked = "import paddle; print(paddle.device.get_cudnn_version())"
    assert child("-c", asked).stdout == "8600\n"
    assert child("-c", asked, LD_LIBRARY_PATH=str(tmp_path)).stdout == "None\n"
    begun = f"from ds2 import startup; startup.prepare(); {asked}"
    done = child("-c", begun, LD_LIBRARY_PATH=f"/usr/lib:{tmp_path}", PYTHONPATH=str(ROOT))
    assert done.stdout == "8600\n", done.stderr


def installed(packages: Path, *libraries: str, version: str = "2.6.2") -> Path:
    """Site-packages in which there are, as their wheels have them, Paddle and these libraries."""
    (packages / f"paddlepaddle_gpu-{version}.dist-info").mkdir(parents=True)
    (packages / "paddle/libs").mkdir(parents=True)
    (packages / "paddle/__init__.py").touch()
    (packages / "nvidia/cudnn/lib").mkdir(parents=True)
    for library in libraries:
        (packages / "nvidia/cudnn/lib" / library).touch()
    return packages


def toolkit(folder: Path, **versions: str) -> Path:
    """A CUDA as it is installed on a machine: bare names are links to files with the whole version."""
    folder.mkdir()
    for name, version in cuda.VERSIONS.items():
        whole = f"{name}.{versions.get(name.partition('.')[0], version + '.4.5')}"
        (folder / whole).touch()
        (folder / name).symlink_to(whole)
    return folder


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """listed(folder) puts libraries into the system's list, which is empty otherwise."""
    tool = tmp_path / "bin/ldconfig"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)

    def change(folder: Path) -> None:
        lines = [f"\t{path.name} (libc6,x86-64) => {path}" for path in folder.iterdir()]
        tool.write_text("#!/bin/sh\ncat <<END\n7 libs found\n" + "\n".join(lines) + "\nEND\n")

    return change


def links(packages: Path) -> set[str]:
    return {path.name for path in (packages / "paddle/libs").iterdir()}


def test_a_link_that_is_missing_or_broken_is_made_anew_and_nothing_else_is_touched(tmp_path, listed):
    packages = installed(tmp_path / "packages", "libcudnn.so.8", "libnvrtc-builtins.so.11.8")
    (packages / "paddle/libs/libphi.so").write_text("own")
    for _ in range(2):
        cuda.link(packages)
        found = {path.name: path.is_symlink() for path in (packages / "paddle/libs").iterdir()}
        bare = ("libcudnn.so", "libnvrtc-builtins.so")
        assert found == {
            "libphi.so": False,
            **dict.fromkeys((*bare, "libcudnn.so.8", "libnvrtc-builtins.so.11.8"), True),
        }
        assert all((packages / "paddle/libs" / name).exists() for name in found)
        (packages / "paddle/libs/libcudnn.so").unlink()
        (packages / "paddle/libs/libcudnn.so.8").unlink()
        (packages / "paddle/libs/libcudnn.so.8").symlink_to("gone")


def test_a_machine_with_the_whole_of_cuda_11_8_keeps_its_own(tmp_path, listed):
    packages = installed(tmp_path / "packages", "libcudnn.so.8")
    cuda.link(packages)
    listed(toolkit(tmp_path / "cuda-11.8"))
    cuda.link(packages)
    assert links(packages) == set()


@pytest.mark.parametrize("versions", [{"libcublas": "12.1.3.1"}, {"libnvrtc": "11.7.99"}, {"libcudnn": "9.1.0"}])
def test_another_cuda_or_cudnn_is_not_used(versions, tmp_path, listed):
    packages = installed(tmp_path / "packages", "libcudnn.so.8")
    listed(toolkit(tmp_path / "cuda", **versions))
    cuda.link(packages)
    assert links(packages) == {"libcudnn.so", "libcudnn.so.8"}


def begun(packages: Path, path: str, python: str = sys.executable) -> str:
    """LD_LIBRARY_PATH after the start of a process, which starts anew as `python`."""
    code = f"import os, sys; sys.executable = {python!r}\nfrom ds2 import startup; startup.prepare()\n"
    code += "print(os.environ.get('LD_LIBRARY_PATH'))"
    variables = {"LD_LIBRARY_PATH": path, "PYTHONPATH": f"{packages}:{ROOT}", "PATH": os.environ["PATH"]}
    done = child("-c", code, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


def test_a_process_makes_the_links_where_make_has_not(tmp_path, listed):
    packages = installed(tmp_path / "packages", "libcudnn.so.8")
    begun(packages, "")
    assert links(packages) == {"libcudnn.so", "libcudnn.so.8"}


def test_a_newer_paddle_is_left_alone(tmp_path, listed):
    packages = installed(tmp_path / "packages", "libcudnn.so.8", version="3.3.1")
    other = toolkit(tmp_path / "other", libcublas="12.1.3.1")
    assert begun(packages, f"{other}") == f"{other}"
    assert links(packages) == set()


def test_only_a_path_to_another_cuda_is_changed(tmp_path, listed):
    packages = installed(tmp_path / "packages", "libcudnn.so.8", "libcublas.so.11")
    libs, own = packages / "paddle/libs", toolkit(tmp_path / "own")
    other = toolkit(tmp_path / "other", libcublas="12.1.3.1")
    assert begun(packages, f"/usr/lib:{other}") == f"{libs}:/usr/lib:{other}"
    for path in ("", "/usr/lib:/nonexistent", f"{libs}:{other}", f"{own}:{other}"):
        assert begun(packages, path) == path
    for name in ("libcudnn.so", "libnccl.so"):  # the toolkit alone, as it is usually installed
        (own / name).unlink()
    assert begun(packages, f"{own}") == f"{libs}:{own}"


def test_a_process_starts_anew_once_at_most(tmp_path, listed):
    packages = installed(tmp_path / "packages", "libcublas.so.11")
    other = toolkit(tmp_path / "other", libcublas="12.1.3.1")
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={other} exec {sys.executable} "$@"\n')
    script.chmod(0o755)
    assert begun(packages, f"{other}", str(script)) == f"{other}"
