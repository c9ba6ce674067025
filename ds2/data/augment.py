"""Augmentation of training utterances. Everything random is drawn from the generator that the caller passes."""

import numpy as np

from ds2 import params


def generator(seed: int, epoch: int, utterance: int) -> np.random.Generator:
    """The random numbers of one utterance in one epoch, the same in any process and after any interruption."""
    return np.random.default_rng((seed, epoch, utterance))


class Augmenter:
    """The kinds of augmentation of params.yaml's section augment."""

    def __init__(self, augment: params.Augment) -> None:
        self._spec_aug = augment.spec_aug

    def change_features(self, values: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Changes normalised features, float32 [frames, mel bins]; their shape stays."""
        return spec_aug(values, self._spec_aug, random)


def spec_aug(values: np.ndarray, settings: params.SpecAug, random: np.random.Generator) -> np.ndarray:
    """SpecAugment (Park et al. 2019): warps time, then masks bands of frequency and stretches of time.

    Masks are filled with 0, the mean of normalised features. Clips too short for a mask or for warping go without.

    Args:
        values: float32 [frames, mel bins], normalised; not changed.
        settings: the parameters; with probability 1 - prob nothing happens.
        random: the generator to draw from.
    """
    if random.random() >= settings.prob:
        return values
    values = _warp_time(values, settings.max_time_warp, random)
    frames, bins = values.shape
    for _ in range(settings.n_freq_masks):
        start, width = _stretch(bins, settings.freq_mask_ratio, random)
        values[:, start : start + width] = 0.0
    for _ in range(settings.n_time_masks):
        start, width = _stretch(frames, settings.time_mask_ratio, random)
        values[start : start + width] = 0.0
    return values


def _stretch(length: int, ratio: float, random: np.random.Generator) -> tuple[int, int]:
    """Start and width of a mask: 1 to ratio * length wide, wholly inside; width 0 where that leaves none."""
    longest = int(length * ratio)
    if longest < 1:
        return 0, 0
    width = int(random.integers(1, longest + 1))
    return int(random.integers(0, length - width + 1)), width


def _warp_time(values: np.ndarray, farthest: int, random: np.random.Generator) -> np.ndarray:
    """Moves a random frame by up to `farthest` frames, stretching what is on its two sides. Returns a copy."""
    frames = len(values)
    if farthest == 0 or frames <= 2 * (farthest + 1):
        return values.copy()
    centre = int(random.integers(farthest + 1, frames - farthest - 1))
    moved = centre + int(random.integers(-farthest, farthest + 1))
    # Where each new frame comes from, linearly between the ends and the moved frame.
    places = np.interp(np.arange(frames), [0, moved, frames - 1], [0, centre, frames - 1])
    left = np.minimum(places.astype(np.int64), frames - 2)
    share = (places - left).astype(np.float32)[:, None]
    return values[left] * (1.0 - share) + values[left + 1] * share
