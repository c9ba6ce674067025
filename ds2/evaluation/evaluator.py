"""Running a model over a manifest and scoring what it says."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import paddle

from ds2.data import batches
from ds2.data.loader import Batch, Loader
from ds2.data.manifest import Manifest
from ds2.data.vocabulary import Vocabulary
from ds2.decoding import greedy
from ds2.errors import UserError
from ds2.evaluation import error_rate
from ds2.evaluation.error_rate import Errors
from ds2.model.deepspeech2 import DeepSpeech2
from ds2.training.distributed import Alone, Group


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was said and what was understood."""

    audio_filepath: str
    reference: str
    hypothesis: str

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
    """

    predictions: list[Prediction]
    audio_seconds: float
    seconds: float

    def errors(self, metric: str) -> Errors:
        """Of all utterances together: the corpus's rate, not a mean of utterances' rates."""
        return sum((prediction.errors(metric) for prediction in self.predictions), Errors())

    def metrics(self, first: str) -> dict[str, int | float]:
        """Flat numbers for results/evaluate.json; the counts are those of the metric that comes first."""
        rates = {metric: self.errors(metric) for metric in sorted(error_rate.TOKENS, key=lambda name: name != first)}
        counts = rates[first]
        return {metric: round(errors.rate, 6) for metric, errors in rates.items()} | {
            "insertions": counts.insertions,
            "deletions": counts.deletions,
            "substitutions": counts.substitutions,
            "reference_length": counts.reference_length,
            "utterances": len(self.predictions),
            "sentence_error_rate": round(
                sum(p.errors(first).total > 0 for p in self.predictions) / len(self.predictions), 6
            ),
            "audio_seconds": round(self.audio_seconds, 3),
            "real_time_factor": round(self.seconds / self.audio_seconds, 5),
        }


def forward(model: DeepSpeech2, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """Logits, float32 [B, T, tokens], and real output steps, int64 [B]; the model must be in evaluation mode."""
    with paddle.no_grad():
        logits, steps = model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
    return logits.numpy(), steps.numpy()


def evaluate(
    model: DeepSpeech2,
    manifest: Manifest,
    loader: Loader,
    vocabulary: Vocabulary,
    batch_size: int,
    group: Group | None = None,
) -> Evaluation:
    """Decodes every utterance of a manifest.

    Args:
        model: left in the mode, training or evaluation, that it was in.
        manifest: what is scored; the loader reads the same one.
        loader: without augmentation.
        vocabulary: of the model.
        batch_size: utterances of a forward pass; it does not change the result.
        group: the processes that share the work, each with the same model; all get the whole result.

    Raises:
        UserError: the manifest is empty or one of its files cannot be read: leaving it out would flatter the score.
    """
    if len(manifest) == 0:
        raise UserError(f"{manifest.path} is empty: there is nothing to score")
    start = time.perf_counter()
    was_training = model.training
    model.eval()
    group = group or Alone()
    hypotheses: dict[int, str] = {}
    plan = batches.by_length(manifest.durations, batch_size)
    share = [plan[i] for i in range(group.rank, len(plan), group.size)]
    try:
        for positions, texts in _texts(model, loader, share, vocabulary):
            hypotheses.update(zip(positions.tolist(), texts, strict=True))
    finally:
        if was_training:
            model.train()
    for part in group.gather(hypotheses):
        hypotheses.update(part)
    seconds = time.perf_counter() - start
    predictions = [
        Prediction(utterance.audio_filepath, utterance.text, hypotheses[position])
        for position, utterance in enumerate(manifest)
    ]
    return Evaluation(predictions, float(manifest.durations.sum()), seconds)


def _texts(
    model: DeepSpeech2, loader: Loader, share: list[np.ndarray], vocabulary: Vocabulary
) -> Iterator[tuple[np.ndarray, list[str]]]:
    for batch in loader.load(share):
        if batch.dropped:
            raise UserError(f"{batch.dropped[0]}: it stands in the data to score; run dvc repro -f manifest")
        yield batch.positions, greedy.decode(*forward(model, batch), vocabulary)
