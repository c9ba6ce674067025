import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ds2.audio import reading
from ds2.data import frames

RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000]


@given(st.integers(4000, 96000))
def test_a_frame_is_25_ms_every_10_ms_whole_samples(rate):
    assert frames.frame_length(rate) == rate * 25 // 1000
    assert frames.frame_shift(rate) == rate * 10 // 1000


@pytest.mark.parametrize(("samples", "expected"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16000, 98)])
def test_only_frames_wholly_inside_count(samples, expected):
    assert frames.count_frames(samples, 16000) == expected


@given(st.integers(0, 50000), st.sampled_from(RATES))
def test_the_last_frame_ends_inside_and_one_more_would_not(samples, rate):
    count = frames.count_frames(samples, rate)
    length, shift = frames.frame_length(rate), frames.frame_shift(rate)
    assert count == 0 or (count - 1) * shift + length <= samples
    assert count * shift + length > samples


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_a_duration_tells_the_frames_of_the_resampled_audio(workspace, rate):
    for samples in (rate // 2, rate // 2 + 1, 12345, 20011, 33333):
        soundfile.write("a.wav", np.zeros(samples, np.float32), rate)
        found = frames.count_frames(len(reading.load(workspace / "a.wav", 16000)), 16000)
        # Durations stand in manifests with six digits.
        assert frames.frames_of_duration(round(samples / rate, 6), 16000) == found


@given(st.integers(1, 3000), st.sampled_from(RATES), st.integers(-2, 2))
def test_a_duration_of_six_digits_tells_the_samples(count, rate, more):
    samples = frames.frame_length(rate) + count * frames.frame_shift(rate) + more  # where a frame more or less begins
    assert frames.frames_of_duration(round(samples / rate, 6), rate) == frames.count_frames(samples, rate)


@given(st.integers(0, 10000))
def test_a_step_takes_up_to_three_frames(count):
    steps = frames.count_steps(count, 3)
    assert 3 * (steps - 1) < count <= 3 * steps
    assert frames.count_steps(np.array([count]), 3)[0] == steps
    assert type(steps) is int


@pytest.mark.parametrize(("labels", "expected"), [("", 0), ("a", 1), ("ab", 2), ("aa", 3), ("aaa", 5), ("aabb", 6)])
def test_equal_neighbours_need_a_blank_between_them(labels, expected):
    assert frames.steps_needed(labels) == expected


@given(st.lists(st.integers(2, 4), max_size=20))
def test_ids_need_as_many_steps_as_what_they_stand_for(ids):
    assert frames.steps_needed(ids) == frames.steps_needed("".join("零一二三四"[i] for i in ids))
