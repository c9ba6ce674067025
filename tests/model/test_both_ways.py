"""The network's own code for CPUs against Paddle's layers, as GPUs use them: outputs, gradients, running statistics."""

import numpy as np
import pytest

from ds2.model import arrays
from tests.model.test_deepspeech2 import MELS, TOKENS, buffers, make, run, step
from tests.training import tiny

pytestmark = pytest.mark.wheel


def close(one, other, share):
    assert set(one) == set(other)
    for name in one:
        largest = max(1.0, np.abs(other[name]).max(initial=0.0))
        assert np.abs(one[name] - other[name]).max(initial=0.0) <= share * largest, name


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_both_ways_through_the_network_agree(layers, monkeypatch):
    batch = tiny.random_batch([90, 40, 63, 12], MELS, TOKENS, extra=9)
    models = [make(num_conv_layers=layers) for _ in range(2)]
    for _ in range(3):
        monkeypatch.undo()
        loss, gradients = step(models[0], batch)
        monkeypatch.setattr(arrays, "on_cpu", lambda tensor: False)
        other_loss, other_gradients = step(models[1], batch)
        assert loss == pytest.approx(other_loss, rel=1e-5)
        close(gradients, other_gradients, 2e-4)
        close(buffers(models[0]), buffers(models[1]), 1e-5)
    for model in models:
        model.eval()
    other = run(models[1], batch)[0].numpy()
    monkeypatch.undo()
    np.testing.assert_allclose(run(models[0], batch)[0].numpy(), other, atol=1e-4)
