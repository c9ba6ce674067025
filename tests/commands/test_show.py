import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ds2 import params
from ds2.commands import show

ROOT = Path(__file__).parents[2]
KINDS = tuple(params.AugmentSettings.model_fields)


@pytest.fixture
def run(workspace):
    """run(*arguments) is the command line, in a workspace with params.yaml."""
    shutil.copy(ROOT / "params.yaml", workspace)

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "ds2", "show", *arguments],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    return command


def test_one_command_writes_a_picture_and_a_recording_of_each_kind(run, workspace, write_audio):
    write_audio("a.wav", 1.5)
    write_audio("dataset/noise/hum.wav", 0.7)
    done = run("a.wav", "--out", "seen")
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (workspace / "seen").iterdir()}
    assert written == {"augment.png", "original.wav", "all.wav"} | {f"{kind}.wav" for kind in KINDS}
    assert (workspace / "seen/augment.png").read_bytes().startswith(b"\x89PNG")
    assert "reverb.wav: off, no audio in dataset/reverb" in done.stdout
    assert "noise.wav: off" not in done.stdout
    original, rate = soundfile.read(workspace / "seen/original.wav")
    assert (len(original), rate) == (24000, 16000)


def test_what_is_no_audio_is_refused_with_a_sentence(run, workspace):
    (workspace / "a.wav").write_text("no audio")
    done = run("a.wav")
    assert done.returncode == 1
    assert done.stderr.startswith("error: a.wav: it cannot be decoded")
    assert not (workspace / "augment").exists()


def test_a_file_where_the_folder_should_be_is_named_with_a_sentence(run, workspace, write_audio):
    write_audio("a.wav", 0.5)
    (workspace / "seen").write_text("mine")
    done = run("a.wav", "--out", "seen")
    assert done.returncode == 1
    assert done.stderr == "error: seen cannot be used (File exists): move what is there, or change its rights\n"
    assert (workspace / "seen").read_text() == "mine"


def test_every_kind_shows_something_else_than_the_original_and_the_same_every_time(workspace, write_audio):
    write_audio("dataset/noise/hum.wav", 0.7)
    write_audio("dataset/reverb/room.wav", 0.05)
    path = write_audio("a.wav", 1.5)
    samples = soundfile.read(path, dtype="float32")[0]
    shown, again = (show.every_kind(samples, params.Params(), seed=3) for _ in range(2))
    assert [one.kind for one in shown][1:-1] == list(KINDS)
    for one, same in zip(shown, again, strict=True):
        assert np.array_equal(one.samples, same.samples)
        assert np.array_equal(one.values, same.values)
        assert one.off == ""
    for one in shown[1:-1]:
        same_samples = np.array_equal(one.samples, samples)
        assert same_samples == one.kind.startswith("spec_")
        assert not (same_samples and np.array_equal(one.values, shown[0].values))
