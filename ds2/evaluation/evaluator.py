"""Running a model over a manifest and scoring what it says."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import paddle
from tqdm import tqdm

from ds2.data import batches, parallel
from ds2.data.loader import Batch, Loader
from ds2.data.manifest import Manifest
from ds2.data.vocabulary import Vocabulary
from ds2.decoding import candidates, greedy
from ds2.errors import UserError
from ds2.evaluation import bootstrap, error_rate
from ds2.evaluation.error_rate import Errors
from ds2.model.deepspeech2 import DeepSpeech2
from ds2.training.distributed import Alone, Group

if TYPE_CHECKING:  # it takes a second to import, and most evaluations are greedy
    from ds2.decoding.beam import BeamSearch
    from ds2.decoding.candidates import Candidates

_Found = tuple[np.ndarray, float]  # token ids and their ln P
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was said and what was understood.

    Attributes:
        audio_filepath: as in the manifest.
        reference: the transcript.
        hypothesis: the decoder's.
        speaker: None where the manifest names none.
        duration: in seconds.
        confidence: 0 to 1, exp(ln P / characters): the geometric mean over the hypothesis's characters (at least one)
            of the probability P that the network gives to what the decoder followed, which is the best path for
            ctc_greedy and all alignments in the beam for the others. Language model and hot words have no part in it.
        snr: the estimated signal-to-noise ratio in dB; None where it is not known.
    """

    audio_filepath: str
    reference: str
    hypothesis: str
    speaker: str | None = None
    duration: float = 0.0
    confidence: float = 0.0
    snr: float | None = None

    def errors(self, metric: str) -> Errors:
        """By "cer" or "wer"."""
        tokens = error_rate.TOKENS[metric]
        return error_rate.compare(tokens(self.reference), tokens(self.hypothesis))


@dataclass(frozen=True)
class Evaluation:
    """The predictions of a manifest, in its order.

    Attributes:
        predictions: one an utterance.
        audio_seconds: of the manifest.
        seconds: that it took, from reading audio to text.
        network_seconds: of these, in the network.
        decoder_seconds: of one core's time, in the decoder.
        greedy: the best paths of the same log-probabilities where the predictions are a beam search's.
    """

    predictions: list[Prediction]
    audio_seconds: float
    seconds: float
    network_seconds: float = 0.0
    decoder_seconds: float = 0.0
    greedy: list[Prediction] | None = None

    def errors(self, metric: str) -> Errors:
        """Of all utterances together: the corpus's rate, not a mean of utterances' rates."""
        return _total(self.predictions, metric)

    def metrics(self, first: str) -> dict[str, int | float]:
        """Flat numbers for results/evaluate.json; counts, interval and decoders are those of the first metric.

        `dvc metrics show` sorts the names of all files' metrics: none sorts before "cer", which so comes first.
        """
        second = next(metric for metric in error_rate.TOKENS if metric != first)
        each = [prediction.errors(first) for prediction in self.predictions]
        counts = sum(each, Errors())
        by_decoder = {f"{first}_greedy": counts.rate}
        if self.greedy is not None:
            by_decoder = {f"{first}_greedy": _total(self.greedy, first).rate, f"{first}_beam": counts.rate}
        low, high = bootstrap.interval(each, [prediction.speaker for prediction in self.predictions])
        rates = {first: counts.rate, second: self.errors(second).rate, **by_decoder}
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


