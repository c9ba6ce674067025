"""Tensors as arrays and back, with either wheel."""

import numpy as np
import paddle
import pytest

from ds2.model import arrays

pytestmark = pytest.mark.wheel
VIEWS = {
    "whole": lambda values: values,
    "transposed": lambda values: values.transpose([1, 0, 2]),
    "slice": lambda values: values[:, 1:3],
    "later": lambda values: values[1:],
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_the_same_values_on_the_other_side(name):
    values = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
    expected = VIEWS[name](values)
    np.testing.assert_array_equal(arrays.as_array(VIEWS[name](paddle.to_tensor(values))), expected)
    np.testing.assert_array_equal(arrays.as_tensor(expected).numpy(), expected)
