"""Whether transcripts and speakers stand in each other's column: nothing else of the annotation would show it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ds2.annotation.files import Line
from ds2.data import text
from ds2.data.manifest import Utterance
from ds2.errors import UserError

_ID = re.compile(r"(?=\D*\d)[a-z0-9]+( [a-z0-9]+){0,2}", re.IGNORECASE)  # s0002, bac009s0002, speaker 12
_FEWEST = 10  # lines, below which nothing is certain by counting


@dataclass(frozen=True)
class _Kinds:
    """Shares of the utterances that name a speaker."""

    transcripts_like_sentences: float
    transcripts_like_ids: float
    speakers_of_words: float
    speakers_like_sentences: float
    different_transcripts: float
    different_speakers: float

    @classmethod
    def of(cls, named: Sequence[Utterance]) -> "_Kinds":
        transcripts, speakers = [u.text for u in named], [u.speaker or "" for u in named]
        ids = [_ID.fullmatch(one) is not None for one in transcripts]
        return cls(
            sum(text.is_wordy(one) and not is_id for one, is_id in zip(transcripts, ids, strict=True)) / len(named),
            sum(ids) / len(named),
            sum(map(text.is_wordy, speakers)) / len(named),
            sum(map(_is_sentence, speakers)) / len(named),
            len(set(transcripts)) / len(named),
            len(set(speakers)) / len(named),
        )


def doubt(named: Sequence[Utterance]) -> str | None:
    """What looks exchanged in utterances with speakers and may still be right; None where nothing does."""
    if not named:
        return None
    kinds = _Kinds.of(named)
    if kinds.transcripts_like_sentences > 0.05 or kinds.speakers_of_words < 0.5:
        return None
    count = round((1 - kinds.transcripts_like_sentences) * len(named))
    return (
        f"{count} of {len(named)} transcripts look like speakers ({named[0].text}) and the "
        f"speakers like transcripts ({named[0].speaker}): a line is audio path, tab, transcript, tab, speaker"
    )


def check(named: Sequence[Utterance], first: Line | None) -> None:
    """Refuses utterances with speakers whose columns are nearly certainly exchanged.

    That they are where the speakers are sentences, which no name of a person is, and the transcripts are such as S0002,
    or repeat while hardly a speaker speaks twice. Words of command by speakers with names stay.

    Args:
        named: utterances with speakers.
        first: the line of the first of them; None where there are none.

    Raises:
        UserError: they are exchanged.
    """
    if not named or first is None:
        return
    kinds = _Kinds.of(named)
    counted = len(named) >= _FEWEST and kinds.different_speakers >= 0.9 and kinds.different_transcripts <= 0.5
    if kinds.speakers_like_sentences >= 0.8 and (counted or kinds.transcripts_like_ids >= 0.95):
        raise UserError(
            f"{first.source.path} line {first.number}: transcript and speaker are exchanged, as in nearly all "
            f"{len(named)} lines with a speaker: the transcript is {first.transcript!r} and the speaker "
            f"{first.speaker!r}. A line is audio path, tab, transcript, tab, speaker: exchange the two, for example "
            "with awk -F'\\t' -v OFS='\\t' '{print $1, $3, $2}', or leave the speakers out"
        )


def _is_sentence(speaker: str) -> bool:
    """Longer than the name of a person: five Han characters or four words."""
    return len(re.findall(f"[{text.HAN}]", speaker)) >= 5 or len(speaker.split()) >= 4
