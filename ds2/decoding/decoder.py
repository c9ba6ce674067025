"""What every decoder does: log-probabilities to token ids."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Hypothesis:
    """A text that a decoder found."""

    ids: np.ndarray  # int [n], its tokens
    score: float  # what the decoder maximises


class Decoder(Protocol):
    """Finds the likeliest text in two parts, so that what is kept of a test set fits in memory."""

    def prune(self, log_probabilities: np.ndarray) -> Any:
        """What `decode` needs of log-probabilities, float32 [steps, tokens]: little."""

    def decode(self, kept: Any) -> Hypothesis:
        """The best hypothesis; calls from several threads at once are fine."""
