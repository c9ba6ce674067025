"""Recordings with known borders: short ones of a speaker, without the silence around them, put together."""

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ds2 import layout
from ds2.audio import reading
from ds2.data import features, text
from ds2.data.manifest import Manifest, Utterance
from ds2.recognition import acoustic, alignment, calibration
from ds2.recognition.acoustic import AcousticModel
from ds2.recognition.alignment import TooLongError

# Speech: at least _FEWEST_FRAMES consecutive frames of _FRAME_S above the 95th percentile less _BELOW_LOUD dB.
_BELOW_LOUD = 25.0
_FRAME_S = 0.010
_FEWEST_FRAMES = 3
# Recordings of a splice, and the pauses between them in seconds: none, as within a word, or short.
_MEMBERS = (2, 3, 4)
_PAUSES = (0.0, 0.06, 0.12, 0.25)
_EDGE_S = 0.15  # of silence before and after all
# Of the middle half of the differences that an offset is fitted on.
_MOST_SPREAD_S = 0.1
# A recording longer than this is no short one: four of them would be longer than what networks are trained on.
LONGEST_S = 5.0


@dataclass(frozen=True, slots=True)
class Splice:
    """One recording made of several, and when each of these is spoken."""

    samples: np.ndarray  # float32 [n]
    texts: tuple[str, ...]  # of its parts
    borders: tuple[tuple[float, float], ...]  # start and end of the speech of each, in seconds

    @property
    def text(self) -> str:
        """Of the whole."""
        return text.join(self.texts)

    def firsts(self) -> list[int]:
        """Where in `text` each part begins."""
        return [len(text.join([*self.texts[:i], one])) - len(one) for i, one in enumerate(self.texts)]


def speech(samples: np.ndarray, rate: int) -> tuple[int, int]:
    """The first and last + 1 sample of the speech in a recording, by its energy; (0, 0) where there is none."""
    size = round(rate * _FRAME_S)
    power = np.square(samples[: len(samples) // size * size], dtype=np.float64).reshape(-1, size).mean(axis=1)
    if not power.any():
        return 0, 0
    level = 10.0 * np.log10(power + 1e-12)
    loud = level > np.percentile(level, 95) - _BELOW_LOUD
    runs = np.flatnonzero(np.convolve(loud, np.ones(_FEWEST_FRAMES), "valid") == _FEWEST_FRAMES)
    return (int(runs[0]) * size, int(runs[-1] + _FEWEST_FRAMES) * size) if len(runs) else (0, 0)


def splices(manifest: Manifest, rate: int, count: int, seed: int = 1) -> Iterator[Splice]:
    """Some of a manifest's short recordings put together, two to four of one speaker each time.

    Every second pause is none at all; the others are filled with the quietest sound of a recording. Fewer than `count`
    come where no speaker has two recordings; recordings that cannot be read are left out.

    Args:
        manifest: the recordings. Those without a speaker are taken for one speaker's.
        rate: of the samples, in Hz.
        count: how many.
        seed: of the choice.
    """
    random = np.random.default_rng(seed)
    speakers: dict[str | None, list[int]] = {}
    for position, utterance in enumerate(manifest):
        if utterance.duration <= LONGEST_S and utterance.text:
            speakers.setdefault(utterance.speaker, []).append(position)
    several = [positions for positions in speakers.values() if len(positions) > 1]
    for number in range(count if several else 0):
        positions = several[number % len(several)]
        members = random.choice(positions, min(len(positions), int(random.choice(_MEMBERS))), replace=False)
        pauses = [0.0 if random.random() < 0.5 else float(random.choice(_PAUSES[1:])) for _ in members[1:]]
        if found := _join(list(manifest.pick(members.tolist())), pauses, rate):
            yield found


def offset(model: AcousticModel, found: Iterable[Splice]) -> float | None:
    """Seconds from a token's spike to its start: the median over parts that follow another one without a pause.

    After a silence networks are some 0.1 s earlier, and there the silence itself tells the start. None where no part
    follows so, or where half of the parts are further apart than 0.1 s: such spikes are not late by any one time.
    """
    late = []
    for splice in found:
        logs = acoustic.of_one(model, features.extract(splice.samples, model.features))
        try:
            spans = alignment.align(logs, model.vocabulary.encode(splice.text))
        except TooLongError:
            continue
        for (before, after), first in zip(pairwise(splice.borders), splice.firsts()[1:], strict=True):
            if before[1] == after[0]:
                late.append(after[0] - spans[first, 0] * model.step_seconds)
    spread = float(np.subtract(*np.percentile(late, [75, 25]))) if late else math.inf
    value = statistics.median(late) if spread <= _MOST_SPREAD_S else math.inf
    return float(value) if abs(value) <= calibration.MOST_OFFSET else None


def _join(utterances: Sequence[Utterance], pauses: Sequence[float], rate: int) -> Splice | None:
    parts, quiet = [], None
    for utterance in utterances:
        try:
            samples = reading.load(layout.audio_file(utterance.audio_filepath), rate, utterance.piece)
        except reading.AudioError:
            return None
        first, last = speech(samples, rate)
        if last == 0:
            return None
        parts.append(samples[first:last])
        quiet = _quietest(samples, rate) if quiet is None else quiet
    gaps = [np.resize(quiet, round(seconds * rate)) for seconds in (_EDGE_S, *pauses, _EDGE_S)]
    pieces = [piece for pair in zip(gaps, parts, strict=False) for piece in pair] + [gaps[-1]]
    bounds = np.cumsum([0, *map(len, pieces)]).tolist()
    borders = tuple((start / rate, end / rate) for start, end in list(pairwise(bounds))[1::2])
    return Splice(np.concatenate(pieces), tuple(one.text for one in utterances), borders)


def _quietest(samples: np.ndarray, rate: int) -> np.ndarray:
    """The quietest twentieth of a second."""
    size = min(len(samples), rate // 20)
    starts = range(0, len(samples) - size + 1, max(1, size // 2))
    return min((samples[start : start + size] for start in starts), key=lambda one: float(np.dot(one, one)))
