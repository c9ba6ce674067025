import json

import pytest

from ds2.annotation.rates import Rates
from tests.process import run_stage


def rates(wanted, **seconds):
    found = Rates(wanted)
    for part, by_rate in seconds.items():
        for rate, value in by_rate.items():
            found.add(part, rate, value)
    return found


def test_one_rate_that_is_high_enough_needs_no_word():
    for rate in (16000, 48000):
        found = rates(16000, train={rate: 60}, dev={rate: 5}, test={rate: 5})
        assert (found.numbers(), found.note(), found.doubt()) == ({}, None, None)


def test_several_rates_that_are_high_enough_are_named_without_a_warning():
    found = rates(16000, train={16000: 5400, 44100: 1800}, dev={16000: 36}, test={48000: 3600})
    assert found.numbers() == {
        "train_hours_at_16000_hz": 1.5,
        "train_hours_at_44100_hz": 0.5,
        "dev_hours_at_16000_hz": 0.01,
        "test_hours_at_48000_hz": 1.0,
    }
    assert found.doubt() is None
    assert found.note() == (
        "sample rates: train 75.0% at 16000 Hz and 25.0% at 44100 Hz, dev 100.0% at 16000 Hz, test 100.0% at 48000 Hz"
    )


def test_two_rates_are_several():
    found = rates(16000, train={16000: 3600}, test={48000: 360})
    assert found.numbers() == {"train_hours_at_16000_hz": 1.0, "test_hours_at_48000_hz": 0.1}
    assert found.note() == "sample rates: train 100.0% at 16000 Hz, test 100.0% at 48000 Hz"


def test_a_lower_rate_in_one_part_is_a_warning_with_every_parts_share():
    found = rates(16000, train={16000: 3600}, test={8000: 90, 16000: 270})
    assert found.numbers()["test_hours_at_8000_hz"] == 0.025
    assert found.note() is None
    assert found.doubt().startswith(
        "recordings have lower sample rates than features.sample_rate (16000 Hz): train 100.0% at 16000 Hz, "
        "test 25.0% at 8000 Hz and 75.0% at 16000 Hz; "
    )
    assert "so train on the kind that is to be recognised" in found.doubt()
    assert "set features.sample_rate" not in found.doubt()


def test_where_all_rates_are_low_the_features_rate_is_what_to_change():
    found = rates(16000, train={8000: 3600, 11025: 1}, test={8000: 60})
    assert "set features.sample_rate to 11025" in found.doubt()
    assert rates(8000, train={8000: 3600}, test={8000: 60}).doubt() is None


@pytest.mark.parametrize("low", [8000, 11025])
def test_the_stage_names_a_low_rate_in_its_numbers_and_in_one_warning(low, workspace, write_audio):
    for split, rate in (("train", 16000), ("dev", 16000), ("test", low)):
        paths = [write_audio(f"{split}{i}.wav", 1.0 + i, rate) for i in range(2)]
        lines = "".join(f"{path.name}\t你好\n" for path in paths)
        (workspace / f"dataset/annotation/my.{split}.txt").write_text(lines, encoding="utf-8")
    done = run_stage("manifest", workspace, "manifest: {dev_fraction: 0}\nruntime: {num_workers: 1}\n")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"test 100.0% at {low} Hz") == 1
    metrics = json.loads((workspace / "results/data.json").read_text())
    named = {key: value for key, value in metrics.items() if key.endswith("_hz")}
    assert named == {
        "train_hours_at_16000_hz": 0.0008,
        "dev_hours_at_16000_hz": 0.0008,
        f"test_hours_at_{low}_hz": 0.0008,
    }
