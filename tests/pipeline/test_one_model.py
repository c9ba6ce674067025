"""The CER of the report is that of transcribe with models/best_model on the same files: real dvc, whatever trained."""

import json
import shutil

import pytest

from ds2.evaluation import error_rate
from ds2.evaluation.error_rate import Errors
from ds2.metrics import TOKENS
from tests.pipeline.running import epochs_trained

pytestmark = pytest.mark.slow


def reported(repository) -> float:
    return json.loads((repository.folder / "results/evaluate.json").read_text())["cer"]


def transcribed(repository) -> float:
    """The CER of what transcribe prints for the files of the test set, rounded as the report's."""
    lines = (repository.folder / "dataset/manifest.test").read_text(encoding="utf-8").splitlines()
    said = {entry["audio_filepath"]: entry["text"] for entry in map(json.loads, lines)}
    printed = repository.run("python", "-m", "ds2", "transcribe", *said).splitlines()
    understood = dict(line.split("\t") for line in printed if line.partition("\t")[0] in said)
    assert understood.keys() == said.keys()
    tokens = TOKENS["cer"]
    errors = (error_rate.compare(tokens(text), tokens(understood[path])) for path, text in said.items())
    return round(sum(errors, Errors()).rate, 6)


def made_of(repository) -> dict:
    return json.loads((repository.folder / "models/best_model/state.json").read_text())["made_of"]


def best(repository) -> tuple[float, int]:
    metrics = json.loads((repository.folder / "results/training.json").read_text())
    return metrics["cer_of_best"], metrics["epoch_of_best"]


@pytest.mark.parametrize("share", [0.5, None])
def test_trained_extended_resumed_and_fine_tuned_what_is_reported_is_what_is_used(share, prepared, a_copy):
    repository = a_copy(prepared)
    repository.change_params(train={"average_share": share, "num_epoch": 3})
    repository.run("dvc", "repro")
    first = reported(repository)
    assert first == transcribed(repository)
    assert (round(made_of(repository)["rate"], 6), made_of(repository)["epoch"]) == best(repository)
    repository.commit("trained")

    repository.run("dvc", "exp", "run", "-S", "train.num_epoch=6")
    assert reported(repository) == transcribed(repository)
    repository.commit("extended")

    repository.change_params(train={"num_epoch": 9})
    running = repository.start("dvc", "repro")
    running.wait_for("Epoch: [7/9]")
    stopped = running.ctrl_c()
    assert epochs_trained(stopped)[-1] < 9
    repository.run("dvc", "repro")
    assert reported(repository) == transcribed(repository)
    assert reported(repository) <= first
    repository.commit("resumed")

    shutil.copytree(repository.folder / "models/best_model", repository.folder / "pretrained")
    repository.change_params(train={"pretrained_model": "pretrained", "num_epoch": 1, "warmup_steps": 1})
    repository.run("dvc", "repro")
    assert reported(repository) == transcribed(repository)
    assert made_of(repository)["epoch"] == 1
