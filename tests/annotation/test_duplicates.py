import json
import os
import shutil
import subprocess
import unicodedata

import av
import numpy as np
import pytest
import soundfile

from ds2 import params
from ds2.annotation import duplicates, files, screening

NOTHING_HELD_OUT = {"manifest": {"dev_fraction": 0, "test_fraction": 0, "max_duration": 60}}


@pytest.fixture
def screen(workspace):
    """screen({file: lines}) writes annotations, lines are tuples or, for .jsonl, dicts, and screens them."""

    def screen(annotations, workers=1, values=NOTHING_HELD_OUT):
        folder = workspace / "dataset/annotation"
        for name, lines in annotations.items():
            rows = (json.dumps(line) if isinstance(line, dict) else "\t".join(line) for line in lines)
            (folder / name).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        return screening.screen(files.sources(folder, [], []), params.from_dict(values), workers)

    return screen


def accepted(screened):
    return {part: [u.audio_filepath for u in utterances] for part, utterances in screened.accepted.items()}


def repeated(screened):
    assert {rejection.reason for rejection in screened.rejected} <= {"duplicate_audio"}
    return [rejection.audio for rejection in screened.rejected]


def as_flac(source, target):
    samples, rate = soundfile.read(source, dtype="int16")
    soundfile.write(target, samples, rate)


def as_float(source, target):
    samples, rate = soundfile.read(source, dtype="float32")
    soundfile.write(target, samples, rate, subtype="FLOAT")


def as_24_bits_of_two_channels(source, target):
    samples, rate = soundfile.read(source, dtype="float32")
    soundfile.write(target, np.stack([samples, samples], axis=1), rate, subtype="PCM_24")


def with_a_title(source, target):
    samples, rate = soundfile.read(source, dtype="int16")
    with soundfile.SoundFile(target, "w", rate, 1, "PCM_16") as file:
        file.title = "a title, which stands before the samples"
        file.write(samples)


def below_a_linked_folder(source, target):
    os.rename(source.parent, source.parent.with_name("real"))
    os.symlink("real", source.parent)
    os.symlink(source.parent / source.name, target)


