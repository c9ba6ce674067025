"""Numbers as they are said, in Mandarin and English, by wetext: WeTextProcessing's grammars without its compiler."""

import functools
import re
from typing import Any

_DIGIT = re.compile(r"[0-9]")
_LATIN = r"A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
# Letters of Latin text that is not English, as far as they show it.
_ACCENTED = re.compile(r"[\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0300-\u036f\u1e00-\u1eff]")
_THOUSANDS = re.compile(r"(?<!\d)(?<!\d[,.])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![\d,])")
_LONG = re.compile(r"(?<![0-9.])[0-9]{13,}")  # of which wetext's Mandarin says a part as a number
# Numbers that Mandarin would run together: 5,5 and 10 2, but not a date and its time.
_UNCLEAR = re.compile(r"[0-9],[0-9]|(?<!\d[-:]\d)(?<!\d[-:]\d\d)(?<=[0-9]) (?=[0-9])")
_MANDARIN = str.maketrans("0123456789", "零幺二三四五六七八九")
_TEENS = "ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred"
_THOUSAND = re.compile(rf"\b((?:one|two|three|four|five|six|seven|eight|nine|{_TEENS}|{_TENS}) )?thousand\b")
# 1990s, which wetext takes for seconds: it knows '90s.
_DECADE = re.compile(r"\b([12][0-9])([2-9]0)s\b")


def say(text: str, han: str) -> str:
    """Writes the numbers, dates, times, sums and units of a text as they are said, in one line.

    A number is said in English in a text with Latin letters and without Han characters, and between two Latin letters
    of a mixed one; else in Mandarin. Texts with letters of other scripts keep their digits, Japanese ones too, and so
    do those with letters such as ä where English would be, and numbers that wetext cannot say or that are unclear in
    Mandarin: 5,5. Numbers of more than 12 digits are said digit by digit in Mandarin, of more than 15 in English.

    Args:
        text: after NFKC, with its punctuation.
        han: all Han characters, as a range of a regular expression.
    """
    if not _DIGIT.search(text) or _other(han).search(text):
        return text
    text = " ".join(text.split()).replace("\u2044", "/")  # of ½, after NFKC
    if not re.search(f"[{han}]", text):
        return _in_english(text) if re.search(f"[{_LATIN}]", text) else _in_mandarin(text)
    if any(_DIGIT.search(found) and _ACCENTED.search(found) for found in _english(han).findall(text)):
        return text
    return _in_mandarin(_english(han).sub(lambda found: _in_english(found[0]), text))


def _in_english(text: str) -> str:
    if not _DIGIT.search(text) or _ACCENTED.search(text):
        return text
    said = _said("en", _DECADE.sub(r"\1 '\2s", text))
    # wetext says 1,000 as thousand and 1000 as ten hundred.
    said = re.sub(r"\bten hundred\b", "one thousand", said) if "1000" in text else said
    return said if "thousand" in text else _THOUSAND.sub(lambda found: found[0] if found[1] else "one thousand", said)


def _in_mandarin(text: str) -> str:
    text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    if not _DIGIT.search(text) or _UNCLEAR.search(text):
        return text
    return _said("zh", _LONG.sub(lambda found: found[0].translate(_MANDARIN), text))


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
    try:
        return _normalizer(language).normalize(text)
    except (AssertionError, RuntimeError):  # no way through its grammar: 5€ in English
        return text
