import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2 import params
from ds2.data import augment
from ds2.data.augment import Augmenter

ALWAYS = params.SpecAug(prob=1.0, freq_mask_ratio=0.15, n_freq_masks=2, time_mask_ratio=0.1, n_time_masks=3)
MASKS_ONLY = ALWAYS.model_copy(update={"max_time_warp": 0})


def values(frames: int, bins: int = 80) -> np.ndarray:
    """Features without a zero in them."""
    return np.random.default_rng(frames).uniform(1.0, 2.0, (frames, bins)).astype(np.float32)


def runs(flags: np.ndarray) -> list[int]:
    """The lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_the_same_utterance_in_the_same_epoch_is_changed_the_same_way():
    augmenter = Augmenter(params.Augment(spec_aug=ALWAYS))
    original = values(200)
    once, again = (augmenter.change_features(original, augment.generator(1, 2, 3)) for _ in range(2))
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("other", [(2, 2, 3), (1, 3, 3), (1, 2, 4)])
def test_another_seed_epoch_or_utterance_is_changed_another_way(other):
    augmenter = Augmenter(params.Augment(spec_aug=ALWAYS))
    original = values(200)
    one = augmenter.change_features(original, augment.generator(1, 2, 3))
    assert (one != augmenter.change_features(original, augment.generator(*other))).any()


@given(st.integers(0, 300), st.integers(0, 1000))
@settings(deadline=None)
def test_with_probability_0_nothing_changes(frames, utterance):
    off = params.Augment(spec_aug=ALWAYS.model_copy(update={"prob": 0.0}))
    original = values(frames)
    found = Augmenter(off).change_features(original, augment.generator(1, 1, utterance))
    np.testing.assert_array_equal(found, values(frames))


def test_about_as_many_utterances_change_as_the_probability_says():
    half = ALWAYS.model_copy(update={"prob": 0.3})
    original = values(100)
    changed = [(augment.spec_aug(original, half, augment.generator(1, 1, i)) != original).any() for i in range(400)]
    assert 0.2 < np.mean(changed) < 0.4


SPEC_AUG = st.builds(
    params.SpecAug,
    prob=st.just(1.0),
    freq_mask_ratio=st.floats(0, 1),
    n_freq_masks=st.integers(0, 4),
    time_mask_ratio=st.floats(0, 1),
    n_time_masks=st.integers(0, 4),
    max_time_warp=st.integers(0, 30),
)


@given(SPEC_AUG, st.integers(0, 70), st.integers(8, 100), st.integers(0, 1000))
@settings(deadline=None, max_examples=300)
def test_clips_of_any_length_keep_their_shape_and_the_original_stays(spec_aug, frames, bins, utterance):
    original = values(frames, bins)
    found = Augmenter(params.Augment(spec_aug=spec_aug)).change_features(original, augment.generator(1, 1, utterance))
    assert found.shape == (frames, bins)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(original, values(frames, bins))


@given(st.integers(1, 400), st.floats(0, 1), st.integers(0, 1000))
@settings(deadline=None)
def test_a_frequency_mask_is_one_band_no_wider_than_its_share_of_the_bins(frames, ratio, utterance):
    one = params.SpecAug(prob=1, freq_mask_ratio=ratio, n_freq_masks=1, n_time_masks=0, max_time_warp=0)
    original = values(frames)
    found = augment.spec_aug(original, one, augment.generator(1, 1, utterance))
    masked = (found == 0).all(axis=0)
    assert len(runs(masked)) <= 1
    assert masked.sum() <= ratio * 80
    np.testing.assert_array_equal(found[:, ~masked], original[:, ~masked])


@given(st.integers(1, 400), st.floats(0, 1), st.integers(0, 1000))
@settings(deadline=None)
def test_a_time_mask_is_one_stretch_no_longer_than_its_share_of_the_frames(frames, ratio, utterance):
    one = params.SpecAug(prob=1, time_mask_ratio=ratio, n_freq_masks=0, n_time_masks=1, max_time_warp=0)
    original = values(frames)
    found = augment.spec_aug(original, one, augment.generator(1, 1, utterance))
    masked = (found == 0).all(axis=1)
    assert len(runs(masked)) <= 1
    assert masked.sum() <= ratio * frames
    np.testing.assert_array_equal(found[~masked], original[~masked])


def test_masks_reach_every_bin_and_frame_and_their_full_width():
    widest = params.SpecAug(
        prob=1, freq_mask_ratio=0.15, n_freq_masks=1, time_mask_ratio=0.1, n_time_masks=1, max_time_warp=0
    )
    found = [augment.spec_aug(values(100), widest, augment.generator(1, 1, i)) == 0 for i in range(1000)]
    bands = np.array([zero.all(axis=0) for zero in found])
    stretches = np.array([zero.all(axis=1) for zero in found])
    assert bands.any(axis=0).all()
    assert stretches.any(axis=0).all()
    assert set(bands.sum(axis=1)) == set(range(1, 13))
    assert set(stretches.sum(axis=1)) == set(range(1, 11))


def test_several_masks_cover_no_more_than_their_shares_together():
    for utterance in range(200):
        found = augment.spec_aug(values(100), MASKS_ONLY, augment.generator(1, 1, utterance)) == 0
        assert found.all(axis=0).sum() <= 2 * 12
        assert found.all(axis=1).sum() <= 3 * 10


def test_warping_moves_frames_no_farther_than_asked_and_keeps_their_order():
    warp = params.SpecAug(prob=1, n_freq_masks=0, n_time_masks=0, max_time_warp=5)
    # Every value is its own frame's number, so the result shows where each frame comes from.
    original = np.repeat(np.arange(100, dtype=np.float32)[:, None], 8, axis=1)
    farthest = 0.0
    for utterance in range(300):
        found = augment.spec_aug(original, warp, augment.generator(1, 1, utterance))
        moved = np.abs(found - original).max()
        assert moved <= 5 + 1e-4
        assert (np.diff(found[:, 0]) >= -1e-4).all()
        farthest = max(farthest, moved)
    assert farthest > 4.5
