import json

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2 import params
from ds2.audio import reading
from ds2.data import features, mean_istd
from ds2.data import manifest as manifests
from ds2.data.manifest import Manifest, Utterance
from ds2.data.mean_istd import MeanIstd, Moments
from ds2.errors import UserError

SETTINGS = params.from_dict({"features": {"num_mel_bins": 24}})


def bearing(fraction):
    """The settings with another share of recordings that may be unreadable."""
    return SETTINGS.model_copy(update={"manifest": params.ManifestSettings(max_rejected_fraction=fraction)})


@pytest.fixture
def manifest(workspace, write_audio):
    """manifest(lengths) is one of tones of these lengths, each with its own pitch."""

    def make(lengths):
        utterances = []
        for i, seconds in enumerate(lengths):
            write_audio(f"{i}.wav", seconds, subtype="FLOAT", rate=16000 if i % 3 else 8000)
            utterances.append(Utterance(f"{i}.wav", seconds, "x"))
        manifests.write(workspace / "manifest.train", utterances)
        return Manifest(workspace / "manifest.train")

    return make


def one_pass(manifest, settings):
    """Mean and istd over all frames at once, in float64."""
    files = [reading.load(utterance.audio_filepath, settings.features.sample_rate) for utterance in manifest]
    values = np.concatenate([features.extract(samples, settings.features) for samples in files]).astype(np.float64)
    return values.mean(axis=0), 1 / values.std(axis=0), len(values)


