import json
import os

import pytest
import soundfile

from ds2 import params
from ds2.annotation import files, screening
from ds2.annotation.files import Line, Rejection, Source
from ds2.audio.piece import WHOLE, Piece
from ds2.data import manifest
from ds2.data.manifest import Manifest
from tests.conftest import tone


@pytest.fixture
def parse(tmp_path):
    """parse(*lines) reads the lines (strings, bytes or objects) as a .jsonl annotation."""

    def parse(*lines):
        encoded = [
            line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
            for line in lines
        ]
        path = tmp_path / "my.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in encoded))
        return list(files.read(Source(path, "train")))

    return parse


def line(**more):
    return {"audio_filepath": "a.wav", "text": "你好"} | more


@pytest.mark.parametrize(
    ("more", "piece"),
    [
        ({}, WHOLE),
        ({"offset": 1.5, "duration": 2}, Piece(1.5, 2.0)),
        ({"duration": 2.5}, Piece(0.0, 2.5)),
        ({"offset": 0}, Piece(0.0)),
        ({"channel": 1}, Piece(channel=1)),
        ({"offset": None, "duration": None, "channel": None}, WHOLE),
    ],
)
def test_a_line_has_audio_text_and_a_piece(parse, more, piece):
    (found,) = parse(line(**more))
    assert (found.audio, found.transcript, found.speaker, found.piece, found.extra) == (
        "a.wav",
        "你好",
        None,
        piece,
        {},
    )


@pytest.mark.parametrize(("speaker", "name"), [("张 三", "张 三"), (" s1 ", "s1"), (7, "7"), ("", None), (None, None)])
def test_a_line_may_name_its_speaker(parse, speaker, name):
    (found,) = parse(line(speaker=speaker))
    assert found.speaker == name


def test_other_keys_are_kept(parse):
    (found,) = parse(line(lang="zh", pnc={"on": True}, offset=1))
    assert found.extra == {"lang": "zh", "pnc": {"on": True}}


def test_a_byte_order_mark_and_crlf_do_no_harm(parse):
    first, second = parse(b"\xef\xbb\xbf" + json.dumps(line()).encode() + b"\r", json.dumps(line()) + "\r")
    assert isinstance(first, Line)
    assert isinstance(second, Line)


@pytest.mark.parametrize(
    ("content", "reason", "part"),
    [
        ("{", "bad_json", "the line is no JSON object (EOF"),
        ('{"audio_filepath": "a.wav", "text": "x"', "bad_json", "the line is no JSON object (EOF"),
        ("a.wav\t你好", "bad_json", "with tabs between its fields, call the file *.txt"),
        ('["a.wav", "你好"]', "bad_json", "which begins with { and ends with }"),
        ("3", "bad_json", "which begins with { and ends with }"),
        ("[" * 5000 + "]" * 5000, "bad_json", "recursion limit"),
        (b'{"audio_filepath": "\xc4\xe3.wav", "text": "x"}', "not_utf8", "GB18030"),
        ("  ", "blank_line", "the line is blank"),
        ({"text": "你好"}, "missing_key", "audio_filepath missing"),
        ({"audio_filepath": "a.wav"}, "missing_key", "text missing"),
        ({"audio_filepath": "a.wav", "text": None}, "missing_key", "text missing"),
        ({}, "missing_key", "audio_filepath and text missing"),
        (line(audio_filepath=3), "bad_value", "audio_filepath is 3"),
        (line(audio_filepath=" "), "bad_value", "audio_filepath is ' '"),
        (line(text=["你好"]), "bad_value", "text is ['你好'], but should be the transcript"),
        (line(speaker=["s1"]), "bad_value", "speaker is ['s1'], but should be a name"),
        (line(speaker="a\tb"), "bad_value", "speaker is 'a\\tb'"),
        (line(speaker="a\nb"), "bad_value", "speaker is 'a\\nb'"),
        (line(speaker=True), "bad_value", "speaker is True"),
        (line(offset=-1), "bad_value", "offset is -1, but should be seconds, 0 or more"),
        (line(offset="1.5"), "bad_value", "offset is '1.5', but should be seconds"),
        ('{"audio_filepath": "a.wav", "text": "x", "offset": NaN}', "bad_value", "offset is nan"),
        ('{"audio_filepath": "a.wav", "text": "x", "duration": Infinity}', "bad_value", "duration is inf"),
        ('{"audio_filepath": "a.wav", "text": "x", "duration": 1e999}', "bad_value", "duration is inf"),
        (line(duration=0), "bad_value", "duration is 0, but should be seconds, more than 0"),
        (line(duration=-2.5), "bad_value", "duration is -2.5"),
        (line(duration=True), "bad_value", "duration is True"),
        (line(channel="left"), "bad_value", "channel is 'left', but should be a whole number, from 0 up"),
        (line(channel=-1), "bad_value", "channel is -1"),
        (line(channel=0.0), "bad_value", "channel is 0.0"),
    ],
)
def test_a_mistake_is_a_rejection_with_the_reason(parse, content, reason, part):
    first, found, last = parse(line(), content, line())
    assert isinstance(first, Line)
    assert isinstance(last, Line)
    assert isinstance(found, Rejection)
    assert (found.reason, found.number) == (reason, 2)
    assert part in found.detail


