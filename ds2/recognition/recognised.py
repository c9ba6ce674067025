"""What was recognised, when each token and word was said, and how likely it is right."""

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ds2.data import text
from ds2.decoding.decoder import Decoder
from ds2.recognition import alignment
from ds2.recognition.acoustic import AcousticModel

_WORD = re.compile(rf"[{text.HAN}]|[^\s{text.HAN}]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A character of a text."""

    text: str
    start: float  # seconds from the beginning of what was recognised
    end: float  # seconds
    confidence: float  # 0 to 1, the probability that it is right


@dataclass(frozen=True, slots=True)
class Word:
    """A Han character, or a run of other characters between spaces; fields as Token's."""

    text: str
    start: float
    end: float
    confidence: float


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


def recognise(model: AcousticModel, decoder: Decoder, log_probabilities: np.ndarray) -> Recognised:
    """Decodes ln P, float32 [steps, tokens], and aligns the text with it."""
    ids = decoder.decode(decoder.prune(log_probabilities)).ids
    spans = alignment.align(log_probabilities, ids)
    step = model.step_seconds
    starts = [first * step for first, _ in spans.tolist()] + [len(log_probabilities) * step]
    times, tokens = itertools.pairwise(starts), []
    for token, (first, last), (start, end) in zip(ids.tolist(), spans.tolist(), times, strict=True):
        sure = math.exp(min(0.0, float(log_probabilities[first:last, token].max())))
        tokens.append(Token(model.vocabulary.decode([token]), start, end, sure))
    spelled = "".join(token.text for token in tokens)
    return Recognised(spelled, tuple(tokens), math.prod(token.confidence for token in tokens))


def confidence(parts: Iterable[Recognised]) -> float:
    """The probability that a text of several parts is right as a whole: that all of them are."""
    return math.prod(part.confidence for part in parts)
