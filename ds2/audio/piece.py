"""A piece of a recording: where it begins, how long it is, which channel."""

from dataclasses import dataclass, replace
from typing import Any

from ds2.containers.extent import SLACK_S, AudioError

# No recording is longer (30 years): what is beyond is a mistake.
_LONGEST_S = 1e9


class PieceError(AudioError):
    """A file that can be used and does not have the piece that was asked for."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What to read of a file; the whole of it, all channels mixed, by default."""

    # In seconds. None: the file is meant as a whole, `duration` is what was measured; it counts only where the file
    # is longer by more than SLACK_S.
    offset: float | None = None
    duration: float | None = None  # in seconds; None: to the end
    channel: int | None = None  # from 0; None: the mean of all

    def span(self, rate: int, total: int) -> tuple[int, int]:
        """First sample, and the one behind the last, in a file of `total` samples.

        Raises:
            PieceError: the piece is not within the recording. What ends at most SLACK_S behind it is cut there.
        """
        start, slack = self.start(rate), round(SLACK_S * rate)
        stop = total if self.duration is None else start + self.samples(rate)
        if self.offset is None:
            return 0, stop if stop < total - slack else total
        if start >= total:
            raise PieceError(f"the piece begins at {self.offset:g} s, but the recording has {total / rate:.3f} s")
        if stop > total + slack:
            raise PieceError(f"the piece ends at {stop / rate:.3f} s, but the recording has {total / rate:.3f} s")
        return start, min(stop, total)

    def start(self, rate: int) -> int:
        """The first sample."""
        return round((self.offset or 0.0) * rate)

    def samples(self, rate: int) -> int:
        """The length, where one is given."""
        return round(self.duration * rate)

    def placed(self) -> "Piece":
        """The piece that a user's line means: a duration alone counts from the beginning."""
        return self if self.duration is None else replace(self, offset=self.offset or 0.0)

    def overlaps(self, other: "Piece") -> bool:
        """Whether two pieces of the same file share more than SLACK_S, on the same channel or on the mean of all."""
        if None not in (self.channel, other.channel) and self.channel != other.channel:
            return False
        begin = max(self.offset or 0.0, other.offset or 0.0)
        ends = [(p.offset or 0.0) + p.duration for p in (self, other) if p.duration is not None]
        return not ends or min(ends) > begin + SLACK_S

    def of(self, path: str) -> str:
        """How to call this piece of a file, so that two of the same file differ."""
        parts = [] if self.offset is None else [f"from {self.offset:g} s"]
        parts += [] if self.channel is None else [f"channel {self.channel}"]
        return f"{path} ({', '.join(parts)})" if parts else path


WHOLE = Piece()


def take(values: dict[str, Any]) -> Piece:
    """Takes `offset`, `duration` and `channel` out of a JSON object; null is as good as none.

    PaddlePaddle-DeepSpeech writes `start_time` and `end_time` instead.

    Raises:
        ValueError: one of them has no sense; the message is a sentence.
    """
    begin, end = (_number(values, key, least=0.0) for key in ("start_time", "end_time"))
    offset = _number(values, "offset", least=0.0)
    duration = _number(values, "duration")
    channel = values.pop("channel", None)
    if channel is not None and (type(channel) is not int or channel < 0):
        raise ValueError(f"channel is {_shown(channel)}, but should be a whole number, from 0 up")
    if offset is None and begin is not None:
        if end is not None and end <= begin:
            raise ValueError(f"end_time is {end:g}, but should be after start_time, {begin:g}")
        offset, duration = begin, duration if end is None else end - begin
    return Piece(offset, duration, channel)


def _number(values: dict[str, Any], key: str, least: float | None = None) -> float | None:
    """Seconds; more than 0 where no `least` is given."""
    value = values.pop(key, None)
    if value is None:
        return None
    right = type(value) in (int, float) and value <= _LONGEST_S  # NaN is not
    if not right or (value <= 0 if least is None else value < least):
        raise ValueError(
            f"{key} is {_shown(value)}, but should be seconds, {'more than 0' if least is None else '0 or more'}"
        )
    return float(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
