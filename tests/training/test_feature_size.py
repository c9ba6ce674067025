"""Features of another size: what else depends on it asks params for it."""

import numpy as np
import pytest

from ds2 import params
from ds2.checkpoint import trained
from ds2.data import features
from ds2.data.loader import Assembler, Loader
from ds2.data.mean_istd import MeanIstd
from ds2.decoding.greedy import Greedy
from ds2.layout import MEAN_ISTD
from ds2.recognition import paddle_model
from ds2.transcribing import inputs
from ds2.transcribing.transcriber import Transcriber
from tests.training import tiny

pytestmark = pytest.mark.wheel

MORE = 3


@pytest.fixture
def longer(monkeypatch):
    """A kind of features: the filter banks, and how three of them change from frame to frame."""
    plain = features.extract

    def extract(samples, settings):
        banks = plain(samples, settings)
        changes = np.diff(banks[:, :MORE], axis=0, prepend=banks[:1, :MORE])
        return np.concatenate([banks, changes], axis=1)

    monkeypatch.setattr(features, "extract", extract)
    monkeypatch.setattr(params.FeaturesSettings, "size", property(lambda self: self.num_mel_bins + MORE))
    return tiny.settings().features.num_mel_bins + MORE


def test_statistics_batches_network_checkpoint_and_recognition_follow_the_size_of_the_features(longer, workspace):
    tiny.write_data(workspace)
    statistics = MeanIstd.read(workspace / MEAN_ISTD)
    assert len(statistics.mean) == len(statistics.istd) == longer
    data = tiny.data(workspace)
    with Loader(data.train, Assembler(tiny.settings().features, data.statistics), 0) as loader:
        (batch,) = loader.load([np.array([0, 1])])
    assert batch.features.shape[2] == longer

    tiny.train(workspace, workspace, tiny.settings(num_epoch=1))
    model = trained.load(workspace / "models" / "best_model").model
    weight = model.rnn.layers[0].gru.weight_ih_l0
    assert weight.shape[1] == tiny.MODEL["conv_channels"] * -(-longer // 2)
    transcriber = Transcriber(paddle_model.load(workspace / "models" / "best_model", False), Greedy(), 4, 20.0)
    assert len(list(transcriber.transcribe(inputs.expand([str(workspace / "audio")])))) == len(tiny.TEXTS)


def test_an_empty_batch_of_another_size_does_not_end_a_training(longer, workspace):
    tiny.write_data(workspace)
    (workspace / "audio/0.wav").unlink()
    chosen = tiny.bearing(0.1, tiny.settings(num_epoch=1, batch_size=1, evaluate_on=None))
    assert tiny.train(workspace, workspace, chosen).epoch == 1
