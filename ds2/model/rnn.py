"""The recurrent layers."""

import paddle
from paddle import nn

from ds2.model import arrays, unrolled_gru
from ds2.model.masking import MaskedBatchNorm, time_mask


class RnnLayer(nn.Layer):
    """Sequence-wise masked BatchNorm (Amodei et al. 2016, section 3.1), then a bidirectional GRU."""

    def __init__(self, size_in: int, size: int) -> None:
        super().__init__()
        self.norm = MaskedBatchNorm(size_in, channel_axis=2)
        self.gru = nn.GRU(size_in, size, direction="bidirect")

    def forward(self, x: paddle.Tensor, lengths: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
        """[B, T, in], int64 [B] and [B, T, 1] to [B, T, 2 * size], zero in the padding."""
        x = self.norm(x, mask)
        if arrays.on_cpu(x):
            return unrolled_gru.bidirectional(x, arrays.as_array(lengths).tolist(), self.gru)
        # A length of 0, of a process without a share of the batch, is masked, but more than a GRU can do.
        x, _ = self.gru(x, sequence_length=paddle.clip(lengths, min=1))
        return x * mask


class RnnStack(nn.Layer):
    """The recurrent layers, to `size` values a step."""

    def __init__(self, size_in: int, size: int, num_layers: int) -> None:
        super().__init__()
        self.size = 2 * size
        self.layers = nn.LayerList([RnnLayer(size_in if i == 0 else self.size, size) for i in range(num_layers)])

    def forward(self, x: paddle.Tensor, lengths: paddle.Tensor) -> paddle.Tensor:
        """[B, T, in], zero in the padding, and int64 [B] to [B, T, size], zero in the padding."""
        mask = time_mask(lengths, x.shape[1]).unsqueeze(2)
        for layer in self.layers:
            x = layer(x, lengths, mask)
        return x
