import io
import os
from types import SimpleNamespace

import pytest

from ds2.transcribing import inputs


def expand(*arguments):
    return [(found.name, str(found.file), found.error) for found in inputs.expand(arguments)]


def test_files_stand_for_themselves_whatever_they_are_called_and_whether_they_exist(workspace):
    assert expand("b.wav", "a", "/x/c.dat") == [(n, n, None) for n in ("b.wav", "a", "/x/c.dat")]


def test_a_folder_stands_for_the_audio_below_it_sorted(workspace):
    for name in ("f/b.WAV", "f/a.mp3", "f/sub/c.m4a", "f/readme.txt", "f/a.json", "f/.hidden.wav", "f/.git/d.wav"):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).touch()
    assert [name for name, _, _ in expand("f")] == ["f/a.mp3", "f/b.WAV", "f/sub/c.m4a"]


def test_a_folder_without_audio_is_an_error_of_its_own(workspace):
    (workspace / "f").mkdir()
    assert expand("f", "a.wav") == [("f", "f", "the folder has no audio files"), ("a.wav", "a.wav", None)]


def test_a_list_names_one_path_a_line_and_an_annotation_is_one(workspace):
    (workspace / "list.txt").write_bytes("\ufeffa.wav\r\n\n我 的.mp3\t你好\tzhang\n  \nc.wav".encode())
    assert [name for name, _, _ in expand("list.txt")] == ["a.wav", "我 的.mp3", "c.wav"]


def test_paths_of_a_list_are_relative_to_the_working_directory_or_else_to_the_list(workspace):
    (workspace / "sub").mkdir()
    for name in ("here.wav", "sub/here.wav", "sub/there.wav"):
        (workspace / name).touch()
    (workspace / "sub" / "list.txt").write_text("here.wav\nthere.wav\nnowhere.wav\n")
    assert expand("sub/list.txt") == [
        ("here.wav", "here.wav", None),
        ("there.wav", "sub/there.wav", None),
        ("nowhere.wav", "nowhere.wav", None),
    ]


def test_a_list_that_cannot_be_read_is_an_error_of_its_own(workspace):
    ((name, _, error),) = expand("none.txt")
    assert name == "none.txt"
    assert "No such file" in error


def test_dvcs_root_does_not_count(workspace, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", "/elsewhere")
    assert expand("a.wav") == [("a.wav", "a.wav", None)]


def test_paths_that_are_not_utf8_are_kept(workspace):
    (workspace / "list.txt").write_bytes(b"\xd6\xd0.wav\n")
    ((name, file, _),) = expand("list.txt")
    assert os.fsencode(name) == os.fsencode(file) == b"\xd6\xd0.wav"


@pytest.mark.parametrize("content", [b"a.wav\nb.wav\n", b"a.wav\r\nb.wav"])
def test_the_standard_input_is_a_list(content, monkeypatch, workspace):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert [name for name, _, _ in expand("-", "c.wav")] == ["a.wav", "b.wav", "c.wav"]
