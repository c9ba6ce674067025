"""The training loop."""

import itertools
import signal
from collections.abc import Iterator
from typing import NoReturn

import paddle
from loguru import logger

from ds2 import parallel
from ds2.checkpoint import weights
from ds2.data import unreadable
from ds2.data.batches import shares
from ds2.data.loader import Batch, Loader
from ds2.distributed.process_group import Group
from ds2.distributed.signals import StopSignals
from ds2.errors import UserError
from ds2.evaluation.evaluator import Evaluation, evaluate
from ds2.metrics import TOKENS
from ds2.model import device
from ds2.model.network import Network
from ds2.recognition.acoustic import DivergedError
from ds2.recognition.paddle_model import PaddleModel
from ds2.reporting.history import AVERAGE
from ds2.reporting.reporter import Moment, Reporter
from ds2.training.average import Average
from ds2.training.schedule import learning_rate
from ds2.training.state import Training
from ds2.training.step import Launched, Outcome, Step
from ds2.training.store import Store


class Trainer:
    """Trains until num_epoch epochs are done, saving and scoring on the way; only the first process writes."""

    def __init__(self, training: Training, store: Store, reporter: Reporter, group: Group, workers: int) -> None:
        self._training, self._store, self._reporter, self._group = training, store, reporter, group
        self._settings, self._workers = training.settings, workers
        self._step = Step(training.model, training.optimizer, training.settings, group, training.scaler)
        self._stop_signals = StopSignals()
        self._stopping = False  # whether a process was, as a closed step says
        self._logged_files: set[str] = set()  # those that a skipped step was logged for
        self._bearable = unreadable.bearable(len(training.data.train), training.settings.manifest)

    def run(self) -> None:
        """Trains to the end.

        Raises:
            UserError: a signal asked to stop or a worker process was killed, after the state was saved; or the disk
                is full.
        """
        training, train = self._training, self._settings.train
        if training.history.epochs:
            self._publish()
        training.model.train()
        loaders = training.data.loaders(self._settings, self._workers)
        with loaders as self._loaders, self._stop_signals.handled(interrupt=self._group.world_size == 1):
            if (training.epoch, training.batch) == (0, 0) and self._settings.runtime.probe_longest:
                # A lack of memory shows now and not at the epoch's end.
                self._step.probe([training.data.largest_batch(self._settings, self._group.world_size)])
            loader, scoring = self._loaders
            while training.epoch < train.num_epoch:
                self._train_epoch(loader)
                self._end_epoch(loader, scoring)
                if self._group.any(self._asked()) and training.epoch < train.num_epoch:
                    self._stop()
        self._group.shutdown()

    def _train_epoch(self, loader: Loader) -> None:
        training, train, group = self._training, self._settings.train, self._group
        utterances = len(training.data.train)
        plan, padding = training.data.plan(train, training.epoch + 1)
        logger.info(f"epoch {training.epoch + 1}: {len(plan)} batches, {padding:.1%} padding")
        self._stepped = training.batch > 0  # whether the epoch has a step: before, no state within it is saved
        self._first_unreadable = ""
        self._open: tuple[Launched, int] | None = None  # a step that is not closed, and its batch
        self._batches = len(plan)
        self._note_place()
        left = range(training.batch, len(plan))
        # The loader is ahead of the loop; each share is worked out once.
        taken, ahead = itertools.tee(shares(plan[i], train, group.rank, group.world_size) for i in left)
        stream = loader.load(itertools.chain.from_iterable(ahead), training.epoch + 1)
        training.meter.resume()
        speed_reverted = 0
        for i, share in zip(left, taken, strict=True):
            batches = self._next(stream, len(share))
            speed_reverted += sum(batch.speed_reverted for batch in batches)
            self._launch(batches, i + 1)
            at_interval, last = (i + 1) % train.save_interval == 0, i + 1 == len(plan)
            if not self._step.queued or at_interval or last or self._must_stop():
                self._close()
            stop = self._must_stop()
            if self._open is None and self._stepped and not last and (stop or at_interval):
                self._save()
                training.meter.resume()
                if stop:
                    self._stop()
        if not self._stepped:
            self._give_up(
                f"epoch {training.epoch + 1} has no step: none of its {utterances} utterances can be used, as the log "
                "says of each: make the manifest anew with dvc repro -f manifest"
            )
        if total := sum(group.all_gather(speed_reverted)):
            logger.info(f"{total} utterances kept their own speed: played faster, their labels would not have fit")

    def _next(self, stream: Iterator[Batch], count: int) -> list[Batch]:
        """This process's batches of the next step; logs what had to be left out."""
        with self._training.meter.waiting():
            batches = list(itertools.islice(stream, count))
        for batch in batches:
            for reason in (*batch.unreadable, *batch.unfit):
                logger.warning(f"left out of the training: {reason}")
            self._first_unreadable = self._first_unreadable or next(iter(batch.unreadable), "")
            if len(batch):
                self._reporter.batch(batch, self._training.epoch + 1)
        return batches

    def _launch(self, batches: list[Batch], batch: int) -> None:
        """Launches a step, and closes the one before it; where that came to nothing so did the new one: once more."""
        training, train, before = self._training, self._settings.train, self._open
        step = training.step + 1 + (before is not None)
        bearable = max(0, self._bearable - training.history.unreadable)
        rate = learning_rate(step, train)
        launched = self._step.launch(batches, step, rate, bearable, self._asked(), before[0] if before else None)
        if training.average is not None:
            training.average.add(training.model, step, launched.good)
        if before is not None and not self._close():
            self._launch(batches, batch)
        else:
            self._open = launched, batch

    def _close(self) -> bool:
        """Waits for the outcome of the step that was launched, and records it: whether it has changed the weights."""
        assert self._open is not None
        training, (launched, batch), self._open = self._training, self._open, None
        bearable = max(0, self._bearable - training.history.unreadable)
        outcome = self._step.close(launched)
        training.batch = batch
        training.history.unreadable += outcome.unreadable
        self._stopping = self._stopping or outcome.stop
        if outcome.unreadable > bearable:
            first = next(filter(None, self._group.all_gather(self._first_unreadable)))
            count, of, settings = training.history.unreadable, len(training.data.train), self._settings.manifest
            self._give_up(unreadable.sentence(count, of, first, settings))
        if outcome.utterances:
            self._stepped = True
            training.step += 1
            training.meter.count(outcome.utterances)
            if outcome.finite:
                self._record(outcome)
                self._note_place()
            else:
                self._skip(outcome)
        return outcome.good

    def _record(self, outcome: Outcome) -> None:
        """Records a step that has changed the weights, and reports it."""
        training, meter, epochs = self._training, self._training.meter, self._settings.train.num_epoch
        batches, rate = self._batches, learning_rate(training.step, self._settings.train)
        training.history.add_step(training.step, training.batch, batches, outcome.loss, rate, outcome.grad_norm)
        left = batches - training.batch
        at_interval = left == 0 or training.batch % self._settings.runtime.log_interval == 0
        place = training.epoch + 1, epochs, training.batch, batches, training.step
        times = meter.eta(left), meter.eta(left + batches * (epochs - training.epoch - 1)), meter.recent()
        self._reporter.step(Moment(*place, outcome.loss, rate, *times, meter.interval() if at_interval else None))

    def _skip(self, outcome: Outcome) -> None:
        """Counts a step whose loss or gradients were not finite, and logs it.

        Raises:
            UserError: there were too many in a row; the state from before them is saved.
        """
        training, history, step = self._training, self._training.history, self._training.step
        if outcome.retryable:
            scale = training.scaler.value
            logger.info(f"step {step} skipped: fp16 has overflowed, the loss scale falls to {scale:g}")
            return
        history.add_nonfinite()
        files = [training.data.train[position].name for position in outcome.suspects]
        new = [file for file in files if file not in self._logged_files]
        self._logged_files.update(new)
        named = f"; it contained {', '.join(new)}" if new else ""
        logger.warning(f"step {step} skipped: its loss or gradients are not finite{named}")
        if history.nonfinite_in_a_row >= self._settings.train.max_nonfinite:
            self._give_up(
                f"{self._settings.train.max_nonfinite} steps in a row (train.max_nonfinite) were not finite: lower "
                "train.learning_rate, or look at the files that the log names; the state from before them is saved"
            )

    def _note_place(self) -> None:
        """Notes that all is well so far: here the training resumes if no further step succeeds."""
        training, history = self._training, self._training.history
        self._last_good = training.batch, training.step, history.nonfinite, history.unreadable

    def _give_up(self, sentence: str) -> NoReturn:
        """Ends all processes, once all have learned that there is no way on; saves the state after the last good step.

        Raises:
            UserError: always.
        """
        training, history = self._training, self._training.history
        training.batch, training.step, history.nonfinite, history.unreadable = self._last_good
        history.nonfinite_in_a_row = 0
        if training.batch:
            self._save()
        self._group.shutdown()
        raise UserError(sentence)

    def _end_epoch(self, loader: Loader, scoring: Loader | None) -> None:
        """Scores, records, saves and reports an epoch."""
        training = self._training
        training.epoch, training.batch = training.epoch + 1, 0
        training.meter.note_peak(max(self._group.all_gather(device.peak_memory_mb())))
        scores = {}
        if scoring is not None:
            result = self._score(training.model, scoring)
            self._reporter.scored(result.predictions, training.epoch)
            scores = {metric: result.errors(metric).rate for metric in TOKENS}
        if scoring is not None and training.average is not None:
            self._measure(training.average, loader)
            result = self._score(training.average.network, scoring)
            scores |= {AVERAGE + metric: result.errors(metric).rate for metric in TOKENS}
        training.history.add_epoch(training.epoch, scores)
        self._save()
        self._publish()
        self._reporter.epoch()
        self._group.barrier()  # copies and hashes can take longer than a collective call waits

    def _score(self, network: Network, scoring: Loader) -> Evaluation:
        data, settings, on = self._training.data, self._settings, paddle.get_device().split(":")[0]
        model = PaddleModel(network, data.vocabulary, data.statistics, settings, on)
        try:
            return evaluate(model, data.scored, scoring, settings.train.batch_size, group=self._group)
        except DivergedError:
            raise UserError(
                f"after epoch {self._training.epoch} the network's output is not a number, so the epoch is not saved: "
                "lower train.learning_rate; what was saved before it stays"
            ) from None

    def _measure(self, average: Average, loader: Loader) -> None:
        """Measures the average's running statistics in the first process, and sends them to all."""
        if self._group.rank == 0:
            average.measure_statistics(loader.load(self._training.data.sample(self._settings.train)))
        if self._group.world_size > 1:
            weights.put(average.network, self._group.broadcast_arrays(weights.of(average.network)))

    def _save(self) -> None:
        """Saves the state; nobody continues before it is written."""
        if self._group.rank == 0:
            self._training.save(self._store)
        self._group.barrier()

    def _publish(self) -> None:
        if self._group.rank == 0:
            ranked = self._training.history.ranked(self._settings.evaluate.metrics_type)
            self._training.chosen = self._store.publish(self._training.epoch, ranked)

    def _asked(self) -> bool:
        """Whether this process was asked to stop, or has lost a worker process to a signal."""
        return self._stop_signals.asked is not None or self._lost()

    def _lost(self) -> bool:
        """Whether a worker process of this process was killed."""
        return any(loader.lost for loader in self._loaders if loader is not None)

    def _must_stop(self) -> bool:
        """Whether a process was asked to stop; those of several learn it from the step that all have closed."""
        return self._stopping or (self._group.world_size == 1 and self._asked())

    def _stop(self) -> None:
        """Ends all processes, once all have learned that one was asked to stop or has lost a worker process.

        Raises:
            UserError: always.
        """
        asked, lost = zip(*self._group.all_gather((self._stop_signals.asked or 0, self._lost())), strict=True)
        self._group.shutdown()
        reason = parallel.WorkerKilledError() if any(lost) else f"stopped by {signal.Signals(max(asked)).name}"
        place = f"{self._training.epoch} epochs and {self._training.batch} batches"
        raise UserError(f"{reason}; the state after {place} is saved, and the same command resumes from it")
