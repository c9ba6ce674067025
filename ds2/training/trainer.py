"""The training loop."""

import itertools
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from loguru import logger

from ds2 import params
from ds2.checkpoint import disk, weights
from ds2.checkpoint.disk import State
from ds2.data import batches
from ds2.data.augment import Augmenter
from ds2.data.loader import Assembler, Batch, Loader
from ds2.data.manifest import Manifest
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.distributed.process_group import Group
from ds2.distributed.signals import StopSignals
from ds2.errors import UserError
from ds2.evaluation.evaluator import Evaluation, evaluate
from ds2.model import build
from ds2.params.networks import frames_a_step
from ds2.recognition.paddle_model import PaddleModel
from ds2.training import journal, transfer
from ds2.training.cost import Cost, peak_memory_mb
from ds2.training.fingerprint import differences, fingerprint
from ds2.training.history import History
from ds2.training.precision import LossScaler
from ds2.training.schedule import learning_rate
from ds2.training.step import Outcome, Step, shares
from ds2.training.store import Store


@dataclass(frozen=True)
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


class Trainer:
    """A model, its optimiser and where they stand.

    Everything random follows from (seed, epoch, utterance) and (seed, step), and the schedule from the step: what
    a checkpoint holds is all that the rest of the training depends on.
    """

    def __init__(
        self,
        settings: params.Params,
        data: TrainingData,
        ingredients: Mapping[str, Any],
        workers: int,
        group: Group | None = None,
    ) -> None:
        """A training that has not begun.

        Args:
            settings: all parameters.
            data: what to train on.
            ingredients: of the fingerprint; both stand in every checkpoint.
            workers: processes that prepare batches.
            group: the processes that train together; None: this one alone. Only the first of them writes.

        Raises:
            UserError: train.amp does not go with the device.
        """
        self._settings = settings
        self._data = data
        self._ingredients = ingredients
        self._workers = workers
        self._group = group or Group()
        paddle.seed(settings.train.seed)
        self.model = build(settings, len(data.vocabulary))
        self._optimizer = paddle.optimizer.Adam(
            parameters=self.model.parameters(),
            learning_rate=settings.train.learning_rate,
            weight_decay=settings.train.weight_decay or None,
        )
        if self._group.world_size > 1:
            self.model.synchronise(self._group.all_gather_rows)
        self._take_step = Step(self.model, self._optimizer, settings, self._group)
        self.history = History()
        self.cost = Cost()
        self.epoch = self.batch = self.step = 0
        self._stop_signals = StopSignals()
        self._told: set[str] = set()  # files that a skipped step was logged for
        self._before_skips = (0, 0, 0)
        self._speed_reverted = 0  # utterances of this epoch that were too short for their labels when played faster

    def begin(self, store: Store) -> None:
        """Goes to the furthest state of this training; where there is none, or resume_model is null, to the start.

        Raises:
            UserError: the checkpoint to start from does not exist, is damaged or does not fit.
        """
        if self._group.rank == 0 and not self._restore(store):
            self._start(store)
        self._take_over()

    def run(self, store: Store, curves: journal.Curves) -> None:
        """Trains until num_epoch epochs are done, saving and scoring on the way.

        Raises:
            UserError: a signal asked to stop, after the state was saved; or the disk is full.
        """
        num_epoch = self._settings.train.num_epoch
        if self.history.epochs:
            self._publish(store)
        elif self.epoch >= num_epoch:
            raise UserError(f"train.num_epoch is {num_epoch}, but the checkpoint has {self.epoch} epochs: raise it")
        with self._loaders() as (training, scoring), self._stop_signals.handled(interrupt=self._group.world_size == 1):
            if (self.epoch, self.batch) == (0, 0) and self._settings.runtime.probe_longest:
                self._probe(training)
            clock = None
            while self.epoch < num_epoch:
                plan = self._plan()
                clock = clock or journal.Clock(len(plan) * (num_epoch - self.epoch) - self.batch)
                self._train_epoch(training, plan, store, curves, clock)
                self._end_epoch(scoring, store, curves)
                curves.update()
                curves.write_tables()
                if self._group.any(self._stop_signals.asked is not None):
                    self._stop()
        self._group.shutdown()

    def _take_over(self) -> None:
        """Makes all processes stand where the first one does."""
        place = self.epoch, self.batch, self.step
        known = self._group.broadcast((place, self.history, self.cost, self._take_step.scale, self._data.statistics))
        (self.epoch, self.batch, self.step), self.history, self.cost, self._take_step.scale, statistics = known
        self._data = replace(self._data, statistics=statistics)
        if self._group.world_size > 1:
            weights.put(self.model, self._group.broadcast_arrays(weights.of(self.model)))
            moments = self._group.broadcast_arrays(weights.moments(self._optimizer, self.model))
            weights.put_moments(moments, self._optimizer, self.model)

    def _probe(self, loader: Loader) -> None:
        """Runs the batch that needs the most memory, so that a lack of it shows now and not at the epoch's end."""
        train, durations = self._settings.train, self._data.train.durations
        plan = batches.of_epoch(durations, train.batch_size, train.seed, 1, train.max_batch_seconds)
        longest = max((plan[i] for i in range(len(plan))), key=lambda batch: len(batch) * durations[batch].max())
        self.model.train()
        self._take_step.probe(loader.load([longest[self._group.rank :: self._group.world_size]], 1))

    def _plan(self) -> batches.Batches:
        """The steps of the next epoch, of utterances that are of like length at the speed they are played at."""
        train, durations, epoch = self._settings.train, self._data.train.durations, self.epoch + 1
        if self._data.augmenter is not None:
            durations = durations / self._data.augmenter.speeds(train.seed, epoch, np.arange(len(durations)))
        size, parts = train.batch_size * train.accumulate_grad, train.accumulate_grad
        plan = batches.of_epoch(durations, size, train.seed, epoch, train.max_batch_seconds, parts)
        share = plan.real_share(durations)
        logger.info(f"epoch {epoch}: {len(plan)} batches, {share:.1%} of their frames are real")
        return plan

    def _restore(self, store: Store) -> bool:
        """Goes to the furthest state that the store has of this training. False: none, or to start over."""
        if self._settings.train.resume_model is None:
            store.clear()  # models/ stays, and is not looked at, until the first epoch is published
            return False
        found = store.furthest(self._settings.train.num_epoch)
        if found is None:
            return False
        folder, state = found
        weights.restore_model(folder, self.model)
        if disk.resumable(folder):
            weights.restore_optimizer(folder, self._optimizer, self.model)
        # Those of a continued checkpoint may not be the ones computed from today's data.
        self._data = replace(self._data, statistics=MeanIstd.read(folder / disk.MEAN_ISTD))
        self.history = History.from_json(state.history)
        self.cost = Cost(**state.cost)
        if state.loss_scale:
            self._take_step.scale = LossScaler(**state.loss_scale)
        self.epoch, self.batch, self.step = state.epoch, state.batch, state.step
        logger.info(f"going on from {folder}: epoch {state.epoch} done, {state.batch} batches of the next")
        return True

    def _start(self, store: Store) -> None:
        """Begins with another training's checkpoint, with its weights only, or with none, as the parameters say."""
        train, vocabulary = self._settings.train, self._data.vocabulary
        if train.resume_model not in ("auto", None):
            source = transfer.read(train.resume_model, "train.resume_model")
            transfer.check_same_architecture(source, self._settings)
            transfer.restore_mapped(source, self.model, self._optimizer, vocabulary)
            # Its scores are those of another dev set: the best of this training is chosen from its own epochs.
            self._data = replace(self._data, statistics=source.statistics)
            self.epoch, self.step = source.state.epoch, source.state.step
            logger.info(f"going on from {source.folder}, epoch {self.epoch}, with its statistics, on the data of today")
        elif train.pretrained_model is not None:
            source = transfer.read(train.pretrained_model, "train.pretrained_model")
            transfer.take_weights(source, self.model, self._settings, vocabulary)
        else:
            logger.info(f"the training starts from the beginning{self._why(store)}")

    def _why(self, store: Store) -> str:
        """What keeps it from going on with the model that is there, if one is."""
        other = store.another()
        if other is None:
            return ""
        folder, state = other
        different = differences(state.ingredients, self._ingredients) if state.ingredients else []
        return f", since {folder} is of another training: {'; '.join(different)}" if different else ""

    def _train_epoch(
        self, loader: Loader, plan: batches.Batches, store: Store, curves: journal.Curves, clock: journal.Clock
    ) -> None:
        train = self._settings.train
        self.model.train()
        left = range(self.batch, len(plan))
        # The loader is ahead of the loop; each share is worked out once.
        taken, ahead = itertools.tee(shares(plan[i], train, self._group) for i in left)
        parts = itertools.chain.from_iterable(ahead)
        stream = self._watched(loader.load(parts, self.epoch + 1), curves, clock)
        self.cost.start()
        clock.resume()
        self._speed_reverted = 0
        for i, share in zip(left, taken, strict=True):
            rate = learning_rate(self.step + 1, train)
            try:
                parts_of_step = list(itertools.islice(stream, len(share)))
            except UserError:  # a worker process was killed: what was learned until then is not lost
                if self._group.rank == 0 and self.batch:
                    self._write(store.step_folder(self.step), store)
                    logger.info(f"saved after batch {self.batch} of epoch {self.epoch + 1}")
                raise
            outcome = self._take_step(parts_of_step, self.step + 1, rate)
            self.batch = i + 1
            if outcome.utterances:
                self.step += 1
                clock.count(outcome.utterances)
                self.cost.count(outcome.utterances)
                if not outcome.finite:
                    self._skip(outcome, store)
                else:
                    loss, norm = outcome.loss, outcome.grad_norm
                    if self.history.add_step(self.step, self.batch, len(plan), loss, rate, norm):
                        curves.update()
                    place = self.epoch + 1, train.num_epoch, self.batch, len(plan)
                    curves.step(journal.Moment(*place, self.step, outcome.utterances, loss, rate), clock)
            at_end, stop = self.batch == len(plan), self._group.any(self._stop_signals.asked is not None)
            if not at_end and (self.batch % train.save_interval == 0 or stop):
                self._save(store)
                logger.info(f"saved after batch {self.batch} of epoch {self.epoch + 1}")
                self.cost.start()
            if stop and not at_end:
                self._stop()
        if speed_reverted := sum(self._group.all_gather(self._speed_reverted)):
            logger.info(
                f"{speed_reverted} utterances kept their own speed: played faster, their labels would not have fit"
            )

    def _watched(self, stream: Iterator[Batch], curves: journal.Curves, clock: journal.Clock) -> Iterator[Batch]:
        """The batches of a loader; shows them, says what was left out, and counts the time spent waiting for them."""
        while True:
            start = time.perf_counter()
            batch = next(stream, None)
            clock.wait(time.perf_counter() - start)
            if batch is None:
                return
            for reason in batch.dropped:
                logger.warning(f"left out of the training: {reason}")
            self._speed_reverted += batch.speed_reverted
            if len(batch):
                curves.batch(batch, self.epoch + 1)
            yield batch

    def _skip(self, outcome: Outcome, store: Store) -> None:
        """Counts a step whose loss or gradients were not finite, and says so.

        Raises:
            UserError: there were too many in a row; the state from before them is saved.
        """
        scale, history = self._take_step.scale, self.history
        if outcome.retryable and scale is not None:
            logger.info(f"step {self.step} is skipped: fp16 has overflowed, the loss scale falls to {scale.value:g}")
            return
        if history.nonfinite_in_a_row == 0:
            self._before_skips = self.batch - 1, self.step - 1, history.nonfinite
        history.add_nonfinite()
        files = [self._data.train[position].audio_filepath for position in outcome.suspects]
        new = [file for file in files if file not in self._told]
        self._told.update(new)
        logger.warning(
            f"step {self.step} is skipped: its loss or gradients are not finite"
            + (f"; it had {', '.join(new)}" if new else "")
        )
        most = self._settings.train.max_nonfinite
        if history.nonfinite_in_a_row >= most:
            self.batch, self.step, history.nonfinite = self._before_skips
            history.nonfinite_in_a_row = 0
            if self.batch:
                self._save(store)
            self._group.shutdown()
            raise UserError(
                f"{most} steps in a row (train.max_nonfinite) were not finite: lower train.learning_rate, or look at "
                "the files that the log names; the state from before them is saved"
            )

    def _end_epoch(self, scoring: Loader | None, store: Store, curves: journal.Curves) -> None:
        self.epoch, self.batch = self.epoch + 1, 0
        self._before_skips = 0, self.step, self.history.nonfinite
        self.cost.note_peak(max(self._group.all_gather(peak_memory_mb())))
        scores: dict[str, float] = {}
        if scoring is not None and self._data.scored is not None:
            result = self._score(scoring, self._data.scored)
            curves.scored(result.predictions, self.epoch)
            scores = {metric: result.errors(metric).rate for metric in ("cer", "wer")}
            example = result.predictions[(self.epoch * 7919) % len(result.predictions)]
            logger.info(f"reference: {example.reference} | recognised: {example.hypothesis}")
        self.history.add_epoch(self.epoch, scores)
        row, best = self.history.epochs[-1], self.history.best()
        loss = f"{row['loss']:.5f}" if "loss" in row else "none, all steps were skipped"
        logger.info(
            f"Epoch: [{self.epoch}/{self._settings.train.num_epoch}], loss: {loss}"
            + (f", {self._settings.train.evaluate_on} CER: {row['cer']:.5f}" if scores else "")
            + (f", best: {best['cer']:.5f} (epoch {best['epoch']})" if scores and best else "")
        )
        self._save(store)
        self._publish(store)

    def _score(self, loader: Loader, manifest: Manifest) -> Evaluation:
        settings, data = self._settings, self._data
        model = PaddleModel(
            self.model, data.vocabulary, data.statistics, settings.features, paddle.get_device().split(":")[0]
        )
        return evaluate(model, manifest, loader, settings.train.batch_size, group=self._group)

    def _publish(self, store: Store) -> None:
        if self._group.rank == 0:
            best = self.history.best()
            store.publish(self.epoch, int(best["epoch"]) if best else self.epoch)

    def _save(self, store: Store) -> None:
        """Writes the state after an epoch or in the middle of one; nobody goes on before it is written."""
        if self._group.rank == 0:
            self._write(store.step_folder(self.step) if self.batch else store.epoch_folder(self.epoch), store)
        self._group.barrier()

    def _write(self, folder: Path, store: Store) -> None:
        state = State(
            epoch=self.epoch,
            batch=self.batch,
            step=self.step,
            fingerprint=fingerprint(self._ingredients),
            params=self._settings.model_dump(mode="json", include={"text", "features", "model", "augment", "train"}),
            history=self.history.as_json(),
            ingredients=dict(self._ingredients),
            loss_scale=vars(self._take_step.scale) if self._take_step.scale else {},
            cost=self.cost.as_json(),
        )
        disk.write(
            folder,
            weights.of(self.model),
            weights.moments(self._optimizer, self.model),
            self._data.vocabulary,
            self._data.statistics,
            state,
        )
        store.tidy(folder)

    @contextmanager
    def _loaders(self) -> Iterator[tuple[Loader, Loader | None]]:
        settings, data = self._settings, self._data
        plain = Assembler(settings.features, data.statistics)
        stride = frames_a_step(settings.model)
        learning = Assembler(
            settings.features, data.statistics, data.vocabulary, stride, data.augmenter, settings.train.seed
        )
        with Loader(data.train, learning, self._workers) as training:
            if data.scored is None:
                yield training, None
            else:
                with Loader(data.scored, plain, self._workers) as scoring:
                    yield training, scoring

    def _stop(self) -> None:
        """Ends all processes, once all have learned that one was asked to stop; unless there is nothing left to do."""
        number = max(signal_ or 0 for signal_ in self._group.all_gather(self._stop_signals.asked))
        if self.epoch < self._settings.train.num_epoch:
            self._group.shutdown()
            # null would start over once more
            again = ", with train.resume_model=auto," if self._settings.train.resume_model is None else ""
            raise UserError(
                f"stopped by {signal.Signals(number).name} after {self.epoch} epochs and {self.batch} "
                f"batches; the state is saved, and the same command{again} goes on from it"
            )
