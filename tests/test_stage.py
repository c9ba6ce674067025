"""How a stage ends where it is not started as it should be: one sentence that says how."""

import os
import subprocess
import sys

import pytest

from tests.documents import ROOT
from tests.process import assert_one_sentence


def started(*command: str, before: str = "") -> subprocess.CompletedProcess:
    line = [sys.executable, *before.split(), "-m", *command]
    return subprocess.run(line, cwd=ROOT, env=os.environ | {"PYTHONPATH": ""}, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("options", "place"),
    [
        (["--num_epoch=110"], "set train.num_epoch in params.yaml, or run dvc exp run -S train.num_epoch=110"),
        (["--num-epoch", "110"], "set train.num_epoch in params.yaml, or run dvc exp run -S train.num_epoch=110"),
        (["--resume_model=models/a"], "dvc exp run -S train.resume_model=models/a"),
        (["--batch_size", "4", "--use_gpu", "True"], "dvc exp run -S train.batch_size=4"),
        (["--use_gpu"], "set runtime.use_gpu in params.yaml, or run dvc exp run -S runtime.use_gpu=..."),
        (["--train_manifest=a b"], "the stage manifest writes dataset/manifest.train"),
        (["--vocab_path", "v"], "the stage vocabulary writes dataset/vocabulary.txt"),
        (["--prob=1"], "python -m ds2 params lists"),
        (["x"], "python -m ds2 params lists"),
    ],
)
def test_an_option_of_a_script_style_trainer_is_answered_with_its_new_place(options, place):
    done = started("stages.train", *options)
    assert_one_sentence(done)
    assert options[0].partition("=")[0] in done.stderr
    assert place in done.stderr


@pytest.mark.parametrize("command", [("stages.manifest",), ("stages.train",), ("ds2", "transcribe", "a.wav")])
def test_a_python_without_the_packages_is_told_to_activate_the_environment(command):
    done = started(*command, before="-S")  # without site-packages
    assert_one_sentence(done)
    assert sys.executable in done.stderr
    assert "activate the environment" in done.stderr
