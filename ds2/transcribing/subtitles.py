"""Words with times to subtitles: SRT, WebVTT, and the table of tab-separated values that Whisper writes.

A cue is a line. It holds at most 42 narrow characters or 22 wide ones, as the style guides of broadcasters ask, and is
shown for 1 to 7 s. Where lines break is the cheapest of all ways by the costs below (dynamic programming, as Knuth and
Plass 1981 break paragraphs): at pauses, in lines of similar length, never within a word that fits.
"""

import html
import itertools
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ds2.transcribing.transcript import Spoken, in_a_row

# Of a line: a narrow character takes a 42nd, a wide one (Han, kana, full-width forms) a 22nd.
_NARROW, _WIDE, _LINE = 22, 42, 42 * 22
# How long a cue is shown, in milliseconds, and how long after the last word where nothing follows.
LEAST, MOST, _LINGER = 1000, 7000, 300
# Seconds: a shorter pause is none.
_PAUSE = 0.3
# What a cue costs; a cue that has less than a second until the next one, by the second that it lacks; a border without
# a pause; a pause within a cue, by the second; an empty line. A pause of 0.55 s so just outweighs another cue.
_CUE, _HASTE, _NO_PAUSE, _INNER_PAUSE, _EMPTY = 1.0, 100.0, 1.0, 4.0, 0.5


@dataclass(frozen=True, slots=True)
class Cue:
    """A line of subtitles; times in milliseconds from the beginning of the recording."""

    start: int
    end: int
    text: str


def cues(words: Sequence[Spoken], duration: float) -> list[Cue]:
    """The subtitles of a recording: in order, without overlaps, from 0 to its end, `duration` in seconds.

    Each is shown for a second at least, unless there are more of them than seconds.
    """
    parts = list(itertools.chain.from_iterable(map(_divided, _in_order(words, duration))))
    groups = [parts[first:end] for first, end in itertools.pairwise(_borders(parts, duration))]
    texts = [in_a_row(group) for group in groups]
    end = int(duration * 1000)
    least = min(LEAST, end // max(1, len(groups)))
    starts, latest = [round(group[0].start * 1000) for group in groups], end
    for i in reversed(range(len(starts))):
        latest = starts[i] = min(starts[i], latest - least)
    earliest = 0
    for i, start in enumerate(starts):
        starts[i] = max(start, earliest)
        earliest = starts[i] + least
    found = []
    for group, text, start, following in zip(groups, texts, starts, [*starts, end][1:], strict=True):
        wanted = max(round(group[-1].end * 1000) + _LINGER, start + least)
        found.append(Cue(start, min(wanted, start + MOST, following), text))
    return found


def _in_order(words: Sequence[Spoken], duration: float) -> Iterator[Spoken]:
    """The words with times that never fall, within the recording."""
    now = 0.0
    for word in words:
        start = min(max(word.start, now), duration)
        now = min(max(word.end, start), duration)
        yield replace(word, start=start, end=now)


def _divided(word: Spoken) -> list[Spoken]:
    """A word that is too wide for a line, or said for longer than a line is shown, in equal parts; else the word."""
    letters = _letters(word.text)
    seconds = word.end - word.start
    for count in range(max(1, min(len(letters), -int(-seconds * 1000 // MOST))), len(letters) + 1):
        places = [len(letters) * i // count for i in range(count + 1)]
        texts = ["".join(letters[first:end]) for first, end in itertools.pairwise(places)]
        if max(map(_width, texts)) <= _LINE:
            break
    times = [word.start + seconds * place / len(letters) for place in places]
    return [
        replace(word, text=text, start=start, end=end, spaced=word.spaced and i == 0)
        for i, (text, (start, end)) in enumerate(zip(texts, itertools.pairwise(times), strict=True))
    ]


def _letters(text: str) -> list[str]:
    """Characters, each with the marks above and below it."""
    found: list[str] = []
    for character in text:
        if found and unicodedata.category(character)[0] == "M":
            found[-1] += character
        else:
            found.append(character)
    return found


def _width(text: str) -> int:
    """In parts of a line."""
    return sum(
        _WIDE if unicodedata.east_asian_width(one) in "WF" else _NARROW
        for one in text
        if unicodedata.category(one) not in ("Mn", "Me")
    )


def _borders(parts: Sequence[Spoken], duration: float) -> list[int]:
    """Where cues begin, as positions among the parts, and their number at the end."""
    count = len(parts)
    gaps = [max(0.0, after.start - before.end) for before, after in itertools.pairwise(parts)]
    inner = list(itertools.accumulate((_INNER_PAUSE * max(0.0, gap - _PAUSE) for gap in gaps), initial=0.0))
    least, before = [0.0] * (count + 1), [0] * (count + 1)
    for end in range(1, count + 1):
        following = parts[end].start if end < count else duration
        border = _NO_PAUSE * max(0.0, 1 - gaps[end - 1] / _PAUSE) if end < count else 0.0
        width, least[end] = 0, float("inf")
        for first in range(end - 1, -1, -1):
            width += _width(parts[first].text) + (_NARROW if first + 1 < end and parts[first + 1].spaced else 0)
            long = (parts[end - 1].end - parts[first].start) * 1000 > MOST
            if first < end - 1 and (width > _LINE or long):
                break
            cost = least[first] + _CUE + border + inner[end - 1] - inner[first] + _EMPTY * (1 - width / _LINE) ** 2
            cost += _HASTE * max(0.0, LEAST / 1000 - (following - parts[first].start))
            if cost < least[end]:
                least[end], before[end] = cost, first
    found = [count]
    while found[-1]:
        found.append(before[found[-1]])
    return found[::-1]


def srt(found: Sequence[Cue]) -> str:
    """SubRip."""
    return "".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n\n"
        for number, cue in enumerate(found, start=1)
    )


def vtt(found: Sequence[Cue]) -> str:
    """WebVTT (W3C)."""
    lines = (
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{html.escape(cue.text, quote=False)}\n\n"
        for cue in found
    )
    return "WEBVTT\n\n" + "".join(lines)


def tsv(found: Sequence[Cue]) -> str:
    """A table with a heading: start and end in milliseconds, text."""
    return "start\tend\ttext\n" + "".join(f"{cue.start}\t{cue.end}\t{cue.text}\n" for cue in found)


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"


WRITERS: dict[str, Callable[[Sequence[Cue]], str]] = {"srt": srt, "vtt": vtt, "tsv": tsv}
