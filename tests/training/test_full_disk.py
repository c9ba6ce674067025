"""A disk that fills up stops a training with a sentence; with room again it goes on to the same bits."""

import re
import shutil
import signal
import subprocess
from contextlib import contextmanager

import pytest

from ds2 import layout
from ds2.checkpoint import disk
from tests import products
from tests.pipeline import kills
from tests.process import Stage
from tests.training import tiny

pytestmark = pytest.mark.slow

CHOSEN = {"num_epoch": 3, "augment": True, "save_interval": 1}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A training with room enough, not to be changed."""
    root = tmp_path_factory.mktemp("undisturbed")
    tiny.write_data(root)
    tiny.write_params(root, **CHOSEN)
    stage = Stage(root)
    assert stage.end() == 0, stage.log
    return root


@pytest.fixture
def root(workspace, undisturbed):
    """The same data and parameters, nothing trained."""
    for name in ("dataset", "audio"):
        shutil.copytree(undisturbed / name, workspace / name, dirs_exist_ok=True)
    # The manifests name the audio by absolute paths: those of the undisturbed training, and so the same fingerprint.
    shutil.copy(undisturbed / layout.PARAMS, workspace)
    return workspace


def assert_same(root, undisturbed):
    last = layout.MODELS / "epoch_3"
    assert tiny.same_bits(tiny.saved(root / last), tiny.saved(undisturbed / last))
    for name in (layout.CURVES / "steps.tsv", layout.CURVES / "epochs.tsv"):
        assert (root / name).read_bytes() == (undisturbed / name).read_bytes()
    assert products.numbers(root / layout.TRAIN_NUMBERS) == products.numbers(undisturbed / layout.TRAIN_NUMBERS)


def assert_ended_with_a_sentence(stage, where, reason):
    assert stage.end() == 1, stage.log
    assert "Traceback" not in stage.log
    last = stage.lines[-1].text
    assert re.fullmatch(rf"error: \S*{where}\S* cannot be written \({reason}\).*room.*", last)


def contents(root):
    found = [path for top in (".ds2", "models", "results") for path in (root / top).rglob("*")]
    return {str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in found}


def unfinished(root):
    return [path for top in (".ds2", "models", "results") for path in (root / top).rglob(".*")]


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_save_that_does_not_fit_leaves_the_state_before(share, root, undisturbed):
    stage = Stage(root)
    stage.until(r"Train epoch: \[2/3\], batch: \[2/4\]")
    stage.process.send_signal(signal.SIGTERM)
    assert stage.end() == 1
    before = contents(root)
    largest = max((path.stat().st_size for path in (root / "models").rglob("*") if path.is_file()), default=0)
    stage = Stage(root, file_size=int(share * largest))
    assert_ended_with_a_sentence(stage, r"\.ds2/autosave/\w+/(step|epoch)_\d+", "File too large")
    assert contents(root) == before
    stage = Stage(root)
    assert stage.end() == 0, stage.log
    assert "going on from" in stage.log
    assert_same(root, undisturbed)


@contextmanager
def small_disk(folder, size):
    """A file system of its own, of so many bytes, at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can make a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


# Sizes with room for something, but not for all: a state is some 100 kB, a table a page of 4096 bytes.
@pytest.mark.parametrize(
    ("place", "size", "named"),
    [
        (".ds2", 500_000, r"\.ds2/autosave/\w+/(step|epoch)_\d+"),
        ("models", 200_000, r"models/\w+"),
        ("results", 4096, r"results/\S+"),
    ],
)
def test_a_full_disk_ends_with_a_sentence_and_the_training_goes_on_with_room(place, size, named, root, undisturbed):
    with small_disk(root / place, size):
        stage = Stage(root)
        assert_ended_with_a_sentence(stage, named, "No space left on device")
        assert not unfinished(root)
        for state in [*root.rglob(".ds2/autosave/*/*/state.json"), *root.rglob("models/*/state.json")]:
            disk.read_state(state.parent)
        subprocess.run(["mount", "-o", "remount,size=50m", root / place], check=True)
        stage = Stage(root)
        assert stage.end() == 0, stage.log
        assert "going on from" in stage.log
        assert_same(root, undisturbed)


def test_a_full_disk_under_visualdls_files_does_not_stop_a_training(root, undisturbed):
    with small_disk(root / "log", 4096):
        (root / "log" / "filler").write_bytes(bytes(4096))
        stage = Stage(root)
        assert stage.end() == 0, stage.log
        assert_same(root, undisturbed)
        assert not [path for path in root.rglob("vdlrecords.*") if path.stat().st_size]
        # The log's file is named once.
        assert len(re.findall(r"WARNING \S+\.log cannot be written \(No space left on device\)", stage.log)) == 1
        assert "Traceback" not in stage.log
        # With room, the next start shows everything.
        subprocess.run(["mount", "-o", "remount,size=1m", root / "log"], check=True)
        stage = Stage(root)
        assert stage.end() == 0, stage.log
        assert kills.missing_steps(kills.products(root, 3)) == []
