"""Running a model over a manifest and scoring what it says."""

import itertools
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ds2 import parallel
from ds2.data.loader import Loader
from ds2.data.manifest import Manifest, named
from ds2.decoding.decoder import Decoder
from ds2.decoding.greedy import Greedy
from ds2.distributed.process_group import Group
from ds2.evaluation import bootstrap, error_rate
from ds2.evaluation.error_rate import Errors
from ds2.metrics import TOKENS
from ds2.recognition import recognised
from ds2.recognition.acoustic import AcousticModel
from ds2.recognition.calibration import Calibration
from ds2.recognition.manifest_pass import ManifestPass

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was said and what was understood."""

    audio_filepath: str  # as in the manifest
    reference: str  # the transcript
    hypothesis: str  # the decoder's
    speaker: str | None = None  # None where the manifest names none
    duration: float = 0.0  # in seconds
    confidence: float = 0.0  # 0 to 1, the probability that all of it is right
    snr: float | None = None  # the estimated signal-to-noise ratio in dB; None where it is not known
    offset: float | None = None  # of a piece of a recording, in seconds
    channel: int | None = None  # where the manifest names one
    word_confidences: tuple[float, ...] = ()  # of the hypothesis, as recognition.recognised splits it into words

    @property
    def name(self) -> str:
        """The path, and where in the recording if it is a piece."""
        return named(self.audio_filepath, self.offset, self.channel)

    def errors(self, metric: str) -> Errors:
        """By one of the metrics."""
        tokens = TOKENS[metric]
        return error_rate.compare(tokens(self.reference), tokens(self.hypothesis))


@dataclass(frozen=True)
class Evaluation:
    """The predictions of a manifest, in its order."""

    predictions: list[Prediction]  # one an utterance
    audio_seconds: float  # of the manifest
    seconds: float  # that it took, from reading audio to text
    network_seconds: float = 0.0  # of these, in the network
    decoder_seconds: float = 0.0  # of one core's time, in the decoder
    # The best paths of the same log-probabilities, one text an utterance, where the predictions are a beam search's.
    greedy: list[str] | None = None
    # The predictions with the network's own confidences, where those above are calibrated.
    uncalibrated: list[Prediction] | None = None

    def errors(self, metric: str) -> Errors:
        """Of all utterances together: the corpus's rate, not a mean of utterances' rates."""
        return _total(self.predictions, metric)

    def _greedy_errors(self, metric: str) -> Errors:
        pairs = zip(self.predictions, self.greedy, strict=True)
        return _total((replace(one, hypothesis=text) for one, text in pairs), metric)

    def calibrated(self, calibration: Calibration) -> "Evaluation":
        """The same texts with confidences that a calibration has fitted; these must be the network's own."""
        found = [
            replace(
                one,
                confidence=calibration.text(one.confidence),
                word_confidences=tuple(map(calibration.word, one.word_confidences)),
            )
            for one in self.predictions
        ]
        return replace(self, predictions=found, uncalibrated=self.predictions)

    def numbers(self, first: str) -> dict[str, int | float]:
        """Flat numbers for results/evaluation.json; counts, interval and decoders are those of the first metric."""
        each = [prediction.errors(first) for prediction in self.predictions]
        counts = sum(each, Errors())
        rates = {first: counts.rate} | {metric: self.errors(metric).rate for metric in TOKENS if metric != first}
        rates[f"{first}_greedy"] = counts.rate if self.greedy is None else self._greedy_errors(first).rate
        if self.greedy is not None:
            rates[f"{first}_beam"] = counts.rate
        low, high = bootstrap.interval(each, [prediction.speaker for prediction in self.predictions])
        rates |= {f"{first}_low": low, f"{first}_high": high}
        return {name: round(rate, 6) for name, rate in rates.items()} | {
            "insertions": counts.insertions,
            "deletions": counts.deletions,
            "substitutions": counts.substitutions,
            "reference_length": counts.reference_length,
            "utterances": len(each),
            "sentence_error_rate": round(sum(errors.total > 0 for errors in each) / len(each), 6),
            "seconds_of_audio": round(self.audio_seconds, 3),
            "real_time_factor": round(self.seconds / self.audio_seconds, 5),
            "real_time_factor_network": round(self.network_seconds / self.audio_seconds, 5),
            "real_time_factor_decoder": round(self.decoder_seconds / self.audio_seconds, 5),
        }


