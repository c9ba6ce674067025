"""A folder of transcripts: a file a recording, nothing twice, nothing of others harmed."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ds2.audio.piece import Piece
from ds2.errors import UserError
from ds2.transcribing import formats
from ds2.transcribing.inputs import Input
from ds2.transcribing.outputs import OutputFolder, model_identity
from ds2.transcribing.transcript import Segment, Spoken, Transcript
from tests.documents import ROOT

MODEL = "model 1"


@pytest.fixture
def recordings(workspace):
    """recordings(*names) makes files and is what stands for them."""

    def make(*names):
        for name in names:
            os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
            with open(name, "w") as file:
                file.write(name)
        return [Input(name, workspace / name) for name in names]

    return make


def program(code, *arguments):
    """Runs a program with the names of this file in a process of its own."""
    command = [sys.executable, "-c", f"from tests.transcribing.test_outputs import *\n{code}", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


def transcript(given, text="今天"):
    return Transcript(given, None, 1.0, text, 0.5, (Segment(0.0, 1.0, text),))


def run(inputs, made_by=MODEL, form="txt", text="今天"):
    """What is transcribed of some recordings, by their names, and what was said."""
    done = []
    with OutputFolder(Path("out"), form, made_by) as folder:
        for given in folder.missing(inputs, lambda: None):
            written = folder.write(transcript(given, text) if given.error is None else Transcript(given, given.error))
            done.append(given.name if written.error is None else written.error)
        return done, folder.sentences()


def tree(workspace):
    return {
        str(path.relative_to(workspace / "out")): path.read_text()
        for path in (workspace / "out").rglob("*")
        if path.is_file() and ".ds2" not in path.parts
    }


def test_every_recording_has_a_file_under_its_own_path(workspace, recordings):
    names = ["a.wav", "a.mp3", "b/a.wav", "b/./c/../a.ogg", "bc/a", "天 气.wav"]
    absolute = Input(str(workspace / "b/a.wav"), workspace / "b/a.wav")
    outside = Input("../x/../y/a.wav", workspace.parent / "y/a.wav")
    done, _ = run([*recordings(*names), absolute, outside])
    assert len(done) == 8
    expected = ["a.wav.txt", "a.mp3.txt", "b/a.wav.txt", "b/a.ogg.txt", "bc/a.txt", "天 气.wav.txt"]
    expected += [f"{str(workspace)[1:]}/b/a.wav.txt", f"{str(workspace.parent)[1:]}/y/a.wav.txt"]
    assert tree(workspace) == dict.fromkeys(expected, "今天\n")
    assert sorted(os.listdir("out/.ds2")) == ["record.sqlite"]


def test_pieces_and_channels_of_a_recording_have_files_of_their_own(workspace, recordings):
    (whole,) = recordings("a.wav")
    pieces = [Piece(), Piece(1.25, 2.0), Piece(1.25, 3.0), Piece(None, None, 1), Piece(0.0, None, 0)]
    done, _ = run([Input("a.wav", whole.file, None, piece) for piece in pieces])
    assert len(done) == 5
    assert tree(workspace).keys() == {
        "a.wav.txt",
        "a.wav.from1.25.for2.0.txt",
        "a.wav.from1.25.for3.0.txt",
        "a.wav.channel1.txt",
        "a.wav.from0.0.channel0.txt",
    }


def test_what_is_complete_is_skipped_and_said_to_be(workspace, recordings):
    inputs = recordings("a.wav", "b.wav")
    assert run(inputs[:1]) == (["a.wav"], [])
    done, said = run([*inputs, *inputs])
    assert done == ["b.wav"]
    assert said == ["3 recordings complete already: skipped (first: out/a.wav.txt)"]


def test_what_is_named_twice_before_it_is_written_is_transcribed_once(workspace, recordings):
    one, other = recordings("b/a.wav", "elsewhere/b/a.wav")
    with OutputFolder(Path("out"), "txt", MODEL) as folder:
        first, refused = folder.missing([one, one, Input("b/a.wav", other.file)], lambda: None)
    assert first == one
    assert refused.error.startswith(f"out/b/a.wav.txt is the transcript of {one.file}: name another --output")


def test_another_model_other_options_another_format_or_a_changed_recording_is_transcribed_anew(workspace, recordings):
    inputs = recordings("a.wav")
    run(inputs)
    assert run(inputs, "model 2", text="天气")[0] == ["a.wav"]
    assert tree(workspace) == {"a.wav.txt": "天气\n"}
    assert run(inputs, "model 2", form="json")[0] == ["a.wav"]
    assert tree(workspace).keys() == {"a.wav.txt", "a.wav.json"}
    (workspace / "a.wav").write_text("longer than it was")
    assert run(inputs, "model 2", text="今")[0] == ["a.wav"]
    assert run(inputs, "model 2")[0] == []


def test_what_somebody_has_corrected_or_another_program_wrote_stays_as_it_is(workspace, recordings):
    inputs = recordings("a.wav", "b.wav", "c.wav")
    run(inputs[:1])
    (workspace / "out/a.wav.txt").write_text("mine")
    (workspace / "out/b.wav.txt").write_text("mine too")
    (workspace / "out/c.wav.txt").write_bytes(b"\0\0")  # of a power cut
    for made_by in (MODEL, "model 2"):
        done, (said,) = run(inputs[:2], made_by)
        assert done == []
        assert said.startswith("2 recordings whose place is taken by a file that was changed since, or that another ")
        assert said.endswith("(first: out/a.wav.txt)")
    assert run(inputs)[0] == ["c.wav"]
    assert tree(workspace) == {"a.wav.txt": "mine", "b.wav.txt": "mine too", "c.wav.txt": "今天\n"}
    (workspace / "out/a.wav.txt").unlink()
    assert run(inputs)[0] == ["a.wav"]


def test_a_recording_never_takes_the_place_of_another_ones_transcript(workspace, recordings):
    (one,) = recordings("b/a.wav")
    (other,) = recordings("elsewhere/b/a.wav")
    listed = Input("b/a.wav", other.file)
    refused = f"out/b/a.wav.txt is the transcript of {one.file}: name another --output for this one"
    assert run([one, listed])[0] == ["b/a.wav", refused]
    assert run([listed])[0] == [refused]
    assert run([Input(".ds2/a", one.file)])[0] == ["out/.ds2 is for the record of what is done"]


def test_a_name_that_cannot_be_a_files_is_an_error_of_its_recording_alone(workspace, recordings):
    long, other = recordings("a" * 252, "b.wav")
    below = Input("b.wav.txt/c.wav", other.file)
    first, second, third = run([long, other, below])[0]
    assert first.startswith("its transcript cannot be written to out/aaa")
    assert second == "b.wav"
    assert third == "its transcript cannot be written to out/b.wav.txt/c.wav.txt (File exists)"
    assert tree(workspace) == {"b.wav.txt": "今天\n"}


def test_a_recording_that_could_not_be_read_is_tried_again(workspace, recordings):
    (given,) = recordings("a.wav")
    with OutputFolder(Path("out"), "txt", MODEL) as folder:
        for one in folder.missing([given, Input("b", given.file, "no such file")], lambda: None):
            folder.write(Transcript(one, "broken"))
    assert tree(workspace) == {}
    assert run([given])[0] == ["a.wav"]


def test_only_one_run_at_a_time_writes_into_a_folder(workspace, recordings):
    inputs = recordings("a.wav")
    with OutputFolder(Path("out"), "txt", MODEL):
        other = program("OutputFolder(Path('out'), 'txt', '')")
        assert "UserError: out is being written by another run: wait for it, or name another folder" in other.stderr
    assert run(inputs)[0] == ["a.wav"]


def test_a_damaged_record_is_one_sentence(workspace, recordings):
    inputs = recordings("a.wav")
    run(inputs)
    (workspace / "out/.ds2/record.sqlite").write_bytes(b"no record" * 1000)
    with pytest.raises(UserError, match=r"record\.sqlite is damaged .*: remove it, or name another folder"):
        run(inputs)


@pytest.mark.parametrize("name", ["record.sqlite", "unfinished"])
def test_a_folder_in_the_place_of_its_own_files_is_one_sentence(name, workspace, recordings):
    (workspace / "out/.ds2" / name).mkdir(parents=True)
    with pytest.raises(UserError, match=r"holds a folder where a file should be"):
        run(recordings("a.wav"))


def test_a_record_of_another_program_is_one_sentence(workspace, recordings):
    (workspace / "out/.ds2").mkdir(parents=True)
    with closing(sqlite3.connect(workspace / "out/.ds2/record.sqlite")) as record:
        record.execute("create table outputs (name text)")
    with pytest.raises(UserError, match=r"record\.sqlite is of another program: remove it"):
        run(recordings("a.wav"))


KILLED = """
import signal

