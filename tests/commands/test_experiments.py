"""python -m ds2 experiments over real experiments of dvc, of a stage that takes its scores out of the parameters."""

import json
import os
import subprocess
import sys

import pytest

from tests.documents import ROOT
from tests.pipeline.running import until

pytestmark = pytest.mark.slow

PIPELINE = """
stages:
  train:
    cmd: python score.py
    deps: [dataset/manifest.dev]
    params: [model, train, evaluate]
    metrics:
      - results/train.json: {cache: false}
      - results/evaluate.json: {cache: false}
"""
SCORE = """
import json
from pathlib import Path
from ruamel.yaml import YAML
train = YAML(typ="safe").load(Path("params.yaml"))["train"]
scores = {"train": {"cer_of_best": train["learning_rate"] * 10}, "evaluate": {"cer": 0.5, "wer": 0.75}}
for name, values in scores.items():
    Path(f"results/{name}.json").write_text(json.dumps(values))
assert train["seed"] != 13
"""
PARAMS = {
    "model": {"dropout": 0.1},
    "train": {"learning_rate": 0.04, "seed": 1, "evaluate_on": "dev", "batch_size": 8},
    "evaluate": {"metrics_type": "cer", "batch_size": 16},
    "runtime": {"num_workers": 2},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """run(command, ...) in the repository of the experiments; returns what was printed."""
    folder = tmp_path_factory.mktemp("experiments")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    environment |= {"PATH": f"{os.path.dirname(sys.executable)}:{environment['PATH']}", "PYTHONPATH": str(ROOT)}
    for name in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{name}_NAME": "test", f"GIT_{name}_EMAIL": "test@example.invalid"}

    def run(*command):
        output = folder.with_suffix(".txt")  # not a pipe, which the queue's worker would keep open
        with open(output, "w") as file:
            subprocess.run(command, cwd=folder, env=environment, stdout=file, stderr=file, timeout=240, check=True)
        return output.read_text(encoding="utf-8")

    def write(settings, dev):
        (folder / "params.yaml").write_text(json.dumps(settings), encoding="utf-8")
        (folder / "dataset/manifest.dev").write_text(dev)
        run("dvc", "repro")
        run("git", "add", "-A")
        run("git", "commit", "-qm", "results")

    run("git", "init", "-q")
    run("dvc", "init", "-q")
    for name in ("dataset", "results"):
        (folder / name).mkdir()
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "score.py").write_text(SCORE)
    write(PARAMS, "some utterances")
    run("dvc", "exp", "run", "-n", "early", "-S", "train.learning_rate=0.01")
    write(PARAMS | {"train": PARAMS["train"] | {"start_over": None}, "runtime": {"num_workers": 4}}, "others")
    run("dvc", "exp", "run", "-n", "unchosen", "-S", "train.learning_rate=0.02", "-S", "train.evaluate_on=test")
    run("git", "checkout", "-q", ".")
    run("dvc", "exp", "run", "-n", "other", "-S", "train.learning_rate=0.03", "-S", "train.batch_size=4")
    run("git", "checkout", "-q", ".")
    run("dvc", "exp", "run", "--queue", "-n", "failing", "-S", "train.seed=13")
    run("dvc", "queue", "start")
    try:
        until(lambda: "Failed" in run("dvc", "queue", "status"), lambda: run("dvc", "queue", "status"))
    finally:
        run("dvc", "queue", "stop", "--kill")
    return run


@pytest.fixture(scope="module")
def shown(run):
    """The lines of the table."""
    return run(sys.executable, "-m", "ds2", "experiments").partition("\n\n")[0].splitlines()


def test_experiments_of_all_commits_stand_in_one_table_the_lowest_dev_score_first(shown):
    assert [line.split()[:3] for line in shown[1:4]] == [
        ["0.1000", "0.5000", "early"],
        ["0.3000", "0.5000", "other"],
        ["0.4000", "0.5000", shown[3].split()[2]],
    ]
    assert {line.split()[2] for line in shown[1:]} >= {"early", "other", "unchosen", "failing"}
    assert len(shown) == 1 + 2 + 4


def test_what_differs_has_a_column_by_the_end_of_its_name_and_nothing_else_has(shown):
    # Both sections have a batch_size; the runtime does not matter; start_over: null is as without it.
    columns = ["learning_rate", "seed", "evaluate_on", "train.batch_size", "dev data"]
    assert shown[0] == "  ".join(["dev CER", "test CER", "experiment       ".rstrip().ljust(16), *columns])
    early = next(line for line in shown if "early" in line).split()
    assert early[3:7] == ["0.01", "1", "dev", "8"]


def test_dev_data_that_differ_are_told(shown):
    assert shown[0].endswith("  dev data")
    data = {line.split()[2]: line.split()[-1] for line in shown[1:]}
    assert data["early"] != data["other"]
    assert data["unchosen"] == data["other"]


def test_a_model_that_was_not_chosen_on_the_dev_set_has_no_dev_score(shown):
    (line,) = [line for line in shown if "unchosen" in line]
    assert line.split()[:2] == ["-", "0.5000"]


def test_an_experiment_that_failed_does_not_show_the_scores_that_it_started_from(shown):
    (line,) = [line for line in shown if "failing" in line]
    assert line.split()[:4] == ["-", "-", "failing", "(failed)"]
