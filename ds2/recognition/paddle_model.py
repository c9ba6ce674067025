"""Trained networks that paddle computes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle

from ds2 import params
from ds2.checkpoint import trained
from ds2.data.frames import FRAME_SHIFT_S
from ds2.data.loader import Batch
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.model import device
from ds2.model.network import Network
from ds2.params.networks import frames_a_step
from ds2.recognition.acoustic import log_softmax
from ds2.recognition.calibration import Calibration


@dataclass(frozen=True)
class PaddleModel:
    """An AcousticModel on the device that paddle was told to use."""

    network: Network
    vocabulary: Vocabulary
    statistics: MeanIstd
    settings: params.Params  # of its training
    device: str
    origin: str = ""
    chosen_on: str | None = None
    calibration: Calibration | None = None
    decoding: None = None
    language_model: None = None

    @property
    def features(self) -> params.FeaturesSettings:
        """As every AcousticModel."""
        return self.settings.features

    @property
    def rules(self) -> params.TextSettings:
        """As every AcousticModel."""
        return self.settings.text

    @property
    def step_seconds(self) -> float:
        """As every AcousticModel."""
        return frames_a_step(self.settings.model) * FRAME_SHIFT_S

    @property
    def usual_seconds(self) -> float:
        """As every AcousticModel."""
        return self.statistics.frames * FRAME_SHIFT_S / self.statistics.utterances

    def log_probabilities(self, batch: Batch) -> list[np.ndarray]:
        """As every AcousticModel; the network is left in the mode, training or evaluation, that it was in."""
        was_training = self.network.training
        self.network.eval()
        try:
            with paddle.no_grad():
                logits, steps = self.network(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
        finally:
            if was_training:
                self.network.train()
        return [log_softmax(one[:count]) for one, count in zip(logits.numpy(), steps.numpy(), strict=True)]


def load(folder: Path, use_gpu: str | bool) -> PaddleModel:
    """Opens a checkpoint on the device that runtime.use_gpu names.

    Raises:
        UserError: it does not exist or is damaged, or there is no such device.
    """
    on = device.choose(use_gpu)
    one = trained.load(folder)
    return PaddleModel(one.model, one.vocabulary, one.statistics, one.params, on, one.state.origin, one.state.chosen_on)
