"""Where the errors of an evaluation are: in which utterances, of whom, and which tokens they take for which."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ds2.evaluation import bootstrap, error_rate
from ds2.evaluation.error_rate import Errors
from ds2.evaluation.evaluator import Prediction
from ds2.metrics import TOKENS

Scored = tuple[Prediction, Errors]
Column = tuple[str, str, str]

DURATIONS = (1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
RATIOS = (5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0)
# Of fewer utterances a resampling shows next to nothing of the chance there is.
_FEWEST = 10
# Tokens around an error that are shown with it.
_AROUND = 5


@dataclass(frozen=True, slots=True)
class Slice:
    """Utterances that have something in common."""

    name: str | None  # what they have in common; None where that is not known
    utterances: int  # how many
    seconds: float  # of audio
    errors: Errors
    # The 95 % interval of the rate as `bootstrap.interval` has it; None of fewer than ten utterances and where there
    # are no errors: drawing them anew cannot show any.
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """A token taken for another one, left out (no hypothesis) or made up (no reference)."""

    reference: str  # the token that was said, or nothing
    hypothesis: str  # the token that was understood, or nothing
    count: int  # how often
    occurrences: int  # of the token in all references; of a made up one in all hypotheses
    example: Sequence[Column]  # columns of an alignment around it
    place: int  # of the error among these columns


def score(predictions: Iterable[Prediction], metric: str) -> list[Scored]:
    """Each with its errors."""
    return [(prediction, prediction.errors(metric)) for prediction in predictions]


def worst_first(scored: Iterable[Scored]) -> list[Scored]:
    """Those with errors: most errors first, then the highest rate, then in the order of the manifest."""
    return sorted((one for one in scored if one[1].total), key=lambda one: (-one[1].total, -one[1].rate))


def by_duration(scored: Sequence[Scored]) -> list[Slice]:
    """Groups of like durations, in seconds; the short ones first."""
    return _by_range(scored, lambda prediction: prediction.duration, DURATIONS, "s")


def by_snr(scored: Sequence[Scored]) -> list[Slice]:
    """Groups of like estimated signal-to-noise ratios, in dB; the noisy ones first, the unknown last."""
    return _by_range(scored, lambda prediction: prediction.snr, RATIOS, "dB")


def by_speaker(scored: Sequence[Scored], most: int) -> tuple[list[Slice], Slice | None]:
    """Every speaker's group, the highest rate first: no more than `most`, and the others together, if there are any."""
    members: dict[str | None, list[Scored]] = {}
    for one in scored:
        members.setdefault(one[0].speaker, []).append(one)

    def badness(name: str | None) -> tuple:
        errors = sum((errors for _, errors in members[name]), Errors())
        return -errors.rate, -errors.total, name is None, name or ""

    names = sorted(members, key=badness)
    groups = [_group(name, members[name]) for name in names[:most]]
    others = [one for name in names[most:] for one in members[name]]
    return groups, _group(None, others) if others else None


def _by_range(
    scored: Sequence[Scored], value: Callable[[Prediction], float | None], edges: Sequence[float], unit: str
) -> list[Slice]:
    """From an edge up to, and without, the next; ranges without utterances are left out."""
    names = [f"< {edges[0]:g} {unit}", *(f"{low:g} – {high:g} {unit}" for low, high in itertools.pairwise(edges))]
    names.append(f"≥ {edges[-1]:g} {unit}")
    members: dict[str | None, list[Scored]] = {name: [] for name in [*names, None]}
    for one in scored:
        at = value(one[0])
        members[None if at is None else names[sum(at >= edge for edge in edges)]].append(one)
    return [_group(name, ones) for name, ones in members.items() if ones]


def _group(name: str | None, scored: Sequence[Scored]) -> Slice:
    each = [errors for _, errors in scored]
    interval = None
    total = sum(each, Errors())
    if len(each) >= _FEWEST and total.total:
        interval = bootstrap.interval(each, [prediction.speaker for prediction, _ in scored])
    seconds = sum(prediction.duration for prediction, _ in scored)
    return Slice(name, len(each), seconds, total, interval)


def confusions(scored: Sequence[Scored], metric: str, most: int) -> dict[str, list[Confusion]]:
    """The most frequent ones under "S", "D" and "I", no more than `most` each; of equal counts in code point order."""
    tokens = TOKENS[metric]
    counts: dict[str, Counter[tuple[str, str]]] = {mark: Counter() for mark in "SDI"}
    first: dict[tuple[str, str], tuple[Prediction, int]] = {}
    said, understood = Counter(), Counter()
    for prediction, errors in scored:
        reference, hypothesis = tokens(prediction.reference), tokens(prediction.hypothesis)
        said.update(reference)
        understood.update(hypothesis)
        if not errors.total:
            continue
        for place, (left, right, mark) in enumerate(error_rate.columns(reference, hypothesis)):
            if mark:
                counts[mark][left, right] += 1
                first.setdefault((left, right), (prediction, place))

    def confusion(pair: tuple[str, str], count: int) -> Confusion:
        prediction, place = first[pair]
        aligned = error_rate.columns(tokens(prediction.reference), tokens(prediction.hypothesis))
        start = max(0, place - _AROUND)
        occurrences = said[pair[0]] if pair[0] else understood[pair[1]]
        return Confusion(*pair, count, occurrences, aligned[start : place + _AROUND + 1], place - start)

    return {
        mark: [confusion(*one) for one in sorted(of_mark.items(), key=lambda one: (-one[1], one[0]))[:most]]
        for mark, of_mark in counts.items()
    }
