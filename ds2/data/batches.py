"""Which utterances make up which batch of an epoch: a pure function of durations, batch size, seed and epoch."""

from dataclasses import dataclass

import numpy as np

# Batches are cut from stretches of this many shuffled utterances sorted by length: long enough for batches of
# equal lengths, short enough that a large training set mixes anew every epoch.
_POOL = 16384
# Lengths are blurred a little before sorting, so that in small sets too the company changes from epoch to epoch.
_BLUR = 0.02


@dataclass(frozen=True)
class Batches:
    """The batches of an epoch, in order: positions in the manifest.

    Attributes:
        order: int64 [utterances], every utterance once.
        bounds: int64 [batches + 1], where in `order` each batch starts and ends.
    """

    order: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, batch: int) -> np.ndarray:
        return self.order[self.bounds[batch] : self.bounds[batch + 1]]

    def real_share(self, durations: np.ndarray) -> float:
        """The share of audio in the padded batches, 0 to 1."""
        lengths = durations[self.order]
        longest = np.maximum.reduceat(lengths, self.bounds[:-1])
        return float(lengths.sum() / (longest * np.diff(self.bounds)).sum())


def in_order(count: int, batch_size: int) -> Batches:
    """Batches of utterances as they stand."""
    return Batches(np.arange(count, dtype=np.int64), _bounds(count, batch_size))


def by_length(durations: np.ndarray, batch_size: int) -> Batches:
    """From the shortest to the longest: SortaGrad's first epoch (Amodei et al. 2016, section 3.2), and evaluation."""
    return Batches(np.argsort(durations, kind="stable").astype(np.int64), _bounds(len(durations), batch_size))


def shuffled(durations: np.ndarray, batch_size: int, seed: int, epoch: int) -> Batches:
    """Batches of utterances of like length, in random order."""
    random = np.random.default_rng((seed, epoch))
    count = len(durations)
    order = random.permutation(count)
    pool = max(1, _POOL // batch_size) * batch_size
    for start in range(0, count, pool):
        part = order[start : start + pool]
        blurred = durations[part] * random.uniform(1.0 - _BLUR, 1.0 + _BLUR, len(part))
        order[start : start + pool] = part[np.argsort(blurred, kind="stable")]
    return _shuffle_batches(Batches(order, _bounds(count, batch_size)), random)


def of_epoch(durations: np.ndarray, batch_size: int, seed: int, epoch: int) -> Batches:
    """The batches of a training epoch: the first sorted, all others shuffled.

    Args:
        durations: float [utterances], seconds.
        batch_size: utterances in a batch. No utterance is dropped: the last batch may be shorter, but a single
            utterance left over joins the batch before it.
        seed: train.seed.
        epoch: from 1.
    """
    return by_length(durations, batch_size) if epoch == 1 else shuffled(durations, batch_size, seed, epoch)


def _bounds(count: int, batch_size: int) -> np.ndarray:
    bounds = np.append(np.arange(0, count, batch_size, dtype=np.int64), count)
    if batch_size > 1 and len(bounds) > 2 and bounds[-1] - bounds[-2] == 1:
        bounds = np.delete(bounds, -2)
    return bounds


def _shuffle_batches(batches: Batches, random: np.random.Generator) -> Batches:
    places = random.permutation(len(batches))
    sizes = np.diff(batches.bounds)[places]
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    # Position i of the new order is the i-th utterance of its batch, counted from the batch's old start.
    offsets = np.repeat(batches.bounds[:-1][places] - bounds[:-1], sizes)
    return Batches(batches.order[np.arange(len(batches.order)) + offsets], bounds)