def _total(predictions: Iterable[Prediction], metric: str) -> Errors:
    return sum((prediction.errors(metric) for prediction in predictions), Errors())


@dataclass(frozen=True, slots=True)
class Heard:
    """What was understood of an utterance, with the network's own confidences: what processes tell each other."""

    text: str
    confidence: float
    word_confidences: tuple[float, ...]


class _Decoding:
    """Decodes the network's output as it comes; log-probabilities are dropped at once, a test set's are gigabytes."""

    def __init__(self, model: AcousticModel, decoder: Decoder) -> None:
        self._model = model
        self._decoder = decoder
        self._best_path = Greedy()
        self.found: dict[int, Heard] = {}  # by position in the manifest
        self.greedy: dict[int, str] = {}  # the best paths, where the decoder is another one
        self.seconds = 0.0  # of one core's time, from log-probabilities to what was found

    def run(self, network: ManifestPass) -> None:
        """Over a whole manifest, a slow decoder in as many threads as there are cores beside the network."""
        if isinstance(self._decoder, Greedy):
            for position, logs in itertools.chain.from_iterable(network):
                self._add(position, *self._recognise(logs))
            return
        cores = parallel.processes("auto")
        work = self._work(network)
        with ThreadPoolExecutor(cores) as threads:
            for position, found, seconds in parallel.prefetch(threads, self._decode, work, ahead=2 * cores):
                self._add(position, found, seconds)

    def _work(self, network: ManifestPass) -> Iterator[tuple[int, np.ndarray]]:
        for position, logs in itertools.chain.from_iterable(network):
            best = self._best_path.decode(self._best_path.prune(logs))
            self.greedy[position] = self._model.vocabulary.decode(best.ids)
            yield position, logs

    def _decode(self, work: tuple[int, np.ndarray]) -> tuple[int, Heard, float]:
        return work[0], *self._recognise(work[1])

    def _recognise(self, logs: np.ndarray) -> tuple[Heard, float]:
        start = time.thread_time()
        ids = self._decoder.decode(self._decoder.prune(logs)).ids
        found = recognised.spell(self._model, ids, logs)
        words = tuple(word.confidence for word in found.words)
        return Heard(found.text, found.confidence, words), time.thread_time() - start

    def _add(self, position: int, found: Heard, seconds: float) -> None:
        self.found[position] = found
        self.seconds += seconds


def evaluate(
    model: AcousticModel,
    manifest: Manifest,
    loader: Loader,
    batch_size: int,
    decoder: Decoder | None = None,
    group: Group | None = None,
) -> Evaluation:
    """Decodes every utterance of a manifest from one pass of the network.

    Args:
        model: the network.
        manifest: what is scored.
        loader: of the same manifest, without augmentation.
        batch_size: utterances of a forward pass; it does not change the result.
        decoder: None: ctc_greedy.
        group: the processes that share the work, each with the same model; all get the whole result.

    Raises:
        UserError: the manifest is empty or one of its files cannot be read: leaving it out would flatter the score.
    """
    start = time.perf_counter()
    group = group or Group()
    network = ManifestPass(model, manifest, loader, batch_size, group.rank, group.world_size)
    decoding = _Decoding(model, decoder or Greedy())
    decoding.run(network)
    best = dict(sorted(_merged(decoding.greedy, group).items()))
    return Evaluation(
        predictions=_predictions(manifest, _merged(decoding.found, group), _merged(network.snr, group)),
        audio_seconds=float(manifest.durations.sum()),
        seconds=time.perf_counter() - start,
        network_seconds=network.seconds,
        decoder_seconds=decoding.seconds,
        greedy=list(best.values()) or None,
    )


def _merged(found: dict[int, _Value], group: Group) -> dict[int, _Value]:
    """What all processes have found, each in its share, by position in the manifest."""
    return {position: value for part in group.all_gather(found) for position, value in part.items()}


def _predictions(manifest: Manifest, found: dict[int, Heard], snr: dict[int, float]) -> list[Prediction]:
    return [
        Prediction(
            utterance.audio_filepath,
            utterance.text,
            found[position].text,
            utterance.speaker,
            utterance.duration,
            found[position].confidence,
            snr[position],
            utterance.offset,
            utterance.channel,
            found[position].word_confidences,
        )
        for position, utterance in enumerate(manifest)
    ]
