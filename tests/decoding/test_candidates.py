import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.decoding import candidates
from ds2.recognition.acoustic import log_softmax


def random_logs(seed, steps, tokens, sharpness=3.0):
    return log_softmax(np.random.default_rng(seed).normal(0, sharpness, (steps, tokens)))


def naive(row, cutoff_prob, cutoff_top_n):
    kept, total = [], 0.0
    for token in sorted(range(len(row)), key=lambda i: (-row[i], i)):
        if len(kept) == cutoff_top_n or (kept and cutoff_prob < 1 and total >= cutoff_prob):
            break
        kept.append(token)
        total += np.exp(row[token])
    return kept


@given(
    st.integers(0, 10**6), st.integers(0, 8), st.integers(2, 50), st.floats(0.01, 1), st.integers(1, 60), st.booleans()
)
def test_the_likeliest_tokens_up_to_either_limit_are_kept(seed, steps, tokens, cutoff_prob, cutoff_top_n, ties):
    logs = random_logs(seed, steps, tokens)
    if ties:
        logs = log_softmax(logs.round())
    kept = candidates.prune(logs, cutoff_prob, cutoff_top_n)
    assert len(kept.bounds) == steps + 1
    for step in range(steps):
        ids = kept.tokens[kept.bounds[step] : kept.bounds[step + 1]]
        if ties:  # among equals at the limit any may stay
            assert sorted(logs[step, ids]) == sorted(logs[step, naive(logs[step], cutoff_prob, cutoff_top_n)])
        else:
            assert ids.tolist() == naive(logs[step], cutoff_prob, cutoff_top_n)
        scores = kept.scores[kept.bounds[step] : kept.bounds[step + 1]]
        assert scores == pytest.approx(logs[step, ids], abs=1e-5)


def logs_of(*probabilities):
    with np.errstate(divide="ignore"):
        return np.log(np.array([probabilities]))


def test_tokens_whose_probabilities_come_just_to_the_limit_are_enough():
    logs = logs_of(0.125, 0.5, 0.125, 0.25)
    assert candidates.prune(logs, 0.75, 4).tokens.tolist() == [1, 3]
    assert candidates.prune(logs, 0.5, 4).tokens.tolist() == [1]
    assert candidates.prune(logs, 0.7500001, 4).tokens.tolist() == [1, 3, 0]


def test_a_limit_of_one_leaves_nothing_out_though_rounding_makes_the_first_certain():
    assert candidates.prune(logs_of(1e-30, 1.0, 1e-20), 1.0, 3).tokens.tolist() == [1, 2, 0]
    assert candidates.prune(logs_of(1e-30, 1.0, 1e-20), 0.999999, 3).tokens.tolist() == [1]


@pytest.mark.parametrize("most", [1, 2, 40, 4999, 5000, 6000])
def test_of_a_large_vocabulary_the_likeliest_are_kept(most):
    logs = random_logs(1, 3, 5000)
    kept = candidates.prune(logs, 1.0, most)
    for step, row in enumerate(logs):
        assert kept.tokens[kept.bounds[step] : kept.bounds[step + 1]].tolist() == naive(row, 1.0, most)