calls = 0

def counted(real):
    def call(*arguments, **named):
        global calls
        calls += 1
        if calls == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)
    return call

Path.write_bytes, Path.unlink, os.replace, Path.mkdir = map(
    counted, (Path.write_bytes, Path.unlink, os.replace, Path.mkdir)
)
OutputFolder._execute = counted(OutputFolder._execute)
with OutputFolder(Path("out"), "txt", sys.argv[2]) as folder:
    for given in folder.missing([Input(name, Path(name)) for name in ("a.wav", "b.wav", "c.wav")], lambda: None):
        folder.write(transcript(given, sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", [None, "old"])
def test_killed_at_any_call_and_run_again_every_file_is_complete_and_no_complete_one_is_made_twice(
    before, workspace, recordings
):
    inputs = recordings("a.wav", "b.wav", "c.wav")
    moment, ended = 0, False
    while not ended:
        moment += 1
        shutil.rmtree("out", ignore_errors=True)
        if before:
            run(inputs, before, text=before)
        ended = program(KILLED, str(moment), "new").returncode == 0
        found = tree(workspace)
        assert set(found.values()) <= {f"{before}\n", "new\n"}
        complete = {name for name, text in found.items() if text == "new\n"}
        again, said = run(inputs, "new", text="again")
        assert not any("is taken by a file" in sentence for sentence in said)
        assert set(again) == {given.name for given in inputs} - {name.removesuffix(".txt") for name in complete}
        assert tree(workspace) == {f"{given.name}.txt": "new\n" for given in inputs} | {
            f"{name}.txt": "again\n" for name in again
        }
    assert moment > 15


def test_a_model_is_known_by_its_hashes(workspace):
    (workspace / "m").mkdir()
    for name, text in (("state.json", "1"), ("weights", "2")):
        (workspace / "m" / name).write_text(text)
    first = model_identity(workspace / "m")
    (workspace / "m/state.json").write_text("3")
    assert model_identity(workspace / "m") != first


def spoken(text, *starts):
    """Words, and where each begins; each takes half a second."""
    words = zip(text.split(), starts, strict=True)
    return tuple(Spoken(word, at, at + 0.5, 0.5, i > 0) for i, (word, at) in enumerate(words))


LONG = Transcript(
    Input("a.wav", None),
    None,
    30.0,
    "a b c d e",
    0.25,
    (
        Segment(0.0, 5.0, "a b", spoken("a b", 1.0, 2.0), 0.5),
        Segment(5.0, 6.0, ""),
        Segment(8.0, 20.0, "c d e", spoken("c d e", 8.0, 9.0, 12.0), 0.5),
    ),
    cut=True,
)


def test_the_text_of_a_long_recording_is_in_paragraphs_that_end_at_long_pauses(workspace):
    assert formats.txt(LONG) == "a b\n\nc d\n\ne\n"
    assert formats.txt(transcript(LONG.given)) == "今天\n"
    assert formats.txt(transcript(LONG.given, "")) == ""


def test_the_json_is_shaped_like_openais(workspace):
    found = json.loads(formats.verbose_json(LONG))
    assert list(found) == ["task", "duration", "text", "confidence", "segments", "words"]
    assert (found["task"], found["duration"], found["text"], found["confidence"]) == (
        "transcribe",
        30.0,
        LONG.text,
        0.25,
    )
    assert found["segments"] == [
        {"id": 0, "start": 0.0, "end": 5.0, "text": "a b", "confidence": 0.5},
        {"id": 1, "start": 8.0, "end": 20.0, "text": "c d e", "confidence": 0.5},
    ]
    assert found["words"][2] == {"word": "c", "start": 8.0, "end": 8.5, "confidence": 0.5}
    assert len(found["words"]) == 5
