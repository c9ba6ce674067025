"""The convolutions over frequency and time."""

import paddle
from paddle import nn

from ds2 import params
from ds2.data import frames
from ds2.model import arrays, unfolded_conv
from ds2.model.masked_arrays import real_lengths
from ds2.model.masking import MaskedBatchNorm, time_mask
from ds2.params.networks import frames_a_step

_CLIP = 20.0  # of the clipped ReLU min(max(x, 0), 20): Hannun et al. 2014, "Deep Speech"
_TIME_KERNEL = 11


class ConvLayer(nn.Layer):
    """Convolution, masked BatchNorm, clipped ReLU."""

    def __init__(self, channels_in: int, channels: int, mel_kernel: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2D(
            channels_in,
            channels,
            (mel_kernel, _TIME_KERNEL),
            stride=stride,
            padding=(mel_kernel // 2, _TIME_KERNEL // 2),
            bias_attr=False,  # the normalisation has one
            weight_attr=paddle.ParamAttr(initializer=nn.initializer.KaimingNormal()),
        )
        self._time_stride = stride[1]
        self.norm = MaskedBatchNorm(channels, channel_axis=1, clip=_CLIP)

    def forward(self, x: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
        """[B, in, mel, T] and the output's mask [B, 1, 1, T'] to [B, channels, mel', T'], zero in the padding."""
        if arrays.on_cpu(x):
            x = unfolded_conv.conv2d(x, self.conv.weight, self._time_stride, real_lengths(mask))
        else:
            x = self.conv(x) * mask
        return self.norm(x, mask)


class ConvStack(nn.Layer):
    """The convolutions, the first with strides (2, 3) in (mel, time), the others (2, 1); `size` values a step."""

    def __init__(self, model: params.ModelSettings, size: int) -> None:
        super().__init__()
        self.stride = frames_a_step(model)
        layers, mels, channels_in = [], size, 1
        for index in range(model.num_conv_layers):
            kernel, stride = (41, (2, self.stride)) if index == 0 else (21, (2, 1))
            layers.append(ConvLayer(channels_in, model.conv_channels, kernel, stride))
            mels, channels_in = (mels + 1) // 2, model.conv_channels
        self.layers = nn.LayerList(layers)
        self.size = mels * model.conv_channels

    def forward(self, features: paddle.Tensor, lengths: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """[B, T, mel], zero in the padding, and real frames, int64 [B], to [B, T', size], likewise, and real steps."""
        x = features.transpose([0, 2, 1]).unsqueeze(1)
        lengths = frames.count_steps(lengths, self.stride)
        mask = time_mask(lengths, frames.count_steps(features.shape[1], self.stride)).unsqueeze([1, 2])
        for layer in self.layers:
            x = layer(x, mask)
        return x.transpose([0, 3, 1, 2]).flatten(2), lengths
