import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2 import params
from ds2.data import batches

DURATIONS = st.lists(st.floats(0.5, 20), min_size=1, max_size=150).map(np.array)
SIZES = st.integers(1, 40)
SEEDS = st.integers(0, 2**31 - 1)
EPOCHS = st.integers(1, 5)


def realistic(count: int, kind: str) -> np.ndarray:
    random = np.random.default_rng(1)
    drawn = {"read speech": random.lognormal(1.5, 0.4, count), "spontaneous": random.gamma(2.5, 2.0, count)}[kind]
    return np.clip(drawn, 0.5, 20.0)


def company(found) -> set[frozenset]:
    """Who is in a batch with whom, whatever the order."""
    return {frozenset(batch.tolist()) for batch in found}


@settings(deadline=None)
@given(DURATIONS, SIZES, SEEDS, EPOCHS)
def test_an_utterance_stands_in_exactly_one_batch(durations, size, seed, epoch):
    found = batches.of_epoch(durations, size, seed, epoch)
    assert sorted(np.concatenate(list(found)).tolist()) == list(range(len(durations)))
    assert len(list(found)) == len(found)


@settings(deadline=None)
@given(DURATIONS, SIZES, SEEDS, EPOCHS)
def test_batches_are_full_but_for_one_and_nobody_is_alone(durations, size, seed, epoch):
    found = batches.of_epoch(durations, size, seed, epoch)
    sizes = [len(batch) for batch in found]
    whole, left = divmod(len(durations), size)
    if left == 1 and size > 1 and whole:
        expected = [size] * (whole - 1) + [size + 1]
    else:
        expected = [size] * whole + [left] * (left > 0)
    assert sorted(sizes) == sorted(expected)
    if epoch == 1:
        assert sizes == expected


@settings(deadline=None)
@given(DURATIONS, SIZES, SEEDS)
def test_the_first_epoch_goes_from_short_to_long_whatever_the_seed(durations, size, seed):
    found = batches.of_epoch(durations, size, seed, 1)
    assert (np.diff(durations[found.order]) >= 0).all()
    np.testing.assert_array_equal(found.order, batches.of_epoch(durations, size, seed + 1, 1).order)


@settings(deadline=None)
@given(DURATIONS, SIZES, SEEDS, EPOCHS)
def test_seed_and_epoch_decide_everything(durations, size, seed, epoch):
    before = durations.copy()
    one, two = (batches.of_epoch(durations, size, seed, epoch) for _ in range(2))
    np.testing.assert_array_equal(one.order, two.order)
    np.testing.assert_array_equal(one.bounds, two.bounds)
    np.testing.assert_array_equal(durations, before)


@pytest.mark.parametrize("size", [1, 8, 16])
def test_epochs_and_seeds_differ_in_order_and_in_company(size):
    durations = realistic(200, "read speech")
    found = [batches.of_epoch(durations, size, seed, epoch) for seed, epoch in ((1, 2), (1, 3), (2, 2))]
    for i in range(3):
        for other in found[:i]:
            assert found[i].order.tolist() != other.order.tolist()
            assert size == 1 or company(found[i]) != company(other)


