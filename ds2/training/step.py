"""One step of the optimiser: batches forward and backward, gradients added up over all processes, then the weights."""

import itertools
import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import paddle

from ds2 import params
from ds2.data import frames
from ds2.data.loader import Batch
from ds2.distributed.process_group import Group
from ds2.errors import enough_memory
from ds2.model.ctc import ctc_losses, suspects
from ds2.model.network import Network
from ds2.training.precision import LossScaler, autocast


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
    """

    utterances: int
    unreadable: int = 0
    loss: float = 0.0
    grad_norm: float = 0.0
    finite: bool = True
    retryable: bool = False
    suspects: tuple[int, ...] = ()


class Step:
    """Makes steps; holds what they need."""

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
        self._unsynchronised = model.unsynchronised() if group.world_size > 1 else []
        if group.world_size > 1:
            model.synchronise(group.all_gather_rows)

    def __call__(self, batches: Iterable[Batch], number: int, rate: float, bearable: float = math.inf) -> Outcome:
        """Trains on batches as if they were one, but for the normalisation, which sees each by itself.

        Args:
            batches: this process's share of each; it may be empty.
            number: of the step; dropout follows from it.
            rate: the learning rate.
            bearable: with more unreadable recordings than these the step changes nothing.

        Raises:
            UserError: there is not enough memory.
        """
        outcome = self.gradients(batches, number, bearable)
        if outcome.utterances and outcome.finite:
            self._optimizer.set_lr(rate)
            self._optimizer.step()
        self._optimizer.clear_grad()
        if outcome.utterances and self.scaler is not None:
            return replace(outcome, retryable=self.scaler.update(outcome.finite))
        return outcome

    def probe(self, batches: Iterable[Batch]) -> None:
        """Makes a step that changes nothing, so that a lack of memory shows; it raises as a call does."""
        before = self._running_statistics()
        moments = [paddle.zeros_like(parameter) for parameter in self._model.parameters() for _ in range(2)]
        self.gradients(batches, 0)
        del moments  # the optimiser makes its own in the first step
        self._optimizer.clear_grad()
        _put_back(before)

    def gradients(self, batches: Iterable[Batch], number: int, bearable: float = math.inf) -> Outcome:
        """The clipped gradients of the mean loss over all utterances of all batches; arguments as in a call."""
        before = self._running_statistics()
        scale = 1.0 if self.scaler is None else self.scaler.value
        self._group.barrier()
        seen: list[tuple[Batch, paddle.Tensor]] = []
        unreadable = 0
        for place, batch in enumerate(batches):
            unreadable += len(batch.unreadable)
            paddle.seed(_seed(self._train.seed, number, place, self._group.rank))
            if len(batch):
                losses = self._losses(batch)
                seen.append((batch, losses.detach()))
                with _memory(self._train, batch):
                    (losses.sum() * scale).backward()
            elif self._group.world_size > 1:
                # The other processes wait for this one in every normalisation.
                (self._losses(_ghost(self._size)).sum() * 0.0).backward()
        with paddle.no_grad():
            loss_sum, utterances, unreadable = self._all_reduce(seen, unreadable)
            if utterances == 0 or unreadable > bearable:
                _put_back(before)
                return Outcome(0, unreadable)
            for gradient in _gradients(self._model):
                gradient.scale_(1.0 / (utterances * scale))
            norm = clip_gradients(self._model, self._train.grad_clip)
        finite, positions = math.isfinite(norm) and math.isfinite(loss_sum), ()
        if not finite:
            _put_back(before)
            positions = tuple(sorted(itertools.chain.from_iterable(self._group.all_gather(suspects(seen)))))
        return Outcome(utterances, unreadable, loss_sum / utterances, norm, finite, suspects=positions)

    def _losses(self, batch: Batch) -> paddle.Tensor:
        with _memory(self._train, batch):
            with autocast(self._train.amp):
                logits, steps = self._model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
            return ctc_losses(logits.astype("float32"), steps, batch)

    def _all_reduce(self, seen: list[tuple[Batch, paddle.Tensor]], unreadable: int) -> tuple[float, int, int]:
        """Adds up gradients, losses, utterances and unreadable recordings of all processes, in one message.

        Running statistics that each process has moved by itself become their mean over the utterances.
        """
        loss = sum((losses.sum() for _, losses in seen), paddle.zeros([]))
        count = sum(len(batch) for batch, _ in seen)
        if self._group.world_size == 1:
            return float(loss), count, unreadable
        # A process may have met nothing but unreadable files, and yet all have gradients, of a ghost.
        gradients = _gradients(self._model)
        parts = [*gradients, *(value * float(count) for value in self._unsynchronised)]
        parts += [loss, *(paddle.to_tensor([number], dtype="float32") for number in (count, unreadable))]
        flat = self._group.all_reduce(paddle.concat([part.flatten() for part in parts]))
        *sums, loss_sum, utterances, missing = paddle.split(flat, [part.size for part in parts])
        for gradient, value in zip(gradients, sums, strict=False):
            gradient.set_value(value.reshape(gradient.shape))
        for statistic, value in zip(self._unsynchronised, sums[len(gradients) :], strict=True):
            statistic.set_value((value / utterances).reshape(statistic.shape))
        return loss_sum.item(), int(utterances.item()), int(missing.item())

    def _running_statistics(self) -> list[tuple[paddle.Tensor, paddle.Tensor]]:
        """The tensors that a forward pass moves, and copies of what is in them."""
        return [(statistic, statistic.clone()) for statistic in self._model.running_statistics()]


@paddle.no_grad()
def clip_gradients(model: Network, longest: float) -> float:
    """Scales all gradients so that their global norm is at most `longest` (Pascanu et al. 2013); the norm before."""
    gradients = _gradients(model)
    norm = float(paddle.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt())
    if norm > longest:
        for gradient in gradients:
            gradient.scale_(longest / norm)
    return norm


def _gradients(model: Network) -> list[paddle.Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def _put_back(before: list[tuple[paddle.Tensor, paddle.Tensor]]) -> None:
    for statistic, value in before:
        statistic.set_value(value)


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
