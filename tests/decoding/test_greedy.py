import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.data.vocabulary import Vocabulary
from ds2.decoding.greedy import Greedy
from ds2.recognition.acoustic import log_softmax

VOCABULARY = Vocabulary(["<blank>", "<unk>", "你", "<space>", "a"])
TOKENS = len(VOCABULARY)

paths = st.lists(st.integers(0, TOKENS - 1), max_size=30)


def logs_of(path, seed=0):
    """ln P [steps, tokens] whose most likely tokens are the path's."""
    logits = np.random.default_rng(seed).normal(0, 1, (len(path), TOKENS)).astype(np.float32)
    for step, token in enumerate(path):
        logits[step, token] = logits[step].max() + 1.0
    return log_softmax(logits)


def decoded(logs):
    return Greedy().decode(Greedy().prune(logs))


def naive(path):
    collapsed = []
    for i, token in enumerate(path):
        if i == 0 or token != path[i - 1]:
            collapsed.append(token)
    return [token for token in collapsed if token != 0]


@given(paths, st.integers(0, 100))
def test_repeats_are_collapsed_then_blanks_removed(path, seed):
    assert decoded(logs_of(path, seed)).ids.tolist() == naive(path)


@pytest.mark.parametrize(
    ("path", "labels"),
    [
        ([2, 2, 4, 4, 4], [2, 4]),
        ([2, 0, 2], [2, 2]),
        ([0, 0, 2, 0, 0], [2]),
        ([2, 0, 0, 2, 2, 0, 4], [2, 2, 4]),
        ([0, 0], []),
        ([], []),
        ([4], [4]),
    ],
)
def test_a_blank_between_equal_tokens_keeps_them_apart(path, labels):
    assert decoded(logs_of(path)).ids.tolist() == labels


@given(paths)
def test_its_score_is_the_probability_of_the_best_path(path):
    logs = logs_of(path)
    found = decoded(logs)
    expected = sum(float(row[token]) for row, token in zip(logs, path, strict=True))
    assert found.score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("path", "text"), [([2, 0, 3, 3, 4, 4], "你 a"), ([1, 1, 0, 1], "\ufffd\ufffd"), ([2], "你"), ([], "")]
)
def test_a_space_is_a_space_and_an_unknown_character_is_one_wrong_character(path, text):
    assert VOCABULARY.decode(decoded(logs_of(path)).ids) == text
