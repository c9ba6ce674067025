"""Another network is one module and one line, another metric one line: real dvc, two processes, from data to use."""

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.pipeline.conftest import Repository
from tests.pipeline.running import epochs_trained

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EPOCHS = 12
LOUD = 20.0  # the RMS of a recording that can be read, and from which the network computes what is not finite


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A repository with the network tiny and the metric per, pairs of characters, before any stage has run."""
    repository = Repository(tmp_path_factory.mktemp("extended") / "repository")
    shutil.copy(ROOT / "tests/model/second.py", repository.folder / "ds2/model/tiny.py")
    add_line(repository, "ds2/params/networks.py", 'FRAMES_A_STEP["tiny"] = 4')
    add_line(
        repository,
        "ds2/metrics.py",
        'TOKENS["per"] = lambda text: [text[i : i + 2] for i in range(0, len(text), 2)]',
    )
    repository.change_params(
        features={"target_db": None},  # else even the loudest recording is made into one that can be learned
        model={"type": "tiny"},
        train={"num_epoch": EPOCHS, "batch_size": 4},  # of the dev set two batches: one for each process
        evaluate={"metrics_type": "per"},
        runtime={"num_processes": 2, "use_gpu": False},
    )
    # 0.6 s, 58 frames: 18 labels fit in 20 steps of three frames, not in 15 of four.
    annotation = repository.folder / "dataset/annotation/crowded.train.txt"
    annotation.write_text(f"recordings/crowded.wav\t{'东南西北南西' * 3}\n", encoding="utf-8")
    samples = np.random.default_rng(0).normal(0, 0.1, 9600)
    soundfile.write(repository.folder / "recordings/crowded.wav", samples, 16000)
    repository.commit("a second network, a third metric")
    return repository


def add_line(repository: Repository, name: str, line: str) -> None:
    """Below the table that it adds to."""
    path = repository.folder / name
    text = path.read_text(encoding="utf-8")
    table = next(row for row in text.splitlines() if row.startswith(f"{line.partition('[')[0]} = "))
    path.write_text(text.replace(table, f"{table}\n{line}"), encoding="utf-8")


@pytest.fixture(scope="module")
def prepared(extended):
    """The same with all that is before the training."""
    extended.run("dvc", "repro", "mean_istd", "vocabulary", "lm")
    extended.commit("data")
    return extended


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    """The same after the whole pipeline."""
    repository = prepared.copy(tmp_path_factory.mktemp("trained") / "repository")
    repository.printed = repository.run("dvc", "repro")
    return repository


def rejected(repository: Repository) -> list[str]:
    lines = (repository.folder / "dataset/rejected.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["reason"] for line in lines]


def test_what_fits_the_steps_of_one_network_and_not_of_the_other_is_rejected(prepared, a_copy):
    assert rejected(prepared) == ["too_many_labels"]
    other = a_copy(prepared)
    other.change_params(model={"type": "deepspeech2"})
    other.run("python", "-m", "stages.manifest")
    assert rejected(other) == []


def test_two_processes_train_it_with_the_same_running_statistics(trained):
    assert epochs_trained(trained.printed) == list(range(1, EPOCHS + 1))
    first, second = (np.load(trained.folder / f"statistics.{rank}.npy") for rank in (0, 1))
    assert np.array_equal(first, second)
    assert np.abs(first[0]).max() > 0  # they have moved


def test_it_is_evaluated_and_transcribes(trained):
    metrics = json.loads((trained.folder / "results/evaluation.json").read_text())
    assert metrics["utterances"] == 8
    lines = trained.run("python", "-m", "ds2", "transcribe", "--model", "models/best_model", "recordings")
    assert sum(line.startswith("recordings/") for line in lines.splitlines()) == 57


def test_a_third_metric_is_scored_after_every_epoch_and_in_the_end(trained):
    header, *rows = (trained.folder / "results/curves/epochs.tsv").read_text().splitlines()
    own, averages = ["cer", "wer", "per"], ["average_cer", "average_wer", "average_per"]
    assert header.split("\t") == ["epoch", "loss", *own, *averages]
    # Of each epoch the better of the two models that it is chosen from.
    rates = [min(float(row.split("\t")[i]) for i in (4, 7)) for row in rows]
    best = json.loads((trained.folder / "results/training.json").read_text())
    assert best["per_of_best"] == pytest.approx(min(rates), abs=1e-5)
    assert best["epoch_of_best"] == 1 + rates.index(min(rates))
    metrics = json.loads((trained.folder / "results/evaluation.json").read_text())
    assert {"cer", "wer", "per", "per_low", "per_high", "per_greedy"} <= metrics.keys()
    lines = (trained.folder / "results/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert metrics["reference_length"] == sum(-(-len(json.loads(line)["reference"]) // 2) for line in lines)
    assert "PER" in (trained.folder / "results/report.html").read_text(encoding="utf-8")


def test_stopped_and_started_again_it_ends_with_the_same_bits(prepared, trained, a_copy):
    repository = a_copy(prepared)
    running = repository.start("dvc", "repro", "train")
    running.wait_for(f"Epoch: [3/{EPOCHS}]")
    printed = running.ctrl_c()
    assert f"stopped by {signal.SIGINT.name}" in printed
    assert epochs_trained(printed)[-1] < EPOCHS
    printed = repository.run("dvc", "repro", "train")
    assert "going on from" in printed
    assert repository.products() == trained.products()


def test_a_skipped_step_leaves_its_running_statistics_as_they_were(prepared, a_copy):
    repository = a_copy(prepared)
    repository.change_params(train={"num_epoch": 1})
    loud = np.random.default_rng(0).normal(0, LOUD, 11200).clip(-99, 99)
    soundfile.write(repository.folder / "recordings/train0.wav", loud, 16000, subtype="FLOAT")
    printed = repository.run("dvc", "repro", "train")
    assert len(re.findall(r"skipped: its loss or gradients are not finite.* recordings/train0\.wav", printed)) == 1
    first, second = (np.load(repository.folder / f"statistics.{rank}.npy") for rank in (0, 1))
    assert np.isfinite(first).all()
    assert np.array_equal(first, second)


def test_its_rows_of_tokens_move_to_another_vocabulary(trained, a_copy):
    repository = a_copy(trained)
    annotation = repository.folder / "dataset/annotation/mine.train.txt"
    lines = annotation.read_text(encoding="utf-8").splitlines(keepends=True)
    annotation.write_text("".join(lines[:20]).replace("北", "中") + "".join(lines[20:]), encoding="utf-8")
    source = trained.folder / "models/best_model"
    repository.change_params(train={"num_epoch": 1, "pretrained_model": str(source)})
    printed = repository.run("dvc", "repro", "train")
    assert f"tokens: 6 known to {source}, 1 new, 0 of it not needed any more" in printed
    assert f"arrays of weights come from {source}" in printed
