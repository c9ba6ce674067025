import datetime
import re
from types import SimpleNamespace

import pytest

from ds2.errors import UserError
from ds2.training import journal
from ds2.training import trainer as training_loop
from ds2.training.history import History
from ds2.training.journal import Clock, Curves
from ds2.training.progress import Lines, Moment
from tests.training import tiny
from tests.training.visual import read_back

pytestmark = pytest.mark.wheel


@pytest.fixture
def now(monkeypatch):
    """The time that clocks see, in seconds: set now.value."""
    time = SimpleNamespace(value=1000.0)
    monkeypatch.setattr(journal, "time", SimpleNamespace(perf_counter=lambda: time.value))
    return time


def test_the_log_line_is_the_one_that_users_know_with_two_fields_more(log, now):
    clock = Clock(2)
    now.value += datetime.timedelta(days=5, hours=21, minutes=14, seconds=44).total_seconds()
    clock.wait(127121.0)
    clock.count(5084840)
    speed, waiting = clock.speed()
    Lines().interval(Moment(1, 100, 100, 17664, 100, 8, 55.6935, 2.04e-6), clock.eta(), speed, waiting)
    assert log == [
        "Train epoch: [1/100], batch: [100/17664], loss: 55.69350, learning_rate: 0.00000204, "
        "eta: 5 days, 21:14:44, 10.0 utt/s, waiting: 25.0%"
    ]


def test_the_time_left_is_that_of_the_batches_left_at_the_mean_speed(now):
    clock = Clock(10)
    for seconds in (1.0, 3.0):
        now.value += seconds
        clock.count(8)
    assert clock.eta() == datetime.timedelta(seconds=16)
    for _ in range(8):
        clock.count(8)
    assert clock.eta() == datetime.timedelta(0)


def test_before_the_first_batch_and_after_the_last_there_is_a_time_left_too(now):
    clock = Clock(1)
    now.value += 2.0
    assert clock.eta() == datetime.timedelta(seconds=2)
    for _ in range(3):
        clock.count(8)
    assert clock.eta() == datetime.timedelta(0)


def test_speed_and_waiting_are_those_since_they_were_asked_last(now):
    clock = Clock(10)
    now.value += 2.0
    clock.wait(1.0)
    clock.count(8)
    assert clock.speed() == (4.0, 0.5)
    now.value += 4.0
    clock.count(8)
    clock.wait(1.0)
    clock.count(4)
    assert clock.speed() == (3.0, 0.25)


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
    for name in ("loss", "cer", "wer"):
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
        tiny.train(tmp_path, tmp_path, chosen, curves=tiny.dying_at(7))
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
        tiny.train(tmp_path, tmp_path, tiny.settings(num_epoch=3), curves=tiny.stopping_at(6))
    assert [step for step, _ in read_back(tmp_path / "log", "scalar")["train/loss"]] == list(range(1, 7))


def test_without_scores_visualdl_shows_none(tmp_path):
    history = History()
    curves = Curves(history, tmp_path / "log", tmp_path / "curves", tiny.settings())
    history.add_step(1, 1, 1, 2.0, 0.1, 3.0)
    history.add_epoch(1, {})
    curves.update()
    curves.close()
    points = read_back(tmp_path / "log", "scalar")
    assert points["epoch/loss"] == [(1, 2.0)]
    assert not {"epoch/cer", "epoch/wer"} & points.keys()


def test_only_one_file_of_visualdl_stays_in_the_folder_of_a_run(tmp_path):
    for _ in range(2):
        history = History()
        history.add_step(1, 1, 1, 2.0, 0.1, 3.0)
        Curves(history, tmp_path / "log", tmp_path / "curves", tiny.settings()).close()
    assert len(list((tmp_path / "log").glob("vdlrecords.*.log"))) == 1
    assert read_back(tmp_path / "log", "scalar")["train/loss"] == [(1, 2.0)]


def test_time_for_scoring_and_saving_is_not_counted_as_slow_training(now, tmp_path, monkeypatch):
    tiny.write_data(tmp_path)
    score = training_loop.evaluate

    def slow(*arguments, **options):
        now.value += 10_000.0
        return score(*arguments, **options)

    monkeypatch.setattr(training_loop, "evaluate", slow)

    def tick():
        now.value += 1.0
        return now.value

    monkeypatch.setattr(journal.time, "perf_counter", tick)
    tiny.train(tmp_path, tmp_path, tiny.settings(num_epoch=3))
    speeds = [speed for _, speed in read_back(tmp_path / "log", "scalar")["speed/utterances_per_second"]]
    assert len(speeds) == 12
    assert min(speeds) > 0.1
