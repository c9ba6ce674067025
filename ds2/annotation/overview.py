"""One screen of what the accepted transcripts look like, for the log of the stage manifest."""

import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ds2 import params
from ds2.annotation.files import Line
from ds2.data import parts, text
from ds2.data.manifest import Utterance

_EXAMPLES = 5
_COLUMNS = 51  # and one for what is cut off: with the time of a log line before it, a line fits a terminal of 80
_MANY_TIMES = 10  # from here on a text is named as one that is repeated
_FAR_OFF = 3  # times the median of the characters a second, or less than this part of it
_LATIN = re.compile("[A-Za-z]")
_BRACKET = re.compile("[(（【〔]")
_TAG_BEGINS = re.compile("[<＜\\[［{｛&]")  # < may stand as &lt;


@dataclass
class _Seen:
    """How many lines have something, and the first of them."""

    lines: int = 0
    first: str = ""

    def add(self, line: Line, said: str) -> None:
        if not self.lines:
            self.first = f"{line.source.path.name} line {line.number}: {said}"
        self.lines += 1


@dataclass
class Overview:
    """What is seen in the transcripts of accepted lines, collected line by line in their order."""

    expected: int  # lines, over which the examples are spread
    rules: params.TextSettings
    added: int = 0
    examples: list[str] = field(default_factory=list)
    digits: _Seen = field(default_factory=_Seen)
    unsaid: _Seen = field(default_factory=_Seen)  # digits that are left though numbers are to be spoken
    latin: _Seen = field(default_factory=_Seen)
    brackets: _Seen = field(default_factory=_Seen)
    tags: _Seen = field(default_factory=_Seen)
    named: Line | None = None  # the first with a speaker

    def add(self, line: Line, found: str) -> None:
        """Takes a line with the normalised text that became of its transcript."""
        raw = line.transcript
        if self.added * _EXAMPLES >= len(self.examples) * self.expected and len(self.examples) < _EXAMPLES:
            self.examples.append(_change(raw, found))
        self.added += 1
        if self.named is None and line.speaker is not None:
            self.named = line
        if text.has_digit(raw if self.rules.numbers == "spoken" else found):
            self.digits.add(line, _change(raw, found))
            if self.rules.numbers == "spoken" and text.has_digit(found):
                self.unsaid.add(line, _change(raw, found))
        if _LATIN.search(found):
            self.latin.add(line, found)
        if _BRACKET.search(raw):
            self.brackets.add(line, _change(raw, found))
        if _TAG_BEGINS.search(raw) and (tags := text.tags(raw)):
            self.tags.add(line, tags[0])

    def numbers(self) -> dict[str, int]:
        """Counts of lines, flat, for results/data.json."""
        return {"lines_with_digits": self.digits.lines, "lines_with_tags": self.tags.lines}

    def lines(self, accepted: Mapping[str, Sequence[Utterance]]) -> list[str]:
        """Some 20 lines of at most 52 columns, given the utterances of each part."""
        every = [utterance for utterances in accepted.values() for utterance in utterances]
        if not every:
            return []
        found = [f"transcripts as the model learns them, {len(self.examples)} of {len(every):,}:"]
        found += [f"  {example}" for example in self.examples]
        for name, seen in (
            (f"digits (text.numbers: {self.rules.numbers})", self.digits),
            ("digits that cannot be said", self.unsaid),
            ("Latin letters", self.latin),
            ("brackets (their words stay)", self.brackets),
            ("tags (dropped)", self.tags),
        ):
            if seen.lines:
                found += [f"{parts.count(seen.lines, 'line')} with {name}:", f"  first {seen.first}"]
        found += _repetitions(accepted) + _speeds(every)
        return [_cut(line) for line in found]


def _repetitions(accepted: Mapping[str, Sequence[Utterance]]) -> list[str]:
    counts = Counter(utterance.text for utterances in accepted.values() for utterance in utterances)
    [(most, times)] = counts.most_common(1)
    found = []
    if times >= _MANY_TIMES:
        often = sum(count for count in counts.values() if count >= _MANY_TIMES)
        found = [
            f"{parts.count(often, 'line')} with a text of {_MANY_TIMES} lines or more,",
            f"  the most frequent {times:,} times: {most}",
        ]
    trained = {utterance.text for utterance in accepted.get("train", ())}
    tested = accepted.get("test", ())
    if both := sum(utterance.text in trained for utterance in tested):
        found.append(f"{both:,} of {parts.count(len(tested), 'test text')} are trained on too")
    return found


def _speeds(utterances: Sequence[Utterance]) -> list[str]:
    speeds = [len(utterance.text) / utterance.duration for utterance in utterances]
    median = statistics.median(speeds)
    far = [i for i, speed in enumerate(speeds) if not median / _FAR_OFF <= speed <= median * _FAR_OFF]
    found = [f"characters a second: {median:.1f} (median)"]
    if far:
        said = f"{speeds[far[0]]:.1f} in {utterances[far[0]].audio_filepath}"
        found += [f"{parts.count(len(far), 'line')} with {_FAR_OFF} times more or less:", f"  first {said}"]
    return found


def _change(raw: str, found: str) -> str:
    return found if raw == found else f"{_cut(raw, _COLUMNS // 2 - 6)} -> {found}"


def _cut(line: str, most: int = _COLUMNS) -> str:
    """As much of a line as fits, in a terminal where Han characters are two columns wide; nothing that moves it."""
    kept, columns = "", 0
    for character in line:
        if unicodedata.category(character) not in ("Cc", "Cf"):
            columns += 0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
            if columns > most:
                return f"{kept}…"
            kept += character
    return kept
