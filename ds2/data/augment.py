"""Augmentation of training utterances. Everything random is drawn from the generator that the caller passes."""

import numpy as np

from ds2 import params
from ds2.audio import waveform
from ds2.audio.recordings import Recordings

_SPEEDS = (0.9, 1.0, 1.1)


def generator(seed: int, epoch: int, utterance: int) -> np.random.Generator:
    """The random numbers of one utterance in one epoch, the same in any process and after any interruption."""
    return np.random.default_rng((seed, epoch, utterance))


class Augmenter:
    """The eight kinds of augmentation of params.yaml's section augment; `prob` is always the probability.

    Noise and impulse responses come from folders; a kind whose folder holds no audio is off.
    """

    def __init__(self, augment: params.AugmentSettings, features: params.FeaturesSettings) -> None:
        """Finds the files of noise and impulse responses. Waveforms have the sample rate of the features."""
        self._augment = augment
        self._rate = features.sample_rate
        self._remove_mean = features.remove_mean
        self._folders = {"noise": augment.noise.noise_dir, "reverb": augment.reverb.reverb_dir}
        self._found = {
            kind: Recordings(folder, self._rate, f"augment.{kind}.{kind}_dir") for kind, folder in self._folders.items()
        }

    def describe(self) -> list[str]:
        """What was found in the folders, for the log."""
        off = {kind: f": augment.{kind} is off" for kind in self.lacking()}
        return [
            f"augment.{kind}: {len(self._found[kind])} files in {folder}{off.get(kind, '')}"
            for kind, folder in self._folders.items()
        ]

    def lacking(self) -> dict[str, str]:
        """The kinds that are asked for and off, because their folder has no audio, each with the reason."""
        return {kind: f"no audio in {self._folders[kind]}" for kind in self._used() if not len(self._found[kind])}

    def identity(self) -> list[tuple[str, int]]:
        """Names and sizes of the files that decide what comes out, for the fingerprint."""
        return [file for kind in self._used() for file in self._found[kind].identity()]

    def counts(self) -> dict[str, int]:
        """The number of files in each folder that a kind asked for takes them from."""
        return {self._folders[kind]: len(self._found[kind]) for kind in self._used()}

    def _used(self) -> list[str]:
        """The kinds with files that are asked for."""
        return [kind for kind in self._folders if getattr(self._augment, kind).prob]

    def speeds(self, seed: int, epoch: int, utterances: np.ndarray) -> np.ndarray:
        """How many times as fast each utterance, named by its number, int [n], is played in an epoch: float64 [n].

        Drawn up front, without reading audio, so that batches can be bucketed by length after speed perturbation. A
        hash (the finaliser of SplitMix64, Steele et al. 2014) stands in for a generator each.
        """
        key = np.random.SeedSequence((seed, epoch), spawn_key=(1,)).generate_state(1, np.uint64)
        mixed = np.asarray(utterances).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + key
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ mixed >> np.uint64(shift)) * np.uint64(factor)
        uniform = ((mixed ^ mixed >> np.uint64(31)) >> np.uint64(11)) * 2.0**-53
        # The stretch below prob has a third for each speed.
        thirds = len(_SPEEDS) / max(self._augment.speed.prob, 1e-9)
        return np.array([*_SPEEDS, 1.0])[np.minimum(uniform * thirds, len(_SPEEDS)).astype(np.int64)]

    def speed_range(self) -> tuple[float, float]:
        """The least and the greatest value of `speeds`."""
        return (min(_SPEEDS), max(_SPEEDS)) if self._augment.speed.prob else (1.0, 1.0)

    def change_waveform(self, samples: np.ndarray, speed: float, random: np.random.Generator) -> np.ndarray:
        """Changes a copy of a waveform, float32 [n], in the order of nature: mouth, room, noise, microphone, line.

        `speed` is this utterance's one of `speeds`; `random` draws everything else.
        """
        kinds, noises, responses = self._augment, self._found["noise"], self._found["reverb"]
        samples = waveform.change_speed(samples, speed, self._rate)
        if _happens(kinds.shift.prob, random):
            milliseconds = random.uniform(kinds.shift.min_shift_ms, kinds.shift.max_shift_ms)
            samples = waveform.shift(samples, round(milliseconds * self._rate / 1000))
        if _happens(kinds.reverb.prob, random) and len(responses):
            response = responses.draw(random)
            if response is not None:
                samples = waveform.reverberate(samples, response, self._remove_mean)
        if _happens(kinds.noise.prob, random) and len(noises):
            noise = noises.draw(random)
            snr_db = random.uniform(kinds.noise.min_snr_dB, kinds.noise.max_snr_dB)
            if noise is not None:
                start = int(random.integers(len(noise)))
                samples = waveform.add_noise(samples, noise, start, snr_db, self._rate, self._remove_mean)
        if _happens(kinds.volume.prob, random):
            samples = waveform.amplify(samples, random.uniform(kinds.volume.min_gain_dBFS, kinds.volume.max_gain_dBFS))
        if _happens(kinds.resample.prob, random):
            through = int(random.choice(kinds.resample.new_sample_rate))
            samples = waveform.limit_band(samples, through, self._rate)
        return samples

    def change_features(self, values: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Changes normalised features, float32 [frames, mel bins]; their shape stays."""
        return spec_aug(spec_sub_aug(values, self._augment.spec_sub_aug, random), self._augment.spec_aug, random)


def _happens(prob: float, random: np.random.Generator) -> bool:
    return random.random() < prob


def spec_sub_aug(values: np.ndarray, settings: params.SpecSubAugSettings, random: np.random.Generator) -> np.ndarray:
    """Replaces stretches of frames by earlier ones in a copy of float32 [frames, mel bins], with probability prob.

    Wu et al. 2021, "U2++", section 2.3.
    """
    if not _happens(settings.prob, random) or len(values) == 0:
        return values
    changed = values.copy()
    for _ in range(settings.num_time_sub):
        start = int(random.integers(len(values)))
        stop = min(len(values), start + int(random.integers(1, settings.max_time + 1)))
        source = int(random.integers(start + 1))
        changed[start:stop] = values[source : source + stop - start]
    return changed


def spec_aug(values: np.ndarray, settings: params.SpecAugSettings, random: np.random.Generator) -> np.ndarray:
    """SpecAugment (Park et al. 2019): warps time, then masks bands of frequency and stretches of time, in a copy.

    With probability prob, on normalised features, float32 [frames, mel bins]. Masks are filled with 0, the mean. Clips
    too short for a mask or for warping go without.
    """
    if not _happens(settings.prob, random):
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
