"""A known text to the times of its words: forced alignment of recordings of any length."""

from dataclasses import dataclass, replace

import numpy as np

from ds2.data import features, text
from ds2.data.vocabulary import BLANK_ID, UNKNOWN_ID
from ds2.errors import UserError
from ds2.recognition import acoustic, alignment, recognised, timing
from ds2.recognition.acoustic import AcousticModel
from ds2.recognition.recognised import Recognised
from ds2.transcribing import pieces
from ds2.transcribing.inputs import Input

# Characters that a sentence names.
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Aligned:
    """A recording with its text."""

    found: Recognised  # times count from the beginning of the recording
    duration: float  # seconds


@dataclass(frozen=True, slots=True)
class _Heard:
    """A part of a recording after the network."""

    start: float  # seconds
    logs: np.ndarray  # float32 [steps, columns], of the blank and the text's tokens alone
    loud: np.ndarray  # as timing.loudness has it


class Aligner:
    """A model at work on recordings whose texts are known."""

    def __init__(self, model: AcousticModel, max_duration: float) -> None:
        """Recordings longer than `max_duration`, in seconds, at least cutting.LEAST_SECONDS, are cut at silence."""
        self._model = model
        self._limit = max_duration

    def align(self, given: Input, transcript: str) -> Aligned:
        """Finds when each word of a transcript, normalised as those of the training were, is said.

        Only the columns of the text's own tokens are kept, so that half an hour fits.

        Raises:
            UserError: the text is empty or does not fit, or the vocabulary lacks a character of it.
            AudioError: the recording cannot be read.
        """
        if any("\ud800" <= character <= "\udfff" for character in transcript):  # as Python reads such arguments
            raise UserError("its text is not UTF-8: give it in UTF-8")
        said = text.normalize(transcript, self._model.rules)
        columns, ids = np.unique(self._ids(said), return_inverse=True)
        columns, ids = np.concatenate([[BLANK_ID], columns]), ids + 1
        rate = self._model.features.sample_rate
        cut = pieces.cut(given.name, given.file, given.piece, rate, self._limit, self._model.usual_seconds)
        heard = [one for part in cut.parts if (one := self._hear(part, columns))]
        logs = np.concatenate([one.logs for one in heard] or [np.zeros((0, len(columns)), np.float32)])
        spans = alignment.align(logs, ids)
        bounds = np.cumsum([0, *(len(one.logs) for one in heard)]).tolist()
        tokens, sure = [], 1.0
        for one, first, last in zip(heard, bounds[:-1], bounds[1:], strict=True):
            here = slice(*np.searchsorted(spans[:, 0], [first, last]).tolist())
            local = np.minimum(spans[here] - first, last - first)  # a token that crosses the cut ends there
            found = recognised.place(self._model, said[here], ids[here], local, one.logs, one.loud)
            tokens += [
                replace(token, start=token.start + one.start, end=token.end + one.start) for token in found.tokens
            ]
            sure *= found.confidence
        found = Recognised(said, tuple(tokens), sure)
        if self._model.calibration is not None:
            found = recognised.calibrated(found, self._model.calibration)
        return Aligned(found, cut.duration)

    def _ids(self, said: str) -> np.ndarray:
        if not said:
            raise UserError("its text has no letter or digit")
        ids = self._model.vocabulary.encode(said)
        if unknown := sorted({character for character, i in zip(said, ids, strict=True) if i == UNKNOWN_ID}):
            unknown = ["space" if one == " " else one for one in unknown]
            more = ", ..." if len(unknown) > _NAMED else ""
            raise UserError(
                f"the model's vocabulary lacks {', '.join(unknown[:_NAMED])}{more}: write these words in characters of "
                "its training"
            )
        return ids

    def _hear(self, part: pieces.Part, columns: np.ndarray) -> _Heard | None:
        values = features.extract(part.samples, self._model.features)
        if not len(values):
            return None
        return _Heard(part.start, acoustic.of_one(self._model, values)[:, columns], timing.loudness(values))
