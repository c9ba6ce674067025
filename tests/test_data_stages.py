"""The stages mean_istd and vocabulary run as a user runs them: of the training data, as the parameters say."""

import pytest

from ds2 import layout, params
from ds2.data import manifest, mean_istd
from ds2.data.manifest import Manifest, Utterance
from ds2.data.mean_istd import MeanIstd
from tests.process import assert_one_sentence, run_stage

TEXTS = {"train": ["你好", "你好吗"], "dev": ["再见"], "test": ["明天见", "再见"]}


@pytest.fixture
def data(workspace, write_audio):
    """Three manifests of unlike audio and texts."""
    for number, (split, texts) in enumerate(TEXTS.items()):
        utterances = []
        for i, text in enumerate(texts):
            write_audio(f"{split}{i}.wav", 0.5 + 0.2 * i, rate=(16000, 8000, 22050)[number])
            utterances.append(Utterance(f"{split}{i}.wav", 0.5 + 0.2 * i, text))
        manifest.write(workspace / layout.manifest_path(split), utterances)
    return workspace


@pytest.mark.parametrize(("threshold", "characters"), [(1, "你好吗"), (2, "你好"), (3, "")])
def test_the_vocabulary_is_that_of_the_training_transcripts(data, threshold, characters):
    done = run_stage("vocabulary", data, f"vocabulary: {{count_threshold: {threshold}}}\n")
    assert done.returncode == 0, done.stderr
    tokens = (data / layout.VOCABULARY).read_text(encoding="utf-8").split()
    assert tokens[:2] == ["<blank>", "<unk>"]
    assert set(tokens[2:]) == set(characters)


@pytest.mark.parametrize("count", [None, 1])
def test_the_statistics_are_those_of_the_training_audio(data, count):
    values = {"features": {"num_mel_bins": 24, "target_db": -30}, "mean_istd": {"num_utterances": count}}
    settings = params.from_dict(values)
    text = f"features: {{num_mel_bins: 24, target_db: -30}}\nmean_istd: {{num_utterances: {count or 'null'}}}\n"
    done = run_stage("mean_istd", data, text + "runtime: {num_workers: 1}\n")
    assert done.returncode == 0, done.stderr
    found = MeanIstd.read(data / layout.MEAN_ISTD)
    expected, _ = mean_istd.compute(Manifest(data / layout.manifest_path("train")), settings, 1)
    assert found.mean.tolist() == expected.mean.tolist()
    assert found.istd.tolist() == expected.istd.tolist()
    assert (found.utterances, found.features) == (count or 2, settings.features)


def test_the_statistics_of_recordings_that_are_gone_are_refused(data):
    (data / "train1.wav").unlink()
    said = "1 of 2 training recordings could not be read so far", "the first is train1.wav: there is no such file"
    assert_one_sentence(run_stage("mean_istd", data, "runtime: {num_workers: 1}\n"), *said)
    assert not (data / layout.MEAN_ISTD).exists()
    allowed = run_stage("mean_istd", data, "manifest: {max_rejected_fraction: 0.5}\nruntime: {num_workers: 1}\n")
    assert allowed.returncode == 0, allowed.stderr
    assert "left out of the statistics: train1.wav" in allowed.stderr
