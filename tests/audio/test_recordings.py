import os

import numpy as np
import soundfile

from ds2.audio import recordings
from ds2.audio.recordings import Recordings


def test_files_are_found_in_folders_below_and_by_name(write_audio, workspace):
    write_audio("noise/b/2.flac")
    write_audio("noise/1.wav")
    (workspace / "noise/README.txt").write_text("no audio")
    found = Recordings("noise", 16000)
    assert [name for name, _ in found.identity()] == ["1.wav", "b/2.flac"]


def test_files_of_any_usual_format_are_found_and_heard(write_audio):
    write_audio("noise/1.opus", rate=48000, format="OGG", subtype="OPUS")
    write_audio("noise/2.AIFF", rate=8000)
    found, random = Recordings("noise", 16000), np.random.default_rng(0)
    assert [name for name, _ in found.identity()] == ["1.opus", "2.AIFF"]
    assert all(found.draw(random) is not None for _ in range(10))


def test_what_a_corpus_that_is_being_unpacked_has_so_far_is_not_found(write_audio):
    write_audio("noise/.musan.tmp/free-sound/1.wav")
    write_audio("noise/._2.wav")
    write_audio("noise/3.wav")
    assert [name for name, _ in Recordings("noise", 16000).identity()] == ["3.wav"]


def test_a_folder_that_two_links_lead_to_counts_once_and_hides_none_beside_it(write_audio, workspace):
    write_audio("disk/a/1.wav")
    write_audio("disk/b/2.wav")
    write_audio("noise/3.wav")
    (workspace / "noise/x").symlink_to(workspace / "disk/a")
    (workspace / "noise/y").symlink_to(workspace / "disk")
    (workspace / "disk/b/up").symlink_to(workspace / "noise")
    assert [name for name, _ in Recordings("noise", 16000).identity()] == ["3.wav", "x/1.wav", "y/b/2.wav"]


def test_a_folder_in_the_home_folder_is_found(write_audio, workspace, monkeypatch):
    write_audio("home/noise/1.wav")
    monkeypatch.setenv("HOME", str(workspace / "home"))
    assert len(Recordings("~/noise", 16000)) == 1


def test_a_missing_folder_has_no_files(workspace):
    assert len(Recordings("nowhere", 16000)) == 0


def test_what_is_drawn_has_the_rate_asked_for(write_audio):
    write_audio("noise/1.wav", seconds=1.0, rate=8000)
    assert abs(len(Recordings("noise", 16000).draw(np.random.default_rng(0))) - 16000) <= 2


def test_unreadable_and_silent_files_are_passed_over(workspace):
    (workspace / "noise").mkdir()
    (workspace / "noise/1.wav").write_bytes(b"no audio")
    assert Recordings("noise", 16000).draw(np.random.default_rng(0)) is None
    soundfile.write(workspace / "noise/1.wav", np.zeros(1000), 16000)
    assert Recordings("noise", 16000).draw(np.random.default_rng(0)) is None


def test_memory_is_bounded(write_audio, monkeypatch):
    monkeypatch.setattr(recordings, "_KEPT_BYTES", 3 * 16000 * 4)
    for i in range(8):
        write_audio(f"noise/{i}.wav", seconds=1.0)
    found, random = Recordings("noise", 16000), np.random.default_rng(0)
    for _ in range(50):
        assert len(found.draw(random)) == 16000
        assert len(found._decoded) <= 3


def test_a_file_is_the_same_however_often_it_is_drawn(write_audio):
    write_audio("noise/1.wav")
    found, random = Recordings("noise", 16000), np.random.default_rng(0)
    assert np.array_equal(found.draw(random), found.draw(random))


def test_linked_folders_are_read_each_real_one_once_and_loops_end(write_audio, workspace):
    write_audio("noise/own/1.wav")
    write_audio("disk/musan/2.wav")
    write_audio("disk/musan/deep/3.wav")
    write_audio("disk/.hidden/4.wav")
    (workspace / "noise/a musan").symlink_to(workspace / "disk/musan")
    (workspace / "noise/again").symlink_to(workspace / "disk/musan")  # another link to the same folder
    (workspace / "noise/inner").symlink_to(workspace / "disk/musan/deep")  # read already
    (workspace / "noise/.hidden").symlink_to(workspace / "disk/.hidden")
    (workspace / "noise/own/loop").symlink_to(workspace / "noise")
    (workspace / "disk/musan/deep/loop").symlink_to(workspace / "disk")
    (workspace / "noise/nowhere").symlink_to(workspace / "none")
    names = [name for name, _ in Recordings("noise", 16000).identity()]
    assert names == ["a musan/2.wav", "a musan/deep/3.wav", "own/1.wav"]


def test_a_link_to_a_folder_inside_is_left_to_the_folder_itself(write_audio, workspace):
    write_audio("noise/z/1.wav")
    (workspace / "noise/a").symlink_to(workspace / "noise/z")
    assert [name for name, _ in Recordings("noise", 16000).identity()] == ["z/1.wav"]


def test_a_linked_folder_is_the_folder(write_audio, workspace):
    write_audio("disk/1.wav")
    (workspace / "noise").symlink_to(workspace / "disk")
    assert [name for name, _ in Recordings("noise", 16000).identity()] == ["1.wav"]


def test_what_is_no_file_is_no_noise(write_audio, workspace):
    write_audio("noise/1.wav")
    os.mkfifo(workspace / "noise/2.wav")
    assert [name for name, _ in Recordings("noise", 16000).identity()] == ["1.wav"]
