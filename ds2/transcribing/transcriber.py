"""From recordings to transcripts, in order, in batches of pieces of like length."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ds2 import parallel
from ds2.audio import reading
from ds2.data import batches, features, text
from ds2.data.loader import unlabelled
from ds2.decoding.decoder import Decoder
from ds2.recognition import timing
from ds2.recognition.acoustic import AcousticModel
from ds2.recognition.recognised import Recognised, confidence, recognise
from ds2.transcribing import pieces
from ds2.transcribing.doubts import Doubts
from ds2.transcribing.inputs import Input
from ds2.transcribing.transcript import Segment, Transcript

# Batches that are read before they are sorted by length: with fewer there is more padding, with more the first line
# comes later.
_AHEAD = 4


@dataclass(slots=True)
class _Piece:
    """A part of a recording that goes through the network as one utterance."""

    start: float
    end: float
    features: np.ndarray | None  # normalised; None when it has been through, and for a piece shorter than a frame
    loud: np.ndarray  # as timing.loudness has it
    recognised: Recognised | None = None

    @property
    def text(self) -> str:
        return self.recognised.text if self.recognised else ""


@dataclass(slots=True)
class _Recording:
    given: Input
    error: str | None = None
    rate: int = 0
    duration: float = 0.0
    cut: bool = False
    pieces: list[_Piece] = field(default_factory=list)

    def done(self) -> bool:
        return self.error is not None or all(piece.features is None for piece in self.pieces)

    def transcript(self) -> Transcript:
        if self.error is not None:
            return Transcript(self.given, self.error)
        recognised = [piece.recognised for piece in self.pieces if piece.recognised]
        return Transcript(
            self.given,
            None,
            self.duration,
            text.join(piece.text for piece in self.pieces) if self.cut else self.pieces[0].text,
            confidence(recognised) if recognised else None,
            tuple(Segment.of(piece.start, piece.end, piece.recognised) for piece in self.pieces),
            self.cut,
            self.rate,
        )


class Transcriber:
    """A model at work on recordings."""

    def __init__(self, model: AcousticModel, decoder: Decoder, batch_size: int, max_duration: float) -> None:
        """`batch_size` pieces make a forward pass; it does not change the texts.

        Recordings longer than `max_duration`, in seconds, at least cutting.LEAST_SECONDS, are cut at silence.
        """
        self._model = model
        self._decoder = decoder
        self._batch_size = batch_size
        self._ahead = batch_size * _AHEAD if batch_size > 1 else 1
        self._limit = max_duration
        self._usual = model.usual_seconds
        self._pool: list[_Piece] = []
        self.doubts = Doubts(model.features.sample_rate)  # about what was transcribed so far

    def transcribe(self, inputs: Iterable[Input]) -> Iterator[Transcript]:
        """Yields a transcript for every input, in order, as soon as it is known.

        A recording that cannot be read gives a transcript with an error. Pieces are levelled each by itself, as the
        utterances of the training were.
        """
        waiting: deque[_Recording] = deque()
        with ThreadPoolExecutor(parallel.processes("auto")) as self._threads:
            for given in inputs:
                recording = _Recording(given, given.error)
                waiting.append(recording)
                if given.error is None:
                    self._read(recording)
                while waiting and waiting[0].done():
                    yield waiting.popleft().transcript()
            self._recognise()
            for recording in waiting:
                yield recording.transcript()

    def _read(self, recording: _Recording) -> None:
        given = recording.given
        try:
            recording.rate = self.doubts.look(given.name, given.file, given.piece)
            for piece in self._pieces(recording):
                recording.pieces.append(piece)
                if piece.features is not None:
                    self._pool.append(piece)
                    if len(self._pool) >= self._ahead:
                        self._recognise()
        except reading.AudioError as error:
            recording.error = str(error)

    def _pieces(self, recording: _Recording) -> Iterator[_Piece]:
        rate = self._model.features.sample_rate
        given = recording.given
        found = pieces.cut(given.name, given.file, given.piece, rate, self._limit, self._usual)
        recording.duration, recording.cut = found.duration, not found.whole
        for part in found.parts:
            values = features.extract(part.samples, self._model.features)
            kept = self._model.statistics.normalize(values) if len(values) else None
            yield _Piece(part.start, part.end, kept, timing.loudness(values))

    def _recognise(self) -> None:
        pool, self._pool = self._pool, []
        plan = batches.by_length(np.array([len(piece.features) for piece in pool]), self._batch_size)
        for batch in plan:
            some = [pool[i] for i in batch]
            found = self._model.log_probabilities(unlabelled([piece.features for piece in some]))
            # Compiled code decodes, which lets the others run.
            for piece, recognised in zip(some, self._threads.map(self._decode, some, found), strict=True):
                piece.recognised, piece.features = recognised, None

    def _decode(self, piece: _Piece, logs: np.ndarray) -> Recognised:
        return recognise(self._model, self._decoder, logs, piece.loud)
