"""Users whose home cannot be written, or who have none."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ds2 import layout, places
from tests.decoding import arpa
from tests.documents import ROOT
from tests.training import tiny

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
# Nobody of the password file, and a number that is not in it.
USERS = {"nobody": 65534, "a user without a name": 54321}


def run(folder: Path, uid: int, *command: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs Python as another user, who may read everything and write what is his."""
    may_read = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *may_read]
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*user, sys.executable, *command],
        cwd=folder,
        env=base | environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


def give(folder: Path, uid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid)


@as_root
@pytest.mark.wheel
@pytest.mark.parametrize("home", ["/dev/null", "/dev/null/home", "/nonexistent/home", ""])
def test_paddle_can_be_imported_whatever_the_home_is(home):
    found = run(ROOT, USERS["nobody"], "-c", "import ds2, paddle", HOME=home)
    assert found.returncode == 0, found.stderr


@pytest.fixture
def project():
    """project(uid) has data and a language model, and is a user's; other users reach it, as they do not pytest's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)

        def make(uid: int) -> Path:
            tiny.write_data(folder)
            tiny.write_params(folder, num_epoch=1)
            arpa.write(folder / layout.LANGUAGE_MODEL, [list(text.replace(" ", "")) for text in tiny.TEXTS], 2)
            (folder / "tmp").mkdir()
            give(folder, uid)
            return folder

        yield make


@pytest.mark.slow
@as_root
@pytest.mark.parametrize(
    ("user", "home"),
    [
        ("nobody", {}),
        ("nobody", {"HOME": "/root"}),
        ("nobody", {"HOME": ""}),
        ("a user without a name", {}),
        ("a user without a name", {"HOME": "/proc"}),
    ],
)
def test_a_user_without_a_home_trains_and_sees_it_in_visualdl(project, user, home):
    folder = project(USERS[user])
    done = run(folder, USERS[user], "-m", "stages.train", TMPDIR=str(folder / "tmp"), **home)
    assert done.returncode == 0, done.stderr
    assert list(folder.glob("log/*/vdlrecords.*.log")), done.stderr
    assert "atplotlib" not in done.stderr  # which complains at length
    assert not (folder / "~").exists()


@pytest.mark.slow
@as_root
def test_where_no_place_can_be_trusted_a_training_does_without_visualdl(project):
    folder = project(65534)
    (folder / "tmp/ds2-65534").mkdir()  # root's
    done = run(folder, 65534, "-m", "stages.train", HOME="/nonexistent", TMPDIR=str(folder / "tmp"))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("VisualDL shows nothing of this training, since it cannot make /nonexistent") == 1
    assert (folder / "models/epoch_1").is_dir()


@pytest.mark.slow
@as_root
@pytest.mark.parametrize("temporary", [True, False])
def test_a_user_without_a_home_uses_the_beam_search(project, temporary):
    folder = project(65534)
    place = {"HOME": "/nonexistent", "TMPDIR": str(folder / "tmp")}
    assert run(folder, 65534, "-m", "stages.train", **place).returncode == 0
    if not temporary:  # somebody else's: nothing is kept there
        os.chown(next((folder / "tmp").glob("ds2-*")), 0, 0)
    before = set(folder.glob("tmp/ds2-65534/numba/**/*.bin"))
    done = run(folder, 65534, "-c", BEAM, **place)
    assert done.returncode == 0, done.stderr
    kept = set(folder.glob("tmp/ds2-65534/numba/**/*.bin"))
    assert bool(kept - before) == temporary
    assert not any(path.stat().st_uid == 65534 for path in (ROOT / "ds2").rglob("*"))


BEAM = """
from ds2 import __main__, params
import json, sys
values = json.load(open("params.yaml"))
values["evaluate"] |= {"decoder": "ctc_beam_search", "beam_size": 5}
json.dump(values, open("params.yaml", "w"))
sys.argv[1:] = ["evaluate"]
__main__.main()
"""


def test_a_place_is_only_trusted_where_nobody_else_can_write(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = places.stand_in()
    assert folder == tmp_path / f"ds2-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert places.stand_in() == folder
    folder.chmod(0o777)
    assert places.stand_in() is None
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    assert places.stand_in() is None
    folder.unlink()
    folder.write_text("a file")
    assert places.stand_in() is None


def test_what_the_user_has_set_and_a_home_that_can_be_written_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # not there yet: it can be made
    environment: dict[str, str] = {}
    places.prepare(environment)
    with places.usable_home():
        assert os.environ["HOME"] == str(tmp_path / "home")
    monkeypatch.setenv("HOME", "/dev/null/home")
    with places.usable_home():
        assert os.environ["HOME"] == str(places.stand_in())
    assert (environment, os.environ["HOME"]) == ({}, "/dev/null/home")
    places.prepare(environment)
    assert environment == {"MPLCONFIGDIR": f"{places.stand_in()}/matplotlib"}
    environment["MPLCONFIGDIR"] = "mine"
    places.prepare(environment)
    assert environment == {"MPLCONFIGDIR": "mine"}


@as_root
def test_a_place_that_another_user_has_made_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    os.chown(places.stand_in(), 65534, 65534)
    assert places.stand_in() is None
