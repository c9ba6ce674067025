import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2 import params
from ds2.data.augment import Augmenter


def speeds(prob: float, seed: int, epoch: int, utterances: np.ndarray) -> np.ndarray:
    return Augmenter(params.AugmentSettings(speed={"prob": prob}), params.FeaturesSettings()).speeds(
        seed, epoch, utterances
    )


@given(st.integers(0, 2**31 - 1), st.integers(1, 1000), st.lists(st.integers(0, 10**7), max_size=20))
def test_the_speed_of_an_utterance_is_the_same_alone_and_among_others(seed, epoch, utterances):
    together = speeds(0.7, seed, epoch, np.array(utterances, np.int64))
    alone = [speeds(0.7, seed, epoch, np.array([one]))[0] for one in utterances]
    assert together.tolist() == alone


@pytest.mark.parametrize("prob", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("seed", "epoch"), [(1, 1), (1, 2), (2, 1)])
def test_the_three_speeds_come_equally_often(prob, seed, epoch):
    found = speeds(prob, seed, epoch, np.arange(30000))
    for speed in (0.9, 1.1):
        assert np.mean(found == speed) == pytest.approx(prob / 3, abs=0.01)
    assert np.isin(found, (0.9, 1.0, 1.1)).all()


def splitmix64(state: int) -> int:
    """The finaliser of SplitMix64, as Steele et al. print it."""
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
    return state ^ state >> 31


def test_speeds_are_those_of_splitmix64_so_that_a_training_goes_on_with_the_same():
    golden = 0x9E3779B97F4A7C15
    # The generator's first numbers from the seed 1234567, as other implementations publish them.
    assert [splitmix64(1234567 + i * golden & 2**64 - 1) for i in (1, 2)] == [6457827717110365317, 3203168211198807973]
    key = int(np.random.SeedSequence((5, 7), spawn_key=(1,)).generate_state(1, np.uint64)[0])
    uniform = [splitmix64((i * golden + key) % 2**64) / 2**64 for i in range(3000)]
    expected = [0.9 if one < 0.2 else 1.1 if 0.4 <= one < 0.6 else 1.0 for one in uniform]
    assert speeds(0.6, 5, 7, np.arange(3000)).tolist() == expected


@pytest.mark.parametrize("other", [(2, 1), (1, 2)])
def test_speeds_of_another_seed_or_epoch_have_nothing_to_do_with_it(other):
    one, two = speeds(1.0, 1, 1, np.arange(9000)), speeds(1.0, *other, np.arange(9000))
    assert np.mean(one == two) == pytest.approx(1 / 3, abs=0.03)
    assert np.mean(one[1:] == one[:-1]) == pytest.approx(1 / 3, abs=0.03)
