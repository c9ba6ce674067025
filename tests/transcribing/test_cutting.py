import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.transcribing import cutting


def recording(*stretches: tuple[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Frames of "s"peech and "-" silence, and their power."""
    speech = np.concatenate([np.full(count, kind == "s") for kind, count in stretches])
    return speech, np.where(speech, 0.01, 1e-6).astype(np.float32)


stretches = st.lists(st.tuples(st.sampled_from("s-"), st.integers(1, 900)), min_size=1, max_size=25)
limits = st.floats(cutting.LEAST_SECONDS, 30)
usual = st.floats(0.1, 40)


def frames_of(plan, count):
    covered = np.zeros(count, int)
    for start, end in plan:
        covered[round(start * 100) : round(end * 100)] += 1
    return covered


@given(stretches, limits, usual, st.integers(0, 2**32 - 1))
def test_pieces_are_in_order_apart_within_the_recording_and_within_the_limit(parts, limit, usual, seed):
    speech, power = recording(*parts)
    power *= np.random.default_rng(seed).uniform(0.5, 1, len(power)).astype(np.float32)
    plan = cutting.plan(speech, power, limit, usual)
    for start, end in plan:
        assert 0 <= start < end <= len(speech) / 100
        assert end - start <= limit + 1e-9
    for before, after in itertools.pairwise(plan):
        assert before[1] <= after[0]


@given(stretches, limits, usual)
def test_no_speech_is_left_out(parts, limit, usual):
    # Stretches shorter than the window that decides are clicks or breaks in speech, as what stands around them says.
    parts = [(kind, max(count, 20)) for kind, count in parts]
    speech, power = recording(*parts)
    assert (frames_of(cutting.plan(speech, power, limit, usual), len(speech))[speech] == 1).all()


@given(stretches)
def test_silence_alone_gives_no_pieces(parts):
    speech, power = recording(*[("-", count) for _, count in parts])
    assert cutting.plan(speech, power, 20.0, 5.0) == []


def test_a_click_is_no_speech():
    assert cutting.plan(*recording(("-", 300), ("s", 5), ("-", 300)), 20.0, 5.0) == []


def test_pieces_keep_a_margin_of_the_pause():
    ((start, end),) = cutting.plan(*recording(("-", 300), ("s", 200), ("-", 300)), 20.0, 5.0)
    margin = cutting._MARGIN / 100
    assert (start, end) == pytest.approx((3.0 - margin, 5.0 + margin), abs=0.02)


def test_neighbours_are_joined_up_to_the_usual_length_shortest_pause_first():
    parts = [("-", 100), ("s", 150), ("-", 90), ("s", 150), ("-", 40), ("s", 150), ("-", 100)]
    longest = [len(cutting.plan(*recording(*parts), 20.0, usual)) for usual in (1.0, 4.0, 10.0)]
    assert longest == [3, 2, 1]
    first, second = cutting.plan(*recording(*parts), 20.0, 4.0)
    assert first[1] - first[0] < 2.5 < second[1] - second[0]


def test_long_pauses_are_not_joined():
    parts = [("-", 50), ("s", 100), ("-", 1000), ("s", 100), ("-", 50)]
    assert len(cutting.plan(*recording(*parts), 60.0, 60.0)) == 2


def test_speech_without_a_pause_is_cut_at_its_quietest_place_near_the_limit():
    speech, power = recording(("s", 2500))
    power[700:720] /= 100  # quieter, but in the first half
    power[1580:1600] /= 10
    first, second = cutting.plan(speech, power, 20.0, 5.0)
    assert first[1] == second[0] == pytest.approx(15.9, abs=0.05)
    assert second[1] == 25.0
