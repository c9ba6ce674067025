"""What a training reports: log lines, VisualDL's history, and that one reporter stands for several."""

import re
from datetime import timedelta

import pytest

from ds2.errors import UserError
from ds2.evaluation.evaluator import Prediction
from ds2.reporting.history import History
from ds2.reporting.progress import Lines
from ds2.reporting.reporter import Moment, Reporter
from ds2.reporting.visual import Visual
from tests.training import tiny
from tests.training.visual import read_back

pytestmark = pytest.mark.wheel

ETA = timedelta(days=5, hours=21, minutes=14, seconds=44)
NOW = Moment(1, 100, 100, 17664, 100, 55.6935, 2.04e-6, timedelta(0), ETA, interval=(10.0, 0.25))


def test_every_part_of_a_reporter_is_told_of_every_event_and_one_without_parts_is_silent():
    told = []

    class Telling(Reporter):
        def __init__(self, number):
            for event in ("batch", "step", "scored", "epoch", "close"):
                setattr(self, event, lambda *what, event=event: told.append((number, event, *what)))

    events = [("batch", "a batch", 1), ("step", NOW), ("scored", ["a prediction"], 1), ("epoch",), ("close",)]
    for reporter in (Reporter(), Reporter(Telling(1), Reporter(Telling(2)))):
        for event, *what in events:
            getattr(reporter, event)(*what)
    assert told == [(number, *event) for event in events for number in (1, 2)]


def test_the_log_line_is_the_one_that_users_know_with_two_fields_more(log):
    Lines(History(), tiny.settings()).step(NOW)
    assert log == [
        "Train epoch: [1/100], batch: [100/17664], loss: 55.69350, learning_rate: 0.00000204, "
        "eta: 5 days, 21:14:44, 10.0 utt/s, waiting: 25.0%"
    ]


@pytest.mark.parametrize(("metric", "told"), [("cer", "0.50000, best: 0.25000 (epoch 1)"), ("wer", "0.625")])
def test_the_line_of_an_epoch_names_the_metric_that_chooses_the_best_one(metric, told, log):
    history = History()
    lines = Lines(history, tiny.choosing_by(metric, tiny.settings(num_epoch=3)))
    for epoch, scores in enumerate(({"cer": 0.25, "wer": 0.75}, {"cer": 0.5, "wer": 0.625}), start=1):
        history.add_step(epoch, 1, 1, 2.0, 0.1, 3.0)
        history.add_epoch(epoch, scores)
    lines.epoch()
    assert log[0].startswith(f"Epoch: [2/3], loss: 2.00000, dev {metric.upper()}: {told}")
    assert len(log) == 1


def test_a_scored_epoch_shows_an_example_another_one_in_the_next(log):
    lines = Lines(History(), tiny.settings())
    predictions = [Prediction(f"{i}.wav", f"你{i}", f"好{i}") for i in range(5)]
    for epoch in (1, 2):
        lines.scored(predictions, epoch)
    assert log == ["reference: 你4 | recognised: 好4", "reference: 你3 | recognised: 好3"]


def test_a_training_logs_every_so_many_batches_and_the_last_of_an_epoch(log, tmp_path):
    tiny.write_data(tmp_path)
    chosen = tiny.settings(num_epoch=2)
    chosen = chosen.model_copy(update={"runtime": chosen.runtime.model_copy(update={"log_interval": 3})})
    tiny.train(tmp_path, tmp_path, chosen)
    batches = [line for line in log if line.startswith("Train epoch")]
    pattern = (
        r"Train epoch: \[(\d+/2)\], batch: \[(\d/4)\], loss: \d+\.\d{5}, learning_rate: 0\.\d{8}, "
        r"eta: \d+:\d\d:\d\d, \d+\.\d utt/s, waiting: \d+\.\d%"
    )
    matches = [re.fullmatch(pattern, line) for line in batches]
    assert [match and match.groups() for match in matches] == [
        ("1/2", "3/4"),
        ("1/2", "4/4"),
        ("2/2", "3/4"),
        ("2/2", "4/4"),
    ]


