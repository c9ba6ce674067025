"""The report that people read: one page, without a network, about one evaluation."""

import functools
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ds2 import layout
from ds2.data import parts
from ds2.data.manifest import named
from ds2.data.parts import Size
from ds2.evaluation import breakdown, curves, error_rate, reliability
from ds2.evaluation.breakdown import Column, Scored, Slice
from ds2.evaluation.evaluator import Evaluation
from ds2.files import replacing
from ds2.metrics import TOKENS

# What keeps the page small whatever the data: rows of a table, utterances, tokens of an utterance.
_ROWS, _WORST, _TOKENS = 30, 100, 120
# Where the bars end, in multiples of the rate of all utterances: one bad group must not make the others too small.
_WIDEST = 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One of the worst utterances."""

    scored: Scored  # the utterance and its errors
    path: str  # below the repository where it lies there, else as the manifest has it; with its place if it is a piece
    # The address of the audio as seen from the page; None where either is outside the repository: no server shows it.
    source: str | None
    columns: Sequence[Column]  # of the alignment, the first ones
    more: int  # columns that are left out


def write(
    path: Path,
    evaluation: Evaluation,
    metric: str,
    numbers: Mapping[str, int | float],
    names: Mapping[str, str],
    chosen_on_it: bool = False,
) -> None:
    """Writes the page; the same for the same evaluation, byte for byte. Shows the curves in the folder beside it.

    Everything that comes from the data is escaped, and the page forbids scripts and addresses elsewhere.

    Args:
        path: the file.
        evaluation: what it is about.
        metric: the rate that comes first, of ds2.metrics.
        numbers: of the evaluation, for the totals.
        names: of the "decoder" and the "checkpoint".
        chosen_on_it: whether the model was chosen by its score on the same data.
    """
    scored = breakdown.score(evaluation.predictions, metric)
    worst = breakdown.worst_first(scored)
    speakers, others = breakdown.by_speaker(scored, _ROWS)
    groups = {"duration": breakdown.by_duration(scored), "speaker": speakers, "snr": breakdown.by_snr(scored)}
    size = Size.of(evaluation.predictions)
    training = path.parent / layout.CURVES.name
    learning = curves.read(training / "steps.tsv", "step", "loss")
    held_out = curves.read(training / "epochs.tsv", "epoch", metric)
    # Where a server in the repository has the page. The working directory stands for it, as in dvc's temporary copies.
    place = _inside(path, Path())
    page = _template().render(
        metric=metric,
        # Of texts without spaces the WER is the share of utterances with errors, which the page has too.
        other_metrics=[one for one in TOKENS if one != metric and numbers[one] != numbers["sentence_error_rate"]],
        numbers=numbers,
        doubt=parts.doubt(size),
        size=size,
        fewest={"speakers": parts.FEWEST_SPEAKERS, "minutes": parts.FEWEST_MINUTES},
        names=names,
        chosen_on_it=chosen_on_it,
        groups=groups,
        others=others,
        speakers=size.speakers,
        scale=_scale(numbers[metric], itertools.chain(*groups.values())),
        confusions=breakdown.confusions(scored, metric, _ROWS),
        worst=[_entry(one, metric, place) for one in worst[:_WORST]],
        place=place,
        wrong=len(worst),
        confidence=reliability.pictures(evaluation),
        side=reliability.SIDE,
        curves={"loss": curves.draw(learning), "rate": curves.draw(held_out, percent=True)},
        width=curves.WIDTH,
        height=curves.HEIGHT,
    )
    with replacing(path) as file:
        file.write(page)


@functools.cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("ds2", "evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": lambda rate: f"{100 * rate:.2f} %", "short": _short, "at": _at}
    return environment.get_template("page.html")


def _scale(whole: float, groups: Iterable[Slice]) -> float:
    """The rate at the right end of all bars. Those of groups too small for an interval do not decide it."""
    highest = max((group.interval[1] for group in groups if group.interval), default=1.0)
    return min(max(highest, whole), _WIDEST * whole) or 1.0


def _at(rate: float, scale: float) -> float:
    """Where a rate is in a bar, from 0 to 100."""
    return round(min(100.0, 100 * rate / scale), 2)


def _entry(one: Scored, metric: str, place: str | None) -> Entry:
    prediction, _ = one
    tokens = TOKENS[metric]
    columns = error_rate.columns(tokens(prediction.reference), tokens(prediction.hypothesis))
    inside = _inside(layout.audio_file(prediction.audio_filepath), layout.repository_root())
    source = None
    if inside is not None and place is not None:
        source = f"{os.path.relpath(os.curdir, os.path.dirname(place))}/{quote(os.fsencode(inside))}"
        if (start := prediction.offset) is not None:
            source += f"#t={start:.3f},{start + prediction.duration:.3f}"  # a media fragment: only this is played
    path = named(prediction.audio_filepath if inside is None else inside, prediction.offset, prediction.channel)
    return Entry(one, path, source, columns[:_TOKENS], max(0, len(columns) - _TOKENS))


def _inside(path: Path | str, folder: Path) -> str | None:
    """A path relative to a folder that it is in; None of others."""
    relative = os.path.relpath(path, folder)
    return None if relative.split(os.sep)[0] == os.pardir else relative


def _short(text: str, most: int) -> str:
    """The end of a path says more than its beginning, and so may that of any name: the middle is left out."""
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
