from dataclasses import replace

import numpy as np
import pytest
import soundfile

from ds2 import layout, params
from ds2.audio import reading
from ds2.data import augment, features, mean_istd, snr
from ds2.data import manifest as manifests
from ds2.data.loader import Assembler, Loader
from ds2.data.manifest import Manifest, Utterance
from ds2.data.vocabulary import Vocabulary

FEATURES = params.FeaturesSettings(num_mel_bins=24)
LENGTHS = (1.0, 0.5, 1.5, 0.7, 0.9, 1.2, 0.6, 1.1)
TEXTS = ("你好", "再见", "今天天气怎么样", "好", "hello", "明天", "天 天", "你")


@pytest.fixture
def data(workspace, write_audio):
    """A manifest of eight tones and the assembler for it."""
    utterances = []
    for i, (seconds, text) in enumerate(zip(LENGTHS, TEXTS, strict=True)):
        write_audio(f"{i}.wav", seconds, rate=8000 if i == 3 else 16000)
        utterances.append(Utterance(f"{i}.wav", seconds, text))
    manifests.write(workspace / "manifest.train", utterances)
    manifest = Manifest(workspace / "manifest.train")
    statistics, _ = mean_istd.compute(manifest, params.Params(features=FEATURES), 1)
    return manifest, Assembler(FEATURES, statistics, Vocabulary.of(TEXTS), 3)


def load(manifest, assembler, batches, workers=0, epoch=0):
    with Loader(manifest, assembler, workers) as loader:
        return list(loader.load([np.array(batch) for batch in batches], epoch))


def test_a_batch_holds_its_utterances_in_order_and_zeros_behind_their_ends(data):
    manifest, assembler = data
    (batch,) = load(manifest, assembler, [[2, 0, 3]])
    assert batch.positions.tolist() == [2, 0, 3]
    assert batch.frames.tolist() == [148, 98, 68]
    assert batch.features.shape == (3, 148, 24)
    assert batch.features.dtype == np.float32
    assert batch.label_lengths.tolist() == [7, 2, 1]
    assert batch.labels.shape == (3, 7)
    for row, frames in zip(batch.features, batch.frames, strict=True):
        assert (row[frames:] == 0).all()
        assert (row[:frames] != 0).any(axis=1).all()
    for row, length, position in zip(batch.labels, batch.label_lengths, batch.positions, strict=True):
        assert (row[length:] == 0).all()
        assert assembler.vocabulary.decode(row[:length]) == TEXTS[position]
    assert batch.seconds == pytest.approx(1.5 + 1.0 + 0.7)
    assert batch.unreadable == batch.unfit == ()
    assert len(batch) == 3


def test_an_utterance_is_the_same_alone_and_in_any_batch(data):
    manifest, assembler = data
    (together,) = load(manifest, assembler, [range(8)])
    for i, alone in enumerate(load(manifest, assembler, [[i] for i in range(8)])):
        np.testing.assert_array_equal(together.features[i, : together.frames[i]], alone.features[0])
        np.testing.assert_array_equal(together.labels[i, : together.label_lengths[i]], alone.labels[0])


def test_features_are_normalised_with_the_statistics(data):
    manifest, assembler = data
    found = load(manifest, assembler, [range(8)])[0]
    for position, utterance in enumerate(manifest):
        samples = reading.load(layout.audio_file(utterance.audio_filepath), FEATURES.sample_rate)
        expected = assembler.statistics.normalize(features.extract(samples, FEATURES))
        np.testing.assert_array_equal(found.features[position, : found.frames[position]], expected)


def test_the_signal_to_noise_ratio_is_that_of_the_audio_before_it_is_normalised(data):
    manifest, assembler = data
    (found,) = load(manifest, assembler, [[2, 0, 3]])
    samples = [reading.load(layout.audio_file(f"{i}.wav"), FEATURES.sample_rate) for i in (2, 0, 3)]
    assert found.snr.tolist() == [snr.estimate(features.extract(one, FEATURES)) for one in samples]


