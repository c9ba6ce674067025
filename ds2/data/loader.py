"""From manifest to padded batches of features and labels, prepared ahead by worker processes."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from loguru import logger

from ds2 import layout, log, parallel, params
from ds2.audio import reading
from ds2.data import augment, features, frames, snr
from ds2.data.manifest import Manifest, Utterance
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Batch:
    """Padded utterances."""

    features: np.ndarray  # float32 [B, T, mel bins], zero behind an utterance's end
    frames: np.ndarray  # int64 [B], real frames
    labels: np.ndarray  # int32 [B, L], 0 behind the end
    label_lengths: np.ndarray  # int64 [B]
    positions: np.ndarray  # int64 [B], in the manifest
    seconds: float  # of audio
    unreadable: tuple[str, ...] = ()  # recordings that could not be read, each with the reason
    unfit: tuple[str, ...] = ()  # utterances whose labels do not fit, each with the numbers
    speed_reverted: int = 0  # utterances kept at original speed: their labels would not fit after speeding up
    # float64 [B], estimated signal-to-noise ratios in dB; None with augmentation and where no audio was read.
    snr: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True)
class Assembler:
    """All that it takes to make a batch from utterances, in any process."""

    features: params.FeaturesSettings
    statistics: MeanIstd  # normalise the features
    vocabulary: Vocabulary | None = None  # encodes transcripts; None where labels do not matter
    frames_a_step: int = 1  # of the network: utterances whose labels do not fit its output steps are left out
    augmenter: augment.Augmenter | None = None  # None for evaluation
    seed: int = 0  # of the augmentation

    def __call__(self, utterances: Sequence[Utterance], positions: Sequence[int], epoch: int = 0) -> Batch:
        """Reads, augments, normalises and pads; unreadable files and labels that do not fit are left out."""
        kept, unreadable, unfit, speed_reverted = [], [], [], 0
        speeds = np.ones(len(positions))
        if self.augmenter is not None:
            speeds = self.augmenter.speeds(self.seed, epoch, np.asarray(positions))
        for utterance, position, speed in zip(utterances, positions, speeds.tolist(), strict=True):
            label = np.zeros(0, np.int32) if self.vocabulary is None else self.vocabulary.encode(utterance.text)
            needed = frames.steps_needed(label.tolist())
            try:
                path = layout.audio_file(utterance.audio_filepath)
                samples = reading.load(path, self.features.sample_rate, utterance.piece)
            except reading.AudioError as error:
                unreadable.append(f"{utterance.name}: {error}")
                continue
            value, ratio = self._features(samples, speed, int(position), epoch)
            steps = frames.count_steps(len(value), self.frames_a_step)
            hurried_too_much = speed > 1.0 and steps < needed
            if hurried_too_much:
                value, ratio = self._features(samples, 1.0, int(position), epoch)
                steps = frames.count_steps(len(value), self.frames_a_step)
            if self.vocabulary is not None and not 0 < needed <= steps:
                unfit.append(f"{utterance.name}: {len(label)} labels do not fit in {steps} output steps")
                continue
            speed_reverted += hurried_too_much
            kept.append((position, utterance.duration, value, label, ratio))
        positions, durations, values, labels, ratios = zip(*kept, strict=True) if kept else [()] * 5
        return Batch(
            features=_pad(values, (self.features.size,), np.float32),
            frames=np.array([len(value) for value in values], np.int64),
            labels=_pad(labels, (), np.int32),
            label_lengths=np.array([len(label) for label in labels], np.int64),
            positions=np.array(positions, np.int64),
            seconds=float(sum(durations)),
            unreadable=tuple(unreadable),
            unfit=tuple(unfit),
            speed_reverted=speed_reverted,
            snr=np.array(ratios, np.float64) if self.augmenter is None else None,
        )

    def _features(self, samples: np.ndarray, speed: float, position: int, epoch: int) -> tuple:
        """Normalised features, and the signal-to-noise ratio where nothing is changed, else None."""
        if self.augmenter is None:
            value = features.extract(samples, self.features)
            return self.statistics.normalize(value), snr.estimate(value)
        random = augment.generator(self.seed, epoch, position)
        value = features.extract(self.augmenter.change_waveform(samples, speed, random), self.features)
        return self.augmenter.change_features(self.statistics.normalize(value), random), None


class Loader:
    """Batches of a manifest in any order wanted, the same for any number of workers. A context manager.

    Attributes:
        lost: whether the worker processes are gone, as one was killed, and this process makes the batches.
    """

    def __init__(self, manifest: Manifest, assembler: Assembler, workers: int, outlives: bool = False) -> None:
        """
        Args:
            manifest: the utterances.
            assembler: makes a batch of them.
            workers: processes to start; 0: batches are made in this one, when they are asked for.
            outlives: whether the loss of the workers is noted in `lost`; otherwise it is a WorkerKilledError.
        """
        self._manifest = manifest
        self._assembler = assembler
        self._workers = workers
        self._outlives = outlives
        self.lost = False
        self._executor = parallel.Workers(workers, _prepare, assembler, log.files()) if workers > 0 else None

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def load(self, batches: Iterable[np.ndarray], epoch: int = 0) -> Iterator[Batch]:
        """Yields a batch for every array of positions in the manifest, augmented as in this epoch of the training."""
        tasks = ((list(self._manifest.pick(positions)), positions, epoch) for positions in batches)
        if self._executor is not None and not self.lost:
            tasks, left = itertools.tee(tasks)
            try:
                for batch in parallel.prefetch(self._executor, _assemble, tasks, ahead=2 * self._workers + 1):
                    next(left)
                    yield batch
                return
            except parallel.WorkerKilledError as error:
                if not self._outlives:
                    raise
                logger.warning(f"{error}; this process reads by itself until the state is saved")
                self.lost, tasks = True, left
        yield from (self._assembler(*task) for task in tasks)


def worker_count(runtime: params.RuntimeSettings, device: str, cores: int) -> int:
    """How many processes prepare batches: on a CPU the network itself needs the cores."""
    if runtime.num_workers == "auto":
        return min(8, cores) if device == "gpu" else 1
    return runtime.num_workers


def unlabelled(values: Sequence[np.ndarray]) -> Batch:
    """A batch of normalised features, float32 [frames, mel bins] each, to be recognised; positions count from 0."""
    lengths = np.array([len(value) for value in values], np.int64)
    return Batch(
        features=_pad(values, values[0].shape[1:], np.float32),
        frames=lengths,
        labels=np.zeros((len(values), 0), np.int32),
        label_lengths=np.zeros(len(values), np.int64),
        positions=np.arange(len(values), dtype=np.int64),
        seconds=float(lengths.sum() * frames.FRAME_SHIFT_S),
    )


def _pad(arrays: Sequence[np.ndarray], inner: tuple[int, ...], dtype: type) -> np.ndarray:
    longest = max((len(array) for array in arrays), default=0)
    padded = np.zeros((len(arrays), longest, *inner), dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded


_assembler: Assembler


def _prepare(assembler: Assembler, files: Sequence[Path]) -> None:
    global _assembler  # a worker's own: sent once, not with every batch
    _assembler = assembler
    log.in_worker(files)  # augmentation warns of noise that it cannot read


def _assemble(task: tuple[Sequence[Utterance], Sequence[int], int]) -> Batch:
    return _assembler(*task)
