from datetime import timedelta
from types import SimpleNamespace

import pytest

from ds2.checkpoint import disk
from ds2.reporting import meter
from ds2.reporting.meter import Meter
from ds2.training import trainer
from tests.training import tiny
from tests.training.visual import read_back

pytestmark = pytest.mark.wheel


@pytest.fixture
def now(monkeypatch):
    """The time that meters see, in seconds: set now.value."""
    time = SimpleNamespace(value=1000.0)
    monkeypatch.setattr(meter, "time", SimpleNamespace(perf_counter=lambda: time.value))
    return time


def take(found, now, seconds, utterances=8, waiting=0.0):
    """A step of so many seconds, some of them spent waiting."""
    with found.waiting():
        now.value += waiting
    now.value += seconds - waiting
    found.count(utterances)


def test_the_totals_are_the_utterances_and_the_time_that_steps_took(now):
    found = Meter(seconds=1.0, utterances=4)
    now.value += 100.0
    found.resume()
    take(found, now, 0.5, 8)
    take(found, now, 0.5, 4)
    found.note_peak(300.04)
    found.note_peak(200.0)
    assert found.as_json() == {"seconds": 2.0, "utterances": 16, "peak_memory_mb": 300.0}
    assert found.numbers() == {"utterances_per_second": 8.0, "peak_memory_mb": 300.0}
    assert Meter().numbers() == {"utterances_per_second": 0.0, "peak_memory_mb": 0.0}
    assert Meter(**found.as_json()).numbers() == found.numbers()


def test_the_time_left_is_that_of_the_batches_left_at_the_mean_speed_of_the_run_scoring_included(now):
    found = Meter(seconds=1e6, utterances=1)
    now.value += 500.0  # until the first batch
    found.resume()
    take(found, now, 1.0)
    take(found, now, 3.0)
    assert found.eta(8) == timedelta(seconds=16)
    now.value += 4.0
    found.resume()
    assert found.eta(8) == timedelta(seconds=32)
    assert found.eta(0) == timedelta(0)


def test_before_the_first_batch_there_is_a_time_left_too(now):
    found = Meter()
    now.value += 2.0
    assert found.eta(1) == timedelta(seconds=2)


def test_speed_and_waiting_of_an_interval_are_those_since_the_one_before(now):
    found = Meter(seconds=50.0, utterances=1000)
    take(found, now, 2.0, 8, waiting=1.0)
    assert found.interval() == (4.0, 0.5)
    take(found, now, 3.0, 8, waiting=0.5)
    take(found, now, 1.0, 4, waiting=0.5)
    assert found.interval() == (3.0, 0.25)


def test_what_has_passed_before_the_clock_is_resumed_is_neither_training_nor_waiting(now):
    found = Meter()
    take(found, now, 2.0, 8)
    with found.waiting():
        now.value += 7.0
    found.resume()
    take(found, now, 2.0, 8, waiting=1.0)
    assert found.interval() == (4.0, 0.25)


def test_the_recent_speed_is_that_of_the_last_steps(now):
    found = Meter()
    take(found, now, 100.0)
    assert found.recent() is None
    take(found, now, 2.0)
    assert found.recent() == 4.0
    for _ in range(30):
        take(found, now, 1.0)
    assert found.recent() == 8.0


def test_time_for_scoring_and_saving_is_not_counted_as_training(now, tmp_path, monkeypatch):
    tiny.write_data(tmp_path)

    def tick():
        now.value += 1.0
        return now.value

    def slowed(real):
        def slow(*arguments, **options):
            now.value += 1_000_000.0
            return real(*arguments, **options)

        return slow

    monkeypatch.setattr(meter.time, "perf_counter", tick)
    monkeypatch.setattr(trainer, "evaluate", slowed(trainer.evaluate))
    monkeypatch.setattr(disk, "write", slowed(disk.write))
    found = tiny.train(tmp_path, tmp_path, tiny.settings(num_epoch=3, save_interval=1)).meter
    assert found.utterances == 42
    assert 0 < found.seconds < 1_000_000
    speeds = [speed for _, speed in read_back(tmp_path / "log", "scalar")["speed/utterances_per_second"]]
    assert len(speeds) == 12
    assert min(speeds) > 0.1


def test_what_a_training_took_stays_what_it_was_when_nothing_is_trained(root, tmp_path):
    first = tiny.train(root, tmp_path, tiny.settings(num_epoch=1)).meter.numbers()
    assert first["utterances_per_second"] > 0
    assert first["peak_memory_mb"] > 50
    assert tiny.train(root, tmp_path, tiny.settings(num_epoch=1)).meter.numbers() == first
