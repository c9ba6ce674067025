"""Which utterances make up which batch of an epoch: a pure function of durations, limits, seed and epoch."""

import itertools
from array import array
from dataclasses import dataclass

import numpy as np

from ds2 import params
from ds2.data import frames

# Batches are cut from stretches of this many shuffled utterances sorted by length: long enough for batches of
# equal lengths, short enough that a large training set mixes anew every epoch.
_POOL = 16384
# Lengths are blurred a little before sorting, so that in small sets too the company changes from epoch to epoch.
_BLUR = 0.01


@dataclass(frozen=True)
class Batches:
    """The batches of an epoch, in order: positions in the manifest."""

    order: np.ndarray  # int64 [utterances], every utterance once
    bounds: np.ndarray  # int64 [batches + 1], where in `order` each batch starts and ends

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, batch: int) -> np.ndarray:
        return self.order[self.bounds[batch] : self.bounds[batch + 1]]

    def real_share(self, durations: np.ndarray) -> float:
        """The share of audio in the padded batches, 0 to 1."""
        lengths = durations[self.order]
        longest = np.maximum.reduceat(lengths, self.bounds[:-1])
        return float(lengths.sum() / (longest * np.diff(self.bounds)).sum())


def by_length(durations: np.ndarray, batch_size: int) -> Batches:
    """From the shortest to the longest: SortaGrad's first epoch (Amodei et al. 2016, section 3.2), and evaluation."""
    return Batches(np.argsort(durations, kind="stable").astype(np.int64), _bounds(len(durations), batch_size))


def of_epoch(
    durations: np.ndarray, batch_size: int, seed: int, epoch: int, max_seconds: float | None = None, parts: int = 1
) -> Batches:
    """The batches of a training epoch: the first sorted, later ones of similar lengths in random order.

    No utterance is dropped.

    Args:
        durations: float [utterances], seconds.
        batch_size: utterances in a batch. The last batch may be shorter, but a single utterance left over joins the
            batch before it.
        seed: train.seed.
        epoch: from 1.
        max_seconds: fills each batch up to this many seconds, padding included, instead of batch_size; an utterance
            longer than that is a batch of its own.
        parts: near-equal sub-batches of each batch; max_seconds applies to each of them.
    """
    random = np.random.default_rng((seed, epoch))
    if epoch == 1:
        order = np.argsort(durations, kind="stable").astype(np.int64)
    elif max_seconds is None:
        order = _in_pools(durations, max(1, _POOL // batch_size) * batch_size, random)
    else:
        order = _in_pools(durations, _POOL, random)
        # Every other pool backwards: where two meet, long stands by long and short by short.
        for start in range(_POOL, len(order), 2 * _POOL):
            order[start : start + _POOL] = order[start : start + _POOL][::-1].copy()
    bounds = _bounds(len(order), batch_size)
    if max_seconds is not None:
        bounds = _bounds_by_seconds(durations[order], max_seconds, parts)
    return Batches(order, bounds) if epoch == 1 else _shuffle_batches(Batches(order, bounds), random)


def shares(positions: np.ndarray, train: params.TrainSettings, rank: int, world_size: int) -> list[np.ndarray]:
    """One process's share of each batch of a step; a share may be empty.

    Args:
        positions: int64 [n], of the step's utterances in the manifest: those of accumulate_grad batches; fewer in an
            epoch's last step.
        train: the section of params.yaml.
        rank: of the process.
        world_size: processes.
    """
    least = 1 if train.max_batch_seconds else train.batch_size
    count = min(train.accumulate_grad, -(-len(positions) // least))
    return [part[rank::world_size] for part in np.array_split(positions, count)]


def largest_share(
    durations: np.ndarray,
    train: params.TrainSettings,
    world_size: int,
    sample_rate: int,
    speed_range: tuple[float, float] = (1.0, 1.0),
) -> tuple[int, int]:
    """Utterances, and frames of each, whose product no process's share of any batch of any epoch exceeds.

    Args:
        durations: float [utterances], seconds, as recorded.
        train: the section of params.yaml.
        world_size: processes.
        sample_rate: of the features, in Hz.
        speed_range: the slowest and the fastest that an utterance is played.
    """
    slowest, fastest = speed_range
    longest = float(durations.max()) / slowest
    if train.max_batch_seconds is None:
        sizes = np.diff(_bounds(len(durations), train.batch_size * train.accumulate_grad))
        found = [(len(shares(np.arange(size), train, 0, world_size)[0]), longest) for size in np.unique(sizes)]
    else:
        # An utterance whose labels do not fit when played fast keeps its speed, in a batch that was cut for less.
        limit = train.max_batch_seconds * fastest
        fit = min(len(durations), max(1, int(limit / longest)))
        # With one more the utterances are shorter and the batch is full; a process's share is rounded up.
        sizes = range(fit, min(len(durations), fit + world_size) + 1)
        found = [(-(-size // world_size), longest if size == 1 else min(longest, limit / size)) for size in sizes]
    # A frame more than there is: the audio is rounded when it is resampled, and again when its speed is changed.
    padded = [(count, frames.frames_of_duration(seconds, sample_rate) + 1) for count, seconds in found]
    return max(padded, key=lambda share: share[0] * share[1])


def _in_pools(durations: np.ndarray, pool: int, random: np.random.Generator) -> np.ndarray:
    """Everyone in random order, then by (blurred) length within stretches of `pool`."""
    order = random.permutation(len(durations))
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        blurred = durations[part] * random.uniform(1.0 - _BLUR, 1.0 + _BLUR, len(part))
        order[start : start + pool] = part[np.argsort(blurred, kind="stable")]
    return order


def _bounds_by_seconds(lengths: np.ndarray, limit: float, parts: int) -> np.ndarray:
    bounds = array("q", [0])
    longest, first = 0.0, 0
    # As Python's numbers, which are faster one by one, but never all at once.
    pools = (lengths[start : start + _POOL].tolist() for start in range(0, len(lengths), _POOL))
    for position, length in enumerate(itertools.chain.from_iterable(pools)):
        longest = max(longest, length)
        if position > first and longest * -(-(position + 1 - first) // parts) > limit:
            bounds.append(position)
            longest, first = length, position
    if len(lengths):
        bounds.append(len(lengths))
    return np.array(bounds, np.int64)


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
