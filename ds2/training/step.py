"""One step of the optimiser: batches forward and backward, gradients added up over all processes, then the weights."""

import itertools
import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import paddle

from ds2 import params
from ds2.data import frames
from ds2.data.loader import Batch
from ds2.distributed.buckets import Buckets
from ds2.distributed.process_group import Group
from ds2.errors import enough_memory
from ds2.model.ctc import ctc_losses, suspects
from ds2.model.network import Network
from ds2.model.precision import LossScaler, autocast
from ds2.training.conditional import Kept, copies, put_back, put_back_unless, step_if


@dataclass(frozen=True)
class Outcome:
    """What came of a step, the same in all processes.

    Attributes:
        utterances: that took part; 0: none could be used or too many not be read, and nothing has changed.
        unreadable: recordings that could not be read.
        loss: mean over the utterances.
        grad_norm: before clipping.
        finite: whether the weights were changed; otherwise all is as before.
        retryable: not finite only because of fp16's loss scale, which is smaller now.
        suspects: positions in the manifest of the utterances that were not finite, or may be why.
        stop: whether any process was asked to stop.
    """

    utterances: int
    unreadable: int = 0
    loss: float = 0.0
    grad_norm: float = 0.0
    finite: bool = True
    retryable: bool = False
    suspects: tuple[int, ...] = ()
    stop: bool = False

    @property
    def good(self) -> bool:
        """Whether it has changed the weights."""
        return self.utterances > 0 and self.finite


@dataclass
class Launched:
    """A step whose outcome the device knows, and the host when it has read it.

    Attributes:
        good: whether the weights were changed, bool [1]; never where the step before it was not good.
        unreadable: float32 [1].
        seen: the batches and their losses.
        message: all that the host reads: loss sum, norm, utterances, unreadable and stop, float32 [5].
        powers: what the optimiser keeps on the host, and what that was before the step.
    """

    good: paddle.Tensor
    unreadable: paddle.Tensor
    seen: list[tuple[Batch, paddle.Tensor]]
    message: paddle.Tensor
    powers: list[Kept] = field(default_factory=list)

    @cached_property
    def outcome(self) -> Outcome:
        """Waits for the device, in the one read of a step; without what is asked of all processes."""
        loss, norm, utterances, unreadable, stop = self.message.numpy().tolist()
        finite = math.isfinite(norm) and math.isfinite(loss)
        if not utterances:
            return Outcome(0, int(unreadable), stop=stop > 0)
        return Outcome(int(utterances), int(unreadable), loss / int(utterances), norm, finite, stop=stop > 0)


