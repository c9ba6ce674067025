"""The files that tell people what was recognised and what went wrong."""

from pathlib import Path

from ds2.evaluation import breakdown, error_rate
from ds2.evaluation.error_rate import Errors
from ds2.evaluation.evaluator import Evaluation
from ds2.files import as_json, replacing
from ds2.metrics import TOKENS


def write_predictions(path: Path, evaluation: Evaluation, metric: str) -> None:
    """One JSON object an utterance, in the manifest's order."""
    with replacing(path) as file:
        for prediction in evaluation.predictions:
            errors = prediction.errors(metric)
            row = {
                "audio_filepath": prediction.audio_filepath,
                "reference": prediction.reference,
                "hypothesis": prediction.hypothesis,
                "errors": errors.total,
                "reference_length": errors.reference_length,
                "confidence": round(prediction.confidence, 4),
                "duration": prediction.duration,
            }
            if prediction.speaker is not None:
                row["speaker"] = prediction.speaker
            if prediction.snr is not None:
                row["snr"] = round(prediction.snr, 1)
            if prediction.offset is not None:
                row["offset"] = prediction.offset
            if prediction.channel is not None:
                row["channel"] = prediction.channel
            file.write(as_json(row))


def write_errors(path: Path, evaluation: Evaluation, metric: str) -> None:
    """The totals, then all utterances with errors, most errors first, aligned as sclite shows them."""
    tokens = TOKENS[metric]
    with replacing(path) as file:
        file.write(f"{headline(evaluation, metric)}\n")
        for one, errors in breakdown.worst_first(breakdown.score(evaluation.predictions, metric)):
            scores = f"{errors.correct} {errors.substitutions} {errors.deletions} {errors.insertions}"
            aligned = error_rate.alignment(tokens(one.reference), tokens(one.hypothesis))
            file.write(f"\nid: {one.name}\nScores: (#C #S #D #I) {scores}\n{aligned}\n")


def headline(evaluation: Evaluation, metric: str) -> str:
    """The rate and the counts in a line."""
    each = [prediction.errors(metric) for prediction in evaluation.predictions]
    total = sum(each, Errors())
    return (
        f"{metric.upper()} {total.rate:.2%}: {total.total} errors in {total.reference_length} "
        f"({total.substitutions} substitutions, {total.deletions} deletions, {total.insertions} insertions); "
        f"{sum(errors.total > 0 for errors in each)} of {len(each)} utterances have errors"
    )
