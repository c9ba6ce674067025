import numpy as np
import pytest
import soxr

from ds2.corpora import espeak
from ds2.transcribing import speech
from tests.training import tiny

SENTENCES = ("今天天气怎么样", "打开客厅的灯", "明天早上七点叫我起床", "把空调调到二十六度", "现在几点了")


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """The tiny data and, in models/, checkpoints of a model that has learned a part of it."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write_data(folder)
    tiny.train(folder, folder, tiny.settings(num_epoch=3))
    return folder


@pytest.fixture(scope="session")
def model_folder(root):
    return root / "models" / "epoch_3"


@pytest.fixture(scope="session")
def spoken():
    """Sentences spoken by a synthesizer, without silence at the ends, float32 at 16 kHz."""
    pytest.importorskip("espeakng_loader")
    voice = espeak.synthesizer()
    sentences = []
    for text in SENTENCES:
        samples = soxr.resample(voice.speak(text, "cmn", 170, 50, 50), voice.sample_rate, speech.SAMPLE_RATE)
        loud = np.flatnonzero(np.abs(samples) > 0.01)
        sentences.append(samples[loud[0] : loud[-1]])
    return sentences


@pytest.fixture(scope="session")
def with_pauses(spoken):
    """with_pauses(seconds) gives the sentences in a quiet room with pauses around them, and where each stands."""

    def place(seconds: float, repeat: int = 1) -> tuple[np.ndarray, list[tuple[float, float]]]:
        random = np.random.default_rng(1)
        pause = np.zeros(round(seconds * speech.SAMPLE_RATE), np.float32)
        parts, places, at = [pause], [], len(pause)
        for samples in spoken * repeat:
            places.append((at / speech.SAMPLE_RATE, (at + len(samples)) / speech.SAMPLE_RATE))
            parts += [samples, pause]
            at += len(samples) + len(pause)
        whole = np.concatenate(parts)
        return (whole + random.normal(0, 1e-4, len(whole))).astype(np.float32), places

    return place
