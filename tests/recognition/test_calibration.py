from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ds2.recognition import calibration
from ds2.recognition.calibration import Calibration, Scale

chances = st.floats(0, 1)


@given(chances, chances, st.floats(0.1, 20), st.floats(-5, 5))
def test_a_scale_keeps_the_order_and_gives_chances(one, other, temperature, bias):
    scale = Scale(temperature, bias)
    low, high = sorted([one, other])
    assert 0 < scale(low) <= scale(high) <= 1


def test_the_scale_of_what_is_calibrated_already_changes_little():
    random = np.random.default_rng(1)
    sure = random.random(20_000)
    found = calibration.fit(sure.tolist(), (random.random(20_000) < sure).tolist())
    assert found.temperature == pytest.approx(1.0, abs=0.1)
    assert found.bias == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(("temperature", "bias"), [(3.0, 0.0), (0.5, 1.0), (2.0, -2.0)])
def test_a_scale_is_found_again(temperature, bias):
    random = np.random.default_rng(2)
    sure = random.random(50_000).tolist()
    true = Scale(temperature, bias)
    right = [random.random() < true(one) for one in sure]
    found = calibration.fit(sure, right)
    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.bias == pytest.approx(bias, abs=0.1)


@pytest.mark.parametrize("right", [True, False])
def test_a_dev_set_of_one_kind_makes_nothing_certain(right):
    found = calibration.fit([0.9, 0.99, 0.5, 0.97] * 5, [right] * 20)
    assert 0.01 < found(0.95) < 0.99
    assert (found(0.95) > 0.5) == right


def test_confidences_that_tell_nothing_keep_their_order():
    found = calibration.fit([0.99] * 10 + [0.01] * 10, [False] * 10 + [True] * 10)
    assert found.temperature > 0
    assert found(0.99) >= found(0.01)
    assert found(0.5) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("sure", [[], [0.0], [1.0, 1.0], [0.0, 1.0]])
def test_few_and_extreme_confidences_are_fitted(sure):
    found = calibration.fit(sure, [True] * len(sure))
    assert 0 <= found(0.5) <= 1


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 0.0}, {"temperature": -1.0}, {"temperature": 1e-300}, {"bias": float("nan")}, {"bias": -1e308}],
)
def test_a_scale_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"temperature must be 0\.1 to 20"):
        Scale(**wrong)


@pytest.mark.parametrize(("bias", "chance"), [(-1000.0, 0.0), (1000.0, 1.0)])
def test_the_furthest_scale_gives_a_chance_too(bias, chance):
    assert Scale(0.1, bias)(0.5) == pytest.approx(chance)


def test_it_survives_json():
    whole = Calibration(Scale(1.5, -0.25), Scale(2.0, 0.5), -0.06)
    adapter = TypeAdapter(Calibration)
    assert adapter.validate_python(asdict(whole)) == whole
    with pytest.raises(ValueError, match="offset must be seconds"):
        adapter.validate_python(asdict(whole) | {"offset": 1e9})
