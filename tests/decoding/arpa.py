"""Small language models for tests: interpolated Witten-Bell estimates, written as back-off ARPA files."""

import math
from collections import Counter, defaultdict


def write(path, sentences, order):
    """An ARPA file of sentences, each a list of words. <unk> is a word that was never seen."""
    counts = [Counter() for _ in range(order + 1)]
    for sentence in sentences:
        words = ["<s>", *sentence, "</s>"]
        for n in range(1, order + 1):
            counts[n].update(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    del counts[1][("<s>",)]
    follow = [defaultdict(lambda: [0, 0]) for _ in range(order + 1)]
    for n in range(1, order + 1):
        for gram, count in counts[n].items():
            follow[n][gram[:-1]][0] += count
            follow[n][gram[:-1]][1] += 1
    probabilities = [{} for _ in range(order + 1)]
    for n in range(1, order + 1):
        for gram, count in counts[n].items():
            total, kinds = follow[n][gram[:-1]]
            lower = probabilities[n - 1][gram[1:]] if n > 1 else 1 / (len(counts[1]) + 1)
            probabilities[n][gram] = (count + kinds * lower) / (total + kinds)
    total, kinds = follow[1][()]
    unknown = kinds / (len(counts[1]) + 1) / (total + kinds)

    def backoff(gram):
        n = len(gram) + 1
        if n > order:
            return ""
        total, kinds = follow[n].get(gram, (1, 0))
        return f"\t{math.log10(kinds / (total + kinds)) if kinds else 0.0:.7f}"

    lines = ["\\data\\"]
    lines += [f"ngram {n}={len(probabilities[n]) + 2 * (n == 1)}" for n in range(1, order + 1)]
    for n in range(1, order + 1):
        lines += ["", f"\\{n}-grams:"]
        if n == 1:
            lines += [f"{math.log10(unknown):.7f}\t<unk>{backoff(('<unk>',))}", f"-99\t<s>{backoff(('<s>',))}"]
        lines += [f"{math.log10(p):.7f}\t{' '.join(gram)}{backoff(gram)}" for gram, p in probabilities[n].items()]
    path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")
    return path
