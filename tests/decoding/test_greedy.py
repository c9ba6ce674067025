import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.data.vocabulary import Vocabulary
from ds2.decoding import greedy

VOCABULARY = Vocabulary(["<blank>", "<unk>", "你", "<space>", "a"])
TOKENS = len(VOCABULARY)

paths = st.lists(st.integers(0, TOKENS - 1), max_size=30)


def logits_of(batch, longest, seed=0):
    """[B, T, tokens] whose most likely tokens are the paths'; the padding speaks of anything."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1, (len(batch), longest, TOKENS)).astype(np.float32)
    for row, path in zip(logits, batch, strict=True):
        for step, token in enumerate(path):
            row[step, token] = row[step].max() + 1.0
    return logits, np.array([len(path) for path in batch], np.int64)


def naive(path):
    collapsed = []
    for i, token in enumerate(path):
        if i == 0 or token != path[i - 1]:
            collapsed.append(token)
    return [token for token in collapsed if token != 0]


@given(st.lists(paths, min_size=1, max_size=5), st.integers(0, 10), st.integers(0, 100))
def test_repeats_are_collapsed_then_blanks_removed(batch, padding, seed):
    logits, steps = logits_of(batch, max(map(len, batch)) + padding, seed)
    found = [ids.tolist() for ids in greedy.best_path(logits, steps)]
    assert found == [naive(path) for path in batch]


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
    assert [ids.tolist() for ids in greedy.best_path(*logits_of([path], 10))] == [labels]


@given(paths, st.integers(0, 20))
def test_what_stands_in_the_padding_does_not_matter(path, padding):
    found = [
        [ids.tolist() for ids in greedy.best_path(*logits_of([path], len(path) + padding, seed))] for seed in range(3)
    ]
    assert found[0] == found[1] == found[2]


@given(st.lists(paths, min_size=1, max_size=4))
def test_log_probabilities_give_the_same_as_logits(batch):
    logits, steps = logits_of(batch, 30)
    normalised = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    assert greedy.decode(logits, steps, VOCABULARY) == greedy.decode(normalised, steps, VOCABULARY)


def test_a_space_is_a_space_and_an_unknown_character_is_one_wrong_character():
    logits, steps = logits_of([[2, 0, 3, 3, 4, 4], [1, 1, 0, 1], [2]], 9)
    assert greedy.decode(logits, steps, VOCABULARY) == ["你 a", "\ufffd\ufffd", "你"]


def test_no_utterances_give_no_texts():
    assert greedy.decode(np.zeros((0, 4, TOKENS), np.float32), np.zeros(0, np.int64), VOCABULARY) == []


def test_as_many_lengths_as_utterances_are_needed():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        greedy.decode(np.zeros((2, 4, TOKENS), np.float32), np.array([4]), VOCABULARY)
