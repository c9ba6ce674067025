"""The geometry of mel filters: what params.py checks and data/features.py uses."""

import functools

import numpy as np

_LOW_FREQUENCY_HZ = 20.0
FRAME_LENGTH_S = 0.025
_GROUP = 20


def fft_size(sample_rate: int) -> int:
    """Points of a frame's spectrum: the frame's length, rounded up to a power of two."""
    return 1 << (int(sample_rate * FRAME_LENGTH_S) - 1).bit_length()


@functools.lru_cache(maxsize=8)
def filters(sample_rate: int, num_mel_bins: int) -> np.ndarray:
    """Triangular filters, equally wide in mel, from 20 Hz to half the sample rate, as Kaldi has them.

    Returns:
        float32 [fft_size / 2, num_mel_bins], weights of the power spectrum.
    """
    edges = np.linspace(_mel(_LOW_FREQUENCY_HZ), _mel(sample_rate / 2), num_mel_bins + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    size = fft_size(sample_rate)
    mel = _mel(np.arange(size // 2) * sample_rate / size)[:, None]
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


@functools.lru_cache(maxsize=8)
def groups(sample_rate: int, num_mel_bins: int) -> list[tuple[slice, slice, np.ndarray]]:
    """The same in groups of neighbours: a filter reaches over few points of the spectrum, and most weights are zero.

    Made for spectra as arrays of real and imaginary parts in turns, of which the squares are summed up.

    Returns:
        which filters; the parts that they reach over; the weights of their squares, float32 [parts, filters].
    """
    weights, found = filters(sample_rate, num_mel_bins), []
    for start in range(0, num_mel_bins, _GROUP):
        some = slice(start, min(start + _GROUP, num_mel_bins))
        reached = np.flatnonzero(weights[:, some].any(axis=1))
        first, last = int(reached[0]), int(reached[-1]) + 1
        found.append((some, slice(2 * first, 2 * last), np.repeat(weights[first:last, some], 2, axis=0)))
    return found


def most_filters(sample_rate: int) -> int:
    """The most filters of which none is so narrow that it falls between two points of the spectrum."""
    return next(count for count in range(256, 0, -1) if filters.__wrapped__(sample_rate, count).any(axis=0).all())


def _mel(frequency):
    return 1127.0 * np.log(1.0 + np.asarray(frequency, np.float64) / 700.0)
