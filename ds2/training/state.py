"""A training as it stands: the data it reads, and what its checkpoints hold, into them and out of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from loguru import logger

from ds2 import params
from ds2.checkpoint import disk, weights
from ds2.checkpoint.disk import State
from ds2.data import batches, frames
from ds2.data.augment import Augmenter
from ds2.data.batches import Batches
from ds2.data.loader import Assembler, Batch, Loader
from ds2.data.manifest import Manifest
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.distributed.process_group import Group
from ds2.model import build
from ds2.model.precision import LossScaler
from ds2.params.networks import frames_a_step
from ds2.reporting.history import Choice, History
from ds2.reporting.meter import Meter
from ds2.training.average import BATCHES, Average
from ds2.training.fingerprint import fingerprint
from ds2.training.store import Store


@dataclass
class TrainingData:
    """What a model is trained on.

    Attributes:
        train: the utterances to learn.
        scored: the utterances that choose the model to use, if any.
        vocabulary: tokens.
        statistics: for the features.
        augmenter: changes the utterances anew every epoch, if any.
    """

    train: Manifest
    scored: Manifest | None
    vocabulary: Vocabulary
    statistics: MeanIstd
    augmenter: Augmenter | None = None

    def plan(self, train: params.TrainSettings, epoch: int) -> tuple[Batches, float]:
        """The steps of an epoch (from 1), and the share of padding in them.

        The utterances of a step are of similar length at the speed they are played at.
        """
        durations = self.train.durations
        if self.augmenter is not None:
            durations = durations / self.augmenter.speeds(train.seed, epoch, np.arange(len(durations)))
        size, parts = train.batch_size * train.accumulate_grad, train.accumulate_grad
        plan = batches.of_epoch(durations, size, train.seed, epoch, train.max_batch_seconds, parts)
        return plan, 1.0 - plan.real_share(durations)

    def largest_batch(self, settings: params.Params, world_size: int) -> Batch:
        """A batch made up to be as large as the largest share that a process may get in any epoch.

        With the most labels that fit in its frames.
        """
        train, features = settings.train, settings.features
        speeds = (1.0, 1.0) if self.augmenter is None else self.augmenter.speed_range()
        count, length = batches.largest_share(self.train.durations, train, world_size, features.sample_rate, speeds)
        values = np.zeros((count, length, features.size), np.float32)
        steps = frames.count_steps(length, frames_a_step(settings.model))
        labels = np.tile(np.arange(steps, dtype=np.int32) % 2 + 1, (count, 1))  # no two alike side by side
        frame_counts, label_counts = (np.full(count, number, np.int64) for number in (length, steps))
        seconds = count * length * frames.FRAME_SHIFT_S
        return Batch(values, frame_counts, labels, label_counts, np.arange(count, dtype=np.int64), seconds)

    def sample(self, train: params.TrainSettings) -> list[np.ndarray]:
        """Manifest positions of the batches that the average's running statistics are measured on, always the same."""
        plan = batches.of_epoch(self.train.durations, train.batch_size, train.seed, 0, train.max_batch_seconds)
        return [plan[i] for i in range(min(BATCHES, len(plan)))]

    def augmentation_files(self) -> dict[str, int]:
        """How many files of noise and impulse responses there are, by their folder in params.yaml."""
        return {} if self.augmenter is None else self.augmenter.counts()

    @contextmanager
    def loaders(self, settings: params.Params, workers: int) -> Iterator[tuple[Loader, Loader | None]]:
        """The loaders of `train` and `scored`, which outlive their worker processes."""
        stride, seed = frames_a_step(settings.model), settings.train.seed
        changed = Assembler(settings.features, self.statistics, self.vocabulary, stride, self.augmenter, seed)
        with Loader(self.train, changed, workers, outlives=True) as training:
            if self.scored is None:
                yield training, None
                return
            plain = Assembler(settings.features, self.statistics)
            with Loader(self.scored, plain, workers, outlives=True) as scoring:
                yield training, scoring


class Training:
    """Model, its average, optimiser, position and history.

    Everything random follows from (seed, epoch, utterance) and (seed, step), and the schedule from the step: what
    a checkpoint holds is all that the rest of the training depends on.

    Attributes:
        ingredients: of the fingerprint; both stand in every checkpoint.
        average: of the model's weights, if any.
        scaler: fp16's, if any.
        epoch: epochs that are done.
        batch: batches done of the epoch that follows.
        step: steps of the optimiser since the beginning.
        chosen: the weights that are published as best_model.
    """

    def __init__(self, settings: params.Params, data: TrainingData, ingredients: Mapping[str, Any]) -> None:
        """A training that has not begun."""
        self.settings, self.data, self.ingredients = settings, data, ingredients
        paddle.seed(settings.train.seed)
        self.model = build(settings, len(data.vocabulary))
        self.average: Average | None = None
        if settings.train.average_share is not None and settings.train.evaluate_on == "dev":
            self.average = Average(build(settings, len(data.vocabulary)), settings.train.average_share)
        self.optimizer = paddle.optimizer.Adam(
            parameters=self.model.parameters(),
            learning_rate=settings.train.learning_rate,
            weight_decay=settings.train.weight_decay or None,
        )
        self.scaler = LossScaler.of(settings.train.amp)
        self.history = History()
        self.meter = Meter()
        self.epoch = self.batch = self.step = 0
        self.chosen = Choice(0)

    def restore(self, folder: Path, state: State) -> None:
        """Resumes from a checkpoint of this training.

        Raises:
            UserError: its weights are another model's.
        """
        weights.restore_model(folder, self.model)
        if disk.resumable(folder):
            weights.restore_optimizer(folder, self.optimizer, self.model)
            if self.average is not None:
                weights.restore_model(folder, self.average.network, disk.AVERAGE)
        # Those of a continued checkpoint may not be the ones computed from today's data.
        self.data.statistics = MeanIstd.read(folder / disk.MEAN_ISTD)
        self.history = History.from_json(state.history)
        self.meter = Meter(**state.cost)
        if state.loss_scale:
            self.scaler = LossScaler(**state.loss_scale)
        self.epoch, self.batch, self.step = state.epoch, state.batch, state.step

    def broadcast(self, group: Group) -> None:
        """Gives every process the training of the first one."""
        place = self.epoch, self.batch, self.step
        known = group.broadcast((place, self.history, self.scaler, self.data.statistics))
        (self.epoch, self.batch, self.step), self.history, self.scaler, self.data.statistics = known
        if group.world_size > 1:
            for model in (self.model, *([self.average.network] if self.average else [])):
                weights.put(model, group.broadcast_arrays(weights.of(model)))
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
            augmentation_files=self.data.augmentation_files(),
            loss_scale=vars(self.scaler) if self.scaler else {},
            cost=self.meter.as_json(),
        )
        arrays, moments = weights.of(self.model), weights.moments(self.optimizer, self.model)
        average = weights.of(self.average.network) if self.average else None
        disk.write(folder, arrays, moments, self.data.vocabulary, self.data.statistics, state, average)
        store.tidy(folder)
        if self.batch:
            logger.info(f"saved after batch {self.batch} of epoch {self.epoch + 1}")
