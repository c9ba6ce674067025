"""What recognising asks of a trained network, whatever computes it."""

from pathlib import Path
from typing import Protocol

import numpy as np

from ds2 import params
from ds2.data.loader import Batch, unlabelled
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError
from ds2.recognition.calibration import Calibration


class DivergedError(UserError):
    """A network's output is no number: decoded, it would be an empty text with a confidence of 1."""

    def __init__(self) -> None:
        super().__init__("the network's output is not a number: its training diverged; choose another checkpoint")


class Normalisation(Protocol):
    """What is done to features before the network; worker processes get a copy of it."""

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """Features as `features.extract` makes them to what the network reads: float32 [frames, size]."""


class AcousticModel(Protocol):
    """A trained network and all that belongs to it."""

    vocabulary: Vocabulary
    statistics: Normalisation
    features: params.FeaturesSettings  # that it was trained with
    rules: params.TextSettings  # of the transcripts that it was trained with
    step_seconds: float  # from one output step to the next
    calibration: Calibration | None  # of its confidences and times; None: they are as the network has them
    device: str  # "cpu" or "gpu", where it runs
    origin: str  # which weights of its training these are, in words
    chosen_on: str | None  # dev or test, whose score chose these weights; None where none did
    usual_seconds: float  # the mean length of the utterances that it was trained with
    decoding: params.EvaluateSettings | None  # the decoder that it brings, with its numbers; None: it brings none
    language_model: Path | None  # that of its decoder

    def log_probabilities(self, batch: Batch) -> list[np.ndarray]:
        """Ln P of the tokens at every real output step of each utterance, float32 [steps, tokens].

        Raises:
            DivergedError: as `log_softmax`, through which all outputs go before they are decoded.
        """


def of_one(model: AcousticModel, values: np.ndarray) -> np.ndarray:
    """Ln P, float32 [steps, tokens], for the features of one utterance as `features.extract` makes them."""
    (found,) = model.log_probabilities(unlabelled([model.statistics.normalize(values)]))
    return found


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, in the logits' dtype.

    Raises:
        DivergedError: one of them is not a number or infinite, or all of a step are minus infinite.
    """
    with np.errstate(invalid="ignore"):
        shifted = logits - logits.max(axis=-1, keepdims=True)
        total = np.exp(shifted).sum(axis=-1, keepdims=True)
    if np.isnan(total).any():
        raise DivergedError
    return shifted - np.log(total)
