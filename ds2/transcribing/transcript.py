"""What became of a recording: its text, the pieces it was cut into, and every word with its times."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ds2.audio.piece import Piece
from ds2.data import text
from ds2.recognition.recognised import Recognised
from ds2.transcribing.inputs import Input


@dataclass(frozen=True, slots=True)
class Spoken:
    """A Han character, or a run of other characters between spaces."""

    text: str
    start: float  # seconds from the beginning of the recording
    end: float
    confidence: float  # 0 to 1
    spaced: bool  # whether a space stands between it and the word before it


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a recording and what is said in it; times in seconds."""

    start: float
    end: float
    text: str
    words: tuple[Spoken, ...] = ()
    confidence: float | None = None  # 0 to 1; None where nothing went through the network

    @classmethod
    def of(cls, start: float, end: float, found: Recognised | None) -> "Segment":
        """The piece between two times of a recording, given what was recognised in it."""
        if found is None:
            return cls(start, end, "")
        return cls(start, end, found.text, tuple(_placed(found, start)), found.confidence)


def _placed(found: Recognised, start: float) -> Iterator[Spoken]:
    at = 0
    for word in found.words:
        place = found.text.index(word.text, at)
        yield Spoken(word.text, start + word.start, start + word.end, word.confidence, place > at)
        at = place + len(word.text)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What became of a recording."""

    given: Input
    error: str | None = None  # why there is no text; all else is empty then
    duration: float = 0.0  # seconds
    text: str = ""  # of the whole recording
    confidence: float | None = None  # 0 to 1, as recognition.recognised defines it; None where no speech was found
    segments: tuple[Segment, ...] = ()  # the pieces that it was cut into, else one for the whole
    cut: bool = False  # at silence, because it is longer than an utterance
    sample_rate: int = 0  # in Hz, as recorded

    @property
    def name(self) -> str:
        """As in Input."""
        return self.given.name

    @property
    def piece(self) -> Piece:
        """As in Input; times count from its beginning."""
        return self.given.piece

    def words(self) -> list[Spoken]:
        """All words in order."""
        found: list[Spoken] = []
        for segment in self.segments:
            for number, word in enumerate(segment.words):
                first = number == 0 and bool(found)
                found.append(replace(word, spaced=_spaced(found[-1], word)) if first else word)
        return found


def _spaced(before: Spoken, word: Spoken) -> bool:
    return " " in text.join([before.text, word.text])


def in_a_row(words: Iterable[Spoken]) -> str:
    """The text of words that follow one another."""
    return "".join(f" {word.text}" if word.spaced and number else word.text for number, word in enumerate(words))
