"""Interpolated modified Kneser-Ney word for word as Chen & Goodman define it: slow, and unlike the code under test."""

from collections import Counter, defaultdict
from collections.abc import Sequence

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"


class Reference:
    """probability(context, word) of a text of lists of words."""

    def __init__(self, sentences: Sequence[Sequence[str]], order: int, prune: Sequence[int]) -> None:
        self.words = sorted({word for sentence in sentences for word in sentence} | {END, UNKNOWN})
        self.order = order
        self.raw = [Counter() for _ in range(order + 1)]
        left = defaultdict(set)
        for sentence in sentences:
            line = (BEGIN, *sentence, END)
            for n in range(1, order + 1):
                for i in range(len(line) - n + 1):
                    gram = line[i : i + n]
                    self.raw[n][gram] += 1
                    if i:
                        left[gram].add(line[i - 1])
        del self.raw[1][(BEGIN,)]
        self.adjusted = [Counter() for _ in range(order + 1)]
        for n in range(1, order + 1):
            for gram, count in self.raw[n].items():
                whole = n == order or gram[0] == BEGIN
                self.adjusted[n][gram] = count if whole else len(left[gram])
        self.pruned = {gram for n in range(2, order + 1) for gram, c in self.raw[n].items() if c <= prune[n - 1]}
        self.discounts = [self._discounts(self.adjusted[n].values()) for n in range(order + 1)]
        self.following = defaultdict(list)
        for n in range(1, order + 1):
            for gram, count in self.adjusted[n].items():
                self.following[gram[:-1]].append((gram, count))

    @staticmethod
    def _discounts(counts) -> list[float]:
        of = Counter(counts)
        if not (of[1] and of[2] and of[3]):
            return [0, 0.5, 1, 1.5]
        y = of[1] / (of[1] + 2 * of[2])
        found = [0, *(j - (j + 1) * y * of[j + 1] / of[j] for j in (1, 2, 3))]
        return found if all(1e-6 <= found[j] <= j for j in (1, 2, 3)) else [0, 0.5, 1, 1.5]

    def probability(self, context: tuple[str, ...], word: str) -> float:
        """The interpolated probability, by the definition's recursion."""
        context = context[len(context) - self.order + 1 :] if len(context) >= self.order else context
        n = len(context) + 1
        lower = self.probability(context[1:], word) if context else 1 / len(self.words)
        following = self.following[context]
        total = sum(count for _, count in following)
        if not total:
            return lower
        discount = self.discounts[n]
        own = freed = 0.0
        for gram, count in following:
            if gram in self.pruned:
                freed += count
                continue
            freed += discount[min(count, 3)]
            if gram[-1] == word:
                own = count - discount[min(count, 3)]
        return (own + freed * lower) / total
