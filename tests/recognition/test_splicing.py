import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from ds2 import params
from ds2.data import manifest
from ds2.data.manifest import Manifest, Utterance
from ds2.data.vocabulary import Vocabulary
from ds2.recognition import splicing

RATE = 16000


def recording(seconds, before, after):
    """Noise at -20 dB between silences at -80 dB."""
    random = np.random.default_rng(1)
    loud, quiet = 0.1, 0.0001
    parts = [(before, quiet), (seconds, loud), (after, quiet)]
    return np.concatenate([level * random.normal(size=round(length * RATE)) for length, level in parts])


@pytest.fixture
def read(tmp_path):
    utterances = []
    for speaker in "ab":
        for i, seconds in enumerate((0.5, 0.7, 0.9)):
            path = tmp_path / f"{speaker}{i}.wav"
            soundfile.write(path, recording(seconds, 0.3, 0.4), RATE)
            utterances.append(Utterance(str(path), seconds + 0.7, "你好", speaker))
    utterances.append(Utterance(str(tmp_path / "long.wav"), 60.0, "长", "c"))
    manifest.write(tmp_path / "manifest", utterances)
    return Manifest(tmp_path / "manifest")


def test_speech_is_found_between_silences():
    first, last = splicing.speech(recording(0.6, 0.2, 0.3).astype(np.float32), RATE)
    assert first / RATE == pytest.approx(0.2, abs=0.011)
    assert last / RATE == pytest.approx(0.8, abs=0.011)
    assert splicing.speech(np.zeros(RATE, np.float32), RATE) == (0, 0)
    assert splicing.speech(np.zeros(0, np.float32), RATE) == (0, 0)


def test_between_the_borders_somebody_speaks_and_nowhere_else(read):
    found = list(splicing.splices(read, RATE, 20))
    assert len(found) == 20
    pauses = set()
    for splice in found:
        assert splice.text == "".join(splice.texts)
        assert 2 <= len(splice.texts) <= 3
        spoken = np.zeros(len(splice.samples), bool)
        for start, end in splice.borders:
            assert start < end
            spoken[round(start * RATE) : round(end * RATE)] = True
        level = np.sqrt(np.mean(splice.samples[spoken] ** 2))
        assert level > 100 * np.sqrt(np.mean(splice.samples[~spoken] ** 2))
        pauses |= {round(b[0] - a[1], 2) for a, b in zip(splice.borders[:-1], splice.borders[1:], strict=True)}
    assert {0.0} < pauses <= {0.0, 0.06, 0.12, 0.25}


def test_they_are_the_same_every_time(read):
    one, other = (list(splicing.splices(read, RATE, 5)) for _ in range(2))
    assert all(np.array_equal(a.samples, b.samples) and a.borders == b.borders for a, b in zip(one, other, strict=True))


def test_without_two_recordings_of_a_speaker_there_are_none(tmp_path):
    manifest.write(tmp_path / "manifest", [Utterance("a.wav", 1.0, "好", "a"), Utterance("b.wav", 1.0, "好", "b")])
    assert list(splicing.splices(Manifest(tmp_path / "manifest"), RATE, 5)) == []
    assert splicing.offset(None, []) is None


@pytest.mark.parametrize(("lates", "offset"), [([0.12], -0.12), ([0.1, 0.12, 0.15], -0.12), ([0.0, 0.3, 0.6], None)])
def test_the_offset_is_the_distance_from_spikes_to_starts_where_there_is_one(lates, offset, read):
    """A model whose spikes come so late after each start where no pause is before, as the borders tell it."""
    vocabulary, found = Vocabulary(["<blank>", "<unk>", "你", "好"]), list(splicing.splices(read, RATE, 20))
    waiting, late = iter(found), itertools.cycle(lates)

    def log_probabilities(batch):
        splice = next(waiting)
        logs = np.full((int(batch.frames[0]) // 3 + 30, 4), -9.0, np.float32)
        logs[:, 0] = -0.01
        for start, _ in splice.borders:
            step = round((start + next(late)) / 0.03)
            logs[step, 2] = logs[step + 3, 3] = 0.0
        return [logs]

    model = SimpleNamespace(
        vocabulary=vocabulary,
        step_seconds=0.03,
        features=params.FeaturesSettings(),
        statistics=SimpleNamespace(normalize=lambda values: values),
        log_probabilities=log_probabilities,
    )
    assert splicing.offset(model, found) == (offset and pytest.approx(offset, abs=0.02))
