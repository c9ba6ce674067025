"""The tokens of the network's output: characters, each with its id."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ds2.errors import UserError
from ds2.files import replacing

BLANK, UNKNOWN, SPACE = "<blank>", "<unk>", "<space>"
BLANK_ID, UNKNOWN_ID = 0, 1


class Vocabulary:
    """Tokens in the order of their ids: <blank>, <unk>, then characters; a space is "<space>"."""

    def __init__(self, tokens: Sequence[str]) -> None:
        """Raises ValueError when the tokens do not start with <blank> and <unk>, or one stands twice."""
        self.tokens = tuple(tokens)
        if self.tokens[:2] != (BLANK, UNKNOWN):
            raise ValueError(f"it must start with {BLANK} and {UNKNOWN}")
        for token in self.tokens[2:]:
            if len(_character(token)) != 1:
                raise ValueError(f"{token!r} is not a character")
        self._ids = {_character(token): i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            twice = next(token for token, count in Counter(map(_character, self.tokens)).items() if count > 1)
            raise ValueError(f"{twice!r} stands in it twice")

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.tokens == other.tokens

    @classmethod
    def of(cls, transcripts: Iterable[str], count_threshold: int = 1) -> "Vocabulary":
        """Characters of normalised transcripts that occur so often at least, by falling count, then by code point."""
        counts: Counter[str] = Counter()
        for transcript in transcripts:
            counts.update(transcript)
        kept = sorted((-count, character) for character, count in counts.items() if count >= count_threshold)
        return cls([BLANK, UNKNOWN, *(SPACE if character == " " else character for _, character in kept)])

    @classmethod
    def read(cls, path: Path) -> "Vocabulary":
        """Reads vocabulary.txt; raises UserError when it does not exist or is not such a file."""
        try:
            return cls(path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n"))
        except FileNotFoundError:
            raise UserError(f"{path} does not exist: run dvc repro vocabulary") from None
        except ValueError as error:
            raise UserError(f"{path} is not a vocabulary: {error}") from None

    def write(self, path: Path) -> None:
        """One token a line; the line number, from 0, is the id."""
        with replacing(path) as file:
            file.writelines(f"{token}\n" for token in self.tokens)

    def encode(self, text: str) -> np.ndarray:
        """The ids of a normalised text, int32 [n]; <unk> for what the vocabulary lacks."""
        return np.array([self._ids.get(character, UNKNOWN_ID) for character in text], np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids that are not blanks; an <unk> shows as U+FFFD, so that it counts as one wrong character."""
        return "".join("\ufffd" if i == UNKNOWN_ID else _character(self.tokens[i]) for i in ids)


def _character(token: str) -> str:
    return " " if token == SPACE else token
