"""How a network's probabilities become chances and its steps become times; both are fitted on dev data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of one network and decoder. It changes no text."""

    temperature: float = 1.0  # divides the log odds of a confidence
    offset: float = 0.0  # seconds from a token's spike to its beginning
