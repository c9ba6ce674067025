import pytest

from ds2 import params
from ds2.training.schedule import learning_rate

TRAIN = params.TrainSettings(learning_rate=5e-4, warmup_steps=25000, min_learning_rate=1e-5)


@pytest.mark.parametrize("step", [1, 2, 100, 12500, 24999, 25000])
def test_in_the_warm_up_the_rate_rises_linearly(step):
    assert learning_rate(step, TRAIN) == pytest.approx(5e-4 * step / 25000, rel=1e-12)


def test_the_top_is_the_learning_rate_at_the_end_of_the_warm_up():
    rates = [learning_rate(step, TRAIN) for step in range(1, 60000, 7)] + [learning_rate(25000, TRAIN)]
    assert max(rates) == learning_rate(25000, TRAIN) == 5e-4


@pytest.mark.parametrize("factor", [2, 4, 9, 100])
def test_after_the_warm_up_the_rate_falls_with_the_inverse_square_root(factor):
    assert learning_rate(25000 * factor, TRAIN) == pytest.approx(5e-4 / factor**0.5, rel=1e-12)


def test_the_rate_never_falls_below_the_floor_after_the_warm_up():
    # The curve itself crosses 1e-5 at 25000 * 50 ** 2 steps.
    assert learning_rate(25000 * 2499, TRAIN) > 1e-5
    assert learning_rate(25000 * 2501, TRAIN) == 1e-5
    assert learning_rate(10**12, TRAIN) == 1e-5


def test_the_floor_does_not_lift_the_warm_up():
    assert learning_rate(1, TRAIN) == pytest.approx(2e-8)
    assert learning_rate(499, TRAIN) < 1e-5


def test_a_warm_up_of_one_step_starts_at_the_top():
    train = params.TrainSettings(learning_rate=1e-3, warmup_steps=1, min_learning_rate=0.0)
    assert [learning_rate(step, train) for step in (1, 4)] == pytest.approx([1e-3, 5e-4])


def test_the_rate_depends_on_the_step_alone():
    steps = list(range(1, 100000, 997))
    forward = [learning_rate(step, TRAIN) for step in steps]
    backward = [learning_rate(step, TRAIN) for step in reversed(steps)]
    assert forward == backward[::-1]


def test_the_line_that_users_know_shows_the_rate_of_its_step():
    # Their log: epoch 1, batch 102 at the default warm-up.
    assert f"{learning_rate(102, TRAIN):.8f}" == "0.00000204"