@pytest.fixture
def screen(workspace):
    """screen(**files) writes annotations, named by their first word, and screens them."""

    def screen(settings=None, **annotations):
        for name, lines in annotations.items():
            path = workspace / "dataset/annotation" / f"{name.replace('_', '.')}.jsonl"
            path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), encoding="utf-8")
        sources = files.sources(workspace / "dataset/annotation", [], ["demo"])
        return screening.screen(sources, params.from_dict(settings or {}), 1)

    return screen


def rejections(screened):
    return [(rejection.number, rejection.reason) for rejection in screened.rejected]


def utterances(screened):
    return [utterance for part in screened.accepted.values() for utterance in part]


def test_names_of_json_files_say_the_part_as_those_of_text_files_do(workspace):
    folder = workspace / "dataset/annotation"
    for name in ("a.jsonl", "a.test.jsonl", "dev.jsonl", "test.jsonl", "b.dev.jsonl", "c.txt", "demo.test.jsonl"):
        (folder / name).write_text("{}\n")
    found = {source.path.name: source.split for source in files.sources(folder, [], ["demo"])}
    assert found == {
        "a.jsonl": "train",
        "a.test.jsonl": "test",
        "dev.jsonl": "dev",
        "test.jsonl": "test",
        "b.dev.jsonl": "dev",
        "c.txt": "train",
    }
    (left,) = files.left_out(folder, [], ["demo"])
    assert left.endswith("demo.test.jsonl is not read: its name is that of a built-in corpus, rename it")


def test_the_pieces_of_a_recording_become_lines_of_the_manifest(screen, write_audio, workspace):
    write_audio("call.wav", 10.0, channels=2)
    screened = screen(
        my_test=[
            {"audio_filepath": "call.wav", "text": "一 二", "offset": 1.0, "duration": 1.5, "speaker": "s1"},
            {"audio_filepath": "call.wav", "text": "三四", "offset": 3.25, "channel": 1, "duration": 2, "lang": "zh"},
            {"audio_filepath": "call.wav", "text": "五六", "offset": 8.5},
        ]
    )
    assert rejections(screened) == []
    manifest.write(workspace / "manifest", utterances(screened))
    written = [json.loads(one) for one in (workspace / "manifest").read_text(encoding="utf-8").splitlines()]
    first = {"audio_filepath": "call.wav", "duration": 1.5, "text": "一二", "speaker": "s1", "offset": 1.0}
    second = {"audio_filepath": "call.wav", "duration": 2.0, "text": "三四", "offset": 3.25, "channel": 1, "lang": "zh"}
    third = {"audio_filepath": "call.wav", "duration": 1.5, "text": "五六", "offset": 8.5}
    assert written == [first, second, third]
    assert list(Manifest(workspace / "manifest")) == utterances(screened)