def forward(model: DeepSpeech2, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Logits, float32 [B, T, tokens], and real output steps, int64 [B]; the model must be in evaluation mode."""
    with paddle.no_grad():
        logits, steps = model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
    return logits.numpy(), steps.numpy()


class Network:
    """One pass of a model over a manifest, whatever decodes its log-probabilities.

    Attributes:
        seconds: spent in the network so far.
        snr: estimated signal-to-noise ratios so far, in dB, by position in the manifest.
    """

    def __init__(
        self, model: DeepSpeech2, manifest: Manifest, loader: Loader, batch_size: int, group: Group | None = None
    ) -> None:
        """Arguments as for `evaluate`."""
        if len(manifest) == 0:
            raise UserError(f"{manifest.path} is empty: there is nothing to score")
        self._model = model
        self._loader = loader
        group = group or Alone()
        plan = batches.by_length(manifest.durations, batch_size)
        self._share = [plan[i] for i in range(group.rank, len(plan), group.size)]
        self._title = f"scoring {manifest.path.name}"
        self._hidden = None if group.rank == 0 else True  # None: where there is no terminal
        self.seconds = 0.0
        self.snr: dict[int, float] = {}

    def log_probabilities(self) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Yields, batch by batch, each utterance's position in the manifest and ln P, float32 [steps, tokens]."""
        was_training = self._model.training
        self._model.eval()
        try:
            for batch in self._batches():
                start = time.perf_counter()
                logits, steps = forward(self._model, batch)
                self.seconds += time.perf_counter() - start
                self.snr.update(zip(batch.positions.tolist(), batch.snr.tolist(), strict=True))
                yield [
                    (int(position), candidates.log_softmax(one[:count]))
                    for position, one, count in zip(batch.positions, logits, steps, strict=True)
                ]
        finally:
            if was_training:
                self._model.train()

    def _batches(self) -> Iterator[Batch]:
        """What the loader gives, with a bar on a terminal: a large set takes minutes."""
        total = sum(map(len, self._share))
        with tqdm(total=total, desc=self._title, unit=" utt", disable=self._hidden, leave=False) as bar:
            for batch in self._loader.load(self._share):
                if batch.dropped:
                    raise UserError(f"{batch.dropped[0]}: it stands in the data to score; run dvc repro -f manifest")
                yield batch
                bar.update(len(batch))


class _Decoding:
    """Decodes the network's output as it comes; log-probabilities are dropped at once, a test set's are gigabytes.

    Attributes:
        best_paths: by position in the manifest.
        found: by the search, if there is one.
        seconds: of one core's time, in the decoder that counts: the search if there is one.
    """

    def __init__(self, search: "BeamSearch | None") -> None:
        self._search = search
        self.best_paths: dict[int, _Found] = {}
        self.found: dict[int, _Found] = {}
        self.seconds = 0.0

    def run(self, network: Network) -> None:
        """Over a whole manifest, the search in as many threads as there are cores while the network goes on."""
        cores = parallel.processes("auto")
        with ThreadPoolExecutor(cores) as threads:
            for found, seconds in parallel.prefetch(threads, self._decode, self._work(network), ahead=2 * cores):
                self.found.update(found)
                self.seconds += seconds

    def _work(self, network: Network) -> "Iterator[list[tuple[int, Candidates]]]":
        for batch in network.log_probabilities():
            start = time.thread_time()
            for position, logs in batch:
                ids = next(greedy.best_path(logs[None], np.array([len(logs)])))
                self.best_paths[position] = ids, float(logs.max(axis=1).sum())
            if self._search is None:
                self.seconds += time.thread_time() - start
                continue
            start = time.thread_time()
            kept = [(position, self._search.prune(logs)) for position, logs in batch]
            self.seconds += time.thread_time() - start
            yield kept

    def _decode(self, batch: "list[tuple[int, Candidates]]") -> tuple[dict[int, _Found], float]:
        start = time.thread_time()
        best = {position: self._search(kept)[0] for position, kept in batch}
        return {position: (one.ids, one.ctc) for position, one in best.items()}, time.thread_time() - start


def evaluate(
    model: DeepSpeech2,
    manifest: Manifest,
    loader: Loader,
    vocabulary: Vocabulary,
    batch_size: int,
    search: "BeamSearch | None" = None,
    group: Group | None = None,
) -> Evaluation:
    """Decodes every utterance of a manifest from one pass of the network.

    Args:
        model: left in the mode, training or evaluation, that it was in.
        manifest: what is scored; the loader reads the same one.
        loader: without augmentation.
        vocabulary: of the model.
        batch_size: utterances of a forward pass; it does not change the result.
        search: None: best paths only.
        group: the processes that share the work, each with the same model; all get the whole result.

    Raises:
        UserError: the manifest is empty or one of its files cannot be read: leaving it out would flatter the score.
    """
    start = time.perf_counter()
    group = group or Alone()
    network = Network(model, manifest, loader, batch_size, group)
    decoding = _Decoding(search)
    decoding.run(network)
    snr = _merged(network.snr, group)
    best_paths = _predictions(manifest, vocabulary, _merged(decoding.best_paths, group), snr)
    found = _merged(decoding.found, group)
    return Evaluation(
        predictions=best_paths if search is None else _predictions(manifest, vocabulary, found, snr),
        audio_seconds=float(manifest.durations.sum()),
        seconds=time.perf_counter() - start,
        network_seconds=network.seconds,
        decoder_seconds=decoding.seconds,
        greedy=None if search is None else best_paths,
    )


def _merged(found: dict[int, _Value], group: Group) -> dict[int, _Value]:
    """What all processes have found, each in its share, by position in the manifest."""
    return {position: value for part in group.gather(found) for position, value in part.items()}


def _predictions(
    manifest: Manifest, vocabulary: Vocabulary, found: dict[int, _Found], snr: dict[int, float]
) -> list[Prediction]:
    predictions = []
    for position, utterance in enumerate(manifest):
        ids, log_probability = found[position]
        predictions.append(
            Prediction(
                utterance.audio_filepath,
                utterance.text,
                vocabulary.decode(ids),
                utterance.speaker,
                utterance.duration,
                math.exp(min(0.0, log_probability) / max(1, len(ids))),
                snr[position],
            )
        )
    return predictions
