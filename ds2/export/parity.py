"""Whether an exported network says what its checkpoint says, before anything is written."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnxruntime

from ds2 import layout
from ds2.audio import reading
from ds2.data import features
from ds2.data.loader import unlabelled
from ds2.data.manifest import Manifest
from ds2.decoding.decoder import Decoder
from ds2.errors import UserError
from ds2.recognition import onnx_model
from ds2.recognition.paddle_model import PaddleModel

# Of random features: utterances of each batch, and the most frames of one.
_BATCHES, _FRAMES = (1, 2, 3, 5), 200
# Recordings are compared up to this total duration in seconds, in batches of this size.
_SECONDS, _AT_ONCE = 600.0, 8
# Utterances of which one may have another text: two tokens of a step can be equally likely but for rounding.
_ONE_IN = 100


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording that both networks were given."""

    reference: str  # the transcript
    expected: str  # the checkpoint's text
    found: str  # the exported network's
    speaker: str | None
    seconds: float


@dataclass(frozen=True)
class Parity:
    """How far two networks agree."""

    random: float  # the largest difference of ln P, over random features
    audio: float  # the same over recordings; 0 without
    heard: list[Heard]
    of: int = 0  # recordings that these were drawn from

    @property
    def largest(self) -> float:
        """Difference of ln P."""
        return float(np.max([self.random, self.audio]))  # not a number where one is none

    @property
    def other_texts(self) -> int:
        """Recordings whose texts differ."""
        return sum(one.expected != one.found for one in self.heard)

    def require(self, limit: float) -> None:
        """Raises UserError where they differ by more than a limit, or in more texts than 1 %."""
        if not self.largest <= limit:
            raise UserError(
                f"nothing was written: the exported network's log-probabilities differ from the checkpoint's by up to "
                f"{self.largest:.2g}, more than {limit:g}"
            )
        if self.other_texts > max(1, len(self.heard) // _ONE_IN):
            raise UserError(
                f"nothing was written: the exported network's texts differ from the checkpoint's for "
                f"{self.other_texts} of {len(self.heard)} recordings"
            )


def measure(
    model: PaddleModel, session: onnxruntime.InferenceSession, decoder: Decoder, manifest: Manifest | None
) -> Parity:
    """Compares a checkpoint's network with the exported one.

    Args:
        model: the checkpoint's.
        session: the exported network's.
        decoder: makes the texts.
        manifest: recordings to compare them on, of which ten minutes are drawn; None: random features alone.
    """
    random = np.random.default_rng(0)
    over_random, over_audio = 0.0, 0.0
    for count in _BATCHES:
        lengths = random.integers(1, _FRAMES, count)
        over_random = max(over_random, _compare(model, session, [_noise(model, int(n), random) for n in lengths])[0])
    heard = []
    for utterances, values in [] if manifest is None else _recordings(model, manifest, random):
        difference, expected, found = _compare(model, session, values)
        over_audio = max(over_audio, difference)
        texts = [[_text(model, decoder, logs) for logs in side] for side in (expected, found)]
        for utterance, *both in zip(utterances, *texts, strict=True):
            heard.append(Heard(utterance.text, *both, utterance.speaker, utterance.duration))
    return Parity(over_random, over_audio, heard, 0 if manifest is None else len(manifest))


def _noise(model: PaddleModel, frames: int, random: np.random.Generator) -> np.ndarray:
    """Features with the mean and the deviation of the training's, float32 [frames, size]."""
    statistics = model.statistics
    return (random.normal(size=(frames, model.features.size)) / statistics.istd + statistics.mean).astype(np.float32)


def _compare(
    model: PaddleModel, session: onnxruntime.InferenceSession, values: list[np.ndarray]
) -> tuple[float, list[np.ndarray], list[np.ndarray]]:
    """The largest difference of ln P, and both networks' ln P."""
    expected = model.log_probabilities(unlabelled([model.statistics.normalize(one) for one in values]))
    raw = unlabelled(values)
    found = onnx_model.run(session, raw.features, raw.frames)
    if [one.shape for one in expected] != [one.shape for one in found]:
        return float("inf"), expected, found
    return max(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True)), expected, found


def _recordings(model: PaddleModel, manifest: Manifest, random: np.random.Generator) -> Iterator[tuple]:
    """Utterances and their features, batch by batch; those that cannot be read or are too short are left out."""
    order = random.permutation(len(manifest))
    order = order[np.cumsum(manifest.durations[order]) - manifest.durations[order] < _SECONDS]
    order = order[np.argsort(manifest.durations[order], kind="stable")]
    for start in range(0, len(order), _AT_ONCE):
        kept = []
        for utterance in manifest.pick(order[start : start + _AT_ONCE]):
            try:
                path = layout.audio_file(utterance.audio_filepath)
                samples = reading.load(path, model.features.sample_rate, utterance.piece)
            except reading.AudioError:
                continue
            if len(values := features.extract(samples, model.features)):
                kept.append((utterance, values))
        if kept:
            utterances, values = zip(*kept, strict=True)
            yield utterances, list(values)


def _text(model: PaddleModel, decoder: Decoder, logs: np.ndarray) -> str:
    return model.vocabulary.decode(decoder.decode(decoder.prune(logs)).ids)
