"""The training loop."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from loguru import logger

from ds2 import params
from ds2.data import augment, batches
from ds2.data.augment import Augmenter
from ds2.data.loader import Assembler, Batch, Loader
from ds2.data.manifest import Manifest
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import BLANK_ID, Vocabulary
from ds2.errors import UserError
from ds2.evaluation.evaluator import Evaluation, evaluate
from ds2.model.deepspeech2 import DeepSpeech2
from ds2.training import checkpoint, journal, transfer
from ds2.training.checkpoint import State
from ds2.training.fingerprint import differences, fingerprint
from ds2.training.history import History
from ds2.training.schedule import learning_rate
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
        self, settings: params.Params, data: TrainingData, ingredients: Mapping[str, Any], workers: int
    ) -> None:
        """A training that has not begun.

        Args:
            settings: all parameters.
            data: what to train on.
            ingredients: of the fingerprint; both stand in every checkpoint.
            workers: processes that prepare batches.
        """
        self._settings = settings
        self._data = data
        self._ingredients = ingredients
        self._workers = workers
        paddle.seed(settings.train.seed)
        self.model = DeepSpeech2(settings.model, settings.features.num_mel_bins, len(data.vocabulary))
        self._optimizer = paddle.optimizer.Adam(
            parameters=self.model.parameters(),
            learning_rate=settings.train.learning_rate,
            weight_decay=settings.train.weight_decay or None,
        )
        self.history = History()
        self.epoch = self.batch = self.step = 0
        self._stop_signal: int | None = None

    def begin(self, store: Store) -> None:
        """Goes to the furthest state of this training; where there is none, or resume_model is null, to the start.

        Raises:
            UserError: the checkpoint to start from does not exist, is damaged or does not fit.
        """
        if not self._restore(store):
            self._start(store)

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
        with self._loaders() as (training, scoring), self._stop_at_signal():
            clock = None
            while self.epoch < num_epoch:
                plan = self._plan()
                clock = clock or journal.Clock(len(plan) * (num_epoch - self.epoch) - self.batch)
                self._train_epoch(training, plan, store, curves, clock)
                self._end_epoch(scoring, store, curves)
                curves.update()
                curves.write_tables()
                self._stop_if_asked()

    def _plan(self) -> batches.Batches:
        """The batches of the next epoch, of utterances that are of like length at the speed they are played at."""
        train, durations, epoch = self._settings.train, self._data.train.durations, self.epoch + 1
        if train.augment:
            speeds = augment.speeds(self._settings.augment.speed, train.seed, epoch, np.arange(len(durations)))
            durations = durations / speeds
        plan = batches.of_epoch(durations, train.batch_size, train.seed, epoch, train.max_batch_seconds)
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
        checkpoint.restore_model(folder, self.model)
        if checkpoint.resumable(folder):
            checkpoint.restore_optimizer(folder, self._optimizer, self.model)
        # Those of a continued checkpoint may not be the ones computed from today's data.
        self._data = replace(self._data, statistics=MeanIstd.read(folder / checkpoint.MEAN_ISTD))
        self.history = History.from_json(state.history)
        self.epoch, self.batch, self.step = state.epoch, state.batch, state.step
        logger.info(f"going on from {folder}: epoch {state.epoch} done, {state.batch} batches of the next")
        return True

    def _start(self, store: Store) -> None:
        """Begins with another training's checkpoint, with its weights only, or with none, as the parameters say."""
        train, vocabulary = self._settings.train, self._data.vocabulary
        if train.resume_model not in ("auto", None):
            source = transfer.Source.read(train.resume_model, "train.resume_model")
            transfer.check_same_architecture(source, self._settings)
            transfer.restore_mapped(source, self.model, self._optimizer, vocabulary)
            # Its scores are those of another dev set: the best of this training is chosen from its own epochs.
            self._data = replace(self._data, statistics=source.statistics)
            self.epoch, self.step = source.state.epoch, source.state.step
            logger.info(f"going on from {source.folder}, epoch {self.epoch}, with its statistics, on the data of today")
        elif train.pretrained_model is not None:
            source = transfer.Source.read(train.pretrained_model, "train.pretrained_model")
            transfer.take_weights(source, self.model, vocabulary)
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
        unhurried = 0
        waiting = time.perf_counter()
        for batch in loader.load((plan[i] for i in range(self.batch, len(plan))), self.epoch + 1):
            waited = time.perf_counter() - waiting
            self.batch += 1
            unhurried += batch.unhurried
            for reason in batch.dropped:
                logger.warning(f"left out of the training: {reason}")
            if len(batch):
                curves.batch(batch, self.epoch + 1)
                loss, grad_norm, rate = self._train_step(batch)
                if self.history.add_step(self.step, self.batch, len(plan), loss, rate, grad_norm):
                    curves.update()
                clock.count(len(batch), waited)
                place = self.epoch + 1, train.num_epoch, self.batch, len(plan)
                curves.step(journal.Moment(*place, self.step, len(batch), loss, rate), clock)
            at_end = self.batch == len(plan)
            if not at_end and (self.batch % train.save_interval == 0 or self._stop_signal is not None):
                self._save_step(store)
                self._stop_if_asked()
            waiting = time.perf_counter()
        if unhurried:
            logger.info(f"{unhurried} utterances kept their own speed: played faster, their labels would not have fit")

    def _train_step(self, batch: Batch) -> tuple[float, float, float]:
        """One step of the optimiser: the loss of an utterance, the gradients' norm before clipping, the rate."""
        self.step += 1
        train = self._settings.train
        # Dropout draws from here: the same numbers after any interruption.
        paddle.seed((train.seed * 1_000_003 + self.step) % 2**31)
        rate = learning_rate(self.step, train)
        self._optimizer.set_lr(rate)
        logits, steps = self.model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
        loss = ctc_loss(logits, steps, batch)
        loss.backward()
        grad_norm = clip_gradients(self.model, train.grad_clip)
        self._optimizer.step()
        self._optimizer.clear_grad()
        return float(loss), grad_norm, rate

    def _end_epoch(self, scoring: Loader | None, store: Store, curves: journal.Curves) -> None:
        self.epoch, self.batch = self.epoch + 1, 0
        scores: dict[str, float] = {}
        if scoring is not None and self._data.scored is not None:
            result = self._score(scoring, self._data.scored)
            curves.scored(result.predictions, self.epoch)
            scores = {metric: result.errors(metric).rate for metric in ("cer", "wer")}
            example = result.predictions[(self.epoch * 7919) % len(result.predictions)]
            logger.info(f"reference: {example.reference} | recognised: {example.hypothesis}")
        self.history.add_epoch(self.epoch, scores)
        row, best = self.history.epochs[-1], self.history.best()
        logger.info(
            f"Epoch: [{self.epoch}/{self._settings.train.num_epoch}], loss: {row['loss']:.5f}"
            + (f", {self._settings.train.evaluate_on} CER: {row['cer']:.5f}" if scores else "")
            + (f", best: {best['cer']:.5f} (epoch {best['epoch']})" if scores and best else "")
        )
        self._save(store.epoch_folder(self.epoch), store)
        self._publish(store)

    def _score(self, loader: Loader, manifest: Manifest) -> Evaluation:
        return evaluate(self.model, manifest, loader, self._data.vocabulary, self._settings.train.batch_size)

    def _publish(self, store: Store) -> None:
        best = self.history.best()
        store.publish(self.epoch, int(best["epoch"]) if best else self.epoch)

    def _save_step(self, store: Store) -> None:
        self._save(store.step_folder(self.step), store)
        logger.info(f"saved after batch {self.batch} of epoch {self.epoch + 1}")

    def _save(self, folder, store: Store) -> None:
        state = State(
            epoch=self.epoch,
            batch=self.batch,
            step=self.step,
            fingerprint=fingerprint(self._ingredients),
            params=self._settings.model_dump(mode="json", include={"text", "features", "model", "augment", "train"}),
            history=self.history.as_json(),
            ingredients=dict(self._ingredients),
        )
        checkpoint.write(folder, self.model, self._optimizer, self._data.vocabulary, self._data.statistics, state)
        store.tidy(folder)

    @contextmanager
    def _loaders(self) -> Iterator[tuple[Loader, Loader | None]]:
        settings, data = self._settings, self._data
        plain = Assembler(settings.features, data.statistics)
        learning = Assembler(settings.features, data.statistics, data.vocabulary, data.augmenter, settings.train.seed)
        with Loader(data.train, learning, self._workers) as training:
            if data.scored is None:
                yield training, None
            else:
                with Loader(data.scored, plain, self._workers) as scoring:
                    yield training, scoring

    @contextmanager
    def _stop_at_signal(self) -> Iterator[None]:
        """SIGINT and SIGTERM ask for a stop after the batch; a second one stops at once."""

        def ask(number: int, frame: object) -> None:
            if self._stop_signal is not None:
                raise KeyboardInterrupt
            self._stop_signal = number  # and nothing else: the log's lock may be held by the very line interrupted

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop_if_asked(self) -> None:
        if self._stop_signal is not None and self.epoch < self._settings.train.num_epoch:
            # null would start over once more
            again = ", with train.resume_model=auto," if self._settings.train.resume_model is None else ""
            raise UserError(
                f"stopped by {signal.Signals(self._stop_signal).name} after {self.epoch} epochs and {self.batch} "
                f"batches; the state is saved, and the same command{again} goes on from it"
            )


def ctc_loss(logits: paddle.Tensor, steps: paddle.Tensor, batch: Batch) -> paddle.Tensor:
    """The CTC loss, the mean over the utterances of the batch (each the sum over its labels).

    Args:
        logits: float32 [B, T, tokens]; the loss applies the softmax itself.
        steps: int64 [B], real output steps.
        batch: labels that fit in the steps.
    """
    losses = F.ctc_loss(
        logits.transpose([1, 0, 2]),
        paddle.to_tensor(batch.labels),
        steps,
        paddle.to_tensor(batch.label_lengths),
        blank=BLANK_ID,
        reduction="none",
    )
    return losses.mean()


@paddle.no_grad()
def clip_gradients(model: DeepSpeech2, longest: float) -> float:
    """Scales all gradients so that their global norm is at most `longest` (Pascanu et al. 2013).

    Returns:
        the norm before.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = float(paddle.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt())
    if norm > longest:
        for gradient in gradients:
            gradient.scale_(longest / norm)
    return norm
