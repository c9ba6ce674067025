"""A training as it stands: what its checkpoints hold, into them and out of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import paddle

from ds2 import params
from ds2.checkpoint import disk, weights
from ds2.checkpoint.disk import State
from ds2.data.mean_istd import MeanIstd
from ds2.distributed.process_group import Group
from ds2.model import build
from ds2.training.data import TrainingData
from ds2.training.fingerprint import fingerprint
from ds2.training.history import History
from ds2.training.meter import Meter
from ds2.training.precision import LossScaler
from ds2.training.store import Store


class Training:
    """Model, optimiser, position and history.

    Everything random follows from (seed, epoch, utterance) and (seed, step), and the schedule from the step: what
    a checkpoint holds is all that the rest of the training depends on.

    Attributes:
        ingredients: of the fingerprint; both stand in every checkpoint.
        scaler: fp16's, if any.
        epoch: epochs that are done.
        batch: batches done of the epoch that follows.
        step: steps of the optimiser since the beginning.
    """

    def __init__(self, settings: params.Params, data: TrainingData, ingredients: Mapping[str, Any]) -> None:
        """A training that has not begun."""
        self.settings, self.data, self.ingredients = settings, data, ingredients
        paddle.seed(settings.train.seed)
        self.model = build(settings, len(data.vocabulary))
        self.optimizer = paddle.optimizer.Adam(
            parameters=self.model.parameters(),
            learning_rate=settings.train.learning_rate,
            weight_decay=settings.train.weight_decay or None,
        )
        self.scaler = LossScaler.of(settings.train.amp)
        self.history = History()
        self.meter = Meter()
        self.epoch = self.batch = self.step = 0

    def restore(self, folder: Path, state: State) -> None:
        """Resumes from a checkpoint of this training.

        Raises:
            UserError: its weights are another model's.
        """
        weights.restore_model(folder, self.model)
        if disk.resumable(folder):
            weights.restore_optimizer(folder, self.optimizer, self.model)
        # Those of a continued checkpoint may not be the ones computed from today's data.
        self.data.statistics = MeanIstd.read(folder / disk.MEAN_ISTD)
        self.history = History.from_json(state.history)
        self.meter = Meter(**state.cost)
        if state.loss_scale:
            self.scaler = LossScaler(**state.loss_scale)
        self.epoch, self.batch, self.step = state.epoch, state.batch, state.step

    def broadcast(self, group: Group) -> None:
        """Makes every process's training that of the first one."""
        place = self.epoch, self.batch, self.step
        known = group.broadcast((place, self.history, self.scaler, self.data.statistics))
        (self.epoch, self.batch, self.step), self.history, self.scaler, self.data.statistics = known
        if group.world_size > 1:
            weights.put(self.model, group.broadcast_arrays(weights.of(self.model)))
            moments = group.broadcast_arrays(weights.moments(self.optimizer, self.model))
            weights.put_moments(moments, self.optimizer, self.model)

    def save(self, store: Store) -> None:
        """Writes a checkpoint: the state after an epoch or in the middle of one.

        Raises:
            UserError: the disk is full or not writable.
        """
        folder = store.step_folder(self.step) if self.batch else store.epoch_folder(self.epoch)
        state = State(
            epoch=self.epoch,
            batch=self.batch,
            step=self.step,
            fingerprint=fingerprint(self.ingredients),
            params=self.settings.model_dump(mode="json", include={"text", "features", "model", "augment", "train"}),
            history=self.history.as_json(),
            ingredients=dict(self.ingredients),
            loss_scale=vars(self.scaler) if self.scaler else {},
            cost=self.meter.as_json(),
        )
        arrays, moments = weights.of(self.model), weights.moments(self.optimizer, self.model)
        disk.write(folder, arrays, moments, self.data.vocabulary, self.data.statistics, state)
        store.tidy(folder)
