"""The text of a language model: sentences, their words, the words' ids."""

import array
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from loguru import logger

from ds2 import params
from ds2.data.text import has_digit, normalize
from ds2.data.vocabulary import SPACE
from ds2.errors import UserError

RESERVED = ("<unk>", "<s>", "</s>")
UNKNOWN_ID, BEGIN_ID, END_ID = 0, 1, 2


def words_of(sentence: str, unit: str) -> list[str]:
    """The words of a normalised sentence: its characters as in vocabulary.txt (unit "char") or what spaces separate."""
    if unit == "word":
        return sentence.split()
    return [SPACE if character == " " else character for character in sentence]


def read_sentences(path: Path, rules: params.TextSettings) -> Iterator[str]:
    """The lines of a text file, normalised as transcripts are; those without a letter or digit are left out.

    So are those with digits, where transcripts with digits are rejected; the log says how many.

    Raises:
        UserError: the file cannot be read, or a line is not UTF-8.
    """
    with_digits: list[int] = []
    try:
        with open(path, "rb") as file:
            for number, raw in enumerate(file, start=1):
                try:
                    sentence = normalize(raw.decode("utf-8"), rules)
                except UnicodeDecodeError as error:
                    raise UserError(
                        f"{path} line {number}: byte {error.start + 1} is not UTF-8: save the file as UTF-8"
                    ) from None
                if rules.numbers == "reject" and has_digit(sentence):
                    with_digits.append(number)
                elif sentence:
                    yield sentence
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: lm.extra_text names text files, one sentence a line") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if with_digits:
        logger.warning(
            f"{path}: {len(with_digits)} lines with digits are left out (text.numbers: reject), the first is line "
            f"{with_digits[0]}"
        )


def number(sentences: Iterable[str], unit: str) -> tuple[list[str], np.ndarray]:
    """Numbers the words of sentences in the order in which they come; those without words do not count.

    Returns the words by id, beginning with <unk>, <s> and </s>, and the ids, int32 [n], each sentence ended by </s>.

    Raises:
        UserError: there are no sentences, or a reserved word is among the words.
    """
    numbers = defaultdict(itertools.count(len(RESERVED)).__next__)
    ids = array.array("i")
    for sentence in sentences:
        if words := words_of(sentence, unit):
            ids.extend(map(numbers.__getitem__, words))
            ids.append(END_ID)
    if not ids:
        raise UserError("the training transcripts and lm.extra_text hold no text to estimate a language model from")
    for word in RESERVED:
        if word in numbers:
            raise UserError(
                f"the word {word} of the training text means something else in a language model: leave it out"
            )
    return [*RESERVED, *numbers], np.frombuffer(ids, np.int32)


def look_up(sentences: Iterable[str], unit: str, words: Sequence[str]) -> np.ndarray:
    """The ids, int32 [n], of other sentences' words; <unk> for what `words` lacks; each sentence ended by </s>."""
    numbers = {word: i for i, word in enumerate(words) if i >= len(RESERVED)}
    ids = array.array("i")
    for sentence in sentences:
        ids.extend(numbers.get(word, UNKNOWN_ID) for word in words_of(sentence, unit))
        ids.append(END_ID)
    return np.array(ids, np.int32)
