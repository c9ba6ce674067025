import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.audio import waveform
from tests.conftest import tone

RATE = 16000


def _rms(samples):
    return np.sqrt(np.mean(np.square(samples, dtype=np.float64)))


def _peak_hz(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return spectrum.argmax() * RATE / len(samples)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_changes_length_and_pitch_alike(factor):
    changed = waveform.change_speed(tone(2.0, 1000.0), factor, RATE)
    assert len(changed) == pytest.approx(2 * RATE / factor, abs=2)
    assert _peak_hz(changed) == pytest.approx(1000 * factor, abs=3)


def test_a_speed_up_does_not_alias():
    sine = np.sin(2 * np.pi * 7600 * np.arange(2 * RATE) / RATE).astype(np.float32)
    changed = waveform.change_speed(sine, 1.1, RATE)  # 8360 Hz: above what this rate can hold
    assert _rms(changed[500:-500]) < 1e-3


def test_a_narrow_band_keeps_what_is_below_it_and_the_length():
    low, high = tone(1.0, 1000.0), np.sin(2 * np.pi * 6000 * np.arange(RATE) / RATE).astype(np.float32)
    assert len(waveform.limit_band(low, 8000, RATE)) == RATE
    assert _rms(waveform.limit_band(high, 8000, RATE)[500:-500]) < 1e-3
    assert _peak_hz(waveform.limit_band(low, 8000, RATE)) == pytest.approx(1000, abs=2)
    sine = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)  # and not a sample later
    np.testing.assert_allclose(waveform.limit_band(sine, 8000, RATE)[500:-500], sine[500:-500], atol=1e-3)


@pytest.mark.parametrize("snr_db", [-5, 10, 50])
@pytest.mark.parametrize("noise_seconds", [0.01, 0.3, 5.0])
def test_noise_has_the_signal_to_noise_ratio_asked_for(snr_db, noise_seconds):
    speech = tone(1.0)
    noise = np.random.default_rng(0).normal(0, 0.5, int(noise_seconds * RATE)).astype(np.float32)
    added = waveform.add_noise(speech, noise, 100, snr_db, RATE, False).astype(np.float64) - speech
    assert 20 * np.log10(_rms(speech) / _rms(added)) == pytest.approx(snr_db, abs=0.1)


def test_a_looped_noise_has_no_click():
    seconds = np.arange(int(0.33 * RATE)) / RATE
    noise = np.sin(2 * np.pi * 101.3 * seconds).astype(np.float32)  # ends elsewhere than it began
    added = waveform.add_noise(np.ones(3 * RATE, np.float32), noise, 777, 0.0, RATE, False) - 1.0
    steepest = 2 * np.pi * 101.3 / RATE * np.abs(added).max()
    assert np.abs(np.diff(added)).max() < 1.5 * steepest


@pytest.mark.parametrize(
    ("noise", "start", "length", "rate", "expected"),
    [
        ([9, 1, 5, 2, 8, 3, 7, 4], 5, 3, 100, [3, 7, 4]),  # reaches just as far: no turn
        # A crossfade of 2: one turn is 5 2 8 3, then 7 alone and 4 and 1 half each.
        ([9, 1, 5, 2, 8, 3, 7, 4], 1, 10, 100, [2, 8, 3, 7, 2.5, 5, 2, 8, 3, 7]),
        ([8, 4, 2, 6], 1, 5, 16000, [5, 2, 5, 2, 5]),  # a crossfade no longer than half of the noise
    ],
)
def test_noise_is_added_from_its_start_on_turn_after_turn(noise, start, length, rate, expected):
    speech = np.ones(length, np.float32)
    added = waveform.add_noise(speech, np.array(noise, np.float32), start, 0.0, rate, False) - speech
    np.testing.assert_allclose(added * _rms(expected), expected, rtol=1e-5)


def test_silent_noise_and_silent_speech_change_nothing():
    speech, silence = tone(0.5), np.zeros(4000, np.float32)
    assert np.array_equal(waveform.add_noise(speech, silence, 0, 10, RATE, False), speech)
    assert not waveform.add_noise(silence, speech, 0, 10, RATE, False).any()


def test_a_room_delays_nothing_and_keeps_the_level():
    response = np.zeros(2000, np.float32)
    response[300], response[700] = 0.5, 0.1  # the direct path, and an echo
    speech = tone(1.0)
    wet = waveform.reverberate(speech, response, False)
    assert len(wet) == len(speech)
    assert _rms(wet) == pytest.approx(_rms(speech), rel=1e-4)
    assert np.correlate(wet, speech, "same").argmax() == len(speech) // 2


def test_a_response_of_nothing_but_a_direct_path_changes_nothing():
    response = np.zeros(100, np.float32)
    response[40] = -0.3
    assert np.allclose(-waveform.reverberate(tone(0.5), response, False), tone(0.5), atol=1e-5)


@given(st.integers(-50, 50), st.integers(0, 40))
def test_a_shift_moves_samples_and_keeps_their_number(count, length):
    samples = np.arange(1, length + 1, dtype=np.float32)
    moved = waveform.shift(samples, count)
    expected = [samples[i - count] if 0 <= i - count < length else 0 for i in range(length)]
    assert moved.tolist() == expected


def test_a_gain_is_in_decibels():
    assert _rms(waveform.amplify(tone(0.1), 6.0)) == pytest.approx(_rms(tone(0.1)) * 10 ** (6 / 20), rel=1e-5)
