import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2 import params
from ds2.data import augment
from ds2.data.augment import Augmenter
from ds2.errors import UserError
from tests.conftest import tone

ALWAYS = params.SpecAugSettings(prob=1.0, freq_mask_ratio=0.15, n_freq_masks=2, time_mask_ratio=0.1, n_time_masks=3)
MASKS_ONLY = ALWAYS.model_copy(update={"max_time_warp": 0})


def values(frames: int, bins: int = 80) -> np.ndarray:
    """Features without a zero in them."""
    return np.random.default_rng(frames).uniform(1.0, 2.0, (frames, bins)).astype(np.float32)


def runs(flags: np.ndarray) -> list[int]:
    """The lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_the_same_utterance_in_the_same_epoch_is_changed_the_same_way():
    augmenter = Augmenter(params.AugmentSettings(spec_aug=ALWAYS), params.FeaturesSettings())
    original = values(200)
    once, again = (augmenter.change_features(original, augment.generator(1, 2, 3)) for _ in range(2))
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("other", [(2, 2, 3), (1, 3, 3), (1, 2, 4)])
def test_another_seed_epoch_or_utterance_is_changed_another_way(other):
    augmenter = Augmenter(params.AugmentSettings(spec_aug=ALWAYS), params.FeaturesSettings())
    original = values(200)
    one = augmenter.change_features(original, augment.generator(1, 2, 3))
    assert (one != augmenter.change_features(original, augment.generator(*other))).any()


@given(st.integers(0, 300), st.integers(0, 1000))
@settings(deadline=None)
def test_with_probability_0_nothing_changes(frames, utterance):
    off = params.AugmentSettings(
        spec_aug=ALWAYS.model_copy(update={"prob": 0.0}), spec_sub_aug=params.SpecSubAugSettings(prob=0.0)
    )
    original = values(frames)
    found = Augmenter(off, params.FeaturesSettings()).change_features(original, augment.generator(1, 1, utterance))
    np.testing.assert_array_equal(found, values(frames))


def test_about_as_many_utterances_change_as_the_probability_says():
    half = ALWAYS.model_copy(update={"prob": 0.3})
    original = values(100)
    changed = [(augment.spec_aug(original, half, augment.generator(1, 1, i)) != original).any() for i in range(400)]
    assert 0.2 < np.mean(changed) < 0.4


SPEC_AUG = st.builds(
    params.SpecAugSettings,
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
    found = Augmenter(params.AugmentSettings(spec_aug=spec_aug), params.FeaturesSettings()).change_features(
        original, augment.generator(1, 1, utterance)
    )
    assert found.shape == (frames, bins)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(original, values(frames, bins))


@given(st.integers(1, 400), st.floats(0, 1), st.integers(0, 1000))
@settings(deadline=None)
def test_a_frequency_mask_is_one_band_no_wider_than_its_share_of_the_bins(frames, ratio, utterance):
    one = params.SpecAugSettings(prob=1, freq_mask_ratio=ratio, n_freq_masks=1, n_time_masks=0, max_time_warp=0)
    original = values(frames)
    found = augment.spec_aug(original, one, augment.generator(1, 1, utterance))
    masked = (found == 0).all(axis=0)
    assert len(runs(masked)) <= 1
    assert masked.sum() <= ratio * 80
    np.testing.assert_array_equal(found[:, ~masked], original[:, ~masked])


@given(st.integers(1, 400), st.floats(0, 1), st.integers(0, 1000))
@settings(deadline=None)
def test_a_time_mask_is_one_stretch_no_longer_than_its_share_of_the_frames(frames, ratio, utterance):
    one = params.SpecAugSettings(prob=1, time_mask_ratio=ratio, n_freq_masks=0, n_time_masks=1, max_time_warp=0)
    original = values(frames)
    found = augment.spec_aug(original, one, augment.generator(1, 1, utterance))
    masked = (found == 0).all(axis=1)
    assert len(runs(masked)) <= 1
    assert masked.sum() <= ratio * frames
    np.testing.assert_array_equal(found[~masked], original[~masked])


def test_masks_reach_every_bin_and_frame_and_their_full_width():
    widest = params.SpecAugSettings(
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
    warp = params.SpecAugSettings(prob=1, n_freq_masks=0, n_time_masks=0, max_time_warp=5)
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


@pytest.mark.parametrize(("farthest", "frames"), [(1, 5), (2, 7), (2, 12)])
def test_every_warp_of_every_inner_frame_comes_and_no_other(farthest, frames):
    warp = params.SpecAugSettings(prob=1, n_freq_masks=0, n_time_masks=0, max_time_warp=farthest)
    original = values(frames, 8)

    def warped(centre: int, moved: int) -> np.ndarray:
        rows = []
        for frame in range(frames):
            if frame <= moved:
                place = frame * centre / moved
            else:
                place = centre + (frame - moved) * (frames - 1 - centre) / (frames - 1 - moved)
            before = min(int(place), frames - 2)
            rows.append(original[before] * (before + 1 - place) + original[before + 1] * (place - before))
        return np.array(rows)

    inner = range(farthest + 1, frames - farthest - 1)
    allowed = {(at, at + by): warped(at, at + by) for at in inner for by in range(-farthest, farthest + 1)}
    seen = set()
    for utterance in range(600):
        found = augment.spec_aug(original, warp, augment.generator(1, 1, utterance))
        same = {key for key, one in allowed.items() if np.allclose(found, one, atol=1e-5)}
        assert same
        seen |= same
    assert seen == set(allowed)
    short = values(2 * (farthest + 1), 8)
    assert np.array_equal(augment.spec_aug(short, warp, augment.generator(1, 1, 1)), short)


KINDS = tuple(params.AugmentSettings.model_fields)


def only(kind: str, prob: float = 1.0) -> params.AugmentSettings:
    """One kind, its ranges wide enough to show, the others off."""
    wide = {"shift": {"min_shift_ms": 20, "max_shift_ms": 50}, "resample": {"new_sample_rate": [8000]}}
    sections = {name: {"prob": 0.0} for name in KINDS} | {kind: {"prob": prob} | wide.get(kind, {})}
    return params.from_dict({"augment": sections}).augment


def changed(augmenter: Augmenter, utterance: int) -> bool:
    """Whether this utterance comes out other than it went in."""
    random = augment.generator(1, 1, utterance)
    samples, features = tone(0.5), values(80)
    (speed,) = augmenter.speeds(1, 1, np.array([utterance]))
    new = augmenter.change_waveform(samples, speed, random)
    return not (np.array_equal(new, samples) and np.array_equal(augmenter.change_features(features, random), features))


@pytest.fixture
def folders(write_audio):
    """A noise and a room."""
    write_audio("dataset/noise/hum.wav", seconds=0.7)
    write_audio("dataset/reverb/room.wav", seconds=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_prob_is_the_probability_of_every_kind(kind, folders):
    share = np.mean([changed(Augmenter(only(kind, 0.4), params.FeaturesSettings()), i) for i in range(200)])
    # One speed of three is 1.0; a stretch of features may be replaced by itself.
    expected = {"speed": 0.4 * 2 / 3}.get(kind, 0.4)
    assert share == pytest.approx(expected, abs=0.12)
    assert not any(changed(Augmenter(only(kind, 0.0), params.FeaturesSettings()), i) for i in range(20))


@pytest.mark.parametrize("kind", ["noise", "reverb"])
def test_a_missing_folder_switches_its_kind_off_and_says_so(kind, workspace):
    augmenter = Augmenter(only(kind), params.FeaturesSettings())
    assert not any(changed(augmenter, i) for i in range(5))
    assert f"augment.{kind}: 0 files in dataset/{kind}: augment.{kind} is off" in augmenter.describe()


def test_the_files_of_the_folders_are_part_of_the_identity(folders, write_audio):
    augmenter = Augmenter(params.AugmentSettings(), params.FeaturesSettings())
    assert augmenter.describe() == [f"augment.{kind}: 1 files in dataset/{kind}" for kind in ("noise", "reverb")]
    before = augmenter.identity()
    write_audio("dataset/noise/hiss.wav")
    assert len(before) == 2
    assert Augmenter(params.AugmentSettings(), params.FeaturesSettings()).identity() != before


@pytest.mark.parametrize("samples", [0, 1, 100, 399, 8000])
def test_no_clip_is_too_short_for_any_kind(samples, folders):
    for kind in KINDS:
        augmenter, random = Augmenter(only(kind), params.FeaturesSettings()), augment.generator(1, 1, 1)
        found = augmenter.change_waveform(tone(1.0)[:samples], 1.1 if kind == "speed" else 1.0, random)
        assert np.isfinite(found).all()
        assert found.dtype == np.float32


def test_stretches_are_replaced_by_earlier_frames_of_the_same_utterance():
    frames = np.arange(200, dtype=np.float32)[:, None].repeat(4, axis=1)
    settings = params.SpecSubAugSettings(prob=1.0, max_time=30, num_time_sub=3)
    for utterance in range(20):
        found = augment.spec_sub_aug(frames, settings, augment.generator(1, 1, utterance))
        assert (found[:, 0] <= frames[:, 0]).all()
        assert np.isin(found[:, 0], frames[:, 0]).all()
        assert sum(runs(found[:, 0] != frames[:, 0])) <= 90


def heard(kind: str, samples: np.ndarray, **section) -> list[np.ndarray]:
    """What a kind alone, always applied, makes of a sound in 300 utterances."""
    sections = {name: {"prob": 0.0} for name in KINDS} | {kind: {"prob": 1.0} | section}
    augmenter = Augmenter(params.from_dict({"augment": sections}).augment, params.FeaturesSettings())
    return [augmenter.change_waveform(samples, 1.0, augment.generator(1, 1, i)) for i in range(300)]


def assert_between(found: list[float], low: float, high: float) -> None:
    """None is outside of the bounds, and some are near both."""
    near = 0.05 * (high - low)
    assert low - 1e-3 <= min(found) <= low + near
    assert high - near <= max(found) <= high + 1e-3


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def test_a_shift_is_between_its_bounds_in_milliseconds():
    click = np.zeros(4000, np.float32)
    click[2000] = 1.0
    found = heard("shift", click, min_shift_ms=-30, max_shift_ms=50)
    assert_between([(int(one.argmax()) - 2000) / 16 for one in found], -30, 50)
    assert {int(one.argmax()) for one in heard("shift", click, min_shift_ms=100, max_shift_ms=100)} == {2000 + 1600}


def test_noise_is_between_its_bounds_in_decibels_and_comes_from_its_folder(write_audio):
    write_audio("my/noises/hum.wav", seconds=0.7)
    speech = tone(0.5, 900.0)
    found = heard("noise", speech, min_snr_dB=5, max_snr_dB=20, noise_dir="my/noises")
    assert_between([20 * np.log10(rms(speech) / rms(one.astype(np.float64) - speech)) for one in found], 5, 20)


@pytest.mark.parametrize("kind", ["noise", "reverb"])
def test_a_constant_offset_of_speech_or_noise_changes_nothing_that_is_mixed_unless_the_old_rule_holds(kind, workspace):
    for folder, name, sound in (("noise", "a.wav", tone(0.7, 1000.0)), ("noise2", "a.wav", tone(0.7, 1000.0) + 0.3)):
        (workspace / "dataset" / folder).mkdir()
        soundfile.write(workspace / "dataset" / folder / name, sound, 16000, subtype="FLOAT")
    (workspace / "dataset/reverb").mkdir()
    soundfile.write(workspace / "dataset/reverb/b.wav", np.r_[1.0, np.zeros(80), 0.5], 16000, subtype="FLOAT")
    speech = tone(0.5, 300.0)

    def mixed(samples, noise_dir, remove_mean):
        section = only(kind).model_dump() | {kind: {"prob": 1.0}}
        if kind == "noise":
            section["noise"] |= {"noise_dir": noise_dir, "min_snr_dB": 5, "max_snr_dB": 5}
        settings = params.FeaturesSettings(remove_mean=remove_mean)
        augmenter = Augmenter(params.from_dict({"augment": section}).augment, settings)
        return augmenter.change_waveform(samples, 1.0, augment.generator(1, 1, 1))

    plain = mixed(speech, "dataset/noise", True)
    for samples, noise_dir in ((speech + 0.1, "dataset/noise"), (speech, "dataset/noise2")):
        found = mixed(samples.astype(np.float32), noise_dir, True)[100:]  # behind the room's answer to the offset
        np.testing.assert_allclose(found - found.mean(), plain[100:] - plain[100:].mean(), atol=2e-3)
    # The offset of the speech counts as its power.
    old = mixed(speech + np.float32(0.5), "dataset/noise", False)[100:]
    assert np.abs(old - old.mean() - plain[100:] + plain[100:].mean()).max() > 0.02


def test_a_gain_is_between_its_bounds_in_decibels():
    speech = tone(0.1)
    found = heard("volume", speech, min_gain_dBFS=-12, max_gain_dBFS=3)
    assert_between([20 * np.log10(rms(one) / rms(speech)) for one in found], -12, 3)


def test_every_rate_to_resample_through_is_chosen_as_often():
    # Of 3 kHz nothing is left at a rate of 4 kHz.
    found = heard("resample", tone(0.1, 3000.0), new_sample_rate=[4000, 8000, 16000])
    assert np.mean([rms(one) > 0.05 for one in found]) == pytest.approx(2 / 3, abs=0.1)


def test_rooms_come_from_their_folder(write_audio):
    write_audio("my/rooms/room.wav", seconds=0.05)
    speech = tone(0.1)
    assert not any(np.array_equal(one, speech) for one in heard("reverb", speech, reverb_dir="my/rooms"))


def test_a_noise_is_not_heard_through_the_room_but_through_the_line(workspace):
    """The room's echo and the line's narrow band would each take this noise away."""
    samples = np.arange(8000) / 16000
    room = np.zeros(64, np.float32)
    room[[0, 8]] = 0.5  # 1 kHz comes back upside down
    for folder, name, sound in (("noise", "a.wav", np.sin(2 * np.pi * 1000 * samples)), ("reverb", "b.wav", room)):
        (workspace / "dataset" / folder).mkdir()
        soundfile.write(workspace / "dataset" / folder / name, sound, 16000, subtype="FLOAT")
    sections = {name: {"prob": 0.0} for name in KINDS} | {
        "noise": {"prob": 1.0, "min_snr_dB": 0, "max_snr_dB": 0},
        "reverb": {"prob": 1.0},
    }

    def strength(**more):
        augmenter = Augmenter(params.from_dict({"augment": sections | more}).augment, params.FeaturesSettings())
        found = augmenter.change_waveform(tone(0.5, 300.0), 1.0, augment.generator(1, 1, 1))[1000:-1000]
        spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found))))
        return spectrum[round(1000 * len(found) / 16000)] / spectrum.max()

    assert strength() > 0.5
    assert strength(resample={"prob": 1.0, "new_sample_rate": [1500]}) < 0.01


@pytest.mark.parametrize("count", [1, 2, 4])
def test_there_are_as_many_masks_as_asked_for(count):
    """Of one bin or frame each: some touch or cover each other, but not in every utterance."""
    for axis, section in (
        (0, {"n_freq_masks": count, "n_time_masks": 0}),
        (1, {"n_freq_masks": 0, "n_time_masks": count}),
    ):
        one = params.SpecAugSettings(prob=1, freq_mask_ratio=0.01, time_mask_ratio=0.01, max_time_warp=0, **section)
        found = [augment.spec_aug(values(100, 100), one, augment.generator(1, 1, i)) == 0 for i in range(50)]
        assert max(zero.all(axis=axis).sum() for zero in found) == count


@pytest.mark.parametrize(("longest", "count"), [(1, 1), (7, 1), (40, 1), (1, 3)])
def test_as_many_stretches_as_asked_for_are_replaced_none_longer_than_asked_for(longest, count):
    frames = np.arange(200, dtype=np.float32)[:, None].repeat(4, axis=1)
    section = params.SpecSubAugSettings(prob=1.0, max_time=longest, num_time_sub=count)
    found = [augment.spec_sub_aug(frames, section, augment.generator(1, 1, i)) for i in range(1000)]
    assert max((one != frames).all(axis=1).sum() for one in found) == longest * count


@pytest.mark.parametrize("kind", ["noise", "reverb"])
def test_the_home_of_nobody_is_a_sentence_that_names_the_parameter(kind):
    settings = params.from_dict({"augment": {kind: {f"{kind}_dir": "~nobody_here/x"}}})
    with pytest.raises(UserError, match=rf"^augment.{kind}.{kind}_dir: ~nobody_here/x: there is no home"):
        Augmenter(settings.augment, settings.features)
