import json
import os
import resource
import subprocess
from pathlib import Path

import pytest

from ds2.errors import UserError
from ds2.files import as_json, make_folder, replacing, replacing_folder, write_json
from tests.documents import ROOT


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_half(path, error):
    with replacing(path) as file:
        file.write("half")
        file.flush()
        raise error


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(path, ZeroDivisionError())
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_an_interruption_leaves_no_new_file(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "a.txt", KeyboardInterrupt())
    assert names(tmp_path) == []


def test_the_old_file_stands_until_the_block_ends_and_then_the_new_one_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_what_a_killed_process_has_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f".a.txt.{ended.pid}.tmp", f".b.txt.{ended.pid}.tmp", f".a.txt.{os.getppid()}.tmp"):
        (tmp_path / name).write_text("half")
    with replacing(tmp_path / "a.txt") as file:
        file.write("whole")
    assert names(tmp_path) == sorted(["a.txt", f".b.txt.{ended.pid}.tmp", f".a.txt.{os.getppid()}.tmp"])


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as error, replacing(path) as file:
            file.write("x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.filename == str(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_missing_folders_are_made(tmp_path):
    with replacing(tmp_path / "results" / "curves" / "a.tsv") as file:
        file.write("x")
    assert (tmp_path / "results" / "curves" / "a.tsv").read_text() == "x"


def test_text_is_utf_8_with_plain_newlines_and_binary_stays_as_it_is(tmp_path):
    with replacing(tmp_path / "a.txt") as file:
        file.write("你好\n")
    with replacing(tmp_path / "a.bin", "wb") as file:
        file.write(b"\r\n\xff")
    assert (tmp_path / "a.txt").read_bytes() == "你好\n".encode()
    assert (tmp_path / "a.bin").read_bytes() == b"\r\n\xff"


def test_json_is_readable_and_ends_with_a_newline(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"文": 1, "b": [0.5]})
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {"文": 1, "b": [0.5]}
    assert '"文"' in text
    assert text.endswith("}\n")
    assert text.count("\n") > 2


def test_what_is_not_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"cer": 0.5})
    with pytest.raises(TypeError):
        write_json(path, {"cer": object()})
    assert json.loads(path.read_text()) == {"cer": 0.5}
    assert names(tmp_path) == ["a.json"]


def test_a_new_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    # After a power cut no name may stand for what never reached the disk.
    path, flush, flushed = tmp_path / "a.txt", os.fsync, []
    path.write_text("old")

    def watch(descriptor):
        flushed.append((os.fstat(descriptor).st_size, path.read_text()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    with replacing(path) as file:
        file.write("whole")
    assert flushed == [(len("whole"), "old")]


def test_a_new_folder_is_on_the_disk_before_it_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    folder, flush, flushed = tmp_path / "model", os.fsync, []
    folder.mkdir()
    (folder / "old").touch()

    def watch(descriptor):
        flushed.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, names(folder)))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    with replacing_folder(folder) as new:
        (new / "new").touch()
    assert flushed == [("new", ["old"]), (".model.tmp", ["old"]), (tmp_path.name, ["new"])]
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("when", ["within the block", "between the renames"])
def test_a_failure_leaves_the_old_folder_and_nothing_else(when, tmp_path, monkeypatch):
    folder, rename = tmp_path / "model", os.rename
    folder.mkdir()
    (folder / "old").touch()

    def fail(source, target):
        if target == folder and source.name.endswith(".tmp"):
            raise KeyboardInterrupt
        rename(source, target)

    def write():
        with replacing_folder(folder) as new:
            (new / "new").touch()
            if when == "within the block":
                raise KeyboardInterrupt

    if when == "between the renames":
        monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(KeyboardInterrupt):
        write()
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_word_for_is_never_written(value, tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json({"snr": value})
    write_json(tmp_path / "a.json", {"snr": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"cer": [value]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"snr": 1.0}


def test_all_json_that_files_and_programs_get_goes_through_it():
    """Elsewhere json.dumps makes what people read, and hashes."""
    elsewhere = {"compare", "experiments", "disk", "fingerprint", "transfer", "session", "visual"}
    elsewhere |= {"files", "lock", "record", "loading", "messages", "recipes", "card", "transcribe"}
    found = {
        path.stem for path in (*ROOT.glob("ds2/**/*.py"), *ROOT.glob("stages/*.py")) if "json.dump" in path.read_text()
    }
    assert found <= elsewhere


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(UserError, match=r"/proc/none/here cannot be made"):
        make_folder(Path("/proc/none/here"))
