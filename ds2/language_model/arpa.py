"""Models as ARPA files, which KenLM and flashlight-text read."""

from pathlib import Path

import numpy as np

from ds2.files import replacing
from ds2.language_model.model import Model

CHUNK = 1 << 20


def write(path: Path, model: Model) -> None:
    """Writes a model, taking the place of a file that is there when it is complete.

    Probabilities and backoffs are log10; a unigram's words stand in the order of their ids.
    """
    # Objects, so that picking words by ids copies no text.
    words = np.array(model.words, object)
    with replacing(path) as file:
        file.write("\\data\\\n")
        file.writelines(f"ngram {n}={int(level.kept.sum())}\n" for n, level in enumerate(model.levels, start=1))
        for n, level in enumerate(model.levels, start=1):
            file.write(f"\n\\{n}-grams:\n")
            longest = n == len(model.levels)
            line = "%.7f\t" + " ".join(["%s"] * n) + ("\n" if longest else "\t%.7f\n")
            kept = np.flatnonzero(level.kept)
            for start in range(0, len(kept), CHUNK):
                position = grams = kept[start : start + CHUNK]
                columns = [level.probabilities[grams].tolist()]
                for shorter in reversed(model.levels[:n]):
                    columns.append(words[shorter.grams.firsts[position]].tolist())
                    position = shorter.grams.suffixes[position]
                if not longest:
                    columns.append(level.backoffs[grams].tolist())
                file.writelines(map(line.__mod__, zip(*columns, strict=True)))
        file.write("\n\\end\\\n")
