import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.language_model import model, smoothing, text
from tests.language_model.reference import Reference

SENTENCES = st.lists(st.text("abcd e", min_size=1, max_size=8), min_size=1, max_size=25)
PRUNES = st.lists(st.integers(0, 3), max_size=2).map(lambda more: [0, *sorted(more)])


def contexts(sentences, order):
    """All beginnings of the sentences, with and without their first words, and one that never occurs."""
    found = {"", "edcba"}
    for sentence in sentences:
        for i in range(len(sentence) + 1):
            found.update(sentence[max(0, i - k) : i] for k in range(order))
            found.add(sentence[:i])
    return sorted(found)


@given(SENTENCES, st.integers(2, 4), PRUNES)
def test_after_every_beginning_the_probabilities_of_all_words_add_up_to_one(sentences, order, prune):
    estimated = model.estimate(sentences, "char", order, prune[:order])
    characters = [" " if word == "<space>" else word for word in estimated.words[3:]]
    for context in contexts(sentences, order):
        # The score of the word after the context, and of </s>; 中 is unknown.
        ends = [estimated.log_probabilities([context + word])[len(context)] for word in [*characters, "中"]]
        ends.append(estimated.log_probabilities([context])[len(context)])
        assert np.sum(10.0 ** np.array(ends)) == pytest.approx(1, abs=1e-9)


@given(SENTENCES, st.lists(st.text("abcd e中", max_size=8), min_size=1, max_size=5), st.integers(2, 5), PRUNES)
def test_scores_are_those_of_the_definition(sentences, others, order, prune):
    prune = prune[:order]
    estimated = model.estimate(sentences, "char", order, prune)
    padded = [*prune, *[prune[-1]] * (order - len(prune))]
    reference = Reference([text.words_of(sentence, "char") for sentence in sentences], order, padded)
    expected = []
    for sentence in [*sentences, *others]:
        words = [w if w in reference.words else "<unk>" for w in text.words_of(sentence, "char")]
        line = ("<s>", *words, "</s>")
        expected += [reference.probability(line[:i], line[i]) for i in range(1, len(line))]
    found = estimated.log_probabilities([*sentences, *others])
    np.testing.assert_allclose(found, np.log10(expected), atol=1e-9)


def test_words_are_what_the_unit_says():
    for unit, words in (("char", ["a", "b", "<space>"]), ("word", ["ab", "ba"])):
        estimated = model.estimate(["ab ba", "ab"], unit, 2, [])
        assert sorted(estimated.words[3:]) == sorted(words)
        assert len(estimated.log_probabilities(["ab ba"])) == {"char": 6, "word": 3}[unit]
        metrics = estimated.numbers(["ab ba", "ba"])
        scores = estimated.log_probabilities(["ab ba", "ba"])
        assert metrics["lm_words"] == 3 + len(words)
        assert metrics["lm_dev_perplexity"] == pytest.approx(10 ** -scores.mean(), abs=6e-4)
        assert metrics["lm_ngrams"] == sum(int(level.kept.sum()) for level in estimated.levels)


def test_discounts_are_those_of_the_paper():
    adjusted = np.repeat([0, 1, 2, 3, 4, 5, 9], [3, 100, 40, 20, 10, 7, 1])
    y = 100 / 180
    expected = (1 - 2 * y * 40 / 100, 2 - 3 * y * 20 / 40, 3 - 4 * y * 10 / 20)
    assert smoothing.discounts(adjusted) == pytest.approx(expected)


@pytest.mark.parametrize("counts", [[1, 1, 1], [2, 3, 4], [1] * 100 + [2] * 10 + [3] * 50, [1] * 4 + [2, 3], []])
def test_too_few_n_grams_or_impossible_discounts_give_the_fallback(counts):
    assert smoothing.discounts(np.array(counts, np.int64)) == smoothing.FALLBACK
