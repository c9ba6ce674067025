"""Whether a language model's words are the tokens of a network, which a beam search puts together one by one."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from loguru import logger

from ds2.data.vocabulary import SPACE, Vocabulary
from ds2.errors import UserError

# Of its words' probability, the share of words of several characters above which it is a model of words; and above
# which that is said.
_OF_WORDS, _SUSPICIOUS = 0.3, 0.1
# A model is refused where its words' share of tokens, and the tokens' share that it knows, are both below the first;
# it is said where it knows less than the second.
_HOPELESS, _ENOUGH = 0.2, 0.9


@dataclass(frozen=True)
class Words:
    """The words of a language model, <s> and other marks left out."""

    names: Sequence[str]
    probabilities: np.ndarray  # float64 [n], each word's own, whatever stands before it

    def longer(self) -> tuple[float, str]:
        """The share of their probability that words of several characters have, and the likeliest of those."""
        long = np.array([len(name) > 1 and name != SPACE for name in self.names], bool)
        if not long.any():
            return 0.0, ""
        share = self.probabilities[long].sum() / max(self.probabilities.sum(), 1e-300)
        return float(share), self.names[int(np.argmax(np.where(long, self.probabilities, -1.0)))]


def _words(names: Sequence[str], log10: Sequence[float]) -> Words:
    """Of all words with their log10 probabilities."""
    kept = [i for i, name in enumerate(names) if name == SPACE or not (name[:1] == "<" and name[-1:] == ">")]
    values = np.array([log10[i] for i in kept], np.float64)
    return Words([names[i] for i in kept], 10.0 ** np.minimum(np.nan_to_num(values, nan=-99.0), 0.0))


def of_arpa(path: Path) -> Words:
    """Reads the 1-grams of an ARPA file, and no more; lines that are none are left to the reader of the whole."""
    names, log10, begun = [], [], False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if begun and line.startswith("\\"):
                break
            begun = begun or line.strip() == "\\1-grams:"
            probability, _, rest = line.partition("\t") if "\t" in line else line.strip().partition(" ")
            if begun and rest:
                try:
                    value, name = float(probability), rest.split()[0]
                except (ValueError, IndexError):
                    continue
                log10.append(value)
                names.append(name)
    return _words(names, log10)


def of_binary(path: Path, unigrams: int, stride: int) -> Words | None:
    """Reads the words that build_binary has put at the end of a KenLM binary; None where it was told not to.

    `unigrams` is where the 1-grams begin, each of `stride` bytes with its probability first.
    """
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[-1:] != b"\0" or (at := data.rfind(b"<unk>\0")) < unigrams:
            return None
        names = data[at:-1].decode("utf-8", "replace").split("\0")
        entries = np.frombuffer(data[unigrams : unigrams + stride * len(names)], np.uint8).reshape(-1, stride)
        log10 = -np.abs(entries[:, :4].copy().view("<f4")[:, 0])  # the sign is a mark of KenLM's own
    return _words(names[: len(log10)], log10.tolist())


def check(path: Path, words: Words | None, vocabulary: Vocabulary) -> None:
    """Logs how much of a model and a vocabulary is the same, with a warning where it is little or not known.

    Raises:
        UserError: it is a model of words, or of other characters.
    """
    if words is None:
        logger.warning(f"{path} does not hold its words (build_binary -v): they may be no single characters")
        return
    tokens = vocabulary.tokens[2:]
    names = set(words.names)
    known = len(names.intersection(tokens))
    of_words, of_tokens = known / max(1, len(names)), known / max(1, len(tokens))
    shares = (
        f"{path}: {of_words:.1%} of its {len(names)} words are tokens of the vocabulary, and it knows {of_tokens:.1%} "
        f"of the {len(tokens)} tokens"
    )
    longer, likeliest = words.longer()
    if longer > _OF_WORDS:
        raise UserError(
            f"{shares}: it is a model of words such as {likeliest}; the beam search needs one whose words are single "
            f"characters, with {SPACE} for a space, as lm.unit: char makes"
        )
    if known and max(of_words, of_tokens) < _HOPELESS:
        raise UserError(f"{shares}: its characters are others; estimate it from text normalised as transcripts are")
    if longer > _SUSPICIOUS:
        logger.warning(f"{shares}; words of several characters, such as {likeliest}, can never be found")
    elif of_tokens < _ENOUGH:
        unknown = next(token for token in tokens if token not in names)
        logger.warning(f"{shares}; others, such as {unknown}, count as unknown and will hardly ever be recognised")
    else:
        logger.info(shares)


def warn_of_words(name: str, path: Path) -> None:
    """Logs where an ARPA file is a model of words, which the beam search will refuse."""
    longer, likeliest = of_arpa(path).longer()
    if longer > _SUSPICIOUS:
        logger.warning(
            f"{name} has words of several characters, such as {likeliest}; the beam search needs single characters"
        )
