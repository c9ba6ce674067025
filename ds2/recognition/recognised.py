"""What was recognised, and how sure of it the network is."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ds2.data.vocabulary import Vocabulary
from ds2.decoding.decoder import Hypothesis


@dataclass(frozen=True, slots=True)
class Recognised:
    """The text of an utterance."""

    text: str
    ctc: float  # ln P that the network gives to what the decoder followed, as Hypothesis has it
    tokens: int  # characters of the text

    @classmethod
    def of(cls, hypothesis: Hypothesis, vocabulary: Vocabulary) -> "Recognised":
        """Spells a hypothesis."""
        return cls(vocabulary.decode(hypothesis.ids), hypothesis.ctc, len(hypothesis.ids))

    @property
    def confidence(self) -> float:
        """That of this text alone."""
        return confidence([self])


def confidence(parts: Iterable[Recognised]) -> float:
    """exp(ln P / characters), 0 to 1: the geometric mean of the network's probability over the text's characters.

    The parts are those of one text, recognised one after the other; a text without characters counts as one.
    """
    parts = list(parts)
    total, tokens = sum(part.ctc for part in parts), sum(part.tokens for part in parts)
    return math.exp(min(0.0, total) / max(1, tokens))
