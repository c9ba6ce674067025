"""One spelling for every text: transcripts before they become labels, language-model text and hot words."""

import functools
import html
import html.entities
import re
import unicodedata
from collections.abc import Iterable

import opencc

from ds2 import params
from ds2.data import spoken
from ds2.data.scripts import HAN

# Scripts whose words no spaces separate: Han, kana, Bopomofo, Yi, Thai, Lao, Khmer, Burmese, the Tai scripts, Javanese,
# Balinese. Tibetan is none of them: its tsheg stands between syllables as a space does between words.
_UNSPACED = (
    HAN + r"\u3031-\u3035\u3041-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff\ua000-\ua4cf\U0001aff0-\U0001b16f"
    r"\u0e00-\u0eff\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\uaa80-\uaadf"
    r"\ua980-\ua9df\u1b00-\u1b7f"
)
_SPACE_BETWEEN_HAN = re.compile(rf" (?<=[{HAN}] )(?=[{HAN}])")
_WORDS = re.compile(rf"[{HAN}]|\S\s+\S")
_DIGIT = re.compile(r"\d")
_COMMON = re.compile(r"[\u4e00-\u9fff]+")

_LETTER = rf"[^\W_{_UNSPACED}]"  # or a digit, of a script with spaces between words
_TIME = r"[/|]*\d[\d:.,]*(?:m?s)?\|?"
# An event or sign of the annotators: <unk>, </noise>, <|en|>, <|0.00|>, <00:00:01.000>, [NOISE], {laugh}. No tags, but
# less and greater, are < before a space, a number in <> between digits, words in <> between letters: x<y and y>z.
_TAG = re.compile(
    rf"<\|[^<>]*\|>|<[/|]*[^\W\d_][^<>\s]*>|<\d+:[\d:.,]+>|(?<!\d)<{_TIME}>|<{_TIME}>(?!\d)"
    rf"|<[/|]*[^\W\d_][^<>]*>(?!{_LETTER})|(?<!{_LETTER})<[/|]*[^\W\d_][^<>]*>"
    r"|\[[^\[\]]*\]|\{[^{}]*\}"
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# Symbols whose NFKC is letters that nobody says, pictures among them: ™, ℹ, 🈚; and what U+FE0F makes a picture.
_PICTURE = re.compile(r"[\u2120\u2122\u2139\U0001f100-\U0001f2ff]\ufe0f?|[\u2190-\u2bff\u3030\u303d\u3297\u3299]\ufe0f")
# Digits to NFKC that go on no number: of 10², 1½, 3①.
_SMALL = (
    r"[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070\u2074-\u2079\u2080-\u2089\u2150-\u215f\u2189\u2460-\u249b\u24ea-\u24ff"
    r"\u3251-\u325f\u32b1-\u32bf]"
)
_BESIDE_SMALL = re.compile(rf"(?<=\d)(?={_SMALL})|(?<={_SMALL})(?=\d)")
_APOSTROPHES = frozenset("'’‘‛ʼʻ`′׳՚")
# Letters and marks that are not to be seen, or only stretch a word: fillers, variation selectors, the Arabic tatweel.
_INVISIBLE = re.compile(
    r"[\u034f\u0640\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_JOINERS = re.compile(r"[\u200c\u200d]+")
_ARABIC = re.compile(r"[\u0620-\u06ff\u0750-\u077f\u0870-\u08ff]")
_BREAK = "\0"  # stands for punctuation until it is known what becomes of it
_SEEN = rf"[^\s{_BREAK}]"
_MARKS_ALONE = re.compile(rf"[^\w\s{_BREAK}'](?<!{_SEEN}.)[^\w\s{_BREAK}']*")
_OF_WORDS = rf"[^\s{_BREAK}'{_UNSPACED}]"
_NO_APOSTROPHE = re.compile(rf"(?<!{_OF_WORDS})'|'(?![^\W\d_])|'(?=[{_UNSPACED}])")
_BETWEEN_WORDS = re.compile(rf"(?:(?<={_OF_WORDS})|(?<=\d)){_BREAK}+(?={_OF_WORDS}|\d)")


@functools.cache
def _simplifier() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


@functools.lru_cache(maxsize=65536)
def _kept(character: str) -> str:
    """The character, if it is a letter, mark, digit or joiner; else the space, apostrophe or break that it becomes."""
    if character in _APOSTROPHES:
        return "'"
    kind = unicodedata.category(character)
    if _JOINERS.match(character) or (kind[0] in "LMN" and kind != "Me" and not _INVISIBLE.match(character)):
        return character
    if character.isspace():
        return " "
    return _BREAK if kind[0] in "PS" else ""


def _entity(found: re.Match[str]) -> str:
    name = found[0][1:]
    return html.unescape(found[0]) if name[0] == "#" or name in html.entities.html5 else found[0]


def _with_tags(text: str) -> str:
    """The text after NFKC, without HTML entities, which some have twice (&amp;#39;), and line breaks of subtitles."""
    if "&" in text:
        text = _ENTITY.sub(_entity, _ENTITY.sub(_entity, text))
    if not text.isascii():
        text = _BESIDE_SMALL.sub(" ", _PICTURE.sub(" ", text).replace("´", "'"))
        text = unicodedata.normalize("NFKC", text)
    return text.replace(r"\N", " ")


def _once(text: str, rules: params.TextSettings) -> str:
    text = _with_tags(text)
    if "<" in text or "[" in text or "{" in text:
        text = _TAG.sub(" ", text)
    if rules.numbers == "spoken":
        text = spoken.say(text, HAN)
    if rules.lower_case:
        text = unicodedata.normalize("NFKC", text.lower())
    if rules.simplified and not text.isascii():
        text = _simplifier().convert(text)
    text = "".join(map(_kept, text))
    if not text.isascii():
        text = _MARKS_ALONE.sub("", _JOINERS.sub(_joiner, text))
    if "'" in text:
        text = _NO_APOSTROPHE.sub(_BREAK, text)
    if _BREAK in text:
        text = _BETWEEN_WORDS.sub(" ", text).replace(_BREAK, "")
    return join([text])


def _joiner(found: re.Match[str]) -> str:
    """The first of some joiners where it is part of a word's spelling: beside a virama, within a Persian word."""
    text, first, start, end = found.string, found[0][0], found.start(), found.end()
    before, after = text[max(start - 1, 0) : start], text[end : end + 1]
    if any(one and unicodedata.combining(one) == 9 for one in (before, after)):
        return first if first == "\u200d" or after.isalpha() else ""
    return first if first == "\u200c" and _ARABIC.match(before) and _ARABIC.match(after) else ""


def normalize(text: str, rules: params.TextSettings | None = None) -> str:
    """Normalises a text; applied twice it changes nothing more.

    HTML entities become their characters; NFKC (full-width forms become ordinary ones); tags in <>, [] or {} dropped;
    numbers as they are said, where the rules ask for it; lower case; traditional to simplified Chinese (OpenCC's t2s,
    by phrases). Letters and digits of every script stay, with their marks, and so does an apostrophe within a word, as
    '. All else goes: punctuation and symbols between two letters or digits of scripts with spaces leave a space,
    invisible characters leave nothing. Joiners stay where spelling needs them: beside a virama, and U+200C between
    Arabic letters. No spaces between Han characters, one space elsewhere, none at the ends. A text without a letter or
    digit is empty.

    The rules choose the optional steps; None stands for the defaults.
    """
    rules = rules or params.TextSettings()
    if _COMMON.fullmatch(text) and (not rules.simplified or _simplifier().convert(text) == text):
        return text
    # What one pass drops can bring together what the next pass composes or converts; two passes are the rule.
    for _ in range(8):
        before, text = text, _once(text, rules)
        if text == before:
            break
    return text


def tags(text: str) -> list[str]:
    """The tags of a transcript, which `normalize` drops."""
    return _TAG.findall(_with_tags(text))


def has_digit(text: str) -> bool:
    """Whether there is a digit of any script in it; Han numerals are none."""
    return _DIGIT.search(text) is not None


def is_wordy(text: str) -> bool:
    """Whether there is a Han character or more than one word in it: a sentence rather than a name such as S0002."""
    return _WORDS.search(text) is not None


def join(texts: Iterable[str]) -> str:
    """Normalised texts, said one after the other, as one: no spaces between Han characters, one space elsewhere."""
    return _SPACE_BETWEEN_HAN.sub("", " ".join(" ".join(texts).split()))
