"""KenLM, as flashlight-text brings it along."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary

from ds2.language_model.text import words_of


def scores(path: Path, sentences: Sequence[str], unit: str) -> np.ndarray:
    """What KenLM makes of each sentence with </s>, log10, float64 [n]."""
    dictionary = Dictionary()
    for word in dict.fromkeys(word for sentence in sentences for word in words_of(sentence, unit)):
        dictionary.add_entry(word)
    model = KenLM(str(path), dictionary)
    totals = []
    for sentence in sentences:
        state, total = model.start(False), 0.0
        for word in words_of(sentence, unit):
            state, score = model.score(state, dictionary.get_index(word))
            total += score
        totals.append(total + model.finish(state)[1])
    return np.array(totals)
