"""Changes that the device makes only where a condition holds that the host does not know yet."""

from collections.abc import Iterable
from typing import Any

import paddle

# A tensor, and what was in it before.
Kept = tuple[paddle.Tensor, paddle.Tensor]


def copies(tensors: Iterable[paddle.Tensor]) -> list[Kept]:
    """The tensors with copies of what is in them."""
    return [(tensor, tensor.clone()) for tensor in tensors]


def put_back(kept: Iterable[Kept]) -> None:
    """Undoes what was done to tensors since they were copied."""
    for tensor, before in kept:
        paddle.assign(before, tensor)


@paddle.no_grad()
def put_back_unless(good: paddle.Tensor, kept: Iterable[Kept]) -> None:
    """Undoes it unless `good`, bool [1], holds."""
    for tensor, before in kept:
        paddle.where_(good.expand(tensor.shape), tensor, before)


def step_if(good: paddle.Tensor, optimizer: paddle.optimizer.Optimizer) -> list[Kept]:
    """Makes a step of paddle's optimiser that changes neither weights nor moments unless `good`, bool [1], holds.

    Only one parameter and its moments are held twice at a time. Paddle's own way, `found_inf`, would wait for a GPU.

    Returns:
        The powers of Adam's betas as they were: paddle keeps them on the host, which is to put them back.
    """
    update, powers = optimizer._append_optimize_op, []

    def conditional(block: Any, pair: Any) -> None:
        weight = pair[0]
        state = {name: of[weight.name] for name, of in optimizer._accumulators.items() if weight.name in of}
        powers.extend(copies(value for name, value in state.items() if "pow" in name))
        before = copies([weight, *(value for name, value in state.items() if "pow" not in name)])
        update(block, pair)
        put_back_unless(good, before)

    optimizer._append_optimize_op = conditional
    try:
        optimizer.step()
    finally:
        optimizer._append_optimize_op = update
    return powers