def test_later_epochs_do_not_go_from_short_to_long():
    durations = realistic(2000, "read speech")
    means = [durations[batch].mean() for batch in batches.of_epoch(durations, 16, 1, 2)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


@pytest.mark.parametrize("kind", ["read speech", "spontaneous"])
@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("epoch", [1, 2, 7])
def test_at_least_97_percent_of_a_batch_is_audio(kind, size, epoch):
    durations = realistic(40000, kind)
    found = batches.of_epoch(durations, size, 1, epoch)
    padded = sum(durations[batch].max() * len(batch) for batch in found)
    assert durations.sum() / padded >= 0.97
    assert found.real_share(durations) == pytest.approx(durations.sum() / padded)


def test_a_training_set_of_several_pools_stands_in_batches_once():
    durations = realistic(50001, "read speech")
    found = batches.of_epoch(durations, 16, 1, 2)
    assert sorted(found.order.tolist()) == list(range(50001))
    assert sorted({len(batch) for batch in found}) == [16, 17]


def test_equal_lengths_keep_the_order_of_the_manifest():
    assert batches.by_length(np.array([2.0, 1.0, 2.0, 1.0]), 2).order.tolist() == [1, 3, 0, 2]


def test_no_utterances_make_no_batches():
    assert len(batches.of_epoch(np.zeros(0), 8, 1, 1)) == 0
    assert list(batches.of_epoch(np.zeros(0), 8, 1, 2)) == []


SECONDS = st.floats(1, 100)


@given(DURATIONS, SECONDS, SEEDS, EPOCHS)
def test_by_seconds_an_utterance_stands_in_exactly_one_batch(durations, seconds, seed, epoch):
    found = batches.of_epoch(durations, 8, seed, epoch, seconds)
    assert sorted(np.concatenate(list(found)).tolist()) == list(range(len(durations)))


@given(DURATIONS, SECONDS, SEEDS, EPOCHS)
def test_by_seconds_a_batch_with_its_padding_is_within_the_limit_or_a_single_utterance(durations, seconds, seed, epoch):
    for batch in batches.of_epoch(durations, 8, seed, epoch, seconds):
        assert durations[batch].max() * len(batch) <= seconds or len(batch) == 1


@given(DURATIONS, SECONDS, SEEDS, EPOCHS, st.integers(1, 5))
def test_by_seconds_the_parts_of_a_batch_are_each_within_the_limit(durations, seconds, seed, epoch, parts):
    found = batches.of_epoch(durations, 8, seed, epoch, seconds, parts)
    assert sorted(np.concatenate(list(found)).tolist()) == list(range(len(durations)))
    for batch in found:
        for part in np.array_split(batch, min(parts, len(batch))):
            assert durations[part].max() * len(part) <= seconds or len(part) == 1


@given(DURATIONS, SECONDS, SEEDS)
def test_by_seconds_the_first_epoch_goes_from_short_to_long_and_no_batch_had_room_for_one_more(
    durations, seconds, seed
):
    found = batches.of_epoch(durations, 8, seed, 1, seconds)
    assert (np.diff(durations[found.order]) >= 0).all()
    for start, stop in itertools.pairwise(found.bounds[:-1]):
        assert durations[found.order[stop]] * (stop - start + 1) > seconds


@given(DURATIONS, SECONDS, SEEDS, EPOCHS)
def test_by_seconds_seed_and_epoch_decide_everything_and_batch_size_nothing(durations, seconds, seed, epoch):
    before = durations.copy()
    one, two = (batches.of_epoch(durations, size, seed, epoch, seconds) for size in (1, 8))
    np.testing.assert_array_equal(one.order, two.order)
    np.testing.assert_array_equal(one.bounds, two.bounds)
    np.testing.assert_array_equal(durations, before)


@pytest.mark.parametrize("kind", ["read speech", "spontaneous"])
@pytest.mark.parametrize("epoch", [1, 2, 7])
def test_by_seconds_batches_of_several_pools_are_full_of_audio(kind, epoch):
    durations = realistic(50001, kind)
    found = batches.of_epoch(durations, 8, 1, epoch, 100.0)
    assert found.real_share(durations) >= 0.97
    # As few batches as there can be, nearly: they are full.
    assert len(found) <= 1.1 * durations.sum() / 100.0


def test_by_seconds_epochs_and_seeds_differ_in_company():
    durations = realistic(200, "read speech")
    found = [company(batches.of_epoch(durations, 8, seed, epoch, 60.0)) for seed, epoch in ((1, 2), (1, 3), (2, 2))]
    assert found[0] != found[1]
    assert found[0] != found[2]


def test_by_seconds_a_batch_may_come_just_to_the_limit_however_short_its_utterances_are():
    for duration in (0.25, 2.0):
        sizes = [len(batch) for batch in batches.of_epoch(np.full(40, duration), 3, 1, 1, 10 * duration)]
        assert sizes == [10, 10, 10, 10]


@given(DURATIONS, SIZES)
def test_batches_by_length_are_those_of_the_first_epoch(durations, size):
    found, first = batches.by_length(durations, size), batches.of_epoch(durations, size, 1, 1)
    assert found.order.tolist() == first.order.tolist()
    assert found.bounds.tolist() == first.bounds.tolist()


def test_a_single_utterance_left_over_joins_a_batch_of_two_too():
    assert [len(batch) for batch in batches.of_epoch(np.ones(5), 2, 1, 1)] == [2, 3]


def test_equal_lengths_keep_the_order_of_a_large_manifest():
    durations = np.random.default_rng(1).integers(1, 4, 2000).astype(float)
    expected = sorted(range(2000), key=lambda i: durations[i])
    assert batches.by_length(durations, 8).order.tolist() == expected
    assert batches.of_epoch(durations, 8, 1, 1).order.tolist() == expected


@pytest.mark.parametrize(("seconds", "expected"), [(100.0, [1, 1, 1, 1, 1]), (None, [3, 2])])
def test_the_last_step_has_fewer_batches_only_where_batch_size_says_so(seconds, expected):
    train = params.TrainSettings(batch_size=4, accumulate_grad=5, max_batch_seconds=seconds)
    assert [len(part) for part in batches.shares(np.arange(5), train, 0, 1)] == expected


def test_by_seconds_no_utterances_make_no_batches():
    for epoch in (1, 2):
        assert list(batches.of_epoch(np.zeros(0), 8, 1, epoch, 10.0)) == []


@given(
    count=st.integers(1, 70),
    batch_size=st.integers(1, 9),
    accumulate=st.integers(1, 5),
    size=st.integers(1, 4),
)
def test_the_shares_of_all_processes_are_a_partition(count, batch_size, accumulate, size):
    train = params.TrainSettings(batch_size=batch_size, accumulate_grad=accumulate)
    positions = np.random.default_rng(count).permutation(count)[: batch_size * accumulate + 1]
    found = [batches.shares(positions, train, rank, size) for rank in range(size)]
    assert len({len(parts) for parts in found}) == 1  # as many batches in every process
    assert len(found[0]) <= accumulate
    assert sorted(np.concatenate([share for parts in found for share in parts])) == sorted(positions)
    for part in zip(*found, strict=True):
        assert max(map(len, part)) - min(map(len, part)) <= 1
