"""The beam search and all that it asks, as the formulas say it: in pure Python, on dictionaries, nothing left out."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

NEVER = -math.inf
Text = tuple[str, ...]


def added(a: float, b: float) -> float:
    """ln(e^a + e^b)."""
    high, low = max(a, b), min(a, b)
    return high if low == NEVER else high + math.log1p(math.exp(low - high))


class Arpa:
    """A back-off model (Katz 1987), in natural logarithms."""

    def __init__(self, path: Path) -> None:
        self._grams: dict[Text, tuple[float, float]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            fields = line.split("\t")
            if len(fields) > 1:
                backoff = float(fields[2]) if len(fields) > 2 else 0.0
                self._grams[tuple(fields[1].split(" "))] = (float(fields[0]), backoff)
        self._longest = max(map(len, self._grams))

    def ln(self, word: str, before: Text) -> float:
        """ln P(word | before), where <s> stands before everything."""
        word = word if (word,) in self._grams else "<unk>"
        known = tuple(one if (one,) in self._grams else "<unk>" for one in ("<s>", *before))
        context, total = known[len(known) - self._longest + 1 :] if len(known) >= self._longest else known, 0.0
        while (*context, word) not in self._grams:
            total += self._grams.get(context, (0.0, 0.0))[1]
            context = context[1:]
        return (total + self._grams[(*context, word)][0]) * math.log(10)


def boosted(boosts: Mapping[Text, float], text: Text) -> float:
    """The boosts of the hot words in a text."""
    return sum(boost * (text[i : i + len(word)] == word) for word, boost in boosts.items() for i in range(len(text)))


def lent(boosts: Mapping[Text, float], text: Text) -> float:
    """The greatest share of a hot word that a text ends in the middle of."""
    shares = [
        boost * length / len(word)
        for word, boost in boosts.items()
        for length in range(1, len(word))
        if text[-length:] == word[:length]
    ]
    return max(shares, default=0.0)


def search(
    logs: Sequence[Sequence[float]],
    tokens: Sequence[str],
    size: int,
    alpha: float,
    beta: float,
    model: Arpa,
    boosts: Mapping[Text, float],
) -> dict[Text, float]:
    """The texts of the last beam and their scores; token 0 is the blank.

    Hypotheses are pairs of a text and whether its alignments end in a blank.
    """

    def worth(text: Text) -> float:
        spoken = sum(model.ln(word, text[:i]) for i, word in enumerate(text)) if alpha else 0.0
        return alpha * spoken + beta * len(text) + boosted(boosts, text)

    beam: dict[tuple[Text, bool], float] = {((), True): 0.0}
    for step in logs:
        grown: dict[tuple[Text, bool], float] = defaultdict(lambda: NEVER)
        for (text, blank), ln in beam.items():
            grown[text, True] = added(grown[text, True], ln + step[0])
            for word, here in list(zip(tokens, step, strict=True))[1:]:
                repeated = not blank and word == text[-1]
                longer = text if repeated else (*text, word)
                grown[longer, False] = added(grown[longer, False], ln + here)
        scores = {key: ln + worth(key[0]) + lent(boosts, key[0]) for key, ln in grown.items()}
        beam = {key: grown[key] for key in sorted(scores, key=scores.get, reverse=True)[:size]}
    found: dict[Text, float] = defaultdict(lambda: NEVER)
    for (text, _), ln in beam.items():
        found[text] = added(found[text], ln)
    return {text: ln + worth(text) + (alpha * model.ln("</s>", text) if alpha else 0.0) for text, ln in found.items()}
