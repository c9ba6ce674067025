"""Mixed precision: convolutions and the output layer in 16 bits, everything else in float32.

The recurrent layers stay in float32, since paddle's GRU has no other kernel (3.3.1 and 2.6.2, CPU and CUDA). Weights,
sums of the normalisation, softmax and CTC are float32 too.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import paddle

from ds2.errors import UserError
from ds2.model.deepspeech2 import DeepSpeech2

_TYPES = {"bf16": "bfloat16", "fp16": "float16"}


class Precision:
    """How a model computes while it is trained."""

    def __init__(self, amp: str, model: DeepSpeech2) -> None:
        """
        Args:
            amp: train.amp.
            model: on the device that paddle has been told to use.

        Raises:
            UserError: the device cannot do that.
        """
        on_gpu = paddle.get_device().startswith("gpu")
        _check(amp, on_gpu)
        self._type = _TYPES.get(amp)
        self._casts = self._type is not None and on_gpu
        self._rounded = []
        if self._type is not None and not on_gpu:
            # Those that multiply matrices, but for the GRUs.
            layers = [layer for layer in model.sublayers() if getattr(layer, "weight", None) is not None]
            layers = [layer for layer in layers if layer.weight.ndim > 1]
            self._rounded = [layer.weight for layer in layers]
            for layer in layers:
                layer.register_forward_pre_hook(self._round_inputs)

    def forward(self) -> AbstractContextManager:
        """What a forward pass runs in."""
        if not self._casts:
            return nullcontext()
        return paddle.amp.auto_cast(level="O1", dtype=self._type, custom_black_list={"rnn", "warpctc"})

    @contextmanager
    def weights(self) -> Iterator[None]:
        """What forward and backward passes of a step run in; inside, weights are not to be changed.

        Paddle's CPU builds have no 16-bit products. There the operands are rounded instead, and multiplied and summed
        in float32: what a GPU's tensor cores do.
        """
        exact = [weight.detach().clone() for weight in self._rounded]
        for weight in self._rounded:
            weight.set_value(self._round(weight.detach()))
        try:
            yield
        finally:
            for weight, value in zip(self._rounded, exact, strict=True):
                weight.set_value(value)

    def _round_inputs(self, layer: paddle.nn.Layer, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(self._round(x) for x in inputs) if layer.training else inputs

    def _round(self, x: paddle.Tensor) -> paddle.Tensor:
        return x.astype(self._type).astype("float32")


@dataclass
class LossScaler:
    """The factor that keeps small gradients above the least number of fp16 (Micikevicius et al. 2018, section 3.2).

    Attributes:
        value: of the factor, a power of two, so that it rounds nothing.
        good_steps: since it was last changed.
    """

    value: float = 1.0
    good_steps: int = 0

    START = 2.0**15
    GREATEST = 2.0**24
    DOUBLED_AFTER = 2000

    @classmethod
    def of(cls, amp: str) -> "LossScaler | None":
        """That of a new training; none where gradients have the range of float32."""
        return cls(cls.START) if amp == "fp16" else None

    def update(self, finite: bool) -> bool:
        """Counts a step. True: its gradients were not finite, and the smaller factor may mend that."""
        if finite:
            self.good_steps += 1
            if self.good_steps >= self.DOUBLED_AFTER:
                self.value, self.good_steps = min(self.GREATEST, 2 * self.value), 0
            return False
        retryable = self.value > 1.0
        self.value, self.good_steps = max(1.0, self.value / 2), 0
        return retryable


def _check(amp: str, on_gpu: bool) -> None:
    if amp == "fp16" and not on_gpu:
        raise UserError("train.amp is fp16, which needs a GPU: on a CPU set it to bf16 or off")
    if on_gpu and amp != "off":
        supported = paddle.amp.is_float16_supported() if amp == "fp16" else paddle.amp.is_bfloat16_supported()
        if not supported:
            other = "fp16 or off" if amp == "bf16" else "off"
            raise UserError(f"train.amp is {amp}, which this GPU cannot do: set it to {other}")
