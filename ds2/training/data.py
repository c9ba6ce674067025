"""What a training reads: the utterances, the steps of an epoch made of them, and the loaders."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ds2 import params
from ds2.data import batches
from ds2.data.augment import Augmenter
from ds2.data.batches import Batches
from ds2.data.loader import Assembler, Loader
from ds2.data.manifest import Manifest
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.distributed.process_group import Group
from ds2.params.networks import frames_a_step


@dataclass
class TrainingData:
    """What a model is trained on.

    Attributes:
        train: the utterances to learn.
        scored: the utterances that choose the best epoch, if any.
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
        """The steps of an epoch (from 1), and the share of audio in their padded frames.

        The utterances of a step are of similar length at the speed they are played at.
        """
        durations = self.train.durations
        if self.augmenter is not None:
            durations = durations / self.augmenter.speeds(train.seed, epoch, np.arange(len(durations)))
        size, parts = train.batch_size * train.accumulate_grad, train.accumulate_grad
        plan = batches.of_epoch(durations, size, train.seed, epoch, train.max_batch_seconds, parts)
        return plan, plan.real_share(durations)

    def longest_batch(self, train: params.TrainSettings) -> np.ndarray:
        """Positions of the batch that needs the most memory, int64."""
        durations = self.train.durations
        plan = batches.of_epoch(durations, train.batch_size, train.seed, 1, train.max_batch_seconds)
        return max((plan[i] for i in range(len(plan))), key=lambda batch: len(batch) * durations[batch].max())

    @contextmanager
    def loaders(self, settings: params.Params, workers: int) -> Iterator[tuple[Loader, Loader | None]]:
        """The loaders of `train` and `scored`."""
        stride, seed = frames_a_step(settings.model), settings.train.seed
        changed = Assembler(settings.features, self.statistics, self.vocabulary, stride, self.augmenter, seed)
        with Loader(self.train, changed, workers) as training:
            if self.scored is None:
                yield training, None
                return
            with Loader(self.scored, Assembler(settings.features, self.statistics), workers) as scoring:
                yield training, scoring


def shares(positions: np.ndarray, train: params.TrainSettings, group: Group) -> list[np.ndarray]:
    """This process's share of each batch of a step; a share may be empty.

    Args:
        positions: int64 [n], of the step's utterances in the manifest: those of accumulate_grad batches; fewer in an
            epoch's last step.
        train: the section of params.yaml.
        group: the processes.
    """
    least = 1 if train.max_batch_seconds else train.batch_size
    count = min(train.accumulate_grad, -(-len(positions) // least))
    return [part[group.rank :: group.world_size] for part in np.array_split(positions, count)]
