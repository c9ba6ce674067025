"""A training whose recordings lie on a disk that is not mounted fails, and succeeds once it is: real dvc."""

import json

import pytest

pytestmark = pytest.mark.slow


def test_recordings_that_are_gone_after_the_manifest_fail_the_training_and_leave_nothing(prepared, a_copy):
    repository = a_copy(prepared)
    recordings, lock = repository.folder / "recordings", (repository.folder / "dvc.lock").read_bytes()
    recordings.rename(repository.folder / "unmounted")
    printed = repository.run("dvc", "repro", "train", expect=255)
    [sentence] = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "of 40 training recordings could not be read so far" in sentence
    assert "recordings/train" in sentence
    assert "Traceback" not in printed
    assert repository.epochs() == []
    assert (repository.folder / "dvc.lock").read_bytes() == lock
    (repository.folder / "unmounted").rename(recordings)
    repository.run("dvc", "repro", "train")
    assert json.loads((repository.folder / "results/training.json").read_text())["unreadable_recordings"] == 0
