"""CTC losses of a batch, and the utterances that make them infinite or not a number."""

import math

import numpy as np
import paddle
import paddle.nn.functional as F

from ds2.data import frames
from ds2.data.loader import Batch
from ds2.data.vocabulary import BLANK_ID


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
    possible = paddle.to_tensor(needed, dtype="int64") <= paddle.clip(steps, min=1)
    losses = losses.flatten()
    return paddle.where(possible, losses, paddle.full_like(losses, math.inf))


def suspects(seen: list[tuple[Batch, paddle.Tensor]]) -> list[int]:
    """Utterances whose features, else whose loss is not finite; else all of them."""
    positions = [position for batch, _ in seen for position in batch.positions.tolist()]
    inputs = [np.isfinite(row).all() for batch, _ in seen for row in batch.features]
    losses = [good for _, losses in seen for good in np.isfinite(losses.numpy())]
    for finite in (inputs, losses):
        found = [position for position, good in zip(positions, finite, strict=True) if not good]
        if found:
            return found
    return positions
