"""Whether transcripts and speakers stand in each other's column: nothing else of the annotation would show it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ds2.annotation.files import Line
from ds2.data import text
from ds2.data.manifest import Utterance
from ds2.data.scripts import HAN
from ds2.errors import UserError

_ID = re.compile(r"(?=\D*\d)[a-z0-9]+( [a-z0-9]+){0,2}", re.IGNORECASE)  # s0002, bac009s0002, speaker 12
# One that nobody says: letters and digits in one word, or a number of a speaker.
_CERTAIN_ID = re.compile(r"(speaker|spk) \w+|(?=\D*\d)(?=\d*[a-z])[a-z0-9]+", re.IGNORECASE)
_MANY, _FEWEST = 30, 10  # lines, below which counting makes nothing certain, or likely


@dataclass(frozen=True)
class _Kinds:
    """Shares of the utterances that name a speaker."""

    transcripts_like_sentences: float
    transcripts_like_ids: float  # certainly
    speakers_of_words: float
    speakers_like_sentences: float
    speakers_like_plain_sentences: float  # without digits, which descriptions of speakers have
    different_transcripts: float
    different_speakers: float

    @classmethod
    def of(cls, named: Sequence[Utterance]) -> "_Kinds":
        transcripts, speakers = [u.text for u in named], [u.speaker or "" for u in named]
        ids = [_ID.fullmatch(one) is not None for one in transcripts]
        return cls(
            sum(text.is_wordy(one) and not is_id for one, is_id in zip(transcripts, ids, strict=True)) / len(named),
            sum(_CERTAIN_ID.fullmatch(one) is not None for one in transcripts) / len(named),
            sum(map(text.is_wordy, speakers)) / len(named),
            sum(map(_is_sentence, speakers)) / len(named),
            sum(_is_sentence(one) and not text.has_digit(one) for one in speakers) / len(named),
            len(set(transcripts)) / len(named),
            len(set(speakers)) / len(named),
        )

    @property
    def repeat_by_new_speakers(self) -> bool:
        """Whether transcripts repeat while hardly a speaker speaks twice."""
        return self.different_speakers >= 0.9 and self.different_transcripts <= 0.5


def doubt(named: Sequence[Utterance]) -> str | None:
    """What looks exchanged in utterances with speakers and may still be right; None where nothing does."""
    if not named:
        return None
    kinds = _Kinds.of(named)
    order = "a line is audio path, tab, transcript, tab, speaker"
    if kinds.transcripts_like_sentences <= 0.05 and kinds.speakers_of_words >= 0.5:
        count = round((1 - kinds.transcripts_like_sentences) * len(named))
        return (
            f"{count} of {len(named)} transcripts look like speakers ({named[0].text}) and the "
            f"speakers like transcripts ({named[0].speaker}): {order}"
        )
    if len(named) >= _FEWEST and kinds.repeat_by_new_speakers and kinds.speakers_like_sentences >= 0.8:
        return (
            f"transcripts repeat ({named[0].text}) while speakers, as long as sentences, do not "
            f"({named[0].speaker}): {order}"
        )
    return None


def check(named: Sequence[Utterance], first: Line | None) -> None:
    """Refuses utterances with speakers whose columns are nearly certainly exchanged.

    That they are in many lines where the transcripts are a few such as S0002, and the speakers are sentences without
    digits of which hardly one repeats. Commands, wake words and digits stay, whoever speaks them: see `doubt`.

    Args:
        named: utterances with speakers.
        first: the line of the first of them; None where there are none.

    Raises:
        UserError: they are exchanged.
    """
    if not named or first is None:
        return
    kinds = _Kinds.of(named)
    sure = kinds.transcripts_like_ids >= 0.95 and kinds.speakers_like_plain_sentences >= 0.8
    if len(named) >= _MANY and sure and kinds.repeat_by_new_speakers:
        raise UserError(
            f"{first.source.path} line {first.number}: transcript and speaker are exchanged, as in nearly all "
            f"{len(named)} lines with a speaker: the transcript is {first.transcript!r} and the speaker "
            f"{first.speaker!r}. A line is audio path, tab, transcript, tab, speaker: exchange the two, for example "
            "with awk -F'\\t' -v OFS='\\t' '{print $1, $3, $2}', or leave the speakers out"
        )


def _is_sentence(speaker: str) -> bool:
    """Longer than the name of a person: five Han characters or four words."""
    return len(re.findall(f"[{HAN}]", speaker)) >= 5 or len(speaker.split()) >= 4
