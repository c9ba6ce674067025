"""One step of the optimiser: batches forward and backward, over all processes, then the weights."""

import itertools
import math
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import paddle
import paddle.nn.functional as F

from ds2 import params
from ds2.data import frames
from ds2.data.loader import Batch
from ds2.data.vocabulary import BLANK_ID
from ds2.distributed.process_group import Group
from ds2.errors import enough_memory
from ds2.model.network import Network
from ds2.training.precision import LossScaler, Precision


@dataclass(frozen=True)
class Outcome:
    """What came of a step, the same in all processes.

    Attributes:
        utterances: that took part; 0: none could be read, and nothing has changed.
        loss: mean over the utterances.
        grad_norm: before clipping.
        finite: whether the weights were changed; otherwise all is as before.
        retryable: not finite only because of the factor of fp16, which is smaller now.
        suspects: positions in the manifest of the utterances that were not finite, or may be why.
    """

    utterances: int
    loss: float = 0.0
    grad_norm: float = 0.0
    finite: bool = True
    retryable: bool = False
    suspects: tuple[int, ...] = ()


class Step:
    """Makes steps; holds what they need besides model and optimiser."""

    def __init__(
        self,
        model: Network,
        optimizer: paddle.optimizer.Optimizer,
        settings: params.Params,
        group: Group,
    ) -> None:
        """
        Raises:
            UserError: train.amp does not go with the device.
        """
        self._model = model
        self._optimizer = optimizer
        self._train = settings.train
        self._size = settings.features.size
        self._group = group
        self._precision = Precision(settings.train.amp, model)
        self.scale = LossScaler.of(settings.train.amp)

    def __call__(self, batches: Iterable[Batch], number: int, rate: float) -> Outcome:
        """Trains on batches as if they were one, but for the normalisation, which sees each by itself.

        Args:
            batches: this process's share of each; it may be empty.
            number: of the step; dropout follows from it.
            rate: the learning rate.

        Raises:
            UserError: there is not enough memory.
        """
        outcome = self.gradients(batches, number)
        if outcome.utterances and outcome.finite:
            self._optimizer.set_lr(rate)
            self._optimizer.step()
        self._optimizer.clear_grad()
        return outcome

    def probe(self, batches: Iterable[Batch]) -> None:
        """Makes a step that changes nothing, to see whether there is enough memory.

        Raises:
            UserError: there is not.
        """
        before = self._buffers()
        scale = self.scale and LossScaler(**vars(self.scale))
        moments = [paddle.zeros_like(parameter) for parameter in self._model.parameters() for _ in range(2)]
        self.gradients(batches, 0)
        del moments  # the optimiser makes its own in the first step
        self._optimizer.clear_grad()
        self.scale = scale
        _put_back(before)

    def gradients(self, batches: Iterable[Batch], number: int) -> Outcome:
        """The clipped gradients of the mean loss over all utterances of all batches; arguments as in a call."""
        before = self._buffers()
        factor = 1.0 if self.scale is None else self.scale.value
        self._group.barrier()
        seen: list[tuple[Batch, paddle.Tensor]] = []
        with self._precision.weights():
            for place, batch in enumerate(batches):
                paddle.seed(_seed(self._train.seed, number, place, self._group.rank))
                if len(batch):
                    losses = self._losses(batch)
                    seen.append((batch, losses.detach()))
                    with _memory(self._train, batch):
                        (losses.sum() * factor).backward()
                elif self._group.world_size > 1:
                    # The other processes wait for this one in every normalisation.
                    (self._losses(_ghost(self._size)).sum() * 0.0).backward()
        return self._together(seen, factor, before)

    def _losses(self, batch: Batch) -> paddle.Tensor:
        with _memory(self._train, batch):
            with self._precision.forward():
                logits, steps = self._model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
            return ctc_losses(logits.astype("float32"), steps, batch)

    @paddle.no_grad()
    def _together(self, seen: list, factor: float, before: list) -> Outcome:
        """Adds up gradients, losses and counts of all processes, and normalises and clips the gradients."""
        loss = sum((losses.sum() for _, losses in seen), paddle.zeros([]))
        count = sum(len(batch) for batch, _ in seen)
        loss_sum, utterances = self._add_up(loss, count)
        if utterances == 0:
            _put_back(before)
            return Outcome(0)
        for gradient in _gradients(self._model):
            gradient.scale_(1.0 / (utterances * factor))
        norm = clip_gradients(self._model, self._train.grad_clip)
        finite = math.isfinite(norm) and math.isfinite(loss_sum)
        retryable = self.scale is not None and self.scale.update(finite)
        suspects: tuple[int, ...] = ()
        if not finite:
            _put_back(before)
            suspects = tuple(sorted(itertools.chain.from_iterable(self._group.all_gather(_suspects(seen)))))
        return Outcome(utterances, loss_sum / utterances, norm, finite, retryable, suspects)

    def _add_up(self, loss: paddle.Tensor, count: int) -> tuple[float, int]:
        """One message for all: gradients, the sum of the losses, utterances."""
        if self._group.world_size == 1:
            return float(loss), count
        # A process may have met nothing but unreadable files, and yet all have gradients, of a ghost.
        gradients = _gradients(self._model)
        parts = [gradient.flatten() for gradient in gradients]
        parts += [loss.reshape([1]), paddle.to_tensor([count], dtype="float32")]
        flat = self._group.all_reduce(paddle.concat(parts))
        *sums, tail = paddle.split(flat, [*(gradient.size for gradient in gradients), 2])
        for gradient, value in zip(gradients, sums, strict=True):
            gradient.set_value(value.reshape(gradient.shape))
        loss_sum, utterances = tail.tolist()
        return loss_sum, int(utterances)

    def _buffers(self) -> list[tuple[paddle.Tensor, paddle.Tensor]]:
        """The running statistics, which a forward pass moves: the tensors, and copies of what is in them."""
        return [(buffer, buffer.clone()) for buffer in self._model.running_statistics()]


