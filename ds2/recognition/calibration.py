"""How a network's probabilities become chances and its steps become times; both are fitted on dev data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Beyond these log odds single precision knows no difference.
_MOST_ODDS = 16.0
# A temperature outside says that the probabilities tell nothing, or that there was next to nothing to fit.
_LEAST, _MOST = 0.1, 20.0
_MOST_BIAS = 1000.0  # of log odds
_MOST_EXPONENT = 700.0  # that exp bears
MOST_OFFSET = 0.5  # seconds: a network that is later knows no times


@dataclass(frozen=True, slots=True)
class Scale:
    """Log odds of the network to log odds of being right: divided by a temperature, then shifted (Platt 1999)."""

    temperature: float = 1.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError where no fit gives these numbers."""
        if not (_LEAST * 0.999 <= self.temperature <= _MOST * 1.001 and abs(self.bias) <= _MOST_BIAS):
            raise ValueError(f"a temperature must be {_LEAST:g} to {_MOST:g}, and a bias at most {_MOST_BIAS:g}")

    def __call__(self, confidence: float) -> float:
        """A confidence, 0 to 1, calibrated; a higher one stays a higher one."""
        exponent = odds(confidence) / self.temperature + self.bias
        return 1.0 / (1.0 + math.exp(-max(-_MOST_EXPONENT, min(_MOST_EXPONENT, exponent))))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Of one network and decoder. It changes no text."""

    word: Scale = Scale()  # of a token's and a word's confidence
    text: Scale = Scale()  # of an utterance's confidence
    offset: float = 0.0  # seconds from a token's spike to its start, below 0 where a network is late

    def __post_init__(self) -> None:
        """Raises ValueError where the offset is no time."""
        if not abs(self.offset) <= MOST_OFFSET:
            raise ValueError(f"an offset must be seconds, at most {MOST_OFFSET:g}")


def odds(confidence: float) -> float:
    """Logarithm of the odds of a probability, within what single precision knows."""
    if confidence <= 0.0 or confidence >= 1.0:
        return math.copysign(_MOST_ODDS, confidence - 0.5)
    return max(-_MOST_ODDS, min(_MOST_ODDS, math.log(confidence) - math.log1p(-confidence)))


def fit(confidences: Sequence[float], right: Sequence[bool]) -> Scale:
    """The scale under which what was right and what was not is likeliest, by Newton's method.

    Platt's targets stand for right and wrong: (right + 1) / (right + 2) and 1 / (wrong + 2), so that a dev set without
    an error does not make everything certain. Where the fit would turn the order round, or fewer than two are known,
    only the bias is fitted.
    """
    x = np.array([odds(one) for one in confidences], np.float64)
    y = np.asarray(right, bool)
    target = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))
    slope, bias = _newton(np.stack([x, np.ones_like(x)], axis=1), target)
    if len(x) < 2 or not 1 / _MOST <= slope <= 1 / _LEAST:
        slope = min(max(slope, 1 / _MOST), 1 / _LEAST) if len(x) > 1 else 1.0
        bias = _newton(np.ones((len(x), 1)), target, slope * x)[0] if len(x) else 0.0
    return Scale(float(1 / slope), float(bias))


def _newton(columns: np.ndarray, target: np.ndarray, fixed: np.ndarray | float = 0.0) -> np.ndarray:
    """Weights of the columns, float64 [n, k], of a logistic regression, with a touch of a prior at zero."""
    weights = np.zeros(columns.shape[1])
    prior = 1e-3 * np.eye(len(weights))
    for _ in range(50):
        chance = 1 / (1 + np.exp(-(columns @ weights + fixed)))
        gradient = columns.T @ (chance - target) + prior @ weights
        change = np.linalg.solve((columns * (chance * (1 - chance))[:, None]).T @ columns + prior, gradient)
        weights -= np.clip(change, -2.0, 2.0)
        if np.abs(change).max() < 1e-9:
            break
    return weights
