import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import ROOT

# The system's own Python, without this project's packages.
_PATH = f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin"
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to others")


def make(*arguments: str) -> subprocess.CompletedProcess:
    """Says what make would do."""
    return subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_wheel_that_does_not_exist_is_refused_by_a_sentence():
    done = make("PADDLE=GPU", "repro")
    assert done.returncode != 0
    assert "PADDLE is 'GPU': it can be cpu or gpu" in done.stderr


@pytest.fixture
def checkout(tmp_path):
    """checkout(name) is what make needs of the project, as git repository in a folder of that name, installed."""

    def make(name: str) -> Path:
        folder = tmp_path / name / "p"
        for kept in ("Makefile", "requirements", "ds2", ".dvc/config", ".dvc/plots.html", "params.yaml"):
            (folder / kept).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / kept).is_dir() else shutil.copy
            copy(ROOT / kept, folder / kept)
        for command in ("init", "add -A", "-c user.name=t -c user.email=t@example.invalid commit -m start"):
            subprocess.run(["git", *command.split()], cwd=folder, check=True, capture_output=True)
        (folder / ".venv").mkdir()
        (folder / ".venv/cpu").symlink_to(sys.prefix)
        return folder

    return make


def run(folder: Path, *targets: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs make in a folder as one does who has the system's own Python, and nothing of this project's."""
    base = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "PYTHONPATH", "MAKE"))}
    base |= {
        "PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
        "PADDLE": "cpu",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    command = ["make", "--old-file=.venv/cpu/.installed", *targets]
    return subprocess.run(command, cwd=folder, env=base | environment, capture_output=True, text=True, timeout=240)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["my project 录音", 'it\'s "mine"', "a$HOME$$(x) `id`", "50% #1; & more", "back\\slash"]
)
def test_the_project_works_in_a_folder_of_any_name(checkout, name):
    folder = checkout(name)
    done = run(folder, "compare")
    assert done.returncode == 0, done.stderr
    assert "no parameters differ" in done.stdout
    (folder / "dvc.yaml").write_text("stages: {one: {cmd: python -c 'import loguru' && python -m ds2 recipe -h}}\n")
    done = run(folder, "repro")
    assert done.returncode == 0, done.stderr
    assert "usage: python -m ds2 recipe" in done.stdout  # by the Python of .venv, found by PATH


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my project 录音", "a$HOME 'x'"])
def test_the_installation_works_in_a_folder_of_any_name(checkout, name):
    folder = checkout(name)
    (folder / ".venv/cpu").unlink()
    (folder / "requirements/cpu.txt").write_text("")  # all of them would be a gigabyte
    base = {"PATH": _PATH, "PADDLE": "cpu"}
    done = subprocess.run(["make", "install"], cwd=folder, env=base, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert (folder / ".venv/cpu/.installed").exists()


def removed(*names: str) -> Callable[[Path], None]:
    return lambda folder: [shutil.rmtree(folder / name) for name in names]


def other_owner(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 12345, 12345, follow_symlinks=False)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(removed(".git"), "is no git repository, as after a download as ZIP", id="no git"),
        pytest.param(removed(".git", ".dvc"), "has no .dvc/config: run in the repository's root", id="no hidden files"),
        pytest.param(other_owner, "git config --global --add safe.directory", marks=as_root, id="another owner"),
    ],
)
@pytest.mark.parametrize("target", ["repro", "compare", "experiments"])
def test_where_git_or_dvc_cannot_work_nothing_is_installed(checkout, change, sentence, target):
    folder = checkout("p")
    change(folder)
    (folder / ".venv/cpu").unlink()
    done = run(folder, "-j4", target, PIP_INDEX_URL="http://127.0.0.1:9", HOME="/nonexistent")
    assert done.returncode != 0
    assert sentence in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr
    assert not (folder / ".venv/cpu").exists()


def test_who_wants_no_git_tells_dvc_so(checkout):
    folder = checkout("p")
    removed(".git")(folder)
    (folder / ".dvc/config.local").write_text("[core]\n    no_scm = true\n")
    assert run(folder, "checkout").returncode == 0


def test_a_colon_in_the_path_is_named(checkout):
    assert "has a : in its path" in run(checkout("a:b"), "checkout").stderr


def nvidia_smi(folder: Path, *gpus: str, queried: bool = True) -> str:
    """A PATH with an nvidia-smi that knows these GPUs, by name and compute capability."""
    tool = folder / "tools/nvidia-smi"
    tool.parent.mkdir(exist_ok=True)
    lines = "\n".join(gpus) if queried else 'Field "compute_cap" is not a valid field to query.'
    tool.write_text(f"#!/bin/sh\ncase $1 in --query-gpu=*) cat <<END\n{lines}\nEND\n;; esac\n")
    tool.chmod(0o755)
    return f"{tool.parent}:{_PATH}"


def packages(folder: Path, *stubs: tuple[str, str, str]) -> dict[str, str]:
    """An index at folder/simple of packages: name, version, requirement. Returns the hash of each."""
    hashes = {}
    for name, version, required in stubs:
        word = name.replace("-", "_")
        wheel = folder / "simple" / name / f"{word}-{version}-py3-none-any.whl"
        wheel.parent.mkdir(parents=True)
        with zipfile.ZipFile(wheel, "w") as archive:
            needs = f"Requires-Dist: {required}\n" if required else ""
            about = f"{word}-{version}.dist-info"
            archive.writestr(f"{word}.py", f"origin = {str(folder)!r}")
            archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
            archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{about}/RECORD", "")
        wheel.with_name("index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
        hashes[name] = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return hashes


@pytest.fixture
def small(checkout, tmp_path):
    """A checkout that pins two small packages for each wheel, and pip's index of them."""
    folder = checkout("p")
    (folder / ".venv/cpu").unlink()
    index = tmp_path / "index"
    stubs = [("paddlepaddle", "3.3.1", ""), ("paddlepaddle-gpu", "2.6.2", ""), ("stub-other", "1.0", "")]
    hashes = packages(index, *stubs)
    for wheel, (paddle, version, _) in zip(("cpu", "gpu"), stubs[:2], strict=True):
        pins = [(paddle, version), ("stub-other", "1.0")]
        lines = [f"{name}=={pinned} \\\n    --hash=sha256:{hashes[name]}\n" for name, pinned in pins]
        (folder / f"requirements/{wheel}.txt").write_text("".join(lines))
    return folder


def install(folder: Path, *targets: str, **environment: str) -> subprocess.CompletedProcess:
    index = (folder.parents[1] / "index/simple").as_uri()
    base = {"PATH": _PATH, "PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": index} | environment
    command = ["make", *(targets or ("install",))]
    return subprocess.run(command, cwd=folder, env=base, capture_output=True, text=True, timeout=240)


def origins(folder: Path, wheel: str = "gpu") -> dict[str, str]:
    """The index that each package of an environment was installed from, by name and version."""
    site = next((folder / f".venv/{wheel}/lib").glob("python3*/site-packages"))
    found = {}
    for about in site.glob("*.dist-info"):
        module = site / f"{about.name.partition('-')[0]}.py"
        if module.exists():
            found[about.name.removesuffix(".dist-info")] = module.read_text()
    return {name: Path(text.split("'")[1]).name for name, text in found.items()}


@pytest.mark.slow
def test_each_wheel_has_an_environment_with_what_is_pinned_for_it(small):
    for wheel, paddle in (("cpu", "paddlepaddle-3.3.1"), ("gpu", "paddlepaddle_gpu-2.6.2")):
        done = install(small, PADDLE=wheel)
        assert done.returncode == 0, done.stderr
        assert origins(small, wheel) == {paddle: "index", "stub_other-1.0": "index"}


@pytest.mark.slow
def test_a_newer_wheel_comes_from_the_index_that_is_named_and_stays(small, tmp_path):
    assert install(small, PADDLE="gpu").returncode == 0
    more = tmp_path / "more"
    stubs = [("paddlepaddle-gpu", "3.3.1", "nvidia-stub"), ("nvidia-stub", "12.0", ""), ("stub-other", "9.0", "")]
    packages(more, *stubs)
    done = install(small, PADDLE="gpu", PADDLE_INDEX=(more / "simple").as_uri())
    assert done.returncode == 0, done.stderr
    said = f"paddlepaddle-gpu 3.3.1 and what only it needs (nvidia-*) come from {(more / 'simple').as_uri()}, without"
    assert said in done.stdout
    newer = {"paddlepaddle_gpu-3.3.1": "more", "nvidia_stub-12.0": "more", "stub_other-1.0": "index"}
    assert origins(small) == newer
    os.utime(small / "requirements/cpu.txt")
    for _ in range(2):  # installed anew, then kept as it is
        done = install(small, PADDLE="gpu")
        assert done.returncode == 0, done.stderr
        assert origins(small) == newer
    assert done.stdout == ""


@pytest.mark.slow
def test_with_a_newer_wheel_all_else_keeps_its_hashes(small, tmp_path):
    packages(tmp_path / "more", ("paddlepaddle-gpu", "3.3.1", "stub-other>=2"), ("stub-other", "9.0", ""))
    variables = {"PADDLE": "gpu", "PADDLE_INDEX": (tmp_path / "more/simple").as_uri()}
    assert install(small, **variables).returncode != 0  # it would replace what is pinned
    assert origins(small) == {"stub_other-1.0": "index"}
    pins = small / "requirements/cpu.txt"
    pins.write_text(pins.read_text()[:-3] + "00\n")
    shutil.rmtree(small / ".venv/gpu")
    done = install(small, **variables)
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert origins(small) == {}


@pytest.mark.parametrize(
    ("gpus", "said"),
    [
        (["9.0, NVIDIA H100 80GB HBM3"], "not NVIDIA H100 80GB HBM3 (9.0): make PADDLE=gpu PADDLE_INDEX=..."),
        (["12.0, NVIDIA GeForce RTX 5090"] * 2, "not NVIDIA GeForce RTX 5090 (12.0): make PADDLE=gpu PADDLE_INDEX=..."),
        (["5.2, Tesla M40", "6.0, Tesla P100"], "not Tesla M40 (5.2), Tesla P100 (6.0): make PADDLE=cpu repro uses"),
    ],
)
def test_a_gpu_that_the_wheel_cannot_run_is_named_before_anything_is_installed(small, gpus, said):
    for wheel in ({"PADDLE": "gpu"}, {}):  # chosen by the user, or because nvidia-smi works
        done = install(small, PATH=nvidia_smi(small, *gpus), PIP_INDEX_URL="http://127.0.0.1:9", **wheel)
        assert done.returncode != 0
        sentence = done.stderr.splitlines()[0]
        assert sentence.startswith("error: paddlepaddle-gpu 2.6.2 runs compute capability 6.1 to 8.9, ")
        assert said in sentence
        assert not (small / ".venv/gpu").exists()


def environment(folder: Path, wheel: str, pip: str = "24.0") -> None:
    """An environment whose pip says its version and otherwise does nothing."""
    python = folder / f".venv/{wheel}/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\necho {pip}\n")
    python.chmod(0o755)


