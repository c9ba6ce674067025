"""What training, checkpoints and recognition ask of a network, whatever it is made of."""

from collections.abc import Callable

import paddle
from paddle import nn

from ds2.model.masking import MaskedBatchNorm


class Network(nn.Layer):
    """Features to the tokens' logits. An utterance's logits are the same alone and in any batch (evaluation mode)."""

    # The names of the arrays whose last axis is that of the tokens.
    token_arrays: tuple[str, ...] = ("output.weight", "output.bias")

    def forward(self, features: paddle.Tensor, lengths: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Takes features, float32 [B, T, size], normalised, zero in the padding, and real frames, int64 [B], all >= 1.

        Returns logits, float32 [B, T', tokens], not normalised by a softmax, and real output steps, int64 [B]: the
        frames divided by params.networks.frames_a_step, rounded up.
        """
        raise NotImplementedError

    def running_statistics(self) -> list[paddle.Tensor]:
        """All that a forward pass in training mode changes: a skipped step puts it back."""
        # A GRU has a buffer of bytes for cuDNN. Paddle's own BatchNorm keeps statistics as parameters without gradient.
        buffers = [buffer for buffer in self.buffers() if buffer.dtype == paddle.float32]
        return buffers + [parameter for parameter in self.parameters() if parameter.stop_gradient]

    def forget_statistics(self) -> None:
        """Makes the next forward pass in training mode leave that batch's own statistics as the running ones."""
        for value in self.running_statistics():  # the steps of a MaskedBatchNorm, too
            value.set_value(paddle.zeros_like(value))
        for layer in self.sublayers():
            if isinstance(layer, nn.layer.norm._BatchNormBase):
                layer._momentum = 0.0

    def synchronise(self, all_gather_rows: Callable[[paddle.Tensor], paddle.Tensor]) -> None:
        """Makes the masked normalisations count the frames of all processes, by their group's `all_gather_rows`."""
        for layer in self._masked():
            layer.all_gather_rows = all_gather_rows

    def unsynchronised(self) -> list[paddle.Tensor]:
        """The running statistics that every process moves by itself, such as an ordinary BatchNorm's."""
        known = {id(buffer) for layer in self._masked() for buffer in layer.buffers()}
        return [value for value in self.running_statistics() if id(value) not in known]

    def _masked(self) -> list[MaskedBatchNorm]:
        return [layer for layer in self.sublayers() if isinstance(layer, MaskedBatchNorm)]
