import pytest

from ds2.checkpoint import disk
from ds2.training import cost
from ds2.training.cost import Cost
from tests.training import tiny

pytestmark = pytest.mark.wheel


def test_the_speed_is_of_the_utterances_in_the_time_that_steps_took(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(cost.time, "perf_counter", lambda: now[0])
    found = Cost(seconds=1.0, utterances=4)
    now[0] = 100.0
    found.start()
    for utterances in (8, 4):
        now[0] += 0.5
        found.count(utterances)
    found.note_peak(300.04)
    found.note_peak(200.0)
    assert found.as_json() == {"seconds": 2.0, "utterances": 16, "peak_memory_mb": 300.0}
    assert found.metrics() == {"utterances_per_second": 8.0, "peak_memory_mb": 300.0}
    assert Cost().metrics() == {"utterances_per_second": 0.0, "peak_memory_mb": 0.0}


def test_saving_is_not_a_part_of_what_a_training_took(root, tmp_path, monkeypatch):
    now, write = [0.0], disk.write

    def tick():
        now[0] += 1.0
        return now[0]

    def slow(*arguments):
        now[0] += 1_000_000.0
        write(*arguments)

    monkeypatch.setattr(cost.time, "perf_counter", tick)
    monkeypatch.setattr(disk, "write", slow)
    trainer = tiny.train(root, tmp_path, tiny.settings(num_epoch=2, save_interval=1))
    assert trainer.cost.utterances == 28
    assert 0 < trainer.cost.seconds < 1_000_000