def of_history(folder):
    """All points of scalars in a folder but those of speed, by tag."""
    return {tag: points for tag, points in read_back(folder, "scalar").items() if not tag.startswith("speed/")}


def expected(history):
    points = {f"train/{name}": [] for name in ("loss", "learning_rate", "grad_norm")}
    for name in ("loss", "learning_rate", "grad_norm"):
        points[f"train/{name}"] = [(row["step"], pytest.approx(row[name], rel=1e-5)) for row in history.steps]
    for name in ("loss", "cer", "wer", "average_cer", "average_wer"):
        points[f"epoch/{name}"] = [(row["epoch"], pytest.approx(row[name], rel=1e-5)) for row in history.epochs]
    return points


def test_visualdl_shows_the_loss_the_rate_and_the_error_rates(tmp_path):
    tiny.write_data(tmp_path)
    trainer = tiny.train(tmp_path, tmp_path, tiny.settings(num_epoch=2))
    assert of_history(tmp_path / "log") == expected(trainer.history)
    assert [step for step, _ in read_back(tmp_path / "log", "scalar")["train/loss"]] == list(range(1, 9))


def test_after_a_continued_run_visualdl_has_every_step_once(tmp_path):
    tiny.write_data(tmp_path)
    chosen = tiny.settings(num_epoch=3, save_interval=2)
    with pytest.raises(RuntimeError):
        tiny.train(tmp_path, tmp_path, chosen, watcher=tiny.dying_at(7))
    assert [step for step, _ in read_back(tmp_path / "log", "scalar")["train/loss"]] == list(range(1, 8))
    trainer = tiny.train(tmp_path, tmp_path, chosen)
    points = of_history(tmp_path / "log")
    assert points == expected(trainer.history)
    assert [step for step, _ in points["train/loss"]] == list(range(1, 13))
    assert [epoch for epoch, _ in points["epoch/cer"]] == [1, 2, 3]


def test_after_more_epochs_visualdl_has_every_step_once(tmp_path):
    tiny.write_data(tmp_path)
    tiny.train(tmp_path, tmp_path, tiny.settings(num_epoch=1))
    trainer = tiny.train(tmp_path, tmp_path, tiny.settings(num_epoch=3))
    assert of_history(tmp_path / "log") == expected(trainer.history)
    assert [step for step, _ in read_back(tmp_path / "log", "scalar")["train/grad_norm"]] == list(range(1, 13))


def test_a_stopped_training_has_shown_all_steps_up_to_its_state(tmp_path):
    tiny.write_data(tmp_path)
    with pytest.raises(UserError):
        tiny.train(tmp_path, tmp_path, tiny.settings(num_epoch=3), watcher=tiny.stopping_at(6))
    assert [step for step, _ in read_back(tmp_path / "log", "scalar")["train/loss"]] == list(range(1, 7))


def test_without_scores_visualdl_shows_none(tmp_path):
    history = History()
    visual = Visual(history, tmp_path / "log", tiny.settings())
    history.add_step(1, 1, 1, 2.0, 0.1, 3.0)
    history.add_epoch(1, {})
    visual.epoch()
    visual.close()
    points = read_back(tmp_path / "log", "scalar")
    assert points["epoch/loss"] == [(1, 2.0)]
    assert not {"epoch/cer", "epoch/wer"} & points.keys()


def test_only_one_file_of_visualdl_stays_in_the_folder_of_a_run(tmp_path):
    for _ in range(2):
        history = History()
        history.add_step(1, 1, 1, 2.0, 0.1, 3.0)
        Visual(history, tmp_path / "log", tiny.settings()).close()
    assert len(list((tmp_path / "log").glob("vdlrecords.*.log"))) == 1
    assert read_back(tmp_path / "log", "scalar")["train/loss"] == [(1, 2.0)]
