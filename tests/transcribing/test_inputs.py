import io
import json
import os
import threading
from types import SimpleNamespace

import pytest

from ds2.audio.piece import Piece
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


def test_a_list_of_pieces_names_them(workspace):
    lines = [
        {"audio_filepath": "a.wav", "offset": 1.5, "duration": 2, "text": "你好"},
        {"audio_filepath": "a.wav", "channel": 1},
        {"audio_filepath": "sub.wav", "duration": 2.0},
    ]
    (workspace / "sub").mkdir()
    (workspace / "sub/sub.wav").touch()
    (workspace / "sub/list.jsonl").write_text("\ufeff" + "\n\n".join(map(json.dumps, lines)), encoding="utf-8")
    found = list(inputs.expand(["sub/list.jsonl"]))
    assert [one.piece for one in found] == [Piece(1.5, 2.0), Piece(channel=1), Piece(0.0, 2.0)]
    assert [one.name for one in found] == ["a.wav", "a.wav", "sub.wav"]
    assert [str(one.file) for one in found] == ["a.wav", "a.wav", "sub/sub.wav"]
    assert [one.error for one in found] == [None] * 3


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("a.wav\tx", "expected value"),
        ('["a.wav"]', "no JSON object with the path of an audio file as audio_filepath"),
        ('{"text": "x"}', "no JSON object with the path of an audio file as audio_filepath"),
        ('{"audio_filepath": "a.wav", "offset": "1"}', "offset is '1', but should be seconds, 0 or more"),
    ],
)
def test_a_mistake_in_a_list_of_pieces_is_an_error_of_this_line(workspace, line, sentence):
    (workspace / "list.jsonl").write_text('{"audio_filepath": "b.wav"}\n' + line + '\n{"audio_filepath": "c.wav"}\n')
    first, bad, last = inputs.expand(["list.jsonl"])
    assert (first.name, first.error, last.name, last.error) == ("b.wav", None, "c.wav", None)
    assert bad.name == "list.jsonl line 2"
    assert sentence in bad.error


def test_the_channel_asked_for_is_read_where_a_list_names_none(workspace):
    (workspace / "list.jsonl").write_text('{"audio_filepath": "a.wav", "channel": 0}\n{"audio_filepath": "b.wav"}\n')
    found = inputs.expand(["list.jsonl", "c.wav"], channel=1)
    assert [one.piece for one in found] == [Piece(channel=0), Piece(channel=1), Piece(channel=1)]


def test_what_comes_through_a_pipe_is_kept_until_the_next_is_asked_for(workspace):
    os.mkfifo(workspace / "pipe")
    content = os.urandom(300_000)
    writer = threading.Thread(target=(workspace / "pipe").write_bytes, args=(content,))
    writer.start()
    found = inputs.expand(["pipe", "a.wav"])
    piped = next(found)
    writer.join()
    assert (piped.name, piped.error) == ("pipe", None)
    assert piped.file.read_bytes() == content
    assert next(found).name == "a.wav"
    assert not piped.file.exists()


def test_linked_folders_are_read(workspace):
    (workspace / "disk").mkdir()
    (workspace / "disk/b.wav").touch()
    (workspace / "in").mkdir()
    (workspace / "in/a.wav").touch()
    (workspace / "in/linked").symlink_to(workspace / "disk")
    assert [name for name, _, _ in expand("in")] == ["in/a.wav", "in/linked/b.wav"]