def test_two_workers_make_the_same_batches_as_none(data, workspace):
    manifest, assembler = data
    (workspace / "4.wav").unlink()
    spec_aug = params.SpecAugSettings(prob=0.9)
    augmented = Assembler(
        FEATURES,
        assembler.statistics,
        assembler.vocabulary,
        3,
        augment.Augmenter(params.AugmentSettings(spec_aug=spec_aug), 16000),
        7,
    )
    batches = [[3, 1], [0, 2, 5], [4], [7, 6], [1, 0], [2, 3], [5, 6], [7]]
    alone = load(manifest, augmented, batches, 0, epoch=2)
    several = load(manifest, augmented, batches, 2, epoch=2)
    assert len(alone) == len(several) == len(batches)
    for one, two in zip(alone, several, strict=True):
        for name in ("features", "frames", "labels", "label_lengths", "positions"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert (one.seconds, one.unreadable, one.unfit) == (two.seconds, two.unreadable, two.unfit)
    plain = load(manifest, assembler, batches)
    assert any((one.features != two.features).any() for one, two in zip(alone, plain, strict=True))


def test_augmentation_follows_from_utterance_and_epoch_not_from_the_batch(data):
    manifest, assembler = data
    augmented = Assembler(
        FEATURES,
        assembler.statistics,
        assembler.vocabulary,
        3,
        augment.Augmenter(params.AugmentSettings(spec_aug=params.SpecAugSettings(prob=1.0)), 16000),
        7,
    )
    alone = load(manifest, augmented, [[2]], epoch=3)[0].features[0]
    within = load(manifest, augmented, [[5, 2, 0]], epoch=3)[0].features[1, : len(alone)]
    np.testing.assert_array_equal(alone, within)
    assert (load(manifest, augmented, [[2]], epoch=4)[0].features[0] != alone).any()


def test_augmentation_and_speed_follow_from_the_seed_and_the_epoch(data):
    manifest, assembler = data
    section = {kind: {"prob": 0.0} for kind in params.AugmentSettings.model_fields} | {"spec_aug": {"prob": 1.0}}

    def loaded(seed, epoch, **more):
        augmenter = augment.Augmenter(params.from_dict({"augment": section | more}).augment, 16000)
        made = Assembler(FEATURES, assembler.statistics, assembler.vocabulary, 3, augmenter, seed)
        return augmenter, load(manifest, made, [range(8)], epoch=epoch)[0]

    _, one = loaded(7, 2)
    for seed, epoch, same in ((7, 2, True), (8, 2, False), (7, 3, False)):
        assert np.array_equal(loaded(seed, epoch)[1].features, one.features) == same
        augmenter, hurried = loaded(seed, epoch, speed={"prob": 1.0})
        seconds = np.array(LENGTHS) / augmenter.speeds(seed, epoch, np.arange(8))
        np.testing.assert_allclose(hurried.frames, 100 * seconds, atol=3)


def test_an_utterance_that_played_faster_is_too_short_for_its_labels_keeps_its_speed_and_is_counted(data, workspace):
    _, assembler = data
    speed_only = {kind: {"prob": 0.0} for kind in params.AugmentSettings.model_fields} | {"speed": {"prob": 1.0}}
    augmenter = augment.Augmenter(params.from_dict({"augment": speed_only}).augment, 16000)
    # 48 frames are 16 steps; played 1.1 times as fast, 43 and 15.
    manifests.write(workspace / "m", [Utterance("1.wav", 0.5, "你好" * labels) for labels in (8, 7)] * 10)
    hurried = Assembler(FEATURES, assembler.statistics, assembler.vocabulary, 3, augmenter, 7)
    (batch,) = load(Manifest(workspace / "m"), hurried, [range(20)], epoch=1)
    assert batch.unreadable == batch.unfit == ()
    fast = augmenter.speeds(7, 1, np.arange(20)) == 1.1
    tight = np.arange(20) % 2 == 0
    assert batch.speed_reverted == np.count_nonzero(fast & tight) > 0
    assert (batch.frames[fast & tight] == 48).all()
    assert (batch.frames[fast & ~tight] == 43).all()


def test_a_file_that_became_unreadable_is_left_out_with_its_reason(data, workspace):
    manifest, assembler = data
    (workspace / "1.wav").write_bytes(b"")
    (workspace / "2.wav").unlink()
    (batch,) = load(manifest, assembler, [[0, 1, 2, 3]])
    assert batch.positions.tolist() == [0, 3]
    assert batch.features.shape == (2, 98, 24)
    assert batch.seconds == pytest.approx(1.7)
    assert batch.unreadable == ("1.wav: the file is empty (0 bytes)", "2.wav: there is no such file")
    assert batch.unfit == ()


def test_labels_that_do_not_fit_are_left_out_with_their_reason(data, workspace):
    _, assembler = data
    # 48 frames are 16 steps: room for 16 different labels, but only for 8 equal ones with blanks between.
    texts = {"fits": "你好" * 8, "too long": "你好" * 8 + "再", "equal and fits": "好" * 8, "equal": "好" * 9, "no": ""}
    manifests.write(workspace / "m", [Utterance("1.wav", 0.5, text) for text in texts.values()])
    (batch,) = load(Manifest(workspace / "m"), assembler, [range(5)])
    assert [list(texts)[i] for i in batch.positions] == ["fits", "equal and fits"]
    assert len(batch.unfit) == 3
    assert batch.unreadable == ()
    assert batch.unfit[0] == "1.wav: 17 labels do not fit in 16 output steps"


def test_audio_shorter_than_a_frame_is_left_out_with_its_reason(data, workspace, write_audio):
    _, assembler = data
    write_audio("short.wav", 0.02)
    manifests.write(workspace / "m", [Utterance("short.wav", 0.02, "好")])
    (batch,) = load(Manifest(workspace / "m"), assembler, [[0]])
    assert len(batch) == 0
    assert batch.unfit[0].startswith("short.wav: ")


def test_a_batch_of_which_nothing_is_left_is_empty_and_says_why(data, workspace):
    manifest, assembler = data
    (workspace / "5.wav").unlink()
    (batch,) = load(manifest, assembler, [[5]])
    assert len(batch) == 0
    assert batch.features.shape == (0, 0, 24)
    assert batch.labels.shape == (0, 0)
    assert len(batch.unreadable) == 1


def test_without_a_vocabulary_every_utterance_stays_and_has_no_labels(data):
    manifest, assembler = data
    (batch,) = load(manifest, Assembler(FEATURES, assembler.statistics), [[0, 1]])
    assert len(batch) == 2
    assert batch.label_lengths.tolist() == [0, 0]


def test_audio_lies_where_dvc_root_says(data, workspace, monkeypatch, tmp_path_factory):
    manifest, assembler = data
    monkeypatch.setenv("DVC_ROOT", str(workspace))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    (batch,) = load(manifest, assembler, [[0, 1]])
    assert len(batch) == 2


def test_a_piece_of_a_recording_is_the_same_utterance_as_a_file_of_its_own(data, workspace):
    """With its speed, its augmentation and its signal-to-noise ratio."""
    manifest, assembler = data
    names = [utterance.audio_filepath for utterance in manifest if utterance.audio_filepath != "3.wav"]
    sounds = [soundfile.read(workspace / name, dtype="int16")[0] for name in names]
    soundfile.write(workspace / "all.wav", np.concatenate(sounds), 16000)
    utterances, offset = [], 0.0
    for position, (name, sound) in enumerate(zip(names, sounds, strict=True)):
        seconds = len(sound) / 16000
        utterances += [
            Utterance(name, seconds, TEXTS[position]),
            Utterance("all.wav", seconds, TEXTS[position], offset=offset),
        ]
        offset += seconds
    manifests.write(workspace / "pieces", [*utterances[::2], *utterances[1::2]])
    augmenter = augment.Augmenter(params.AugmentSettings(), 16000)
    for one in (assembler, replace(assembler, augmenter=augmenter, seed=3)):
        found = [
            one(list(Manifest(workspace / "pieces").pick(positions)), range(len(names)), 2)
            for positions in (range(len(names)), range(len(names), 2 * len(names)))
        ]
        assert len(found[0]) == len(names)
        np.testing.assert_array_equal(found[0].features, found[1].features)
        np.testing.assert_array_equal(found[0].frames, found[1].frames)
        assert found[0].seconds == found[1].seconds


def test_two_unreadable_pieces_of_a_file_are_named_apart(data, workspace):
    _, assembler = data
    pieces = [Utterance("0.wav", 1.0, "你好", offset=offset) for offset in (5.0, 9.0)]
    found = assembler(pieces, range(2))
    assert [reason.split(":")[0] for reason in found.unreadable] == ["0.wav (from 5 s)", "0.wav (from 9 s)"]
