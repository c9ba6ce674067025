import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.recognition import timing
from ds2.recognition.calibration import MOST_OFFSET, Calibration

STEP = 0.03


def spans(*firsts):
    return np.array([[first, first + 1] for first in firsts], np.int64).reshape(-1, 2)


def loud(seconds, *silences):
    """60 dB, and nothing in the silences, whose seconds are those of the recording."""
    values = np.full(round(seconds * 100), 60.0, np.float32)
    for start, end in silences:
        values[round(start * 100) : round(end * 100)] = 0.0
    return values


def test_without_silences_a_token_lasts_until_the_next_one():
    found = timing.estimate(spans(10, 20, 30), 40, STEP, None, None)
    assert found == pytest.approx(np.array([[0.3, 0.6], [0.6, 0.9], [0.9, 1.2]]))


def test_the_offset_moves_all_borders():
    found = timing.estimate(spans(10, 20), 40, STEP, Calibration(offset=-0.1), None)
    assert found[:, 0].tolist() == pytest.approx([0.2, 0.5])
    assert found[0, 1] == pytest.approx(0.5)


def test_a_pause_ends_one_token_and_starts_the_next():
    found = timing.estimate(spans(10, 30), 60, STEP, None, loud(1.8, (0.0, 0.35), (0.6, 0.95), (1.4, 1.8)))
    assert found == pytest.approx(np.array([[0.35, 0.6], [0.95, 1.4]]), abs=0.02)


def test_a_silence_is_the_pause_before_one_token_only():
    # Both spikes are near the end of the silence at the beginning.
    found = timing.estimate(spans(5, 9), 60, STEP, None, loud(1.8, (0.0, 0.25), (1.0, 1.8)))
    assert found[0, 0] == pytest.approx(0.25, abs=0.02)
    assert found[0, 1] == found[1, 0] == pytest.approx(0.27)
    assert found[1, 1] == pytest.approx(1.0, abs=0.02)


def test_a_silence_far_from_the_expected_start_is_none_of_its_pauses():
    # The closure of a plosive within the first token, half a second before the second one.
    found = timing.estimate(spans(10, 40), 60, STEP, None, loud(1.8, (0.6, 0.7)))
    assert found[0, 1] == found[1, 0] == pytest.approx(1.2)


def test_a_token_before_long_noise_has_an_end():
    found = timing.estimate(spans(0, 1000), 1100, STEP, None, None)
    assert found[:, 1].tolist() == pytest.approx([1.0, 31.0])


def test_digital_silence_everywhere_moves_nothing():
    assert timing.estimate(spans(10, 20), 40, STEP, None, np.full(120, -100.0, np.float32)) == pytest.approx(
        timing.estimate(spans(10, 20), 40, STEP, None, None)
    )


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 50), st.floats(-MOST_OFFSET, MOST_OFFSET))
def test_times_are_in_order_within_the_recording_whatever_is_heard(seed, count, offset):
    random = np.random.default_rng(seed)
    firsts = np.sort(random.choice(50, count, replace=False))
    heard = loud(1.5) - 80 * (random.random(150) < random.random()).astype(np.float32)
    found = timing.estimate(spans(*firsts), 50, STEP, Calibration(offset=offset), heard)
    assert found.shape == (count, 2)
    assert (np.diff(found.ravel()) >= 0).all()
    assert ((found >= 0) & (found <= 1.5)).all()
    assert (found[:, 1] - found[:, 0] > 0.0049).all()  # no token is said in no time


def test_loudness_is_the_power_of_all_mels_in_decibels():
    values = np.log(np.full((3, 80), 100.0, np.float32))
    assert timing.loudness(values) == pytest.approx(10 * np.log10(8000.0) * np.ones(3), abs=1e-3)
    assert timing.loudness(np.zeros((0, 80), np.float32)).shape == (0,)
