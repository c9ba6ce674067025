"""From annotations to manifests: every line is accepted into one part of the data or rejected with a reason."""

import functools
import hashlib
import itertools
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ds2 import layout, parallel, params
from ds2.audio import reading
from ds2.data import annotation, frames, text
from ds2.data.annotation import Line, Rejection, Source
from ds2.data.manifest import Utterance
from ds2.errors import UserError
from ds2.params.networks import frames_a_step

_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Screened:
    """The outcome: accepted utterances of each part, rejected lines, lines read."""

    accepted: dict[str, list[Utterance]]
    rejected: list[Rejection]
    lines: int

    def metrics(self) -> dict[str, int | float]:
        """Counts and hours, flat, for results/data.json."""
        found: dict[str, int | float] = {
            "lines": self.lines,
            "lines_accepted": sum(map(len, self.accepted.values())),
            "rejected": len(self.rejected),
        }
        for split, utterances in self.accepted.items():
            found[f"{split}_utterances"] = len(utterances)
            found[f"{split}_hours"] = round(sum(u.duration for u in utterances) / 3600, 4)
            found[f"{split}_speakers"] = len({u.speaker for u in utterances} - {None})
        for reason, count in sorted(Counter(r.reason for r in self.rejected).items()):
            found[f"rejected_{reason}"] = count
        return found


def screen(sources: Sequence[Source], settings: params.Params, workers: int) -> Screened:
    """Reads all annotation files and inspects all audio, in `workers` processes.

    Of two lines with the same audio that of the first source wins. The sections manifest, text, features, model count.
    """
    lines, rejected = _unique_lines(sources)
    look = functools.partial(_screen_lines, settings=settings)
    accepted: dict[str, list[Utterance]] = {split: [] for split in layout.SPLITS}
    test_fraction = 0.0 if any(source.split == "test" for source in sources) else settings.manifest.test_fraction
    count = len(lines) + len(rejected)
    found = parallel.ordered_map(look, parallel.chunks(lines, _CHUNK), len(lines), workers, "manifest")
    for line, result in zip(lines, itertools.chain.from_iterable(found), strict=True):
        if isinstance(result, Rejection):
            rejected.append(result)
        else:
            accepted[_split_of(line, settings.manifest.dev_fraction, test_fraction)].append(result)
    order = {source.path: position for position, source in enumerate(sources)}
    rejected.sort(key=lambda rejection: (order[rejection.source.path], rejection.number))
    return Screened(accepted, rejected, count)


def check(screened: Screened, settings: params.Params) -> None:
    """Raises UserError when the outcome is of no use: too many lines are rejected, or a part of the data is empty."""
    if screened.lines == 0:
        raise UserError(f"the files of {layout.ANNOTATION} are empty")
    share, limit = len(screened.rejected) / screened.lines, settings.manifest.max_rejected_fraction
    if share > limit:
        first = screened.rejected[0]
        reasons = Counter(rejection.reason for rejection in screened.rejected).most_common(3)
        raise UserError(
            f"{len(screened.rejected)} of {screened.lines} lines are rejected "
            f"({', '.join(f'{count} {reason}' for reason, count in reasons)}), more than "
            f"manifest.max_rejected_fraction ({limit:g}) allows; the first is {first.source.path} line "
            f"{first.number}: {first.detail}; all are in {layout.REJECTED}"
        )
    for split, utterances in screened.accepted.items():
        if not utterances:
            raise UserError(
                f"the {split} part is empty ({screened.lines} lines, {len(screened.rejected)} rejected): "
                + _remedy(split, screened.accepted["train"], settings.manifest)
            )


def _remedy(split: str, train: Sequence[Utterance], manifest: params.ManifestSettings) -> str:
    """What to do about an empty part: the smallest fraction that holds somebody out, if not all, or a file."""
    if split == "train":
        return "add annotations that are not called dev or test"
    name = f"{split}_fraction"
    given = getattr(manifest, name)
    depths = [_depth(split, _place(u.speaker, u.audio_filepath)) for u in train]
    enough = math.floor(min(depths) * 1000 + 1) / 1000
    held_out = sum(depth < enough for depth in depths)
    if held_out == len(depths) or manifest.dev_fraction + manifest.test_fraction - given + enough >= 1:
        return f"add a file my.{split}.txt, since no manifest.{name} holds out some and not all"
    return (
        f"raise manifest.{name} from {given:g} to {enough:g}, which holds out {held_out} of {len(depths)} utterances, "
        f"or add a file my.{split}.txt"
    )