def test_the_statistics_are_those_of_all_frames_and_the_same_bits_for_any_number_of_workers(manifest):
    data = manifest([0.1 + 0.003 * i for i in range(130)])
    found, unreadable = mean_istd.compute(data, SETTINGS, 1)
    for workers in (2, 4):
        again, _ = mean_istd.compute(data, SETTINGS, workers)
        assert again.mean.tobytes() == found.mean.tobytes()
        assert again.istd.tobytes() == found.istd.tobytes()
        assert (again.frames, again.utterances) == (found.frames, found.utterances)
    mean, istd, frames = one_pass(data, SETTINGS)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.istd, istd, rtol=1e-9, atol=1e-9)
    assert (found.frames, found.utterances, unreadable) == (frames, 130, ())


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e4]))
def test_merging_parts_gives_the_moments_of_the_whole(lengths, seed, offset):
    random = np.random.default_rng(seed)
    parts = [(offset + random.normal(0, 3, (length, 4))).astype(np.float32) for length in lengths]
    total = Moments.empty(4)
    for part in parts:
        total = total.merge(Moments.of(part))
    whole = np.concatenate(parts).astype(np.float64)
    assert total.frames == len(whole)
    assert total.utterances == sum(length > 0 for length in lengths)
    if len(whole):
        np.testing.assert_allclose(total.mean, whole.mean(axis=0), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(total.deviations, len(whole) * whole.var(axis=0), rtol=1e-9, atol=1e-6)


def test_normalised_training_features_have_mean_0_and_deviation_1_but_for_the_floor(manifest):
    data = manifest([0.5, 0.7, 0.9])
    statistics, _ = mean_istd.compute(data, SETTINGS, 1)
    files = [reading.load(utterance.audio_filepath, 16000) for utterance in data]
    values = np.concatenate([features.extract(x, SETTINGS.features) for x in files])
    found = statistics.normalize(values)
    unfloored = (values - statistics.mean) * statistics.istd
    np.testing.assert_allclose(unfloored.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(unfloored.std(axis=0), 1, atol=1e-5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.maximum(unfloored, -2.5), atol=1e-6)


def test_digital_silence_lies_no_deeper_than_the_floor(manifest):
    statistics, _ = mean_istd.compute(manifest([0.5, 0.7]), SETTINGS, 1)
    silence = features.extract(np.zeros(8000, np.float32), SETTINGS.features)
    assert statistics.normalize(silence).min() == -2.5


def test_a_bin_that_never_changes_does_not_become_infinite(workspace):
    soundfile.write("silent.wav", np.zeros(8000, np.float32), 16000)
    manifests.write(workspace / "m", [Utterance("silent.wav", 0.5, "x")])
    statistics, _ = mean_istd.compute(Manifest(workspace / "m"), SETTINGS, 1)
    np.testing.assert_allclose(statistics.mean, np.log(2.0**-23), rtol=1e-7)  # Kaldi's floor of the energy
    np.testing.assert_allclose(statistics.istd, 1e5)  # of a variance of 1e-10
    assert np.isfinite(statistics.normalize(np.zeros((3, 24), np.float32))).all()


@pytest.mark.parametrize(("recordings", "used"), [(9, [0, 4, 8]), (8, [0, 2, 5, 7]), (8, [0])])  # 2 1/3, 4 2/3
def test_a_number_of_utterances_is_spread_evenly_over_the_manifest(manifest, recordings, used):
    data = manifest([0.1 + 0.01 * i for i in range(recordings)])
    settings = SETTINGS.model_copy(update={"mean_istd": params.MeanIstdSettings(num_utterances=len(used))})
    found, _ = mean_istd.compute(data, settings, 1)
    chosen, _ = mean_istd.compute(manifests_of(data, used), SETTINGS, 1)
    assert found.utterances == len(used)
    np.testing.assert_array_equal(found.mean, chosen.mean)


def manifests_of(manifest, positions):
    path = manifest.path.with_name("part")
    manifests.write(path, manifest.pick(positions))
    return Manifest(path)


def test_more_utterances_than_there_are_means_all(manifest):
    settings = SETTINGS.model_copy(update={"mean_istd": params.MeanIstdSettings(num_utterances=100)})
    assert mean_istd.compute(manifest([0.2, 0.3]), settings, 1)[0].utterances == 2


def test_unreadable_files_are_left_out_and_named(manifest, workspace):
    data = manifest([0.5, 0.6, 0.7])
    expected, _ = mean_istd.compute(manifests_of(data, [0, 2]), SETTINGS, 1)
    (workspace / "1.wav").unlink()
    found, unreadable = mean_istd.compute(data, bearing(0.4), 1)
    assert found.utterances == 2
    np.testing.assert_array_equal(found.mean, expected.mean)
    assert unreadable == ("1.wav: there is no such file",)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("chosen", "recordings"), [(None, 80), (40, 40)])
def test_more_unreadable_files_than_a_manifest_may_reject_are_one_sentence(
    chosen, recordings, workers, manifest, workspace
):
    data = manifest([0.1] * 80)
    used = range(80) if chosen is None else np.linspace(0, 79, chosen).round().astype(int)
    settings = bearing(0.1).model_copy(update={"mean_istd": params.MeanIstdSettings(num_utterances=chosen)})
    lost = [workspace / f"{i}.wav" for i in used[: recordings // 10]]
    for path in lost:
        path.unlink()
    assert len(mean_istd.compute(data, settings, workers)[1]) == recordings // 10
    (workspace / f"{used[-1]}.wav").unlink()
    with pytest.raises(UserError) as error:
        mean_istd.compute(data, settings, workers)
    assert str(error.value).startswith(
        f"{recordings // 10 + 1} of {recordings} training recordings could not be read so far, more than "
        "manifest.max_rejected_fraction (0.1) allows; the first is 0.wav: there is no such file: mount the disk"
    )


def test_no_readable_file_at_all_is_one_sentence(manifest, workspace):
    data = manifest([0.5, 0.6])
    for path in workspace.glob("*.wav"):
        path.unlink()
    with pytest.raises(UserError, match=r"manifest\.train: none of its 2 audio files could be read"):
        mean_istd.compute(data, bearing(1.0), 1)


def test_the_file_read_back_is_the_same_bits(manifest, workspace):
    found, _ = mean_istd.compute(manifest([0.5, 0.6]), SETTINGS, 1)
    path = workspace / "dataset" / "mean_istd.json"
    found.write(path)
    again = MeanIstd.read(path)
    assert again.mean.tobytes() == found.mean.tobytes()
    assert again.istd.tobytes() == found.istd.tobytes()
    assert (again.frames, again.utterances, again.features) == (found.frames, found.utterances, SETTINGS.features)
    values = json.loads(path.read_text())
    assert set(values) == {"mean", "istd", "frames", "utterances", "features"}
    assert len(values["mean"]) == len(values["istd"]) == 24


def good() -> dict:
    return {
        "mean": [0.0] * 24,
        "istd": [1.0] * 24,
        "frames": 10,
        "utterances": 1,
        "features": SETTINGS.features.model_dump(),
    }


BAD = {
    "not json": b"mean: 1",
    "empty": b"",
    "a list": b"[]",
    "not utf-8": b"\xff\xfe{}",
    "keys missing": b"{}",
    "lengths differ": json.dumps(good() | {"istd": [1.0] * 23}).encode(),
    "other number of bins": json.dumps(good() | {"mean": [0.0] * 23, "istd": [1.0] * 23}).encode(),
    "text for numbers": json.dumps(good() | {"mean": "many"}).encode(),
    "words in the list": json.dumps(good() | {"mean": ["a"] * 24}).encode(),
    "nothing in the list": json.dumps(good() | {"mean": [None] * 24}).encode(),
    "not a number": json.dumps(good() | {"istd": [float("nan")] * 24}).encode(),
    "infinite": json.dumps(good() | {"istd": [float("inf")] * 24}).encode(),
    "features of no kind": json.dumps(good() | {"features": 5}).encode(),
    "features unknown": json.dumps(good() | {"features": {"bins": 24}}).encode(),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_a_file_that_does_not_hold_statistics_is_refused_by_name(tmp_path, content):
    path = tmp_path / "mean_istd.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"mean_istd\.json"):
        MeanIstd.read(path)


def test_a_missing_file_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"mean_istd\.json does not exist: run dvc repro mean_istd"):
        MeanIstd.read(tmp_path / "mean_istd.json")


def test_statistics_of_pieces_are_those_of_files_of_their_own(manifest, workspace):
    alone = manifest([0.5 + 0.1 * i for i in range(1, 12)])
    kept = [utterance for i, utterance in enumerate(alone) if i % 3]
    sounds = [soundfile.read(workspace / utterance.audio_filepath, dtype="float32")[0] for utterance in kept]
    soundfile.write(workspace / "all.wav", np.concatenate(sounds), 16000, subtype="FLOAT")
    starts = np.cumsum([0, *map(len, sounds)]) / 16000
    pieces = [
        Utterance("all.wav", u.duration, "x", offset=start) for u, start in zip(kept, starts.tolist(), strict=False)
    ]
    found = []
    for utterances in (kept, pieces):
        manifests.write(workspace / "manifest.train", utterances)
        found.append(mean_istd.compute(Manifest(workspace / "manifest.train"), SETTINGS, 1)[0])
    assert found[0].frames == found[1].frames
    np.testing.assert_array_equal(found[0].mean, found[1].mean)
    np.testing.assert_array_equal(found[0].istd, found[1].istd)
