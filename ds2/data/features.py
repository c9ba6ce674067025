"""Log-mel filter banks after Kaldi, the one function that makes features for every part of the project."""

import functools
from types import ModuleType

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ds2 import mel, params
from ds2.data import frames

_PREEMPHASIS = np.float32(0.97)
# Frames at a time: what is done to them stays in a core's cache.
_BLOCK = 128
# Kaldi's floor under the logarithm, and so the value of digital silence.
_ENERGY_FLOOR = np.float32(np.finfo(np.float32).eps)


def level(samples: np.ndarray, target_db: float, remove_mean: bool) -> np.ndarray:
    """Scales samples, float32 [n], to an RMS in dB (0 is an RMS of 1). Digital silence stays as it is.

    With `remove_mean` a constant offset is no part of the RMS. It is scaled with the rest, and `filter_banks` takes it
    off: taken off here, it would leave stretches of digital silence with a value.
    """
    measured = samples - np.float32(samples.mean(dtype=np.float64)) if remove_mean and len(samples) else samples
    energy = float(np.dot(measured, measured))
    if energy == 0.0:
        return samples
    return samples * np.float32(10.0 ** (target_db / 20.0) / np.sqrt(energy / len(samples)))


def filter_banks(samples: np.ndarray, sample_rate: int, num_mel_bins: int) -> np.ndarray:
    """Log-mel filter banks as Kaldi's compute-fbank-feats makes them with --dither=0 and its defaults.

    Frames of 25 ms every 10 ms (--snip-edges=true), mean removed, pre-emphasis 0.97, Povey window, power spectrum,
    triangular filters from 20 Hz to half the sample rate, natural logarithm. Samples, float32 [n] in -1..1, are scaled
    to 16 bits here; they give float32 [frames, num_mel_bins], no frames when shorter than 25 ms.
    """
    length, shift = frames.frame_length(sample_rate), frames.frame_shift(sample_rate)
    if len(samples) < length:
        return np.zeros((0, num_mel_bins), np.float32)
    fft = load_fft()
    # Removing the mean m of a frame and then pre-emphasis come to pre-emphasis of the whole signal and then removing
    # (1 - 0.97) m. A frame's first sample has no predecessor, and the window gives it no weight.
    emphasised = np.empty_like(samples)
    emphasised[0] = 0.0
    np.multiply(samples[:-1], -_PREEMPHASIS, out=emphasised[1:])
    emphasised[1:] += samples[1:]
    framed = sliding_window_view(emphasised, length)[::shift]
    means = sliding_window_view(samples, length)[::shift].mean(axis=1, keepdims=True, dtype=np.float64)
    offsets = (means * (1.0 - _PREEMPHASIS)).astype(np.float32)
    energies = np.empty((len(framed), num_mel_bins), np.float32)
    padded = np.zeros((min(len(framed), _BLOCK), mel.fft_size(sample_rate)), np.float32)
    for start in range(0, len(framed), _BLOCK):
        block = slice(start, start + _BLOCK)
        some = padded[: len(framed[block])]
        np.subtract(framed[block], offsets[block], out=some[:, :length])
        some[:, :length] *= _window(length)
        squares = fft.rfft(some, axis=1).view(np.float32)
        squares *= squares
        for filters, points, weights in mel.groups(sample_rate, num_mel_bins):
            energies[block, filters] = squares[:, points] @ weights
    return np.log(np.maximum(energies, _ENERGY_FLOOR, out=energies), out=energies)


def extract(samples: np.ndarray, features: params.FeaturesSettings) -> np.ndarray:
    """Features of samples, float32 [n] in -1..1 at `features.sample_rate`: levelled, then `filter_banks`.

    float32 [frames, num_mel_bins], not yet normalised by mean and istd.
    """
    if features.target_db is not None:
        samples = level(samples, features.target_db, features.remove_mean)
    return filter_banks(samples, features.sample_rate, features.num_mel_bins)


@functools.cache
def load_fft() -> ModuleType:
    """scipy.fft, twice as fast as numpy's transforms.

    It takes a quarter of a second to load, so a command loads it while the network of a bundle is opened.
    """
    import scipy.fft

    return scipy.fft


@functools.lru_cache(maxsize=8)
def _window(length: int) -> np.ndarray:
    """Povey's window, float32 [length], at 16-bit scale."""
    phase = 2.0 * np.pi * np.arange(length) / (length - 1)
    return ((0.5 - 0.5 * np.cos(phase)) ** 0.85 * 32768.0).astype(np.float32)
