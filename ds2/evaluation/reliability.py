"""Whether confidences mean what they say: of what is 80 % sure, 80 % should be right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ds2.evaluation import error_rate
from ds2.evaluation.evaluator import Evaluation, Prediction
from ds2.recognition import recognised

_BINS = 10
# Of the square picture, and what its axes and their labels take.
SIDE, _LEFT, _RIGHT = 260, 46, 8
_MARK = 3  # half a mark's side


class Judged(NamedTuple):
    """Confidences, each with whether what it is about was right."""

    confidences: tuple[float, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """What has confidences of like size."""

    count: int
    confidence: float  # their mean
    right: float  # the share of what was right


def of_words(predictions: Iterable[Prediction]) -> Judged:
    """All words of the hypotheses; right is one that an alignment with the fewest errors has in the reference too.

    Predictions without confidences of their words are left out.
    """
    confidences, right = [], []
    for prediction in predictions:
        if not prediction.word_confidences:
            continue
        reference, hypothesis = recognised.split(prediction.reference), recognised.split(prediction.hypothesis)
        marks = [mark for _, understood, mark in error_rate.columns(reference, hypothesis) if understood]
        confidences += prediction.word_confidences
        right += [not mark for mark in marks]
    return Judged(tuple(confidences), tuple(right))


def of_utterances(predictions: Iterable[Prediction]) -> Judged:
    """All hypotheses; right is one without an error."""
    found = [(one.confidence, one.reference == one.hypothesis) for one in predictions]
    return Judged(tuple(sure for sure, _ in found), tuple(right for _, right in found))


def bins(judged: Judged) -> list[Bin]:
    """Ten of equal width, the empty ones left out."""
    members: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for sure, right in zip(judged.confidences, judged.right, strict=True):
        members[min(_BINS - 1, int(sure * _BINS))].append((sure, right))
    return [
        Bin(len(ones), sum(sure for sure, _ in ones) / len(ones), sum(right for _, right in ones) / len(ones))
        for ones in members
        if ones
    ]


def expected_calibration_error(found: Sequence[Bin]) -> float:
    """The mean distance of confidence and share of what was right, weighted by counts (Guo et al. 2017); 0 of none."""
    total = sum(one.count for one in found)
    return sum(one.count * abs(one.confidence - one.right) for one in found) / max(1, total)


@dataclass(frozen=True, slots=True)
class Line:
    """A reliability diagram's line, in a picture of SIDE x SIDE."""

    line: str  # its points as SVG's path has them
    marks: str  # squares on them, as SVG's path has them
    error: float  # the expected calibration error


@dataclass(frozen=True, slots=True)
class Picture:
    """A reliability diagram (Niculescu-Mizil and Caruana 2005): confidence across, share of what was right up."""

    name: str
    before: Line | None  # the network's own confidences; None where there are none
    after: Line | None  # calibrated ones; None where they are not
    left: int = _LEFT
    ticks: tuple[tuple[float, str], ...] = ()
    diagonal: str = ""


def pictures(evaluation: Evaluation) -> dict[str, Picture]:
    """Of the "words" and the "utterances" of an evaluation."""
    own = evaluation.uncalibrated or evaluation.predictions
    ticks = tuple((_across(tick / 5), f"{tick * 20} %") for tick in range(6))
    diagonal = f"{_across(0):g} {_up(0):g}L{_across(1):g} {_up(1):g}"
    return {
        name: Picture(
            name,
            _line(judge(own)),
            _line(judge(evaluation.predictions)) if evaluation.uncalibrated else None,
            ticks=ticks,
            diagonal=diagonal,
        )
        for name, judge in (("words", of_words), ("utterances", of_utterances))
    }


def _line(judged: Judged) -> Line | None:
    found = bins(judged)
    if not found:
        return None
    points = [(_across(one.confidence), _up(one.right)) for one in found]
    size = 2 * _MARK
    return Line(
        "M" + "L".join(f"{x:g} {y:g}" for x, y in points),
        "".join(f"M{x - _MARK:g} {y - _MARK:g}h{size}v{size}h-{size}z" for x, y in points),
        expected_calibration_error(found),
    )


def _across(share: float) -> float:
    return round(_LEFT + share * (SIDE - _LEFT - _RIGHT), 1)


def _up(share: float) -> float:
    return round(SIDE - _across(share), 1)
