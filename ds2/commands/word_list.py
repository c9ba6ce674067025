"""Lists of hot words, as the option --hot-words takes them."""

import codecs
from argparse import ArgumentTypeError
from pathlib import Path

from ds2.data.text import normalize
from ds2.errors import UserError
from ds2.params import numbers

# Of a word that no boost is given for; greatest of all, as evaluate.hot_words has it.
_USUAL, _MOST = 5.0, 1000.0


def read(path: Path) -> dict[str, float]:
    """Reads a list of words, one a line in UTF-8, each with a tab and its boost or else with a boost of 5.

    Raises:
        UserError: the list cannot be read, or what a line has is not a word or not a boost; it names the line.
    """
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): it should be a list of hot words") from None
    found: dict[str, float] = {}
    for number, line in enumerate(lines, start=1):
        where = f"{path} line {number}"
        try:
            word, tab, boost = line.decode("utf-8").strip("\r").partition("\t")
        except UnicodeDecodeError as error:
            raise UserError(f"{where}: byte {error.start + 1} is not UTF-8: save the file as UTF-8") from None
        if not word.strip() and not tab:
            continue
        if not normalize(word):
            raise UserError(f"{where}: there is no letter or digit in the word {word.strip()!r}")
        found[word.strip()] = _boost(where, boost) if tab else _USUAL
    return found


def _boost(where: str, text: str) -> float:
    try:
        value = numbers.real(0.0, _MOST)(text.strip())
    except ArgumentTypeError:
        value = 0.0
    if value == 0.0:
        raise UserError(
            f"{where}: the boost {text.strip()[:40]!r} should be a number above 0 and up to {_MOST:g}: a line is a "
            "word, or a word, a tab and its boost"
        )
    return value