@pytest.mark.parametrize(
    ("gpus", "said"),
    [
        (["6.1, NVIDIA GeForce GTX 1080"], ""),
        (["8.6, NVIDIA GeForce RTX 3090", "8.9, NVIDIA L4"], ""),
        (["8.9, NVIDIA GeForce RTX 4090", "9.0, NVIDIA H100"], "not NVIDIA H100 (9.0): "),
        (None, ""),  # a driver that cannot tell
    ],
)
def test_a_gpu_that_the_wheel_runs_gets_it(small, gpus, said):
    environment(small, "gpu")
    done = install(small, PATH=nvidia_smi(small, *(gpus or ()), queried=gpus is not None))
    assert done.returncode == 0, done.stderr
    assert (small / ".venv/gpu/.installed").exists()
    assert len(done.stderr.splitlines()) == bool(said)
    assert said in done.stderr


def test_an_index_for_the_wheel_of_the_cpu_is_a_mistake(small):
    done = install(small, PADDLE="cpu", PADDLE_INDEX="https://example.invalid")
    assert done.stderr.startswith("error: PADDLE_INDEX names where paddlepaddle-gpu 3.x comes from: set PADDLE=gpu")
    assert not (small / ".venv/cpu").exists()


def test_an_old_pip_is_named_before_anything_is_installed(small):
    environment(small, "cpu", pip="20.2.4")
    done = install(small, PADDLE="cpu")
    said = (
        "error: .venv/cpu has pip 20.2.4, and some packages need 20.3 or later: run .venv/cpu/bin/python -m pip install"
    )
    assert done.stderr.startswith(said)
    assert not (small / ".venv/cpu/.installed").exists()


def test_another_python_is_named_before_anything_is_installed(small):
    old = small / "python3.9"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'import sys; sys.version_info = (3, 9, 1); exec(sys.argv[1])' \"$2\"\n"
    )
    old.chmod(0o755)
    done = install(small, "install", f"PYTHON={old}", PADDLE="cpu")
    assert done.stderr.startswith(f"{old} is not Python 3.10 to 3.12: name one")
    assert not (small / ".venv/cpu").exists()
