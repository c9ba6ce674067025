"""The same recording in two lines: under one path, or under another by a link, as a copy or in another format."""

import bisect
import functools
import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ds2 import layout, parallel
from ds2.annotation import content
from ds2.annotation.content import Look, Mark
from ds2.annotation.files import Line, Rejection
from ds2.audio.piece import Piece
from ds2.audio.reading import Info
from ds2.data.manifest import Utterance
from ds2.data.parts import count

# The looks at files that may be the same, each at what the one before has left; and how many a process takes at once.
_LOOKS = ((content.sign, 8192), (content.head, 512), (content.whole, 64))
_REASON = "duplicate_audio"


class Accepted(NamedTuple):
    """What has come of a line that is good by itself."""

    utterance: Utterance
    info: Info  # of the recording, or of the piece of it
    samples: int  # of the whole file


class Repeats(NamedTuple):
    """Lines whose audio an earlier one has already, by position."""

    rejected: dict[int, Rejection]
    kept: dict[int, int]  # another file in the same part of the data, and the position of the earlier line


def find(good: Sequence[tuple[Line, Accepted]], parts: Sequence[str], workers: int) -> Repeats:
    """Compares the audio of lines, each of which is in a part of the data.

    Recordings are the same when rate, length and all samples are. Of pieces of one Piece.overlaps decides. A line is
    rejected where the earlier one has the same file, or is in another part: nothing is trained on and tested with.
    """
    names = _recordings(good, workers)
    lines = Counter(names)
    # Positions of the lines that count, by recording, file and channel, sorted by where their pieces begin.
    taken: dict[str, dict[Hashable, dict[int | None, list[tuple[float, int]]]]] = defaultdict(dict)
    found = Repeats({}, {})
    for position, ((line, (utterance, *_)), name) in enumerate(zip(good, names, strict=True)):
        if lines[name] == 1:
            continue
        file, recording = _file(line.audio), taken[name]
        earlier = {of: [*_earlier(utterance, channels, good)] for of, channels in recording.items()}
        others = list(itertools.chain.from_iterable(earlier.values()))
        apart = [other for other in others if parts[other] != parts[position]]
        if barring := earlier.get(file, []) + apart:
            found.rejected[position] = _rejection(line, utterance, *good[min(barring)])
            continue
        if others:
            found.kept[position] = min(others)
        bisect.insort(
            recording.setdefault(file, defaultdict(list))[utterance.piece.channel], (utterance.offset or 0.0, position)
        )
    return found


def _file(audio: str) -> Hashable:
    """The same for all names of a file."""
    try:
        found = os.stat(layout.audio_file(audio))
        return found.st_dev, found.st_ino
    except OSError:
        return audio


def _earlier(
    utterance: Utterance,
    channels: Mapping[int | None, Sequence[tuple[float, int]]],
    good: Sequence[tuple[Line, Accepted]],
) -> Iterator[int]:
    """The lines of a file that count and have some of an utterance's audio."""
    piece = utterance.piece
    for channel in list(channels) if piece.channel is None else (piece.channel, None):
        for other in _near(channels.get(channel, ()), utterance):
            if _same(piece, good[other][1].utterance.piece):
                yield other


def doubts(rejected: Iterable[Rejection], copies: Sequence[tuple[Line, Line]]) -> list[str]:
    """A word on the lines that repeat others: those among the rejected, and those kept, each with an earlier one."""
    found = []
    if repeated := [rejection for rejection in rejected if rejection.reason == _REASON]:
        first = repeated[0]
        found.append(
            f"{count(len(repeated), 'line')} left out as repeated audio; the first is {first.source.path} line "
            f"{first.number} ({first.audio}): {first.detail}"
        )
    if copies:
        line, earlier = copies[0]
        found.append(
            f"{count(len(copies), 'line')} with a copy of audio that the same part of the data has already; the first "
            f"is {line.source.path} line {line.number} ({line.audio}), as {earlier.source.path} line {earlier.number} "
            f"({earlier.audio})"
        )
    return found


def _near(sorted_lines: Sequence[tuple[float, int]], utterance: Utterance) -> Iterator[int]:
    """The lines whose pieces may overlap with an utterance's: they hardly overlap each other, so few can."""
    start = utterance.offset or 0.0
    place = bisect.bisect(sorted_lines, (start, -1))
    for other in range(max(0, place - 1), len(sorted_lines)):
        if sorted_lines[other][0] > start + utterance.duration:
            return
        yield sorted_lines[other][1]


def _same(piece: Piece, other: Piece) -> bool:
    return piece == other or piece.overlaps(other)  # what is shorter than SLACK_S does not overlap


def _rejection(line: Line, utterance: Utterance, first: Line, accepted: Accepted) -> Rejection:
    other = accepted.utterance
    same = (utterance.offset, utterance.duration) == (other.offset, other.duration)
    alias = "" if first.audio == line.audio else f" as {first.audio}"
    text = "" if other.text == utterance.text else ", with another transcript"
    detail = f"{'' if same else 'some of '}the same audio is already in {first.source.path} line {first.number}"
    return Rejection(line.source, line.number, _REASON, f"{detail}{alias}{text}", line.audio)


def _recordings(good: Sequence[tuple[Line, Accepted]], workers: int) -> list[str]:
    """For every line the first path with the same recording."""
    alike: dict[tuple, list[str]] = defaultdict(list)
    for audio, (_, info, samples) in {line.audio: accepted for line, accepted in good}.items():
        alike[info.rate, samples].append(audio)
    alike = _divided(alike, {line.audio: content.checksum(info.digest) for line, (_, info, _) in good})
    for look, size in _LOOKS:
        alike = {key: group for key, group in alike.items() if len(group) > 1}
        alike = _divided(alike, _marks(alike, look, size, workers))
    firsts = {audio: group[0] for group in alike.values() for audio in group}
    return [firsts.get(line.audio, line.audio) for line, _ in good]


def _divided(alike: Mapping[tuple, list[str]], marks: Mapping[str, Mark | None]) -> dict[tuple, list[str]]:
    """The groups, each divided by the marks of its files, where these are of one kind; the rate stands first in a key.

    What is gone is left out.
    """
    found: dict[tuple, list[str]] = defaultdict(list)
    for key, group in alike.items():
        there = [(audio, mark) for audio in group if (mark := marks[audio]) is not None]
        kinds = {mark.kind for _, mark in there}
        for audio, mark in there:
            found[(*key, mark.value if len(kinds) == 1 and mark.kind else None)].append(audio)
    return found


def _marks(alike: Mapping[tuple, list[str]], look: Look, size: int, workers: int) -> dict[str, Mark | None]:
    """What a look at each file of the groups finds."""
    files = [(audio, key[0]) for key, group in alike.items() for audio in group]
    work = functools.partial(_look_at, look=look)
    results = parallel.ordered_map(work, parallel.chunks(files, size), len(files), workers, "duplicates")
    return dict(zip((audio for audio, _ in files), itertools.chain.from_iterable(results), strict=True))


def _look_at(files: Sequence[tuple[str, int]], look: Look) -> list[Mark | None]:
    return [look(layout.audio_file(audio), rate) for audio, rate in files]