def shares(positions: np.ndarray, train: params.TrainSettings, group: Group) -> list[np.ndarray]:
    """What one process takes of the batches that make up a step, each of which may be empty.

    Args:
        positions: of all utterances of the step, int64: `accumulate_grad` batches of them, the epoch's last step less.
        train: the section of params.yaml.
        group: the processes.
    """
    least = 1 if train.max_batch_seconds else train.batch_size
    count = min(train.accumulate_grad, -(-len(positions) // least))
    return [part[group.rank :: group.world_size] for part in np.array_split(positions, count)]


def ctc_losses(logits: paddle.Tensor, steps: paddle.Tensor, batch: Batch) -> paddle.Tensor:
    """The CTC losses, each the sum over its labels; infinite where the labels do not fit in the steps.

    Args:
        logits: float32 [B, T, tokens]; the loss applies the softmax itself.
        steps: int64 [B], real output steps.
        batch: the labels.

    Returns:
        float32 [B].
    """
    losses = F.ctc_loss(
        logits.transpose([1, 0, 2]),
        paddle.to_tensor(batch.labels),
        paddle.clip(steps, min=1),
        paddle.to_tensor(batch.label_lengths),
        blank=BLANK_ID,
        reduction="none",
    )
    # Paddle gives 0 for those that no path can make.
    needed = [
        frames.steps_needed(label[:length].tolist())
        for label, length in zip(batch.labels, batch.label_lengths, strict=True)
    ]
    impossible = np.array(needed) > np.maximum(steps.numpy(), 1)
    if impossible.any():
        losses = paddle.where(paddle.to_tensor(impossible), paddle.full_like(losses, math.inf), losses.flatten())
    return losses.flatten()


@paddle.no_grad()
def clip_gradients(model: Network, longest: float) -> float:
    """Scales all gradients so that their global norm is at most `longest` (Pascanu et al. 2013).

    Returns:
        the norm before.
    """
    gradients = _gradients(model)
    norm = float(paddle.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt())
    if norm > longest:
        for gradient in gradients:
            gradient.scale_(longest / norm)
    return norm


def _gradients(model: Network) -> list[paddle.Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def _suspects(seen: list[tuple[Batch, paddle.Tensor]]) -> list[int]:
    """Utterances whose features, else whose loss is not finite; else all of them."""
    positions = [position for batch, _ in seen for position in batch.positions.tolist()]
    inputs = [np.isfinite(row).all() for batch, _ in seen for row in batch.features]
    losses = [good for _, losses in seen for good in np.isfinite(losses.numpy())]
    for finite in (inputs, losses):
        found = [position for position, good in zip(positions, finite, strict=True) if not good]
        if found:
            return found
    return positions


def _put_back(before: list[tuple[paddle.Tensor, paddle.Tensor]]) -> None:
    for buffer, value in before:
        buffer.set_value(value)


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
