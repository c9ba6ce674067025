"""How much each part of the data holds, how close that is to what was asked, and when it is too little."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

FEWEST_SPEAKERS, FEWEST_MINUTES = 3, 10


class Spoken(Protocol):
    """An utterance: its duration in seconds and, where known, its speaker."""

    duration: float
    speaker: str | None


@dataclass(frozen=True, slots=True)
class Size:
    """What some utterances add up to."""

    utterances: int
    seconds: float
    speakers: int  # named ones
    unnamed: int  # utterances without a speaker

    @classmethod
    def of(cls, utterances: Iterable[Spoken]) -> "Size":
        """The size of these utterances together."""
        each = [(u.duration, u.speaker) for u in utterances]
        names = {speaker for _, speaker in each} - {None}
        unnamed = sum(speaker is None for _, speaker in each)
        return cls(len(each), sum(seconds for seconds, _ in each), len(names), unnamed)

    @property
    def known_speakers(self) -> int | None:
        """The number of speakers; None where an utterance names none."""
        return None if self.unnamed else self.speakers

    @property
    def too_small(self) -> bool:
        """Whether an error rate of so little test data says little of other recordings."""
        few = self.known_speakers is not None and self.known_speakers < FEWEST_SPEAKERS
        return few or self.seconds < 60 * FEWEST_MINUTES


def doubt(size: Size) -> str | None:
    """A warning that the test data is too small; None where it is not."""
    if not size.too_small:
        return None
    speakers = "" if size.known_speakers is None else f"{count(size.known_speakers, 'speaker')} and "
    return (
        f"the test data is too small to rely on its error rate: {speakers}{size.seconds / 60:.1f} minutes; it should "
        f"have {FEWEST_SPEAKERS} speakers and {FEWEST_MINUTES} minutes or more"
    )


def shared_voices(parts: Mapping[str, Sequence[Spoken]]) -> str | None:
    """A warning that speakers of the test data are in the training data too; None where none is."""
    train, test = ({u.speaker for u in parts[part]} - {None} for part in ("train", "test"))
    both = train & test
    if not both:
        return None
    return (
        f"the test data shares {count(len(both), 'speaker')} with the training data (first: {min(both)}): expect a "
        "higher error rate for new voices"
    )


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 speaker, 2 speakers."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def shares(divided: Mapping[str, Sequence[Spoken]]) -> dict[str, float]:
    """The share of each part in the seconds of all; empty where there are none."""
    seconds = {part: sum(u.duration for u in utterances) for part, utterances in divided.items()}
    total = sum(seconds.values())
    return {part: of_part / total for part, of_part in seconds.items()} if total else {}


def table(
    parts: Mapping[str, Sequence[Spoken]], divided: Mapping[str, Sequence[Spoken]], asked: Mapping[str, float]
) -> list[str]:
    """Lines of at most 52 columns, which fit a terminal behind the time of a log line.

    Args:
        parts: all utterances of each part.
        divided: those of them that were divided.
        asked: the share of the divided hours that each part should have; empty: nothing was to be held out.
    """
    found = shares(divided) if asked else {}
    lines = ["part  utterances       hours  speakers" + "  share  asked" * bool(found)]
    for part, utterances in parts.items():
        size = Size.of(utterances)
        speakers = f"{size.speakers:,}" if size.speakers else "unnamed"
        line = f"{part:<5}{size.utterances:>11,}{size.seconds / 3600:>12,.3f}{speakers:>10}"
        lines.append(line + (f"{found[part]:>7.1%}{_percent(asked[part]):>7}" if found else ""))
    return lines + ["share and asked: of the hours that are divided"] * bool(found)


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%" if share else "none"
