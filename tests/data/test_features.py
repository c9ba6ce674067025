from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import pytest

from ds2 import mel, params
from ds2.audio import reading
from ds2.data import features, frames
from ds2.errors import UserError
from tests.conftest import tone

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "zh-dsp20" / "audio"


def kaldi(samples: np.ndarray, rate: int, bins: int) -> np.ndarray:
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = rate
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = bins
    fbank = knf.OnlineFbank(options)
    fbank.accept_waveform(rate, (samples * 32768).tolist())
    fbank.input_finished()
    rows = [fbank.get_frame(i) for i in range(fbank.num_frames_ready)]
    return np.array(rows, np.float32).reshape(-1, bins)


def assert_equal_to_kaldi(pairs):
    found, expected = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    error = np.abs(found - expected)
    # Both are float32: bins far below their frame's strongest are rounding noise in Kaldi's own FFT.
    strong = expected > expected.max(axis=1, keepdims=True) - 16
    assert strong.mean() > 0.5
    assert error[strong].max() <= 1e-3
    assert (error <= 1e-3).mean() >= 0.9998


def sounds(rate: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(rate)
    time = np.arange(rate) / rate
    sweep = np.sin(2 * np.pi * (100 + rate / 5 * time) * time)
    return {
        "tone": tone(1.0, rate=rate),
        "noise": random.normal(0, 0.1, rate).astype(np.float32),
        "loud": np.clip(random.normal(0, 0.6, rate), -1, 1).astype(np.float32),
        "quiet": random.normal(0, 1e-4, rate).astype(np.float32),
        "sweep with noise": (0.3 * sweep + random.normal(0, 0.03, rate)).astype(np.float32),
        "noise on an offset": (0.4 + random.normal(0, 0.05, rate)).astype(np.float32),
        "bursts": (random.normal(0, 1, rate) * np.where(np.sin(2 * np.pi * 3 * time) > 0, 0.2, 1e-3)).astype(
            np.float32
        ),
    }


@pytest.mark.parametrize(
    ("rate", "bins"), [(16000, 80), (16000, 40), (8000, 80), (8000, 40), (22050, 80), (44100, 80), (48000, 128)]
)
def test_synthetic_audio_gives_kaldis_filter_banks(rate, bins):
    assert_equal_to_kaldi([(features.filter_banks(x, rate, bins), kaldi(x, rate, bins)) for x in sounds(rate).values()])


@pytest.mark.parametrize("rate", [20480, 20520])
def test_frames_as_long_as_a_power_of_two_or_one_longer_have_kaldis_spectrum(rate):
    assert frames.frame_length(rate) == {20480: 512, 20520: 513}[rate]
    assert_equal_to_kaldi([(features.filter_banks(x, rate, 40), kaldi(x, rate, 40)) for x in sounds(rate).values()])


def test_every_frame_of_long_audio_is_kaldis_and_nothing_uninitialised(monkeypatch):
    samples = np.random.default_rng(1).normal(0, 0.1, 16000 * 7).astype(np.float32)
    for name, full in (("empty", np.full), ("empty_like", np.full_like)):
        monkeypatch.setattr(np, name, lambda shape, *dtype, full=full: full(shape, np.nan, *dtype))
    found = features.filter_banks(samples, 16000, 80)
    monkeypatch.undo()
    assert_equal_to_kaldi([(found, kaldi(samples, 16000, 80))])


@pytest.mark.parametrize("rate", [6000, 8000, 96000])
def test_most_filters_is_the_most_of_which_each_has_a_point_of_the_spectrum(rate):
    """Of a filter between two edges, equally far in mel, a multiple of rate / size lies strictly between them."""
    size = {6000: 256, 8000: 256, 96000: 4096}[rate]
    points = np.arange(size // 2) * rate / size

    def all_see(count):
        ends = [2595 * np.log10(1 + hz / 700) for hz in (20, rate / 2)]
        edges = 700 * (10 ** (np.linspace(*ends, count + 2) / 2595) - 1)
        return all(((points > low) & (points < high)).any() for low, high in zip(edges[:-2], edges[2:], strict=True))

    assert mel.most_filters(rate) == max(count for count in range(1, 257) if all_see(count))


@pytest.mark.skipif(not REAL.is_dir(), reason="the recordings of zh-dsp20 are not here")
def test_real_recordings_give_kaldis_filter_banks():
    files = sorted(REAL.rglob("*.flac"))[::7]
    assert len(files) > 200
    settings = params.FeaturesSettings()
    pairs = []
    for path in files:
        samples = reading.load(path, settings.sample_rate)
        levelled = features.level(samples, settings.target_db, True)
        pairs.append((features.extract(samples, settings), kaldi(levelled, settings.sample_rate, 80)))
    assert_equal_to_kaldi(pairs)


@pytest.mark.parametrize("target", [-20.0, -3.0, -60.0])
@pytest.mark.parametrize("amplitude", [1e-6, 0.01, 1.0, 1000.0])
def test_levelling_reaches_its_target_from_any_loudness(target, amplitude):
    samples = np.float32(amplitude) * tone(1.0)
    before = samples.copy()
    levelled = features.level(samples, target, False)
    assert levelled.dtype == np.float32
    assert 10 * np.log10(np.mean(levelled.astype(np.float64) ** 2)) == pytest.approx(target, abs=1e-4)
    np.testing.assert_array_equal(samples, before)


@pytest.mark.parametrize("target", [0.0, -20.0])
def test_features_are_those_of_the_levelled_audio_also_at_0_db(target):
    expected = features.filter_banks(features.level(tone(0.3), target, True), 16000, 80)
    assert np.array_equal(features.extract(tone(0.3), params.FeaturesSettings(target_db=target)), expected)


@pytest.mark.parametrize("target", [-20.0, None])
@pytest.mark.parametrize("offset", [0.02, 0.1, 0.2, -0.5])
def test_a_constant_offset_makes_no_difference(target, offset):
    settings = params.FeaturesSettings(target_db=target)
    random = np.random.default_rng(0)
    swelling = 0.5 + 0.5 * np.sin(2 * np.pi * 3 * np.arange(32000) / 16000)
    samples = (0.05 * random.standard_normal(32000) * swelling).astype(np.float32)
    with_it = samples + np.float32(offset)
    difference = features.extract(with_it, settings) - features.extract(samples, settings)
    assert abs(difference.mean()) < 0.001
    assert np.abs(difference).max() < 0.2  # of frames of silence, which the offset rounds to 24 bits
    assert np.array_equal(with_it, samples + np.float32(offset))


def test_with_the_old_rule_an_offset_counts_as_level_to_the_bit():
    old = params.from_dict({"features": {"sample_rate": 16000}}).features  # a checkpoint's, from before the value
    assert not old.remove_mean
    samples = tone(0.7) * np.float32(0.05) + np.float32(0.1)
    scale = np.float32(10.0 ** (-20 / 20.0) / np.sqrt(float(np.dot(samples, samples)) / len(samples)))
    assert np.array_equal(features.extract(samples, old), features.filter_banks(samples * scale, 16000, 80))
    lost = features.extract(samples, params.FeaturesSettings()) - features.extract(samples, old)
    assert lost.mean() > 1


def test_loudness_makes_no_difference_once_levelled_and_all_of_it_without():
    levelled, as_recorded = params.FeaturesSettings(target_db=-20.0), params.FeaturesSettings(target_db=None)
    loud, quiet = tone(1.0), tone(1.0) / np.float32(8)
    np.testing.assert_allclose(features.extract(loud, levelled), features.extract(quiet, levelled), atol=1e-3)
    difference = features.extract(loud, as_recorded) - features.extract(quiet, as_recorded)
    np.testing.assert_allclose(difference, 2 * np.log(8), atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1e-40, 0.5])
def test_silent_and_constant_audio_gives_finite_features(value):
    samples = np.full(16000, value, np.float32)
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        found = features.extract(samples, params.FeaturesSettings())
    assert found.shape == (98, 80)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("samples", [0, 1, 399])
def test_audio_shorter_than_a_frame_gives_no_frames(samples):
    found = features.extract(np.full(samples, 0.1, np.float32), params.FeaturesSettings())
    assert found.shape == (0, 80)
    assert found.dtype == np.float32


@pytest.mark.parametrize("samples", [400, 559, 560, 561, 15999, 16001])
def test_there_are_as_many_frames_as_the_arithmetic_says(samples):
    assert len(features.extract(tone(samples / 16000), params.FeaturesSettings())) == frames.count_frames(
        samples, 16000
    )


def test_features_of_the_beginning_do_not_depend_on_what_follows():
    settings = params.FeaturesSettings(target_db=None)
    samples = tone(2.0)
    np.testing.assert_allclose(
        features.extract(samples[:16000], settings), features.extract(samples, settings)[:98], atol=1e-5
    )


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 16000, 22050, 25600, 32000, 48000, 96000])
def test_no_permitted_filter_is_blind(rate):
    permitted = 0
    for bins in range(8, 257, 31):
        try:
            settings = params.from_dict({"features": {"sample_rate": rate, "num_mel_bins": bins}}).features
        except UserError:
            continue
        permitted += 1
        found = features.extract(np.random.default_rng(1).normal(0, 0.1, rate).astype(np.float32), settings)
        assert np.flatnonzero(found.min(axis=0) == found.max(axis=0)).tolist() == []
    assert permitted