class Step:
    """Makes steps; holds what they need.

    On a device that works off a queue (a GPU), the host need not wait for a step before it launches the next one,
    which comes to nothing where the first one does: then close the first and launch the next one again.

    Attributes:
        scaler: fp16's, if any; it has counted the steps that are closed.
        queued: whether the device works off a queue.
    """

    def __init__(
        self,
        model: Network,
        optimizer: paddle.optimizer.Optimizer,
        settings: params.Params,
        group: Group,
        scaler: LossScaler | None = None,
    ) -> None:
        self._model, self._optimizer, self._group, self.scaler = model, optimizer, group, scaler
        self._train, self._size = settings.train, settings.features.size
        self._unsynchronised, self._buckets = model.unsynchronised(), Buckets(model.parameters(), group)
        if group.world_size > 1:
            model.synchronise(group.all_gather_rows)
        self.queued = queued()

    def __call__(self, batches: list[Batch], number: int, rate: float, bearable: float = math.inf) -> Outcome:
        """Launches a step and closes it."""
        return self.close(self.launch(batches, number, rate, bearable))

    def launch(
        self,
        batches: list[Batch],
        number: int,
        rate: float,
        bearable: float = math.inf,
        stop: bool = False,
        before: Launched | None = None,
    ) -> Launched:
        """Trains on batches as if they were one, but for the normalisation, which sees each by itself.

        Args:
            batches: this process's share of each; it may be empty.
            number: of the step; dropout follows from it.
            rate: the learning rate.
            bearable: with more unreadable recordings than these, those of `before` included, nothing changes.
            stop: whether this process was asked to stop.
            before: the step before, if it is not closed.

        Raises:
            UserError: there is not enough memory.
        """
        launched = self._gradients(batches, number, bearable, stop, before)
        if self.queued or launched.outcome.good:
            self._optimizer.set_lr(rate)
            if self.queued:
                launched.powers = step_if(launched.good, self._optimizer)
            else:
                self._optimizer.step()
        self._optimizer.clear_grad()
        return launched

    def close(self, launched: Launched) -> Outcome:
        """What came of a step, once the device is done with it; all processes close it at the same place."""
        outcome = launched.outcome
        if not outcome.good:
            put_back(launched.powers)
        if not outcome.finite:
            positions = itertools.chain.from_iterable(self._group.all_gather(suspects(launched.seen)))
            outcome = replace(outcome, suspects=tuple(sorted(positions)))
        if outcome.utterances and self.scaler is not None:
            return replace(outcome, retryable=self.scaler.update(outcome.finite))
        return outcome

    def probe(self, batches: list[Batch]) -> None:
        """Makes a step that changes nothing, so that a lack of memory shows; it raises as a launch does."""
        before = copies(self._model.running_statistics())
        moments = [paddle.zeros_like(parameter) for parameter in self._model.parameters() for _ in range(2)]
        self.gradients(batches, 0)
        del moments  # the optimiser makes its own in the first step
        self._optimizer.clear_grad()
        put_back(before)

    def gradients(self, batches: list[Batch], number: int, bearable: float = math.inf) -> Outcome:
        """The clipped gradients of the mean loss over all utterances of all batches; arguments as in a launch."""
        return self._gradients(batches, number, bearable).outcome

    def _gradients(
        self, batches: list[Batch], number: int, bearable: float, stop: bool = False, before: Launched | None = None
    ) -> Launched:
        statistics = copies(self._model.running_statistics())
        scale = self._scale(before)
        if not self.queued:
            self._group.barrier()  # a process may be late for want of data
        seen: list[tuple[Batch, paddle.Tensor]] = []
        unreadable = 0
        for place, batch in enumerate(batches):
            unreadable += len(batch.unreadable)
            paddle.seed(_seed(self._train.seed, number, place, self._group.rank))
            last = place + 1 == len(batches)
            if len(batch):
                losses = self._losses(batch)
                seen.append((batch, losses.detach()))
                with _memory(self._train, batch):
                    self._buckets.backward(losses.sum() * scale, last)
            elif self._group.world_size > 1:
                # The other processes wait for this one in every normalisation.
                self._buckets.backward(self._losses(_ghost(self._size)).sum() * 0.0, last)
        with paddle.no_grad():
            loss, utterances, missing, stopping = self._sums(seen, unreadable, stop, scale)
            gradients = _gradients(self._model)
            norm = global_norm(gradients)
            total = missing if before is None else missing + before.unreadable
            usable = utterances * (total <= bearable).astype("float32")
            good = paddle.isfinite(loss) & paddle.isfinite(norm) & (usable > 0)
            good = good if before is None else good & before.good
            launched = Launched(good, missing, seen, paddle.concat([loss, norm, usable, missing, stopping]))
            clip_gradients(gradients, self._train.grad_clip, norm if self.queued else launched.outcome.grad_norm)
            put_back_unless(good, statistics)
        return launched

    def _scale(self, before: Launched | None) -> float:
        """The loss scale of a step, should the one before it be good."""
        if self.scaler is None:
            return 1.0
        scaler = replace(self.scaler)
        if before is not None:
            scaler.update(True)
        return scaler.value

    def _losses(self, batch: Batch) -> paddle.Tensor:
        with _memory(self._train, batch):
            with autocast(self._train.amp):
                logits, steps = self._model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
            return ctc_losses(logits.astype("float32"), steps, batch)

    def _sums(
        self, seen: list[tuple[Batch, paddle.Tensor]], unreadable: int, stop: bool, scale: float
    ) -> tuple[paddle.Tensor, ...]:
        """Makes the gradients those of the mean loss, and adds up over all processes.

        Running statistics that each process has moved by itself become their mean over the utterances.

        Returns:
            The sums of losses, utterances, unreadable recordings and processes that shall stop, float32 [1] each.
        """
        loss = sum((losses.sum() for _, losses in seen), paddle.zeros([])).reshape([1])
        count = sum(len(batch) for batch, _ in seen)
        numbers = [loss, *(paddle.full([1], float(number)) for number in (count, unreadable, stop))]
        if self._group.world_size == 1:
            for gradient in _gradients(self._model):
                gradient.scale_(1.0 / (max(1, count) * scale))
            return tuple(numbers)
        moved = [value * float(count) for value in self._unsynchronised]
        *sums, loss, utterances, missing, stopping = self._buckets.sums([*moved, *numbers])
        share = (1.0 / (utterances.astype("float64") * scale)).astype("float32")
        for gradient in _gradients(self._model):
            gradient.multiply_(share)
        for statistic, value in zip(self._unsynchronised, sums, strict=True):
            paddle.assign(value / utterances, statistic)
        return loss, utterances, missing, stopping


def queued() -> bool:
    """Whether the device works off a queue that the host fills, as a GPU does."""
    return not paddle.get_device().startswith("cpu")


@paddle.no_grad()
def global_norm(gradients: list[paddle.Tensor]) -> paddle.Tensor:
    """The length of all gradients as one vector, float32 [1]."""
    if not gradients:
        return paddle.zeros([1])
    return paddle.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt().reshape([1])


@paddle.no_grad()
def clip_gradients(gradients: list[paddle.Tensor], longest: float, norm: float | paddle.Tensor) -> None:
    """Scales gradients so that their global norm, `norm` now, is at most `longest` (Pascanu et al. 2013)."""
    if isinstance(norm, paddle.Tensor):  # which the host does not know
        share = paddle.clip(longest / norm.astype("float64"), max=1.0).astype("float32")
        for gradient in gradients:
            gradient.multiply_(share)
    elif norm > longest:
        for gradient in gradients:
            gradient.scale_(longest / norm)


def _gradients(model: Network) -> list[paddle.Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def _ghost(size: int) -> Batch:
    """What a process without utterances computes on: no real frame, so that it counts nowhere."""
    nothing = np.zeros((1, 1, size), np.float32)
    one = np.ones(1, np.int64)
    return Batch(nothing, np.zeros(1, np.int64), one.astype(np.int32)[None], one, one, 0.0)


def _seed(seed: int, number: int, place: int, rank: int) -> int:
    """Dropout's: the same after any interruption, another in every step, batch and process."""
    return int(np.random.SeedSequence((seed, number, place, rank)).generate_state(1)[0]) % 2**31


def _memory(train: params.TrainSettings, batch: Batch) -> AbstractContextManager[None]:
    # Where batches are cut by seconds, batch_size does not count.
    limit = "batch_size" if train.max_batch_seconds is None else "max_batch_seconds"
    return enough_memory(
        f"there is not enough memory for a batch of {len(batch)} utterances of up to "
        f"{batch.frames.max() * frames.FRAME_SHIFT_S:.1f} s: halve train.{limit} ({getattr(train, limit):g}) and "
        "double train.accumulate_grad, or lower manifest.max_duration or the model's size"
    )
