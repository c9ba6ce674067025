import itertools
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ds2.commands import split

PARTS = ("train", "dev", "test")
ONE = {"dev": 1, "test": 1}
SECONDS = st.floats(0.5, 1e5)
FRACTIONS = st.tuples(st.floats(0.01, 0.45), st.floats(0.01, 0.45))
SPEAKERS = st.dictionaries(st.text(min_size=1, max_size=4), SECONDS, max_size=12)
PLACED = st.dictionaries(st.text(min_size=1, max_size=4), st.sampled_from(PARTS), max_size=6)


def asked(dev, test):
    return {"train": 1 - dev - test, "dev": dev, "test": test}


def members(found, seconds, part):
    return [speaker for speaker in seconds if found[speaker] == part]


def off(found, seconds, shares):
    """By how much dev and test miss their shares, of all seconds."""
    total = sum(seconds.values())
    return sum(abs(shares[part] - sum(seconds[s] for s in members(found, seconds, part)) / total) for part in PARTS[1:])


@given(SPEAKERS, FRACTIONS, st.integers(1, 3), PLACED)
def test_every_speaker_is_in_one_part_and_those_placed_before_stay(seconds, fractions, least, placed):
    found = split.place(seconds, asked(*fractions), {"dev": 1, "test": least}, placed)
    assert found.keys() == seconds.keys() | placed.keys()
    assert set(found.values()) <= set(PARTS)
    assert list(found.items())[: len(placed)] == list(placed.items())
    assert list(found)[len(placed) :] == sorted(seconds.keys() - placed.keys())


@given(SPEAKERS, FRACTIONS, st.integers(1, 3), PLACED)
@example({"a": 1.0, "b": 1.0, "c": 9e4}, (0.45, 0.45), 1, {})
@example(dict.fromkeys("abcd", 1.0), (0.45, 0.45), 1, {})
def test_no_part_is_empty_where_there_are_speakers_for_all(seconds, fractions, least, placed):
    found = split.place(seconds, asked(*fractions), {"dev": 1, "test": least}, placed)
    wanted = {"train": 1, "dev": 1, "test": least}
    before = {part: sum(placed.get(s) == part for s in seconds) for part in PARTS}
    new = len(seconds.keys() - placed.keys())
    if new >= sum(max(0, wanted[part] - before[part]) for part in PARTS):
        assert all(len(members(found, seconds, part)) >= wanted[part] for part in PARTS)


@given(SPEAKERS, FRACTIONS, PLACED, st.randoms(use_true_random=False))
def test_the_same_data_is_divided_the_same_whatever_its_order(seconds, fractions, placed, shuffled):
    items = list(seconds.items())
    shuffled.shuffle(items)
    first = split.place(seconds, asked(*fractions), ONE, placed)
    assert split.place(dict(items), asked(*fractions), ONE, placed) == first


@given(st.lists(SECONDS, min_size=3, max_size=6), FRACTIONS)
def test_of_few_speakers_it_is_close_to_the_best_division_there_is(durations, fractions):
    seconds = dict(zip("abcdef", durations, strict=False))
    choices = itertools.product(PARTS, repeat=len(seconds))
    best = min(
        off(dict(zip(seconds, choice, strict=True)), seconds, asked(*fractions))
        for choice in choices
        if set(choice) == set(PARTS)
    )
    found = split.place(seconds, asked(*fractions), ONE, {})
    assert off(found, seconds, asked(*fractions)) <= best + 0.002


@pytest.mark.parametrize("count", [20, 100, 3000])
def test_of_many_speakers_of_unlike_durations_it_is_within_a_thousandth(count):
    draw = random.Random(count)
    seconds = {f"s{i}": draw.lognormvariate(5, 1.5) for i in range(count)}
    found = split.place(seconds, asked(0.05, 0.1), {"dev": 1, "test": 3}, {})
    assert off(found, seconds, asked(0.05, 0.1)) <= 0.001
    assert len(members(found, seconds, "test")) >= 3


def test_the_held_out_speakers_are_a_mixture_and_not_the_shortest():
    seconds = {f"s{i:04}": 1.0 + i for i in range(1000)}
    found = split.place(seconds, asked(0.1, 0.1), ONE, {})
    for part in ("dev", "test"):
        durations = [seconds[s] for s in members(found, seconds, part)]
        assert 400 < sum(durations) / len(durations) < 600


def test_new_speakers_make_up_for_those_placed_before():
    placed = {f"old{i}": "train" for i in range(8)}
    seconds = dict.fromkeys([*placed, "new1", "new2"], 10.0)
    found = split.place(seconds, asked(0.1, 0.1), ONE, placed)
    assert sorted(found[name] for name in ("new1", "new2")) == ["dev", "test"]


def test_what_was_placed_before_counts_for_the_share():
    placed = {"a": "dev", "b": "dev", "c": "test", "d": "test"}
    seconds = dict.fromkeys("abcdefghij", 10.0)
    found = split.place(seconds, asked(0.2, 0.2), ONE, placed)
    assert {found[name] for name in "efghij"} == {"train"}


def test_what_is_not_asked_for_gets_nobody():
    seconds = dict.fromkeys("abcdef", 10.0)
    found = split.place(seconds, asked(0.0, 0.2), {"dev": 0, "test": 1}, {})
    assert members(found, seconds, "dev") == []
    assert members(found, seconds, "test") != []