def doubt(screened: Screened) -> str | None:
    """What looks wrong in accepted lines and may still be right: speakers where the transcripts should be."""
    spoken = [u for utterances in screened.accepted.values() for u in utterances if u.speaker is not None]
    if not spoken:
        return None
    sentences = sum(text.is_wordy(u.text) for u in spoken)
    if sentences > 0.05 * len(spoken) or sum(text.is_wordy(u.speaker) for u in spoken) < 0.5 * len(spoken):
        return None
    return (
        f"{len(spoken) - sentences} of {len(spoken)} transcripts look like speakers ({spoken[0].text}) and the "
        f"speakers like transcripts ({spoken[0].speaker}): a line is audio path, tab, transcript, tab, speaker"
    )


def _split_of(line: Line, dev_fraction: float, test_fraction: float) -> str:
    """Decides by a hash which utterances of undivided files are held out: adding data moves none of them."""
    if line.source.split != "train":
        return line.source.split
    place = _place(line.speaker, line.audio)
    if _depth("dev", place) < dev_fraction:
        return "dev"
    return "test" if _depth("test", place) <= test_fraction else "train"


def _place(speaker: str | None, audio_path: str) -> float:
    """A number in 0..1, always the same for a speaker, or where no one is named for an audio path."""
    key = f"speaker {speaker}" if speaker else f"audio {audio_path}"
    digest = hashlib.blake2b(key.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _depth(split: str, place: float) -> float:
    """The fraction from which on a place is held out, of the two ends: one fraction leaves the other part as it is."""
    return place if split == "dev" else 1.0 - place


def _unique_lines(sources: Iterable[Source]) -> tuple[list[Line], list[Rejection]]:
    lines: list[Line] = []
    rejected: list[Rejection] = []
    seen: dict[str, Line] = {}
    for source in sources:
        for line in annotation.read(source):
            if isinstance(line, Rejection):
                rejected.append(line)
                continue
            first = seen.setdefault(os.path.normpath(layout.audio_file(line.audio)), line)
            if first is line:
                lines.append(line)
            else:
                detail = f"the same audio is already in {first.source.path} line {first.number}"
                rejected.append(Rejection(source, line.number, "duplicate_audio", detail, line.audio))
    return lines, rejected


def _screen_lines(lines: Sequence[Line], settings: params.Params) -> list[Utterance | Rejection]:
    return [_screen_line(line, settings) for line in lines]


def _screen_line(line: Line, settings: params.Params) -> Utterance | Rejection:
    def reject(reason: str, detail: str) -> Rejection:
        return Rejection(line.source, line.number, reason, detail, line.audio)

    transcript = text.normalize(line.transcript, settings.text)
    if not transcript:
        if not line.transcript:
            return reject("empty_text", "there is no transcript after the tab")
        return reject("empty_text", f"nothing is left of the transcript {line.transcript!r} after normalisation")
    path = layout.audio_file(line.audio)
    try:
        rate, samples = reading.inspect(path)
    except reading.AudioError as error:
        if os.path.exists(path):
            return reject("unreadable_audio", f"{line.audio}: {error}")
        return reject("missing_audio", f"{line.audio}: {error}{_where_else(line)}")
    duration, bounds = samples / rate, settings.manifest
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
    return Utterance(line.audio, round(duration, 6), transcript, line.speaker)


def _where_else(line: Line) -> str:
    """A word on the usual mistake: paths relative to the list, not to the repository."""
    if Path(line.audio).is_absolute():
        return ""
    beside = line.source.path.parent / line.audio
    if os.path.exists(beside):
        return f"; {beside} exists: paths are relative to the repository's root, not to the list"
    return "; paths are relative to the repository's root"
