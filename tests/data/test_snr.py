import numpy as np
import pytest

from ds2 import params
from ds2.data import features, snr

RATE = 16000
FEATURES = params.FeaturesSettings(sample_rate=RATE)


def recording(ratio_db: float, pause: float = 0.5, seconds: float = 4.0) -> np.ndarray:
    """Noise, louder by turns: its power is known."""
    random = np.random.default_rng(1)
    count = round(seconds * RATE)
    loud = (np.arange(count) % RATE) >= pause * RATE
    noise, speech = random.normal(0, 0.01, (2, count))
    return (noise + loud * speech * 10 ** (ratio_db / 20)).astype(np.float32)


def estimate(samples: np.ndarray) -> float:
    return snr.estimate(features.extract(samples, FEATURES))


@pytest.mark.parametrize("ratio", [10.0, 20.0, 30.0, 40.0])
def test_the_ratio_of_noise_that_comes_and_goes_is_found(ratio):
    assert estimate(recording(ratio)) == pytest.approx(ratio, abs=2.0)


def test_it_is_the_90th_percentile_of_the_frames_power_over_the_10th():
    power = np.random.default_rng(1).permutation([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 30.0, 400.0, 5000.0])
    log_mel = np.log(np.stack([0.25 * power, 0.75 * power], axis=1)).astype(np.float32)
    assert snr.estimate(log_mel) == pytest.approx(10 * np.log10(400 / 2), abs=1e-4)


def test_how_loud_the_recording_is_does_not_matter():
    assert estimate(recording(20.0)) == pytest.approx(estimate(0.05 * recording(20.0)), abs=0.1)


def test_steady_noise_is_near_zero():
    assert 0 <= estimate(recording(-100.0)) < 3


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.float32), np.zeros(10, np.float32)])
def test_silence_and_nothing_are_zero(samples):
    assert estimate(samples) == 0


def test_digital_silence_between_words_is_no_more_than_the_most():
    samples = recording(60.0)
    samples[: 2 * RATE] = 0
    assert estimate(samples) == 60


@pytest.mark.parametrize("value", [-80.0, 0.0, 88.0, 150.0])
def test_a_ratio_is_a_number_however_loud_the_recording_is(value):
    log_mel = np.full((20, 80), value, np.float32)
    log_mel[10:] += 2.302585
    assert snr.estimate(log_mel) == pytest.approx(10.0, abs=0.01)
