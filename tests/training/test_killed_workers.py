"""kill -9 of processes that prepare data, as by a kernel that is out of memory."""

import functools
import json
import multiprocessing
import shutil

import psutil
import pytest

from ds2 import layout
from ds2.checkpoint import disk
from ds2.data import manifest
from ds2.data.manifest import Manifest
from ds2.errors import UserError
from tests.process import Stage
from tests.training import tiny

SENTENCE = "a worker process was killed, perhaps for want of memory: lower runtime.num_workers"
BATCHES = 7  # in an epoch, two utterances each; three or four are under way


def kill_all():
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()


def readers(process, rank=None):
    """The processes that prepare data below a stage, or below one of its training processes."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            line = child.cmdline()
            if any("spawn_main" in word for word in line) and rank in (
                None,
                int(child.environ().get("PADDLE_TRAINER_ID", 0)),
            ):
                found.append(child)
        except psutil.Error:
            continue  # it has just ended
    return found


def curves(place):
    return [(place / name).read_bytes() for name in ("steps.tsv", "epochs.tsv")]


@pytest.mark.parametrize(
    ("step", "places"),
    [
        (2, [(0, batch) for batch in range(3, BATCHES)]),
        (BATCHES, [(1, 0)]),  # noticed while dev data are scored and the average is measured
        (BATCHES + 1, [(1, batch) for batch in range(2, BATCHES)]),
    ],
)
@pytest.mark.wheel
def test_the_state_is_saved_and_the_training_resumes_to_the_same_bits(step, places, root, tmp_path, log):
    chosen = tiny.settings(num_epoch=2, batch_size=2, augment=True)
    with pytest.raises(UserError) as error:
        tiny.train(root, tmp_path / "killed", chosen, workers=1, watcher=tiny.acting_at(step, kill_all))
    [own] = (tmp_path / "killed" / "autosave").iterdir()
    place = max(disk.read_state(path.parent).position for path in own.glob("*/state.json"))
    assert place in places
    assert str(error.value) == (
        f"{SENTENCE}; the state after {place[0]} epochs and {place[1]} batches is saved, and the same command resumes "
        "from it"
    )
    assert any(line.startswith(SENTENCE) and "reads by itself" in line for line in log)
    tiny.train(root, tmp_path / "killed", chosen)
    tiny.train(root, tmp_path / "whole", chosen)
    killed, whole = (tmp_path / name for name in ("killed", "whole"))
    assert tiny.same_bits(tiny.saved(killed / "models" / "epoch_2"), tiny.saved(whole / "models" / "epoch_2"))
    assert curves(killed / "curves") == curves(whole / "curves")


@pytest.mark.wheel
def test_a_training_that_loses_its_workers_at_the_very_end_is_done(root, tmp_path):
    chosen = tiny.settings(num_epoch=2, batch_size=2)
    watcher = tiny.acting_at(2 * BATCHES, kill_all)
    assert tiny.train(root, tmp_path, chosen, workers=1, watcher=watcher).epoch == 2


def write_params(folder, chosen, processes=1):
    runtime = {"num_workers": 2, "num_processes": processes}
    values = chosen.model_dump(mode="json")
    (folder / layout.PARAMS).write_text(json.dumps(values | {"runtime": values["runtime"] | runtime}))


def sentence_of(stage):
    """The sentence on which a stage ends, and no traceback anywhere."""
    assert stage.end(60) == 1, stage.log
    assert "Traceback" not in stage.log
    assert stage.orphans() == []
    return stage.lines[-1].text


def prepared(root, place, processes):
    shutil.copytree(root / "dataset", place / "dataset")
    write_params(place, tiny.settings(num_epoch=4, augment=True), processes)
    return place


def finished(place):
    """Runs the training to its end; returns its log and what it leaves."""
    stage = Stage(place)
    assert stage.end() == 0, stage.log
    return stage.log, tiny.saved(place / "models" / "epoch_4"), curves(place / layout.CURVES)


@pytest.fixture(scope="module")
def undisturbed(root, tmp_path_factory):
    return functools.cache(
        lambda processes: finished(prepared(root, tmp_path_factory.mktemp("whole") / "p", processes))
    )


@pytest.mark.slow
@pytest.mark.wheel
@pytest.mark.parametrize(("processes", "rank"), [(1, 0), (2, 0), (2, 1)])
def test_a_stage_ends_on_it_and_resumes_to_the_same_bits(processes, rank, root, tmp_path, undisturbed):
    place = prepared(root, tmp_path / "killed", processes)
    stage = Stage(place)
    stage.until(r"Train epoch: \[2/4\], batch: \[1/")
    readers(stage.process, rank)[0].kill()
    assert sentence_of(stage).startswith(f"error: {SENTENCE}; the state after ")
    log, arrays, tables = finished(place)
    assert "going on from" in log
    assert tiny.same_bits(arrays, undisturbed(processes)[1])
    assert tables == undisturbed(processes)[2]


@pytest.mark.slow
@pytest.mark.wheel
def test_one_that_is_killed_before_the_first_batch_costs_nothing(root, tmp_path):
    shutil.copytree(root / "dataset", tmp_path / "dataset")
    write_params(tmp_path, tiny.settings())
    stage = Stage(tmp_path)
    stage.wait_for(lambda: readers(stage.process))[0].kill()
    assert sentence_of(stage).startswith(f"error: {SENTENCE}; the state after 0 epochs and 1 batches is saved")
    stage = Stage(tmp_path)
    assert stage.end() == 0, stage.log


@pytest.mark.slow
@pytest.mark.wheel
@pytest.mark.parametrize("name", ["manifest", "mean_istd", "evaluate"])
def test_other_stages_end_on_a_sentence_and_write_nothing(name, root, tmp_path):
    shutil.copytree(root / "dataset", tmp_path / "dataset")
    write_params(tmp_path, tiny.settings(num_epoch=1))
    if name == "evaluate":
        assert Stage(tmp_path).end() == 0
    train = tmp_path / layout.manifest_path("train")
    utterances = list(Manifest(train)) * 20
    manifest.write(train, utterances)
    annotation = tmp_path / layout.ANNOTATION
    annotation.mkdir()
    (annotation / "own.txt").write_text("".join(f"{one.audio_filepath}\t{one.text}\n" for one in utterances))
    before = {path: path.read_bytes() for path in (tmp_path / "dataset").rglob("*") if path.is_file()}
    stage = Stage(tmp_path, "-m", f"stages.{name}")
    stage.wait_for(lambda: readers(stage.process))[0].kill()
    assert sentence_of(stage) == f"error: {SENTENCE}"
    assert {path: path.read_bytes() for path in (tmp_path / "dataset").rglob("*") if path.is_file()} == before
    assert not (tmp_path / "results" / "evaluate.json").exists()
