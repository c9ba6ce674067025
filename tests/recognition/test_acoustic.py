import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.recognition.acoustic import DivergedError, log_softmax


@given(st.integers(0, 10**6), st.floats(-1000, 1000))
def test_log_softmax_is_normalised_whatever_is_added(seed, offset):
    logits = np.random.default_rng(seed).normal(0, 3, (4, 7))
    logs = log_softmax(logits + offset)
    assert np.exp(logs).sum(axis=1) == pytest.approx(np.ones(4))
    assert logs == pytest.approx(log_softmax(logits), abs=1e-9)


@pytest.mark.parametrize("bad", [[np.nan, 0.0, 1.0], [np.inf, 0.0, 1.0], [np.inf, np.nan, -np.inf], [-np.inf] * 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_output_that_is_no_number_is_refused_before_any_decoder(bad, dtype):
    with pytest.raises(DivergedError, match="not a number: its training diverged"):
        log_softmax(np.array([[1.0, 2.0, 3.0], bad], dtype))


def test_a_token_that_cannot_be_is_a_number():
    assert log_softmax(np.array([[0.0, -np.inf]], np.float32)).tolist() == [[0.0, -np.inf]]
