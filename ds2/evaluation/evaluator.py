"""Running a model over a manifest and scoring what it says."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from ds2 import parallel
from ds2.data.loader import Loader
from ds2.data.manifest import Manifest, named
from ds2.data.vocabulary import Vocabulary
from ds2.decoding.decoder import Decoder, Hypothesis
from ds2.decoding.greedy import Greedy
from ds2.distributed.process_group import Group
from ds2.evaluation import bootstrap, error_rate
from ds2.evaluation.error_rate import Errors
from ds2.metrics import TOKENS
from ds2.recognition.acoustic import AcousticModel
from ds2.recognition.manifest_pass import ManifestPass
from ds2.recognition.recognised import Recognised

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was said and what was understood."""

    audio_filepath: str  # as in the manifest
    reference: str  # the transcript
    hypothesis: str  # the decoder's
    speaker: str | None = None  # None where the manifest names none
    duration: float = 0.0  # in seconds
    confidence: float = 0.0  # 0 to 1, as recognition.recognised defines it
    snr: float | None = None  # the estimated signal-to-noise ratio in dB; None where it is not known
    offset: float | None = None  # of a piece of a recording, in seconds
    channel: int | None = None  # where the manifest names one

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
    # The best paths of the same log-probabilities where the predictions are a beam search's.
    greedy: list[Prediction] | None = None

    def errors(self, metric: str) -> Errors:
        """Of all utterances together: the corpus's rate, not a mean of utterances' rates."""
        return _total(self.predictions, metric)

    def metrics(self, first: str) -> dict[str, int | float]:
        """Flat numbers for results/evaluate.json; counts, interval and decoders are those of the first metric.

        `dvc metrics show` sorts the names of all files' metrics: none sorts before "cer", which so comes first.
        """
        each = [prediction.errors(first) for prediction in self.predictions]
        counts = sum(each, Errors())
        rates = {first: counts.rate} | {metric: self.errors(metric).rate for metric in TOKENS if metric != first}
        rates[f"{first}_greedy"] = counts.rate if self.greedy is None else _total(self.greedy, first).rate
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


def _total(predictions: list[Prediction], metric: str) -> Errors:
    return sum((prediction.errors(metric) for prediction in predictions), Errors())


class _Decoding:
    """Decodes the network's output as it comes; log-probabilities are dropped at once, a test set's are gigabytes."""

    def __init__(self, decoder: Decoder, vocabulary: Vocabulary) -> None:
        self._best_path = Greedy()
        self._decoder = None if isinstance(decoder, Greedy) else decoder
        self._vocabulary = vocabulary
        self.greedy: dict[int, Recognised] = {}  # the best paths by position in the manifest
        self.found: dict[int, Recognised] = {}  # by the decoder, where it is another one
        self.seconds = 0.0  # of one core's time, in the decoder that counts

    def run(self, network: ManifestPass) -> None:
        """Over a whole manifest, a slow decoder in as many threads as there are cores beside the network."""
        cores = parallel.processes("auto")
        with ThreadPoolExecutor(cores) as threads:
            for found, seconds in parallel.prefetch(threads, self._decode, self._work(network), ahead=2 * cores):
                self.found.update(found)
                self.seconds += seconds

    def _work(self, network: ManifestPass) -> Iterator[list[tuple[int, Any]]]:
        for batch in network:
            start = time.thread_time()
            for position, logs in batch:
                self.greedy[position] = self._spell(self._best_path.decode(self._best_path.prune(logs)))
            if self._decoder is None:
                self.seconds += time.thread_time() - start
                continue
            start = time.thread_time()
            kept = [(position, self._decoder.prune(logs)) for position, logs in batch]
            self.seconds += time.thread_time() - start
            yield kept

    def _decode(self, batch: list[tuple[int, Any]]) -> tuple[dict[int, Recognised], float]:
        start = time.thread_time()
        found = {position: self._spell(self._decoder.decode(kept)) for position, kept in batch}
        return found, time.thread_time() - start

    def _spell(self, hypothesis: Hypothesis) -> Recognised:
        return Recognised.of(hypothesis, self._vocabulary)


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
    decoding = _Decoding(decoder or Greedy(), model.vocabulary)
    decoding.run(network)
    snr = _merged(network.snr, group)
    greedy = _predictions(manifest, _merged(decoding.greedy, group), snr)
    found = _merged(decoding.found, group)
    return Evaluation(
        predictions=_predictions(manifest, found, snr) if found else greedy,
        audio_seconds=float(manifest.durations.sum()),
        seconds=time.perf_counter() - start,
        network_seconds=network.seconds,
        decoder_seconds=decoding.seconds,
        greedy=greedy if found else None,
    )


def _merged(found: dict[int, _Value], group: Group) -> dict[int, _Value]:
    """What all processes have found, each in its share, by position in the manifest."""
    return {position: value for part in group.all_gather(found) for position, value in part.items()}


def _predictions(manifest: Manifest, found: dict[int, Recognised], snr: dict[int, float]) -> list[Prediction]:
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
        )
        for position, utterance in enumerate(manifest)
    ]
