"""A transcript as a file: plain text, JSON, subtitles."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ds2.files import as_json
from ds2.recognition.recognised import Word
from ds2.transcribing import subtitles
from ds2.transcribing.inputs import Input
from ds2.transcribing.transcript import Segment, Spoken, Transcript, in_a_row

# Seconds without a word after which a long recording's text has a new paragraph.
_LONG_PAUSE = 2.0


def txt(found: Transcript) -> str:
    """The text in a line; that of a recording that was cut in paragraphs, which end at pauses of 2 s."""
    texts = list(map(in_a_row, _paragraphs(found.words()))) if found.cut else [found.text]
    return "\n\n".join(texts) + "\n" if found.text else ""


def _paragraphs(words: Sequence[Spoken]) -> Iterator[Sequence[Spoken]]:
    first = 0
    for i in range(1, len(words) + 1):
        if i == len(words) or words[i].start - words[i - 1].end >= _LONG_PAUSE:
            yield words[first:i]
            first = i


def verbose_json(found: Transcript) -> str:
    """JSON in the shape of OpenAI's verbose_json; `confidence` is ours, and no language is claimed."""
    said = [segment for segment in found.segments if segment.text]
    return as_json(
        {
            "task": "transcribe",
            "duration": round(found.duration, 3),
            "text": found.text,
            "confidence": _share(found.confidence),
            "segments": [{"id": i} | _segment(segment) for i, segment in enumerate(said)],
            "words": words(found.words()),
        },
        indent=2,
    )


def words(said: Iterable[Spoken | Word]) -> list[dict[str, Any]]:
    """Words with their times in seconds and their confidences, as JSON has them."""
    return [
        {
            "word": word.text,
            "start": round(word.start, 3),
            "end": round(word.end, 3),
            "confidence": _share(word.confidence),
        }
        for word in said
    ]


def place(given: Input) -> dict[str, Any]:
    """The path of a recording, and what was asked for of it, as JSON has them."""
    piece = {"offset": given.piece.offset, "channel": given.piece.channel}
    return {"path": given.name} | {key: value for key, value in piece.items() if value is not None}


def _segment(segment: Segment) -> dict[str, Any]:
    times = {"start": round(segment.start, 3), "end": round(segment.end, 3)}
    return times | {"text": segment.text, "confidence": _share(segment.confidence)}


def _share(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _subtitles(write: Callable[[Sequence[subtitles.Cue]], str]) -> Callable[[Transcript], str]:
    return lambda found: write(subtitles.cues(found.words(), found.duration))


# By name, which is also the ending of the file.
FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": txt,
    "json": verbose_json,
    **{name: _subtitles(write) for name, write in subtitles.WRITERS.items()},
}


def line(found: Transcript) -> str:
    """The JSON object of a recording, also of one that could not be read, in a line of its own."""
    fields = place(found.given)
    if found.error is not None:
        return as_json(fields | {"error": found.error})
    fields |= {
        "text": found.text,
        "duration": round(found.duration, 3),
        "sample_rate": found.sample_rate,
        "confidence": _share(found.confidence),
    }
    if found.cut:
        fields["segments"] = [
            {"start": round(segment.start, 2), "end": round(segment.end, 2), "text": segment.text}
            for segment in found.segments
        ]
    return as_json(fields)
