"""Character and word error rates over a whole corpus, and alignments for people to read."""

import itertools
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True, slots=True)
class Errors:
    """Counts of an alignment with the fewest errors, or of many together."""

    correct: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(
            self.correct + other.correct,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def reference_length(self) -> int:
        """Tokens of the reference."""
        return self.correct + self.substitutions + self.deletions

    @property
    def total(self) -> int:
        """Errors of all kinds."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per token of the reference; it can exceed 1. Without a reference: 0 if there are no errors, else 1."""
        if self.reference_length == 0:
            return float(self.total > 0)
        return self.total / self.reference_length


def compare(reference: Sequence[str], hypothesis: Sequence[str]) -> Errors:
    """Counts the errors of one utterance's tokens."""
    tags = Counter(operation.tag for operation in Levenshtein.editops(reference, hypothesis))
    correct = len(reference) - tags["replace"] - tags["delete"]
    return Errors(correct, tags["replace"], tags["delete"], tags["insert"])


def columns(reference: Sequence[str], hypothesis: Sequence[str]) -> list[tuple[str, str, str]]:
    """An alignment with the fewest errors: the reference's token, the hypothesis's, and S, D, I or nothing.

    The token that is missing in a deletion or an insertion is empty.
    """
    found = []
    for operation in Levenshtein.opcodes(reference, hypothesis):
        left = reference[operation.src_start : operation.src_end]
        right = hypothesis[operation.dest_start : operation.dest_end]
        mark = {"equal": "", "replace": "S", "delete": "D", "insert": "I"}[operation.tag]
        found += [(*pair, mark) for pair in itertools.zip_longest(left, right, fillvalue="")]
    return found


def alignment(reference: Sequence[str], hypothesis: Sequence[str]) -> str:
    """The alignment as sclite prints it: REF and HYP below each other, stars for gaps, S, D or I under errors.

    Columns fit in a terminal that shows Han characters two columns wide.
    """
    rows: tuple[list[str], list[str], list[str]] = ([], [], [])
    for *pair, mark in columns(reference, hypothesis):
        width = max(map(_width, pair))
        for row, cell in zip(rows, (*(text or "*" * width for text in pair), mark), strict=True):
            row.append(cell + " " * (width - _width(cell)))
    return "\n".join(
        f"{label} {' '.join(row)}".rstrip() for label, row in zip(("REF: ", "HYP: ", "Eval:"), rows, strict=True)
    )


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(character) in ("Mn", "Me") for character in text)
