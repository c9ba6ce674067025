"""A part of the table that tests.pipeline.edits makes: every stage, every kind of edit, every way to run a stage."""

import pytest

from ds2.pipeline import lock
from tests.pipeline import edits
from tests.pipeline.conftest import Repository

pytestmark = pytest.mark.slow

CASES = [
    ("corpus@musan", "params", "repro"),
    ("manifest", "input", "repro"),
    ("mean_istd", "code", "repro"),
    ("vocabulary", "params", "repro"),
    ("train", "params", "repro"),
    ("train", "code", "repro"),
    ("train", "input", "repro"),
    ("lm", "code", "repro"),
    ("evaluate", "input", "repro"),
    ("train", "params", "exp run"),
    ("train", "code", "--temp"),
    ("train", "params", "--queue"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    repository = Repository(tmp_path_factory.mktemp("edits") / "repository")
    edits.prepare(repository)
    yield repository
    repository.end_processes()


@pytest.mark.parametrize(("stage", "what", "way"), CASES)
def test_what_is_edited_while_a_stage_runs_is_not_recorded(finished, stage, what, way):
    assert edits.try_edit(finished, stage, what, way) == []


def test_an_experiment_does_not_commit_parameters_that_an_earlier_stage_did_not_use(finished):
    faults = edits.try_edit(finished, "train", "params", "exp run", during="evaluate")
    assert faults == []


def test_what_the_stages_above_were_made_of_is_compared_as_dvc_does(finished, monkeypatch):
    """An experiment whose first stage is late: DVC has compared the others a second before."""
    monkeypatch.chdir(finished.folder)
    inputs = ["models", "dataset/lm.arpa"]
    assert lock.change_above(inputs) is None
    for changed, told in (
        ("ds2/audio/waveform.py", "ds2/audio"),
        ("dataset/annotation/mine.dev.txt", "dataset/annotation"),
        ("ds2/data/text.py", "ds2/data/text.py"),
    ):
        before = (finished.folder / changed).read_text()
        (finished.folder / changed).write_text(f"{before}\n")
        assert lock.change_above(inputs) == told
        (finished.folder / changed).write_text(before)
    before = (finished.folder / "params.yaml").read_text()
    finished.change_params(features={"target_db": -25.0})
    assert lock.change_above(inputs) == "params.yaml: features"
    assert lock.change_above(["dataset/manifest.dev"]) is None
    (finished.folder / "params.yaml").write_text(before)


def test_an_edit_of_the_workspace_does_not_touch_a_run_in_a_copy(finished):
    """A parameter changes there while an experiment runs elsewhere."""
    before = (finished.folder / "params.yaml").read_text()
    changed = before.replace("num_epoch: 1", "num_epoch: 7")
    running = finished.start("dvc", "exp", "run", "--temp", "-n", "copy", "-S", "train.seed=5", "-s", "train")
    try:
        running.wait_for("Running stage 'train'")
        (finished.folder / "params.yaml").write_text(changed)
        assert running.process.wait(240) == 0, running.printed()
    finally:
        (finished.folder / "params.yaml").write_text(before)
    [reference] = [
        line
        for line in finished.run("git", "for-each-ref", "--format=%(refname)", "refs/exps").splitlines()
        if line.endswith("/copy")
    ]
    assert "num_epoch: 1" in finished.run("git", "show", f"{reference}:dvc.lock")
