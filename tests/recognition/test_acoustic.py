import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.recognition.acoustic import log_softmax


@given(st.integers(0, 10**6), st.floats(-1000, 1000))
def test_log_softmax_is_normalised_whatever_is_added(seed, offset):
    logits = np.random.default_rng(seed).normal(0, 3, (4, 7))
    logs = log_softmax(logits + offset)
    assert np.exp(logs).sum(axis=1) == pytest.approx(np.ones(4))
    assert logs == pytest.approx(log_softmax(logits), abs=1e-9)
