"""What recordings have in common that may spoil their texts, said once a run, with the first of each kind."""

from collections import Counter
from pathlib import Path

from ds2.audio import decoding, reading
from ds2.audio.piece import Piece
from ds2.data.parts import count


class Doubts:
    """Counts of recordings that a model of `sample_rate` was not trained for, or whose channels are mixed."""

    def __init__(self, sample_rate: int) -> None:
        """The rate is the model's, in Hz."""
        self._rate = sample_rate
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def look(self, name: str, path: Path, piece: Piece) -> int:
        """The sample rate of a recording, in Hz; raises AudioError as reading it would."""
        rate, channels = decoding.header(path)
        if rate < self._rate:
            self._add("low", f"{name}, {rate} Hz")
        if channels > 1 and piece.channel is None:
            other = reading.instead(path, piece)
            if other is None:
                self._add("mixed", f"{name}, {channels} channels")
            else:
                self._add("opposite", f"{name}, channel {other}")
        return rate

    def _add(self, kind: str, example: str) -> None:
        self._counts[kind] += 1
        self._first.setdefault(kind, example)

    def sentences(self) -> list[str]:
        """What there is to say."""
        say = {
            "low": f"below the model's sample rate of {self._rate} Hz (first: {{}}): the high frequencies are missing, "
            "as in telephone audio; expect more errors",
            "mixed": "with more than one channel, which are mixed (first: {}): where each has a speaker of its own, "
            "choose one with --channel 0",
            "opposite": "whose channels cancel each other (opposite phase): the loudest is taken (first: {})",
        }
        return [
            f"{count(self._counts[kind], 'recording')} {sentence.format(self._first[kind])}"
            for kind, sentence in say.items()
            if kind in self._counts
        ]
