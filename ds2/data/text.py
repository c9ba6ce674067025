"""One spelling for every transcript: the normalisation of references before they become labels."""

import functools
import re
import unicodedata
from collections.abc import Iterable

import opencc

from ds2 import params

_HAN = (
    r"\u2e80-\u2fd5\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
_SPACE_BETWEEN_HAN = re.compile(rf"(?<=[{_HAN}]) (?=[{_HAN}])")
_WORDS = re.compile(rf"[{_HAN}]|\S\s+\S")
_COMMON = re.compile(r"[\u4e00-\u9fff]+")


@functools.cache
def _simplifier() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


@functools.lru_cache(maxsize=65536)
def _kept(character: str) -> str:
    """The character, if it is a letter, mark or digit of any script; a space for white space; else nothing."""
    if unicodedata.category(character)[0] in "LMN":
        return character
    return " " if character.isspace() else ""


def _once(text: str, rules: params.TextSettings) -> str:
    text = unicodedata.normalize("NFKC", text)
    if rules.lower_case:
        text = unicodedata.normalize("NFKC", text.lower())
    if rules.simplified and not text.isascii():
        text = _simplifier().convert(text)
    return join(["".join(map(_kept, text))])


def normalize(text: str, rules: params.TextSettings | None = None) -> str:
    """Normalises a transcript; applied twice it changes nothing more.

    NFKC (full-width forms become ordinary ones); lower case; traditional to simplified Chinese (OpenCC's t2s, by
    phrases); punctuation and symbols dropped, while letters, marks and digits of every script stay; no spaces
    between Han characters, one space elsewhere, none at the ends. The rules choose the optional steps; None takes all.
    """
    rules = rules or params.TextSettings()
    if _COMMON.fullmatch(text) and not rules.simplified:
        return text
    # What one pass drops can bring together what the next pass composes or converts; two passes are the rule.
    for _ in range(8):
        before, text = text, _once(text, rules)
        if text == before:
            break
    return text


def is_wordy(text: str) -> bool:
    """Whether there is a Han character or more than one word in it: a sentence rather than a name such as S0002."""
    return _WORDS.search(text) is not None


def join(texts: Iterable[str]) -> str:
    """Normalised texts, said one after the other, as one: no spaces between Han characters, one space elsewhere."""
    return _SPACE_BETWEEN_HAN.sub("", " ".join(" ".join(texts).split()))
