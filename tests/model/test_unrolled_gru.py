"""The CPU's GRU against Paddle's, utterance by utterance, and what only it promises."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.model import arrays, unrolled_gru

pytestmark = pytest.mark.wheel


def network(size_in, size, seed=0):
    paddle.seed(seed)
    return paddle.nn.GRU(size_in, size, direction="bidirect")


def batch(lengths, longest, size_in, seed=1):
    values = np.random.default_rng(seed).normal(0, 1, (len(lengths), longest, size_in)).astype(np.float32)
    mask = np.arange(longest)[None] < np.array(lengths)[:, None]
    return paddle.to_tensor(values * mask[:, :, None], stop_gradient=False)


def with_gradients(y, x, gru, seed=2):
    """The output and the gradients of its product with fixed numbers, for the input and all weights."""
    direction = np.random.default_rng(seed).normal(0, 1, y.shape).astype(np.float32)
    return [value.numpy() for value in (y, *paddle.grad([y], [x, *gru.parameters()], [paddle.to_tensor(direction)]))]


def by_paddle(x, lengths, gru):
    """Each utterance by itself, so that there is no padding; where there is nothing, zeros."""
    found = []
    for i, length in enumerate(lengths):
        y = gru(x[i : i + 1, :length])[0] if length else paddle.zeros([1, 0, 2 * gru.hidden_size])
        found.append(paddle.concat([y, paddle.zeros([1, x.shape[1] - length, y.shape[2]])], axis=1))
    return paddle.concat(found)


@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any),
    more=st.integers(0, 2),
    size=st.integers(1, 9),
)
@settings(max_examples=30, deadline=None)
def test_it_equals_paddles_on_each_utterance_alone_with_all_gradients(lengths, more, size):
    gru, x = network(3, size), batch(lengths, max(lengths) + more, 3)
    expected = with_gradients(by_paddle(x, lengths, gru), x, gru)
    found = with_gradients(unrolled_gru.bidirectional(x, lengths, gru), x, gru)
    for left, right in zip(expected, found, strict=True):
        np.testing.assert_allclose(right, left, atol=2e-5)


def test_at_full_size_it_equals_paddles():
    lengths = [40, 33, 7]
    gru, x = network(640, 256), batch([40, 33, 7], 40, 640)
    expected = with_gradients(by_paddle(x, lengths, gru), x, gru)
    found = with_gradients(unrolled_gru.bidirectional(x, lengths, gru), x, gru)
    for left, right in zip(expected, found, strict=True):
        assert np.abs(left - right).max() <= 2e-6 * max(1.0, np.abs(left).max()) * 10


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    lengths = [9, 12, 3]
    gru, x = network(5, 16), batch(lengths, 12, 5)
    results = []
    for threads in (1, 3):
        with ThreadPoolExecutor(threads) as executor:
            monkeypatch.setattr(arrays, "_threads", executor)
            results.append(with_gradients(unrolled_gru.bidirectional(x, lengths, gru), x, gru))
    for one, several in zip(*results, strict=True):
        assert np.array_equal(one, several)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_within_its_utterance(value):
    lengths = [4, 6]
    gru, x = network(3, 4), batch(lengths, 6, 3).detach()
    x[1, 2, 0] = value
    y = unrolled_gru.bidirectional(x, lengths, gru).numpy()
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1]).any() == np.isnan(value)


def test_the_tangent_is_right_to_a_few_units_in_the_last_place():
    x = np.concatenate([np.linspace(-12, 12, 100_001), [1e-30, -1e-8, 0.0, 88.0, -3e38]]).astype(np.float32)
    found = np.array([unrolled_gru._tanh(value) for value in x])
    exact = np.tanh(x.astype(np.float64))
    assert np.abs(found - exact).max() < 4e-7
    assert np.abs(found[exact != 0] / exact[exact != 0] - 1).max() < 6e-7
