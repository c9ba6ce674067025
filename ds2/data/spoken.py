"""Numbers as they are said, in Mandarin and English, by wetext: WeTextProcessing's grammars without its compiler."""

import functools
import re
from typing import Any

_DIGIT = re.compile(r"[0-9]")
_LATIN = r"A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
# 1990s, which wetext takes for seconds: it knows '90s.
_DECADE = re.compile(r"\b([12][0-9])([2-9]0)s\b")


def say(text: str, han: str) -> str:
    """Writes the numbers, dates, times, sums and units of a text as they are said, in one line.

    A number is said in English in a text with Latin letters and without Han characters, and between two Latin letters
    of a mixed one; else in Mandarin. Texts with letters of other scripts keep their digits, Japanese ones too, and so
    do numbers that wetext cannot say.

    Args:
        text: after NFKC, with its punctuation.
        han: all Han characters, as a range of a regular expression.
    """
    if not _DIGIT.search(text) or _other(han).search(text):
        return text
    text = " ".join(text.split())
    if re.search(f"[{han}]", text):
        return _said("zh", _english(han).sub(lambda found: _said("en", found[0]), text))
    return _said("en" if re.search(f"[{_LATIN}]", text) else "zh", text)


@functools.cache
def _other(han: str) -> re.Pattern[str]:
    """A letter neither Han nor Latin; Greek ones stand in texts of both."""
    return re.compile(rf"(?![{han}{_LATIN}\u0370-\u03ff])[^\W\d_]")


@functools.cache
def _english(han: str) -> re.Pattern[str]:
    """What is English in a text with Han characters: from a Latin letter to another, without any between them."""
    return re.compile(rf"[{_LATIN}][^{han}]*[{_LATIN}]")


@functools.cache
def _normalizer(language: str) -> Any:
    import wetext  # not at the top: most texts keep their numbers

    return wetext.Normalizer(lang=language, operator="tn")


def _said(language: str, text: str) -> str:
    if not _DIGIT.search(text):
        return text
    try:
        return _normalizer(language).normalize(_DECADE.sub(r"\1 '\2s", text) if language == "en" else text)
    except (AssertionError, RuntimeError):  # no way through its grammar: 5€ in English
        return text
