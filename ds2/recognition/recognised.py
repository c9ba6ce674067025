"""What was recognised, when each token and word was said, and how likely it is right."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ds2.data.scripts import HAN
from ds2.decoding.decoder import Decoder
from ds2.recognition import alignment, timing
from ds2.recognition.acoustic import AcousticModel
from ds2.recognition.calibration import Calibration

_WORD = re.compile(rf"[{HAN}]|[^\s{HAN}]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A character of a text."""

    text: str
    start: float  # seconds from the beginning of what was recognised
    end: float  # seconds
    confidence: float  # 0 to 1, the probability that it is right


@dataclass(frozen=True, slots=True)
class Word:
    """A Han character, or a run of other characters between spaces; it is as sure as its least sure character."""

    text: str
    start: float  # seconds, as a token's
    end: float  # seconds
    confidence: float  # 0 to 1, the probability that it is right


@dataclass(frozen=True, slots=True)
class Recognised:
    """The text of an utterance."""

    text: str
    tokens: tuple[Token, ...]  # its characters, in order
    confidence: float  # 0 to 1, the probability that all of it is right

    @property
    def words(self) -> tuple[Word, ...]:
        """In order; spaces are in none."""
        found = []
        for match in _WORD.finditer(self.text):
            tokens = self.tokens[match.start() : match.end()]
            least = min(token.confidence for token in tokens)
            found.append(Word(match[0], tokens[0].start, tokens[-1].end, least))
        return tuple(found)


def split(spelled: str) -> list[str]:
    """The words of a text."""
    return _WORD.findall(spelled)


def recognise(
    model: AcousticModel, decoder: Decoder, log_probabilities: np.ndarray, loud: np.ndarray | None = None
) -> Recognised:
    """Decodes ln P, float32 [steps, tokens], and aligns the text with it; calibrated where the model is.

    Args:
        model: whose output it is.
        decoder: finds the text.
        log_probabilities: of one utterance.
        loud: of the same utterance, as `timing.loudness` has it; without it no pauses are known.
    """
    found = spell(model, decoder.decode(decoder.prune(log_probabilities)).ids, log_probabilities, loud)
    return found if model.calibration is None else calibrated(found, model.calibration)


def spell(
    model: AcousticModel, ids: np.ndarray, log_probabilities: np.ndarray, loud: np.ndarray | None = None
) -> Recognised:
    """The text of token ids, int [n], aligned with ln P; confidences are the network's own, not calibrated.

    Raises:
        TooLongError: as `alignment.align`.
    """
    spans = alignment.align(log_probabilities, ids)
    return place(model, model.vocabulary.decode(ids.tolist()), ids, spans, log_probabilities, loud)


def place(
    model: AcousticModel,
    spelled: str,
    columns: np.ndarray,
    spans: np.ndarray,
    log_probabilities: np.ndarray,
    loud: np.ndarray | None,
) -> Recognised:
    """A text with times and the network's own confidences.

    A token's is its highest probability among its steps; a text's is that of all its alignments together. On zh-dsp20,
    after five epochs, it told right from wrong texts better than the product of the tokens' (area under the ROC curve
    0.92, not 0.91), and both better than the best path (0.89).

    Args:
        model: whose output it is.
        spelled: the text.
        columns: of its characters in `log_probabilities`, int [n].
        spans: their steps, as `alignment.align` has them.
        log_probabilities: float32 [steps, columns].
        loud: as in `recognise`.
    """
    steps = [
        first + int(log_probabilities[first:last, column].argmax())
        for column, (first, last) in zip(columns.tolist(), spans.tolist(), strict=True)
    ]
    sure = np.exp(np.minimum(log_probabilities[steps, columns], 0.0)).tolist()
    times = timing.estimate(spans, len(log_probabilities), model.step_seconds, model.calibration, loud)
    tokens = [Token(*one) for one in zip(spelled, *times.T.tolist(), sure, strict=True)]
    return Recognised(spelled, tuple(tokens), math.exp(alignment.log_likelihood(log_probabilities, columns)))


def calibrated(found: Recognised, calibration: Calibration) -> Recognised:
    """The same with confidences as a calibration has them."""
    tokens = (replace(token, confidence=calibration.word(token.confidence)) for token in found.tokens)
    return replace(found, tokens=tuple(tokens), confidence=calibration.text(found.confidence))


def confidence(parts: Iterable[Recognised]) -> float:
    """The probability that a text of several parts is right as a whole: that all of them are."""
    return math.prod(part.confidence for part in parts)