NAMES = {
    "symbolic link": ("b.wav", os.symlink),
    "hard link": ("b.wav", os.link),
    "copy": ("b.wav", shutil.copyfile),
    "FLAC": ("b.flac", as_flac),
    "with a title": ("b.wav", with_a_title),
    "floating point": ("b.wav", as_float),
    "24 bits, two equal channels": ("b.wav", as_24_bits_of_two_channels),
    "chain of links": ("b.wav", below_a_linked_folder),
    "decomposed name": (unicodedata.normalize("NFD", "é.wav"), shutil.copyfile),
    "capital letters": ("A.WAV", os.link),
    "called .raw": ("b.raw", shutil.copyfile),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_under_another_name_counts_once_and_in_the_test_set(name, workspace, write_audio, screen):
    source = write_audio("clips/a.wav", subtype="PCM_16")
    other, make = NAMES[name]
    make(source, workspace / other)
    write_audio("clips/c.wav")
    found = screen({"my.txt": [("clips/a.wav", "你好"), ("clips/c.wav", "再见")], "my.test.txt": [(other, "你好")]})
    assert accepted(found) == {"train": ["clips/c.wav"], "dev": [], "test": [other]}
    (rejection,) = found.rejected
    assert (rejection.source.path.name, rejection.number, rejection.reason) == ("my.txt", 1, "duplicate_audio")
    assert rejection.detail.endswith(f"the same audio is already in {_test_file()} line 1 as {other}")


def _test_file():
    return (files.layout.repository_root() / "dataset/annotation/my.test.txt").as_posix()


@pytest.mark.parametrize("checksum", [True, False])
def test_flac_files_are_compared_by_their_samples(checksum, workspace, write_audio, screen):
    samples = soundfile.read(write_audio("a.wav"), dtype="int16")[0]
    for name, level in (("b", 0.0), ("c", 1.0)):
        soundfile.write(workspace / f"{name}.flac", samples, 16000, compression_level=level)
    soundfile.write(workspace / "d.flac", samples[::-1], 16000)
    content = bytearray((workspace / "c.flac").read_bytes())
    assert len(content) != (workspace / "b.flac").stat().st_size
    if not checksum:
        content[26:42] = bytes(16)
        (workspace / "c.flac").write_bytes(content)
    lines = [(f"{name}.flac", "你好") for name in "cd"]
    assert repeated(screen({"my.test.txt": [("b.flac", "你好")], "my.txt": lines})) == ["c.flac"]


def test_flac_files_of_other_widths_are_compared_by_their_samples_too(workspace, write_audio, screen):
    samples, rate = soundfile.read(write_audio("a.wav"), dtype="int16")
    soundfile.write(workspace / "b.flac", samples, rate, subtype="PCM_16")
    soundfile.write(workspace / "c.flac", samples.astype(np.int32) << 16, rate, subtype="PCM_24")
    found = screen({"my.test.txt": [("b.flac", "你好")], "my.txt": [("c.flac", "你好")]})
    assert repeated(found) == ["c.flac"]


def test_a_container_that_only_ffmpeg_reads_is_the_same_as_a_wav_file_of_its_samples(workspace, write_audio, screen):
    samples = soundfile.read(write_audio("a.wav"), dtype="int16")[0]
    with av.open(str(workspace / "b.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for start in range(0, len(samples), 1000):  # which do not fill the beginning that is compared first
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1000], format="s16", layout="mono")
            frame.rate, frame.pts = 16000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert repeated(screen({"my.dev.txt": [("a.wav", "你好")], "my.txt": [("b.mkv", "你好")]})) == ["b.mkv"]


def test_a_path_in_another_spelling_is_the_same_unless_a_link_leads_elsewhere(workspace, write_audio, screen):
    write_audio("clips/a.wav")
    write_audio("far/clips/a.wav")
    os.symlink("far/clips", workspace / "link")
    lines = [(path, "你好") for path in ("clips/a.wav", "clips/../clips/a.wav", str(workspace / "clips/a.wav"))]
    # Seen as mere text, link/../clips is clips; it is far/clips.
    found = screen({"my.txt": [*lines, ("link/../clips/a.wav", "你好")]})
    assert accepted(found)["train"] == ["clips/a.wav", "link/../clips/a.wav"]
    assert repeated(found) == [path for path, _ in lines[1:]]


def test_another_transcript_is_said_and_the_stage_names_the_first(workspace, write_audio, screen):
    os.link(write_audio("a.wav"), workspace / "b.wav")
    found = screen({"my.txt": [("a.wav", "你好"), ("b.wav", "再见"), ("a.wav", "你，好")]})
    first, second = (rejection.detail for rejection in found.rejected)
    assert first.endswith("my.txt line 1 as a.wav, with another transcript")
    assert second.endswith("my.txt line 1")
    (doubt,) = duplicates.doubts(found.rejected, found.copies)
    assert doubt.startswith("2 lines left out as repeated audio; the first is ")
    assert "my.txt line 2 (b.wav): the same audio is already in " in doubt
    assert duplicates.doubts([], []) == []


def test_copies_within_a_part_are_kept_and_said_but_not_in_two_parts(workspace, write_audio, screen):
    source = write_audio("a.wav")
    for name in "bcd":
        shutil.copyfile(source, workspace / f"{name}.wav")
    os.link(workspace / "c.wav", workspace / "e.wav")
    lines = [(f"{name}.wav", "你好") for name in ("a", "b", "c", "e", "b")]
    found = screen({"my.txt": lines})
    assert accepted(found)["train"] == ["a.wav", "b.wav", "c.wav"]
    assert repeated(found) == ["e.wav", "b.wav"]
    assert [(line.audio, earlier.audio) for line, earlier in found.copies] == [("b.wav", "a.wav"), ("c.wav", "a.wav")]
    told = duplicates.doubts(found.rejected, found.copies)
    assert [sentence.split(" ")[:2] for sentence in told] == [["2", "lines"], ["2", "lines"]]
    assert told[1].endswith("my.txt line 2 (b.wav), as " + f"{found.copies[0][1].source.path} line 1 (a.wav)")
    found = screen({"my.txt": lines, "my.test.txt": [("d.wav", "你好")]})
    assert accepted(found) == {"train": [], "dev": [], "test": ["d.wav"]}
    assert repeated(found) == [path for path, _ in lines]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("bad", ["…", "长" * 90], ids=["empty text", "too many labels"])
def test_a_line_that_is_rejected_takes_no_other_ones_place(bad, workers, workspace, write_audio, screen):
    lines = []
    for i in range(70):  # more than a worker looks at in one go
        os.link(write_audio(f"{i}.wav", 0.6), workspace / f"{i}.link.wav")
        lines += [(f"{i}.wav", bad), (f"{i}.link.wav", bad), (f"{i}.wav", "好"), (f"{i}.link.wav", "好")]
    found = screen({"my.txt": lines}, workers)
    assert accepted(found)["train"] == [f"{i}.wav" for i in range(70)]
    assert [r.number for r in found.rejected if r.reason == "duplicate_audio"] == list(range(4, 281, 4))
    assert len(found.rejected) == 210


@pytest.mark.parametrize("lead", [0, 8192], ids=["noise", "silence"])
def test_recordings_of_one_length_that_begin_alike_are_not_the_same(lead, workspace, screen):
    start = np.concatenate([np.zeros(lead), np.random.default_rng(1).normal(0, 0.1, 8000 * (lead == 0))])
    for i in range(4):
        samples = np.concatenate([start, np.random.default_rng(i).normal(0, 0.1, 16000 - len(start))])
        soundfile.write(workspace / f"{i}.wav", samples, 16000)
    found = screen({"my.txt": [(f"{i}.wav", "你好") for i in range(4)]})
    assert accepted(found)["train"] == [f"{i}.wav" for i in range(4)]


def test_the_same_samples_at_another_rate_are_another_recording(workspace, write_audio, screen):
    samples, _ = soundfile.read(write_audio("a.wav", 2.0))
    soundfile.write(workspace / "b.wav", samples, 8000)
    assert not repeated(screen({"my.txt": [("a.wav", "你好"), ("b.wav", "你好")]}))


def piece(path, offset, duration, channel=None):
    line = {"audio_filepath": path, "text": "好", "offset": offset, "duration": duration}
    return line if channel is None else line | {"channel": channel}


def test_of_pieces_those_that_overlap_by_more_than_50_ms_are_repeated_through_links_too(workspace, write_audio, screen):
    os.link(write_audio("a.wav", 6.0), workspace / "b.wav")
    lines = [
        piece("a.wav", 2.0, 1.0),
        piece("a.wav", 1.0, 1.04),  # 40 ms in common with the first
        piece("b.wav", 2.96, 1.0),  # and this, with its end
        piece("b.wav", 2.9, 1.0),  # no: 100 ms
        piece("a.wav", 0.0, 6.0),
        piece("b.wav", 2.2, 0.6),
        piece("b.wav", 5.0, 0.6),
        {"audio_filepath": "b.wav", "text": "好"},
    ]
    found = screen({"my.jsonl": lines})
    assert [r.number for r in found.rejected] == [4, 5, 6, 8]
    assert {r.detail.split(" already")[0] for r in found.rejected} == {"some of the same audio is"}


def test_channels_are_recordings_of_their_own_but_not_beside_their_mean(workspace, write_audio, screen):
    os.link(write_audio("a.wav", 2.0, channels=2), workspace / "b.wav")
    lines = [piece("a.wav", 0, 1.0, 0), piece("b.wav", 0, 1.0, 1), piece("b.wav", 0, 1.0, 0), piece("b.wav", 0.2, 1.0)]
    found = screen({"my.jsonl": [*lines, piece("a.wav", 1.2, 0.8), piece("b.wav", 1.0, 1.0, 1)]})
    assert [r.number for r in found.rejected] == [3, 4, 6]


def test_thousands_of_pieces_and_their_copies_are_found_by_neighbours(workspace, write_audio, screen):
    write_audio("a.wav", 50.0)
    os.link(workspace / "a.wav", workspace / "b.wav")
    starts = np.random.default_rng(1).permutation(1600) * 0.03
    values = {"manifest": NOTHING_HELD_OUT["manifest"] | {"min_duration": 0}}
    lines = [piece("ab"[i % 2] + ".wav", round(float(start), 3), 0.1) for i, start in enumerate(starts) if start < 49.9]
    found = screen({"my.jsonl": lines}, values=values)
    kept: list[float] = []
    for line in lines:
        if all(abs(line["offset"] - other) > 0.05 for other in kept):
            kept.append(line["offset"])
    assert [u.offset for u in found.accepted["train"]] == kept


def test_audio_shorter_than_50_ms_counts_once_too(workspace, write_audio, screen):
    os.link(write_audio("a.wav", 0.045), workspace / "b.wav")
    values = {"manifest": NOTHING_HELD_OUT["manifest"] | {"min_duration": 0}}
    assert repeated(screen({"my.txt": [("a.wav", "好"), ("b.wav", "好")]}, values=values)) == ["b.wav"]


def test_a_file_that_vanishes_before_it_is_compared_stands_for_itself(workspace, write_audio, screen, monkeypatch):
    os.link(write_audio("a.wav"), workspace / "b.wav")
    find = duplicates.find

    def late(good, parts, workers):
        (workspace / "b.wav").unlink()
        return find(good, parts, workers)

    monkeypatch.setattr(duplicates, "find", late)
    assert not repeated(screen({"my.txt": [("a.wav", "好"), ("b.wav", "好")]}))


def test_a_file_system_without_case_has_one_recording(workspace, write_audio, screen):
    """On Linux a folder of ext4 or tmpfs may be made so; where none can, a capital letter is a link (above)."""
    folder = workspace / "folded"
    folder.mkdir()
    if subprocess.run(["chattr", "+F", folder], capture_output=True).returncode:
        pytest.skip("no folder without case can be made here")
    write_audio("folded/a.wav")
    assert repeated(screen({"my.txt": [("folded/a.wav", "好"), ("folded/A.WAV", "好")]})) == ["folded/A.WAV"]
