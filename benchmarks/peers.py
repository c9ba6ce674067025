"""The usual way of the same work: yeaudio's AudioSegment and augmentors, kaldi-native-fbank frame by frame.

As trainers built on these packages use them: every file is decoded whole to learn its duration, an utterance is
levelled, augmented, turned into features a frame at a time, normalised, and put into a padded batch.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import kaldi_native_fbank
import numpy as np
from yeaudio.audio import AudioSegment
from yeaudio.augmentation import (
    NoisePerturbAugmentor,
    ResampleAugmentor,
    ReverbPerturbAugmentor,
    ShiftPerturbAugmentor,
    SpecAugmentor,
    SpecSubAugmentor,
    SpeedPerturbAugmentor,
    VolumePerturbAugmentor,
)

from ds2 import params
from ds2.data import text
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary


def write_manifest(annotation: Path, path: Path, settings: params.Params) -> None:
    """Durations by decoding, texts by the same function as ours."""
    with open(annotation, encoding="utf-8") as lines, open(path, "w", encoding="utf-8") as file:
        for line in lines:
            audio_path, transcript = line.rstrip("\n").split("\t")
            duration = AudioSegment.from_file(audio_path).duration
            if not settings.manifest.min_duration <= duration <= settings.manifest.max_duration:
                continue
            values = {
                "audio_filepath": audio_path,
                "duration": round(duration, 6),
                "text": text.normalize(transcript, settings.text),
            }
            file.write(json.dumps(values, ensure_ascii=False) + "\n")


def filter_banks(segment: AudioSegment, features: params.FeaturesSettings) -> np.ndarray:
    """Log-mel filter banks of a levelled segment: float32 [frames, num_mel_bins]."""
    segment = AudioSegment(segment.samples - segment.samples.mean() * features.remove_mean, segment.sample_rate)
    segment.normalize(target_db=features.target_db)
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = features.sample_rate
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = features.num_mel_bins
    fbank = kaldi_native_fbank.OnlineFbank(options)
    fbank.accept_waveform(features.sample_rate, segment.samples * 32768.0)
    fbank.input_finished()
    values = np.empty((fbank.num_frames_ready, features.num_mel_bins), np.float32)
    for frame in range(fbank.num_frames_ready):
        values[frame] = fbank.get_frame(frame)
    return values


def statistics(manifest: Path, features: params.FeaturesSettings) -> tuple[np.ndarray, np.ndarray]:
    """Mean and inverse standard deviation of all frames, from float64 sums."""
    count, total, squares = 0, np.zeros(features.num_mel_bins), np.zeros(features.num_mel_bins)
    with open(manifest, encoding="utf-8") as lines:
        for line in lines:
            values = filter_banks(AudioSegment.from_file(json.loads(line)["audio_filepath"]), features)
            wide = values.astype(np.float64)
            count += len(wide)
            total += wide.sum(axis=0)
            squares += np.square(wide).sum(axis=0)
    mean = total / count
    return mean, 1.0 / np.sqrt(squares / count - np.square(mean))


class Samples:
    """Padded batches of features and labels."""

    def __init__(
        self,
        features: params.FeaturesSettings,
        statistics: MeanIstd,
        vocabulary: Vocabulary,
        augment: params.AugmentSettings | None = None,
    ) -> None:
        self._features = features
        self._statistics = statistics
        self._ids = {token: i for i, token in enumerate(vocabulary.tokens)}
        kinds = {} if augment is None else augment.model_dump()
        self._waveform_kinds = [kind(**kinds[name]) for name, kind in _WAVEFORM_KINDS.items() if kinds]
        self._feature_kinds = [kind(**kinds[name]) for name, kind in _FEATURE_KINDS.items() if kinds]

    def __call__(self, lines: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Features, their lengths, labels and their lengths, of lines of a manifest."""
        samples = [self._sample(json.loads(line)) for line in lines]
        longest, most = (max(len(sample[i]) for sample in samples) for i in (0, 1))
        features = np.zeros((len(samples), longest, self._features.num_mel_bins), np.float32)
        labels = np.zeros((len(samples), most), np.int32)
        for i, (values, ids) in enumerate(samples):
            features[i, : len(values)] = values
            labels[i, : len(ids)] = ids
        lengths = np.array([[len(part) for part in sample] for sample in samples], np.int64)
        return features, lengths[:, 0], labels, lengths[:, 1]

    def _sample(self, line: dict) -> tuple[np.ndarray, list[int]]:
        segment = AudioSegment.from_file(line["audio_filepath"])
        for augmentor in self._waveform_kinds:
            segment = augmentor(segment)
        if segment.sample_rate != self._features.sample_rate:
            segment.resample(self._features.sample_rate)
        values = filter_banks(segment, self._features)
        values = ((values - self._statistics.mean) * self._statistics.istd).astype(np.float32)
        for augmentor in self._feature_kinds:
            values = augmentor(values)
        return values, [self._ids.get(character, 1) for character in line["text"]]


_WAVEFORM_KINDS = {
    "speed": SpeedPerturbAugmentor,
    "volume": VolumePerturbAugmentor,
    "shift": ShiftPerturbAugmentor,
    "noise": NoisePerturbAugmentor,
    "reverb": ReverbPerturbAugmentor,
    # Last, as ours: before them it would have them resample long noises with a slow filter.
    "resample": ResampleAugmentor,
}
_FEATURE_KINDS = {"spec_aug": SpecAugmentor, "spec_sub_aug": SpecSubAugmentor}