def test_the_length_of_the_piece_counts_not_that_of_the_recording(screen, write_audio):
    write_audio("long.wav", 30.0)
    bounds = {"manifest": {"min_duration": 0.5, "max_duration": 5.0}}
    offsets = [(0.0, 0.4), (1.0, 0.5), (2.0, 5.0), (8.0, 5.1), (24.0, None), (14.0, 0.6)]
    lines = [
        {"audio_filepath": "long.wav", "text": "你好" * (20 if offset == 14.0 else 1), "offset": offset, "duration": d}
        for offset, d in offsets
    ]
    screened = screen(bounds, my_test=lines)
    expected = [(1, "too_short"), (4, "too_long"), (5, "too_long"), (6, "too_many_labels")]
    assert rejections(screened) == expected
    assert [(u.offset, u.duration) for u in utterances(screened)] == [(1.0, 0.5), (2.0, 5.0)]


def test_a_piece_that_is_not_there_is_rejected_and_one_that_ends_a_little_late_is_cut(screen, write_audio):
    for name in "abcd":
        write_audio(f"{name}.wav", 4.0)
    lines = [
        {"audio_filepath": "a.wav", "text": "你好", "offset": 4.5, "duration": 1.0},
        {"audio_filepath": "b.wav", "text": "你好", "offset": 3.0, "duration": 1.06},
        {"audio_filepath": "c.wav", "text": "你好", "offset": 3.0, "duration": 1.04},
        {"audio_filepath": "d.wav", "text": "你好", "offset": 0.0, "duration": 1.0, "channel": 1},
        {"audio_filepath": "none.wav", "text": "你好", "offset": 0.0, "duration": 1.0},
    ]
    screened = screen(my_test=lines)
    expected = [(1, "no_such_piece"), (2, "no_such_piece"), (4, "no_such_piece"), (5, "missing_audio")]
    assert rejections(screened) == expected
    assert [(u.offset, u.duration) for u in utterances(screened)] == [(3.0, 1.0)]


def test_overlapping_pieces_are_duplicates_and_others_are_none(screen, write_audio):
    write_audio("a.wav", 9.0, channels=2)
    spans = [(0.0, 2.0, None), (2.0, 2.0, None), (3.5, 2.0, None), (6.0, 2.0, 0), (6.0, 2.0, 1), (7.0, 1.0, None)]
    lines = [
        {"audio_filepath": "a.wav", "text": "你好", "offset": offset, "duration": duration, "channel": channel}
        for offset, duration, channel in spans
    ]
    assert rejections(screen(my_test=lines)) == [(3, "duplicate_audio"), (6, "duplicate_audio")]


def test_channels_that_are_mixed_or_cancel_each_other_are_told_with_the_first(screen, write_audio, workspace):
    write_audio("mono.wav")
    write_audio("b.wav", channels=2)
    write_audio("c.wav", channels=2)
    soundfile.write(workspace / "d.flac", [(value, -value) for value in tone(1.0).tolist()], 16000)
    lines = [{"audio_filepath": name, "text": "你好"} for name in ("mono.wav", "b.wav", "c.wav", "d.flac")]
    notes = screening.channel_notes(screen(my_test=[*lines, line(audio_filepath="b.wav")]))
    assert [note.split(":")[0] for note in notes] == [
        "2 utterances of recordings with more than one channel",
        "1 utterance of recordings whose channels cancel each other (opposite phase)",
    ]
    assert "first: b.wav" in notes[0]
    assert "first: d.flac" in notes[1]
    chosen = [one | {"channel": 0} for one in lines]
    assert screening.channel_notes(screen(my_test=chosen)) == []


def test_audio_that_is_no_file_is_rejected_and_not_waited_for(screen, workspace):
    os.mkfifo(workspace / "a.wav")
    os.mkfifo(workspace / "dataset/annotation/b.jsonl")
    screened = screen(my_test=[line(), line(audio_filepath="/dev/zero")])
    assert [(r.reason, r.detail) for r in screened.rejected] == [
        ("unreadable_audio", "a.wav: it is no regular file but a pipe"),
        ("unreadable_audio", "/dev/zero: it is no regular file but a device"),
    ]
    left = files.left_out(workspace / "dataset/annotation", [], [])
    assert [sentence.split("/")[-1] for sentence in left] == ["b.jsonl is not read: no regular file"]
