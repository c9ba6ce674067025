import os
import shutil
import subprocess
import sys
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


def test_the_wheel_that_is_chosen_has_its_own_environment_and_packages():
    for wheel in ("cpu", "gpu"):
        done = make(f"PADDLE={wheel}", "--always-make", "install")
        assert f"-r requirements/{wheel}.txt" in done.stdout
        assert f".venv/{wheel}/bin/python" in done.stdout


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
