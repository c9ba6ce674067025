"""From annotations to manifests: every line is accepted into one part of the data or rejected with a reason."""

import functools
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ds2 import layout, parallel, params
from ds2.annotation import columns, duplicates, files, splits
from ds2.annotation.duplicates import Accepted
from ds2.annotation.files import Line, Rejection, Source
from ds2.annotation.overview import Overview
from ds2.annotation.rates import Rates
from ds2.annotation.splits import Rule
from ds2.audio import reading
from ds2.audio.piece import WHOLE, Piece
from ds2.data import frames, parts, text
from ds2.data.manifest import Utterance
from ds2.errors import UserError
from ds2.params.networks import frames_a_step

_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Screened:
    """The outcome: accepted utterances of each part, rejected lines, the number of lines, and how parts were made."""

    accepted: dict[str, list[Utterance]]
    rejected: list[Rejection]
    lines: int
    rule: Rule  # that divided the utterances of files without a part in their name
    divided: dict[str, list[Utterance]]  # these utterances, in the parts they came into
    mixed: list[Utterance]  # of which the mean of several channels is taken
    opposite: list[Utterance]  # of which the loudest channel is taken, because they cancel each other
    rates: Rates
    transcripts: Overview  # of the accepted lines
    copies: list[tuple[Line, Line]]  # accepted lines, each with an earlier one of the same audio in its part

    def numbers(self) -> dict[str, int | float]:
        """Counts and hours, flat, for results/data.json."""
        found: dict[str, int | float] = {
            "lines": self.lines,
            "lines_accepted": sum(map(len, self.accepted.values())),
            "rejected": len(self.rejected),
        }
        for split, utterances in self.accepted.items():
            size = parts.Size.of(utterances)
            found[f"{split}_utterances"] = size.utterances
            found[f"{split}_hours"] = round(size.seconds / 3600, 4)
            found[f"{split}_speakers"] = size.speakers
        for split, share in parts.shares(self.divided).items():
            if self.rule.asked().get(split) and split != "train":
                found[f"{split}_share"] = round(share, 4)
        for reason, count in sorted(Counter(r.reason for r in self.rejected).items()):
            found[f"rejected_{reason}"] = count
        return found | self.rates.numbers() | self.transcripts.numbers()


def screen(
    sources: Sequence[Source], settings: params.Params, workers: int, placed: Mapping[str, str] | None = None
) -> Screened:
    """Reads all annotation files and inspects all audio, in `workers` processes.

    Of two good lines with the same audio in different parts the first one counts, by source and line. Of the
    parameters the sections manifest, text, features and model count. Speakers that are `placed` are in the part that
    this names.
    """
    lines, rejected = _well_formed(sources)
    look = functools.partial(_screen_lines, settings=settings)
    count = len(lines) + len(rejected)
    results = parallel.ordered_map(look, parallel.chunks(lines, _CHUNK), len(lines), workers, "manifest")
    good: list[tuple[Line, Accepted]] = []
    for line, result in zip(lines, itertools.chain.from_iterable(results), strict=True):
        if isinstance(result, Rejection):
            rejected.append(result)
        else:
            good.append((line, result))
    rule = Rule.of(sources, settings.manifest, placed or {})
    parts_of = [rule.part(line.source, utterance) for line, (utterance, *_) in good]
    # Only now: a line that is not used takes no other one's place.
    repeated = duplicates.find(good, parts_of, workers)
    rejected += repeated.rejected.values()
    accepted: dict[str, list[Utterance]] = {split: [] for split in layout.SPLITS}
    divided: dict[str, list[Utterance]] = {split: [] for split in layout.SPLITS}
    mixed: list[Utterance] = []
    opposite: list[Utterance] = []
    rates = Rates(settings.features.sample_rate)
    transcripts = Overview(len(good), settings.text)
    for position, (part, (line, (utterance, info, _))) in enumerate(zip(parts_of, good, strict=True)):
        if position in repeated.rejected:
            continue
        accepted[part].append(utterance)
        rates.add(part, info.rate, utterance.duration)
        transcripts.add(line, utterance.text)
        if rule.divides(line.source):
            divided[part].append(utterance)
        if info.channels > 1 and utterance.channel is None:
            (mixed if info.instead is None else opposite).append(utterance)
    order = {source.path: position for position, source in enumerate(sources)}
    rejected.sort(key=lambda rejection: (order[rejection.source.path], rejection.number))
    copies = [(good[position][0], good[earlier][0]) for position, earlier in sorted(repeated.kept.items())]
    return Screened(accepted, rejected, count, rule, divided, mixed, opposite, rates, transcripts, copies)


def check(screened: Screened, settings: params.Params) -> None:
    """Raises UserError when the outcome is of no use.

    That is: too many lines are rejected, transcripts and speakers are exchanged, or a part of the data is empty.
    """
    if screened.lines == 0:
        raise UserError(f"the files of {layout.ANNOTATION} are empty")
    if sentence := too_many_rejected(screened, settings.manifest):
        raise UserError(f"{sentence}; all are in {layout.REJECTED}")
    columns.check(_named(screened), screened.transcripts.named)
    divided = list(itertools.chain.from_iterable(screened.divided.values()))
    for split, utterances in screened.accepted.items():
        if not utterances:
            raise UserError(
                f"the {split} part is empty ({screened.lines} lines, {len(screened.rejected)} rejected): "
                + splits.remedy(split, divided, screened.rule)
            )


