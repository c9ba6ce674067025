"""Changes of a waveform: float32 [n] in, float32 out, the input untouched, nothing random."""

import numpy as np
import soxr

# Over which a noise that is too short runs into its own beginning, so that there is no click.
_CROSSFADE_S = 0.02


def change_speed(samples: np.ndarray, factor: float, sample_rate: int) -> np.ndarray:
    """Plays the samples `factor` times as fast, pitch with it, band-limited: n / factor samples come back."""
    if factor == 1.0:
        return samples
    return soxr.resample(samples, sample_rate * factor, sample_rate, quality="HQ")


def limit_band(samples: np.ndarray, through_rate: int, sample_rate: int) -> np.ndarray:
    """Resamples to another rate and back, as many samples as before."""
    if through_rate == sample_rate:
        return samples
    narrow = soxr.resample(samples, sample_rate, through_rate, quality="HQ")
    back = soxr.resample(narrow, through_rate, sample_rate, quality="HQ")
    return np.pad(back, (0, max(0, len(samples) - len(back))))[: len(samples)]


def reverberate(samples: np.ndarray, response: np.ndarray, remove_mean: bool) -> np.ndarray:
    """Convolves with a room's impulse response: aligned to its direct path, as loud and as long as before.

    With `remove_mean` a constant offset is no part of the loudness.
    """
    import scipy.signal  # not at the top: it takes a second to load

    direct = int(np.argmax(np.abs(response)))
    wet = scipy.signal.oaconvolve(samples, response[direct:])[: len(samples)].astype(np.float32)
    loudness = _rms(wet, remove_mean)
    return wet * np.float32(_rms(samples, remove_mean) / loudness) if loudness > 0 else samples


def add_noise(
    samples: np.ndarray, noise: np.ndarray, start: int, snr_db: float, sample_rate: int, remove_mean: bool
) -> np.ndarray:
    """Adds noise from position `start` on, in a loop, at a signal-to-noise ratio in dB over the whole utterance.

    With `remove_mean` a constant offset is part of neither power.
    """
    part = _loop(noise, start, len(samples), int(_CROSSFADE_S * sample_rate))
    loudness = _rms(part, remove_mean)
    if loudness == 0.0:
        return samples
    gain = _rms(samples, remove_mean) / loudness * 10.0 ** (-snr_db / 20.0)
    return samples + part * np.float32(gain)


def shift(samples: np.ndarray, count: int) -> np.ndarray:
    """Moves the samples `count` later (negative: earlier); zeros come in, the length stays."""
    moved, kept = np.zeros_like(samples), max(0, len(samples) - abs(count))
    moved[max(0, count) :][:kept] = samples[max(0, -count) :][:kept]
    return moved


def amplify(samples: np.ndarray, gain_db: float) -> np.ndarray:
    """Scales the samples by a gain in dB."""
    return samples * np.float32(10.0 ** (gain_db / 20.0))


def _rms(samples: np.ndarray, remove_mean: bool) -> float:
    if not len(samples):
        return 0.0
    wide = samples.astype(np.float64)
    return float(np.sqrt(np.mean(np.square(wide - wide.mean() if remove_mean else wide))))


def _loop(noise: np.ndarray, start: int, length: int, crossfade: int) -> np.ndarray:
    if start + length <= len(noise):
        return noise[start : start + length]
    fade = min(crossfade, len(noise) // 2)
    # One turn: the end is mixed with the beginning, and the next turn starts behind what was mixed in.
    turn = noise[fade:].copy()
    if fade:
        rising = np.linspace(0.0, 1.0, fade, endpoint=False, dtype=np.float32)
        turn[-fade:] = noise[-fade:] * (1.0 - rising) + noise[:fade] * rising
    return np.resize(np.roll(turn, -start % len(turn)), length)
