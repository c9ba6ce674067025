"""Mean and inverse standard deviation of the training features (CMVN statistics)."""

import functools
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ds2 import layout, parallel, params
from ds2.audio import reading
from ds2.data import features, unreadable
from ds2.data.manifest import Manifest, Utterance
from ds2.errors import UserError
from ds2.files import write_json

# Fixed, so that the sums are formed in the same order whatever the number of workers.
_CHUNK = 32
# A mel bin that never changes (band-limited audio) must not be blown up: Kaldi floors the variance too.
_MIN_VARIANCE = 1e-10
# Of normalised features. Measured on zh-dsp20: a speaker recorded through a noise gate had 0.35 of the characters
# wrong without, 0.19 with it.
FLOOR = -2.5


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations of frames; mergeable.

    Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """

    frames: int
    mean: np.ndarray  # float64 [size]
    deviations: np.ndarray  # float64 [size]
    utterances: int = 0
    unreadable: tuple[str, ...] = ()

    @classmethod
    def empty(cls, bins: int) -> "Moments":
        """Of no frames at all."""
        return cls(0, np.zeros(bins), np.zeros(bins))

    @classmethod
    def of(cls, values: np.ndarray) -> "Moments":
        """Of the features of one utterance, [frames, bins]."""
        if len(values) == 0:
            return cls.empty(values.shape[1])
        wide = values.astype(np.float64)
        mean = wide.mean(axis=0)
        return cls(len(wide), mean, np.square(wide - mean).sum(axis=0), 1)

    def merge(self, other: "Moments") -> "Moments":
        """Of both together."""
        frames = max(1, self.frames + other.frames)  # where both are empty all terms are 0
        delta = other.mean - self.mean
        return Moments(
            self.frames + other.frames,
            self.mean + delta * (other.frames / frames),
            self.deviations + other.deviations + delta**2 * (self.frames * other.frames / frames),
            self.utterances + other.utterances,
            self.unreadable + other.unreadable,
        )


@dataclass(frozen=True)
class MeanIstd:
    """What features are normalised with, and the parameters of those features."""

    mean: np.ndarray  # float64 [size]
    istd: np.ndarray  # float64 [size]
    frames: int
    utterances: int
    features: params.FeaturesSettings

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """(values - mean) * istd, but at least -2.5: float32 [frames, size].

        The silence of a room lies one or two deviations below the mean, the digital silence of noise gates and padding
        about six, far outside the training distribution. Clipping at -2.5 makes the two indistinguishable.
        """
        return np.maximum((values - self.mean) * self.istd, FLOOR).astype(np.float32)

    def write(self, path: Path) -> None:
        """Writes the file that `read` reads."""
        arrays = {"mean": self.mean.tolist(), "istd": self.istd.tolist()}
        counts = {"frames": self.frames, "utterances": self.utterances}
        write_json(path, arrays | counts | {"features": self.features.model_dump()})

    @classmethod
    def read(cls, path: Path) -> "MeanIstd":
        """Reads mean_istd.json; raises UserError when it does not exist or is not such a file."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            mean, istd = (np.array(values[key], np.float64) for key in ("mean", "istd"))
            settings = params.from_dict({"features": values["features"]}).features
            if mean.shape != istd.shape or mean.shape != (settings.size,):
                raise ValueError("lengths of mean and istd")
            if not (np.isfinite(mean).all() and np.isfinite(istd).all()):
                raise ValueError("not finite")
            return cls(mean, istd, int(values["frames"]), int(values["utterances"]), settings)
        except FileNotFoundError:
            raise UserError(f"{path} does not exist: run dvc repro mean_istd") from None
        except (UserError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UserError(f"{path} does not hold statistics ({error!r}): run dvc repro -f mean_istd") from None


def compute(manifest: Manifest, settings: params.Params, workers: int) -> tuple[MeanIstd, tuple[str, ...]]:
    """Statistics over the utterances of a manifest, the same bits for any number of workers.

    Also returns the files that could not be read, each with the reason; UserError: too many of them.
    """
    indices = np.arange(len(manifest))
    limit = settings.mean_istd.num_utterances
    if limit is not None and limit < len(manifest):
        indices = np.unique(np.linspace(0, len(manifest) - 1, limit).round().astype(np.int64))
    chunks = (list(manifest.pick(part)) for part in parallel.chunks(indices, _CHUNK))
    work = functools.partial(_chunk_moments, settings=settings.features)
    total = Moments.empty(settings.features.size)
    bearable = unreadable.bearable(len(indices), settings.manifest)
    with closing(parallel.ordered_map(work, chunks, len(indices), workers, "mean_istd")) as parts:
        for part in parts:
            total = total.merge(part)
            if len(total.unreadable) > bearable:
                first = total.unreadable[0]
                raise UserError(unreadable.sentence(len(total.unreadable), len(indices), first, settings.manifest))
    if total.frames == 0:
        raise UserError(
            f"{manifest.path}: none of its {len(indices)} audio files could be read: run dvc repro -f manifest"
        )
    variance = np.maximum(total.deviations / total.frames, _MIN_VARIANCE)
    statistics = MeanIstd(total.mean, 1.0 / np.sqrt(variance), total.frames, total.utterances, settings.features)
    return statistics, total.unreadable


def _chunk_moments(utterances: Sequence[Utterance], settings: params.FeaturesSettings) -> Moments:
    total = Moments.empty(settings.size)
    for utterance in utterances:
        try:
            path = layout.audio_file(utterance.audio_filepath)
            samples = reading.load(path, settings.sample_rate, utterance.piece)
            total = total.merge(Moments.of(features.extract(samples, settings)))
        except reading.AudioError as error:
            total = replace(total, unreadable=(*total.unreadable, f"{utterance.name}: {error}"))
    return total