def too_many_rejected(screened: Screened, manifest: params.ManifestSettings) -> str | None:
    """What is wrong where more lines are rejected than manifest.max_rejected_fraction allows, with the first."""
    share, limit = len(screened.rejected) / screened.lines, manifest.max_rejected_fraction
    if share <= limit:
        return None
    first = screened.rejected[0]
    reasons = Counter(rejection.reason for rejection in screened.rejected).most_common(3)
    return (
        f"{len(screened.rejected)} of {screened.lines} lines are rejected "
        f"({', '.join(f'{count} {reason}' for reason, count in reasons)}), more than "
        f"manifest.max_rejected_fraction ({limit:g}) allows; the first is {first.source.path} line "
        f"{first.number}: {first.detail}"
    )


def doubt(screened: Screened) -> str | None:
    """What looks wrong in accepted lines and may still be right: speakers where the transcripts should be."""
    return columns.doubt(_named(screened))


def _named(screened: Screened) -> list[Utterance]:
    return [u for utterances in screened.accepted.values() for u in utterances if u.speaker is not None]


def channel_notes(screened: Screened) -> list[str]:
    """What is done with recordings of several channels, with the first of each kind."""
    found = []
    if mixed := screened.mixed:
        found.append(
            f"{parts.count(len(mixed), 'utterance')} of recordings with more than one channel: the channels are mixed "
            f"(first: {mixed[0].name}); a .jsonl annotation can name one, with channel, from 0"
        )
    if opposite := screened.opposite:
        found.append(
            f"{parts.count(len(opposite), 'utterance')} of recordings whose channels cancel each other (opposite "
            f"phase): the loudest channel is taken (first: {opposite[0].name})"
        )
    return found


def _well_formed(sources: Iterable[Source]) -> tuple[list[Line], list[Rejection]]:
    lines: list[Line] = []
    rejected: list[Rejection] = []
    for line in itertools.chain.from_iterable(map(files.read, sources)):
        (rejected if isinstance(line, Rejection) else lines).append(line)
    return lines, rejected


def _screen_lines(lines: Sequence[Line], settings: params.Params) -> list[Accepted | Rejection]:
    return [_screen_line(line, settings) for line in lines]


def _screen_line(line: Line, settings: params.Params) -> Accepted | Rejection:
    def reject(reason: str, detail: str) -> Rejection:
        return Rejection(line.source, line.number, reason, detail, line.audio)

    transcript = text.normalize(line.transcript, settings.text)
    if not transcript:
        if not line.transcript:
            return reject("empty_text", "there is no transcript after the tab")
        return reject("empty_text", f"nothing is left of the transcript {line.transcript!r} after normalisation")
    if settings.text.numbers == "reject" and text.has_digit(transcript):
        return reject(
            "digits", f"digits in {line.transcript!r}: write numbers as they are said, or change text.numbers"
        )
    path = layout.audio_file(line.audio)
    try:
        found = reading.inspect(path, line.piece)
    except reading.PieceError as error:
        return reject("no_such_piece", f"{line.audio}: {error}")
    except reading.AudioError as error:
        if os.path.exists(path):
            return reject("unreadable_audio", f"{line.audio}: {error}")
        return reject("missing_audio", f"{line.audio}: {error}{_where_else(line)}")
    duration, bounds = found.duration, settings.manifest
    if duration < bounds.min_duration:
        return reject("too_short", f"{duration:.3f} s, less than manifest.min_duration ({bounds.min_duration:g} s)")
    if duration > bounds.max_duration:
        return reject("too_long", f"{duration:.3f} s, more than manifest.max_duration ({bounds.max_duration:g} s)")
    heard = frames.frames_of_duration(duration, settings.features.sample_rate)
    steps, needed = frames.count_steps(heard, frames_a_step(settings.model)), frames.steps_needed(transcript)
    if needed > steps:
        return reject(
            "too_many_labels",
            f"{len(transcript)} characters need {needed} output steps, but {duration:.3f} s give {steps}: "
            "is it the transcript of this audio?",
        )
    piece = line.piece
    utterance = Utterance(
        line.audio, round(duration, 6), transcript, line.speaker, line.extra, piece.offset, piece.channel
    )
    # A file is looked at once, whatever pieces of it are asked for.
    whole = found if piece == WHOLE else reading.inspect(path, Piece(0.0, channel=0))
    return Accepted(utterance, found, whole.samples)


def _where_else(line: Line) -> str:
    """A word on the usual mistake: paths relative to the list, not to the repository."""
    if Path(line.audio).is_absolute():
        return ""
    beside = line.source.path.parent / line.audio
    if os.path.exists(beside):
        return f"; {beside} exists: paths are relative to the repository's root, not to the list"
    return "; paths are relative to the repository's root"
