"""Mixed precision on a GPU: convolutions and the output layer in 16 bits, everything else in float32.

The recurrent layers stay in float32, since paddle's GRU has no other kernel (3.3.1 and 2.6.2, CPU and CUDA). Weights,
sums of the normalisation, softmax and CTC are float32 too.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import paddle

from ds2.errors import UserError

_TYPES = {"bf16": "bfloat16", "fp16": "float16"}


def check(amp: str) -> None:
    """Checks train.amp against the device that paddle uses.

    Raises:
        UserError: the device cannot compute so.
    """
    if amp == "off":
        return
    if not paddle.get_device().startswith("gpu"):
        raise UserError(f"train.amp is {amp}, which needs a GPU: on a CPU set it to off")
    supported = paddle.amp.is_float16_supported() if amp == "fp16" else paddle.amp.is_bfloat16_supported()
    if not supported:
        other = "fp16 or off" if amp == "bf16" else "off"
        raise UserError(f"train.amp is {amp}, which this GPU cannot do: set it to {other}")


def autocast(amp: str) -> AbstractContextManager[None]:
    """The context of a forward pass."""
    if amp == "off":
        return nullcontext()
    return paddle.amp.auto_cast(level="O1", dtype=_TYPES[amp], custom_black_list={"rnn", "warpctc"})


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
