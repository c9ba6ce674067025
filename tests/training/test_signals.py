"""Real signals to a real stage: what it says, what it leaves, and that it goes on to the same bits."""

import json
import os
import signal
from pathlib import Path

import pytest

from ds2 import layout
from ds2.checkpoint import disk
from ds2.data import manifest
from ds2.data.manifest import Manifest
from tests.process import ROOT, Stage
from tests.training import tiny

pytestmark = pytest.mark.wheel

FUSE = ROOT / "tests" / "pipeline" / "fuse.py"


def states(root: Path) -> list[Path]:
    """All checkpoints, each read and found intact; no unfinished one is there."""
    folders = [path.parent for place in (".ds2/autosave", "models") for path in (root / place).rglob("state.json")]
    for folder in folders:
        disk.read_state(folder)
    assert not [folder for folder in folders if folder.name.startswith(".")]
    return folders


def assert_as_undisturbed(root, chosen):
    """Compares what the stage has left with a training that was never stopped."""
    place, epochs = root / "undisturbed", chosen.train.num_epoch
    tiny.train(root, place, chosen)
    last = Path("models") / f"epoch_{epochs}"
    assert tiny.same_bits(tiny.saved(root / last), tiny.saved(place / last))
    for name in ("steps.tsv", "epochs.tsv"):
        assert (root / layout.CURVES / name).read_bytes() == (place / "curves" / name).read_bytes()
    metrics = json.loads((root / layout.TRAIN_NUMBERS).read_text())
    assert metrics["epochs"] == epochs
    assert metrics["steps"] == epochs * 4
    assert all(isinstance(value, (int, float)) for value in metrics.values())


@pytest.mark.slow
def test_the_stage_survives_signals_and_a_kill_to_the_same_bits(workspace):
    tiny.write_data(workspace)
    dev = workspace / layout.manifest_path("dev")
    manifest.write(dev, list(Manifest(dev)) * 20)  # so that there is time while it is scored
    chosen = tiny.write_params(workspace, num_epoch=4, augment=True, save_interval=1)

    for number, batch in ((signal.SIGTERM, "batch: [2/4]"), (signal.SIGINT, "batch: [3/4]")):
        stage = Stage(workspace)
        stage.until(batch.replace("[", r"\["))
        stage.process.send_signal(number)
        assert stage.end() == 1
        assert "Traceback" not in stage.log
        assert f"error: stopped by {number.name}" in stage.lines[-1].text
        assert "the same command resumes from it" in stage.lines[-1].text
        assert not (workspace / layout.TRAIN_NUMBERS).exists()
        assert states(workspace)

    stage = Stage(workspace)
    stage.until(r"batch: \[4/4\]")
    assert "going on from" in stage.log
    for number in (signal.SIGINT, signal.SIGTERM):
        stage.process.send_signal(number)
    assert stage.end() == 130
    assert "Epoch: [" not in stage.log
    assert stage.lines[-1].text == "interrupted"
    assert states(workspace)

    # The second rename of a start gives the first epoch its name, or the one after that.
    stage = Stage(workspace, str(FUSE), "rename", "2", "SIGTERM", "SIGINT")
    assert stage.end() == 130
    assert stage.lines[-1].text == "interrupted"
    assert states(workspace)

    stage = Stage(workspace)
    stage.until(r"Train epoch: \[")
    stage.kill()
    stage.end()

    stage = Stage(workspace)
    assert stage.end() == 0, stage.log
    assert "going on from" in stage.log
    assert_as_undisturbed(workspace, chosen)


@pytest.mark.parametrize("number", range(1, 10))
def test_a_second_signal_while_states_are_written_leaves_them_whole(number, workspace, monkeypatch):
    tiny.write_data(workspace)
    chosen = tiny.settings(num_epoch=2, save_interval=2, keep_checkpoints=1, augment=True)
    place, rename, left = workspace / "stopped", os.rename, number

    def interrupted(*paths):
        nonlocal left
        left -= 1
        if left == 0:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
        rename(*paths)

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny.train(workspace, place, chosen)
    monkeypatch.undo()
    for folder in [*next((place / "autosave").iterdir()).iterdir(), *place.glob("models/*")]:
        if folder.is_dir() and not folder.name.endswith(".old"):
            disk.read_state(folder)
            assert not folder.name.startswith(".")
    tiny.train(workspace, place, chosen)
    tiny.train(workspace, workspace / "undisturbed", chosen)
    left, right = (tiny.saved(workspace / name / "models" / "epoch_2") for name in ("stopped", "undisturbed"))
    assert tiny.same_bits(left, right)
