import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from ds2.corpora import download, obtain
from ds2.corpora.obtain import Part, below
from ds2.errors import UserError
from tests.corpora.archives import special, tar_gz
from tests.corpora.conftest import archive_of

ROOT = Path(__file__).parents[2]
CONTENT = tar_gz(("top/a.wav", b"1"), ("top/b/c.wav", b"2"))
FOLDER = Path("dataset/audio/mine")


@pytest.fixture
def part(mirror):
    """part(content) is one that a mirror has, to be made into FOLDER."""

    def make(content=CONTENT, *mirrors):
        return Part(archive_of(content, *(mirrors or [mirror(content)])), FOLDER, below("top"))

    return make


def files(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def audio(workspace) -> list[str]:
    return sorted(path.name for path in (workspace / "dataset/audio").glob("*") if path.suffix != ".lock")


def test_a_corpus_is_downloaded_and_unpacked(workspace, part):
    obtain.obtain([part()], "dataset/downloads")
    found = files(workspace / FOLDER)
    assert found.pop(".archive")
    assert found == {"a.wav": b"1", "b/c.wav": b"2"}
    assert audio(workspace) == ["mine"]


def test_a_second_time_nothing_is_done_and_the_archive_may_be_gone(workspace, part):
    wanted = part()
    obtain.obtain([wanted], "dataset/downloads")
    before = {path: path.stat().st_mtime_ns for path in (workspace / FOLDER).rglob("*")}
    shutil.rmtree(workspace / "dataset/downloads")
    obtain.obtain([replace(wanted, archive=replace(wanted.archive, addresses=()))], "dataset/downloads")
    assert {path: path.stat().st_mtime_ns for path in (workspace / FOLDER).rglob("*")} == before
    assert not (workspace / "dataset/downloads").exists()


def test_an_archive_of_the_users_is_used_from_any_folder(workspace, part, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "corpus.tgz").write_bytes(CONTENT)
    wanted = part()
    obtain.obtain([replace(wanted, archive=replace(wanted.archive, addresses=()))], str(elsewhere))
    assert "a.wav" in files(workspace / FOLDER)
    assert (elsewhere / "corpus.tgz").read_bytes() == CONTENT


def test_a_tilde_in_the_folder_of_downloads_is_the_home(workspace, part, tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    obtain.obtain([part()], "~/downloads")
    assert (home / "downloads/corpus.tgz").read_bytes() == CONTENT
    assert sorted(path.name for path in workspace.iterdir()) == ["dataset"]


def test_in_a_temporary_run_of_dvc_all_goes_to_the_repository(workspace, part, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    monkeypatch.chdir(tmp_path_factory.mktemp("run"))
    obtain.obtain([part()], "dataset/downloads")
    assert "a.wav" in files(workspace / FOLDER)
    assert (workspace / "dataset/downloads/corpus.tgz").exists()
    assert list(Path.cwd().iterdir()) == []


def test_nothing_is_written_into_a_folder_that_has_the_archive(workspace, part, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "corpus.tgz").write_bytes(CONTENT)
    before = sorted(elsewhere.iterdir())
    obtain.obtain([part()], str(elsewhere))
    assert sorted(elsewhere.iterdir()) == before
    assert "a.wav" in files(workspace / FOLDER)


@pytest.mark.parametrize("name", ["dataset", "dataset/audio"])
def test_a_file_where_a_folder_should_be_is_one_sentence(workspace, part, name):
    shutil.rmtree(workspace / "dataset")
    (workspace / name).parent.mkdir(exist_ok=True)
    (workspace / name).write_text("a file")
    with pytest.raises(UserError, match=f"{name}.* cannot be written"):
        obtain.obtain([part()], "dataset/downloads")
    with pytest.raises(UserError, match=r"params.yaml.* cannot be written"):
        (workspace / "params.yaml").write_text("{}")
        shutil.rmtree(workspace / "dataset", ignore_errors=True)
        (workspace / "dataset").unlink(missing_ok=True)
        obtain.obtain([part()], "params.yaml")


def test_a_file_in_the_place_of_the_corpus_is_one_sentence(workspace, part):
    (workspace / FOLDER).parent.mkdir(parents=True, exist_ok=True)
    (workspace / FOLDER).write_text("a file")
    with pytest.raises(UserError, match=r"was not made from corpus\.tgz: move it away"):
        obtain.obtain([part()], "dataset/downloads")


def test_a_download_that_cannot_be_written_is_not_the_mirrors_fault(workspace, part, mirror, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    server = mirror(CONTENT)
    (workspace / "dataset/downloads/corpus.tgz.part").mkdir(parents=True)
    with pytest.raises(UserError, match=r"corpus\.tgz\.part cannot be written: Is a directory"):
        obtain.obtain([part(CONTENT, server)], "dataset/downloads")
    assert server.asked == []


HOSTILE = tar_gz(("top/a.wav", b"1"), special("top/link", tarfile.SYMTYPE, "/etc"), ("top/link/evil", b"x"))


@pytest.mark.parametrize("content", [HOSTILE, tar_gz(("top/a.wav", b"1"), ("../../evil", b"x")), CONTENT[:-20]])
def test_what_cannot_be_unpacked_leaves_no_folder(workspace, part, content):
    with pytest.raises(UserError, match=r"corpus\.tgz is"):
        obtain.obtain([part(content)], "dataset/downloads")
    assert audio(workspace) == []
    assert sorted(path.name for path in workspace.iterdir()) == ["dataset"]


def test_a_folder_that_was_not_made_here_is_left_alone(workspace, part):
    (workspace / FOLDER).mkdir(parents=True)
    (workspace / FOLDER / "mine.wav").write_bytes(b"mine")
    wanted = part()
    with pytest.raises(UserError, match=r"was not made from corpus\.tgz: move it away"):
        obtain.obtain([wanted], "dataset/downloads")
    assert files(workspace / FOLDER) == {"mine.wav": b"mine"}
    assert not (workspace / "dataset/downloads").exists()


def test_a_folder_of_another_archive_is_replaced(workspace, part):
    obtain.obtain([part()], "dataset/downloads")
    (workspace / "dataset/downloads/corpus.tgz").unlink()
    obtain.obtain([part(tar_gz(("top/new.wav", b"3")))], "dataset/downloads")
    assert sorted(files(workspace / FOLDER)) == [".archive", "new.wav"]


Usage = namedtuple("Usage", "total used free")


def test_all_of_a_corpus_is_on_the_disk_before_it_has_its_name(workspace, part, monkeypatch):
    unfinished, seen = workspace / FOLDER.with_name(".mine.tmp"), []
    monkeypatch.setattr(os, "sync", lambda: seen.append((sorted(files(unfinished)), (workspace / FOLDER).exists())))
    obtain.obtain([part()], "dataset/downloads")
    assert seen == [([".archive", "a.wav", "b/c.wav"], False)]


def test_too_little_space_is_said_before_the_first_byte(workspace, part, mirror, monkeypatch):
    server = mirror(CONTENT)
    wanted = part(CONTENT, server)
    wanted = replace(wanted, archive=replace(wanted.archive, size=7_000_000_000, unpacked=5_000_000_000))
    monkeypatch.setattr(obtain.shutil, "disk_usage", lambda path: Usage(20e9, 10e9, 10e9))
    with pytest.raises(UserError, match=r"has 10\.0 GB free, but about 12\.0 GB are needed"):
        obtain.obtain([wanted], "dataset/downloads")
    assert server.asked == []
    assert audio(workspace) == []


def test_what_is_downloaded_already_needs_no_space(workspace, part, monkeypatch):
    wanted = part()
    folder = workspace / "dataset/downloads"
    folder.mkdir()
    (folder / "corpus.tgz").write_bytes(CONTENT)
    free = wanted.archive.unpacked
    monkeypatch.setattr(obtain.shutil, "disk_usage", lambda path: Usage(free, 0, free))
    obtain.obtain([wanted], "dataset/downloads")
    assert "a.wav" in files(workspace / FOLDER)


def test_what_a_killed_run_left_takes_no_space_from_the_next(workspace, part, monkeypatch):
    wanted = part()
    half = workspace / FOLDER.with_name(".mine.tmp")
    half.mkdir(parents=True)
    (half / "big.wav").write_bytes(bytes(100_000))

    def disk_usage(path):
        used = sum(path.stat().st_size for path in (workspace / "dataset/audio").rglob("*.wav"))
        return Usage(100_000, used, 100_000 - used)

    monkeypatch.setattr(obtain.shutil, "disk_usage", disk_usage)
    wanted = replace(wanted, archive=replace(wanted.archive, unpacked=90_000))
    obtain.obtain([wanted], "dataset/downloads")
    assert audio(workspace) == ["mine"]


def test_a_disk_that_fills_up_while_unpacking_leaves_no_folder(workspace, part):
    content = tar_gz(("top/a.wav", b"1"), ("top/big.wav", bytes(300_000)))
    wanted = part(content)
    wanted = replace(wanted, archive=replace(wanted.archive, unpacked=1_000_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(UserError, match=r"corpus\.tgz cannot be unpacked: File too large"):
            obtain.obtain([wanted], "dataset/downloads")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert audio(workspace) == []
    obtain.obtain([wanted], "dataset/downloads")
    assert audio(workspace) == ["mine"]


def test_an_archive_that_swells_far_beyond_its_size_is_not_unpacked(workspace, part):
    content = tar_gz(("top/a.wav", b"1"), ("top/bomb.wav", bytes(10_000_000)))
    with pytest.raises(UserError, match=r"corpus\.tgz is not unpacked: it holds more than"):
        obtain.obtain([part(content)], "dataset/downloads")
    assert audio(workspace) == []


PROGRAM = """
import sys, time
from pathlib import Path
from ds2.corpora import obtain, unpack
from ds2.corpora.archive import Archive
address, size, checksum, seconds = sys.argv[1:]
whole = unpack._write
def slow(*arguments):
    written = whole(*arguments)
    time.sleep(float(seconds))
    return written
unpack._write = slow
archive = Archive("corpus.tgz", (address,), int(size), checksum, 100_000)
obtain.obtain([obtain.Part(archive, Path("dataset/audio/mine"), obtain.below("top"))], "dataset/downloads")
"""


@pytest.fixture
def start(workspace):
    """start(archive, seconds a file) begins in a process of its own."""

    def start(wanted, seconds):
        command = [sys.executable, "-c", PROGRAM, *wanted.addresses, str(wanted.size), wanted.checksum, str(seconds)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=workspace, env=environment, stderr=subprocess.PIPE, text=True)

    return start


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)


def test_killed_while_unpacking_and_started_again_it_is_whole(workspace, mirror, start):
    content = tar_gz(*((f"top/{i}.wav", bytes([i])) for i in range(20)))
    wanted = archive_of(content, mirror(content))
    child = start(wanted, 0.5)
    wait_for(workspace / "dataset/audio/.mine.tmp/2.wav")
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert audio(workspace) == [".mine.tmp"]
    again = start(wanted, 0)
    _, log = again.communicate(timeout=60)
    assert again.returncode == 0, log
    assert audio(workspace) == ["mine"]
    assert len(files(workspace / FOLDER)) == 21


def test_ctrl_c_while_unpacking_leaves_no_folder(workspace, mirror, start):
    content = tar_gz(*((f"top/{i}.wav", bytes([i])) for i in range(20)))
    child = start(archive_of(content, mirror(content)), 0.5)
    wait_for(workspace / "dataset/audio/.mine.tmp/2.wav")
    os.kill(child.pid, signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGINT
    assert audio(workspace) == []


def test_two_runs_at_once_download_and_unpack_once(workspace, mirror, start):
    content = tar_gz(*((f"top/{i}.wav", random.Random(i).randbytes(1000)) for i in range(5)))
    server = mirror(content)
    wanted = archive_of(content, server)
    children = [start(wanted, 0.2) for _ in range(2)]
    logs = [child.communicate(timeout=60)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], logs
    assert server.asked == [None]
    assert "".join(logs).count("unpacking ") == 1
    assert len(files(workspace / FOLDER)) == 6


def test_the_home_of_nobody_is_a_sentence_that_names_the_parameter(workspace):
    with pytest.raises(UserError, match=r"^runtime.download_dir: ~data/x: there is no home for ~data"):
        obtain.obtain([], "~data/x")
