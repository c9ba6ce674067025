from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.language_model import counts, text

SENTENCES = st.lists(st.text("ab c", min_size=1, max_size=7), min_size=1, max_size=12)


def spelled(levels, words, n, i):
    """The words of n-gram i of order n."""
    found = []
    for level in reversed(levels[:n]):
        found.append(words[level.firsts[i]])
        i = level.suffixes[i]
    return tuple(found)


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
@given(SENTENCES, st.integers(2, 5))
def test_every_n_gram_is_counted_however_the_text_is_cut(chunk, sentences, order):
    words, ids = text.number(sentences, "char")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "CHUNK", chunk)
        levels = counts.count(ids, len(words), order)
    lines = [("<s>", *text.words_of(sentence, "char"), "</s>") for sentence in sentences]
    for n, level in enumerate(levels, start=1):
        expected = dict(Counter(line[i : i + n] for line in lines for i in range(len(line) - n + 1)))
        if n == 1:
            expected |= {("<unk>",): 0, ("<s>",): 0}
        found = {spelled(levels, words, n, i): int(level.counts[i]) for i in np.flatnonzero(~level.padded)}
        assert found == expected


@given(SENTENCES, st.integers(2, 5))
def test_the_context_of_an_n_gram_is_all_but_its_last_word(sentences, order):
    words, ids = text.number(sentences, "char")
    levels = counts.count(ids, len(words), order)
    for n, level in enumerate(levels[1:], start=2):
        for i in np.flatnonzero(~level.padded):
            assert spelled(levels, words, n - 1, level.contexts[i]) == spelled(levels, words, n, i)[:-1]


@given(SENTENCES, st.integers(2, 5))
def test_n_grams_are_sorted_by_their_keys(sentences, order):
    words, ids = text.number(sentences, "char")
    for level in counts.count(ids, len(words), order)[1:]:
        assert (np.diff(counts.keys(level.suffixes, level.firsts, len(words))) > 0).all()
