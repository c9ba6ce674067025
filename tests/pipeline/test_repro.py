import json

import pytest

pytestmark = pytest.mark.wheel

PRODUCTS = (
    "dataset/manifest.train",
    "dataset/manifest.dev",
    "dataset/manifest.test",
    "dataset/rejected.jsonl",
    "dataset/mean_istd.json",
    "dataset/vocabulary.txt",
    "dataset/lm.arpa",
    "models/best_model/model.safetensors",
    "models/epoch_2/optimizer.safetensors",
    "results/data.json",
    "results/lm.json",
    "results/train.json",
    "results/training.json",
    "results/curves/steps.tsv",
    "results/curves/epochs.tsv",
    "results/evaluate.json",
    "results/evaluation.json",
    "results/predictions.jsonl",
    "results/errors.txt",
    "results/report.html",
)


def test_repro_writes_every_product(trained):
    assert [name for name in PRODUCTS if not (trained.folder / name).exists()] == []


def test_metrics_show_prints_the_cer_of_the_test_set(trained):
    shown = json.loads(trained.run("dvc", "metrics", "show", "--json"))
    metrics = shown[""]["data"]["results/evaluate.json"]["data"]
    lines = (trained.folder / "results/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    expected = sum(row["errors"] for row in rows) / sum(row["reference_length"] for row in rows)
    assert metrics["cer"] == pytest.approx(expected, abs=1e-6)
    assert metrics["cer_low"] <= metrics["cer"] <= metrics["cer_high"]
    numbers = json.loads((trained.folder / "results/evaluation.json").read_text())
    assert numbers["utterances"] == len(rows) == 8
    assert metrics == {name: numbers[name] for name in metrics}


def test_metrics_show_fits_a_terminal_and_begins_with_the_cer(trained):
    lines = trained.run("dvc", "metrics", "show").splitlines()
    assert lines[0].split() == ["Path", "cer", "cer_high", "cer_low", "cer_of_best"]
    assert max(map(len, lines)) <= 80


def test_repro_again_runs_nothing(trained):
    assert "Running stage" not in trained.run("dvc", "repro")


def test_the_section_runtime_reruns_nothing(trained):
    trained.change_params(runtime={"num_workers": 1, "log_interval": 7, "use_gpu": False})
    try:
        assert "Running stage" not in trained.run("dvc", "repro")
    finally:
        trained.run("git", "checkout", "-q", "params.yaml")


def test_what_belongs_to_git_is_not_ignored_and_what_does_not_is(trained):
    tracked = set(trained.run("git", "ls-files").splitlines())
    assert {"dvc.lock", "results/evaluate.json", "results/predictions.jsonl", "results/curves/epochs.tsv"} <= tracked
    assert not [
        name for name in tracked if name.startswith(("models/", "log/", ".ds2/", "dataset/manifest", "dataset/lm.arpa"))
    ]


def test_a_finished_training_run_again_trains_nothing(trained):
    printed = trained.run("dvc", "repro", "-f", "-s", "train")
    assert "going on from" in printed
    assert "Train epoch" not in printed
    assert trained.run("git", "status", "--porcelain", "results") == ""


def test_more_epochs_go_on_from_the_last_one(trained):
    before = (trained.folder / "results/curves/epochs.tsv").read_text()
    printed = trained.run("dvc", "exp", "run", "-S", "train.num_epoch=3")
    after = (trained.folder / "results/curves/epochs.tsv").read_text()
    assert "Epoch: [3/3]" in printed
    assert "Epoch: [2/3]" not in printed
    assert after.startswith(before)
    assert len(after.splitlines()) == len(before.splitlines()) + 1
    trained.run("git", "checkout", "-q", ".")
    trained.run("dvc", "checkout", "-q", "--force")


def test_a_fresh_clone_is_consistent(trained, tmp_path):
    trained.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    printed = trained.run("dvc", "--cd", str(tmp_path / "clone"), "repro", "--dry", "--allow-missing")
    assert "Running stage" not in printed


def test_nothing_of_the_users_is_deleted(trained):
    assert len(list((trained.folder / "recordings").iterdir())) == 56
    assert len(list((trained.folder / "dataset/annotation").glob("mine.*.txt"))) == 3


@pytest.mark.slow
def test_a_mistake_in_the_parameters_stops_before_any_work(untrained):
    untrained.change_params(train={"num_epoch": "abc"})
    printed = untrained.run("dvc", "repro", expect=255)
    assert "error: train.num_epoch: 'abc' is not an integer" in printed
    assert "Traceback" not in printed


@pytest.mark.slow
def test_an_unknown_corpus_says_which_there_are(untrained):
    untrained.change_params(corpora=["atlantis"])
    printed = untrained.run("dvc", "repro", expect=255)
    assert "error: corpora: 'atlantis' is not a built-in corpus; there are: demo" in printed
