"""DeepSpeech2 (Amodei et al. 2016, "Deep Speech 2: End-to-End Speech Recognition in English and Mandarin")."""

import numpy as np
import paddle
from paddle import nn

from ds2 import params
from ds2.model import arrays
from ds2.model.conv import ConvStack
from ds2.model.masking import MaskedBatchNorm, time_mask
from ds2.model.network import Network
from ds2.model.rnn import RnnStack


class Dropout(nn.Dropout):
    """Srivastava et al. 2014, with NumPy's generator on a CPU, since Paddle's takes six times as long."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Float32 of any shape."""
        if not (self.training and self.p and arrays.on_cpu(x)):
            return super().forward(x)
        seed = int(arrays.as_array(paddle.randint(0, 2**31 - 1, [1]))[0])
        keeps = np.random.Generator(np.random.SFC64(seed)).random(x.shape, np.float32) >= self.p
        return x * arrays.as_tensor(keeps * np.float32(1.0 / (1.0 - self.p)))


class DeepSpeech2(Network):
    """Convolutions, bidirectional GRUs, BatchNorm, dropout and a linear layer to the tokens' logits.

    A frame of features has `size` values; the blank counts among the tokens.
    """

    def __init__(self, model: params.ModelSettings, size: int, tokens: int) -> None:
        super().__init__()
        self.conv = ConvStack(model, size)
        self.rnn = RnnStack(self.conv.size, model.rnn_layer_size, model.num_rnn_layers)
        self.norm = MaskedBatchNorm(self.rnn.size, channel_axis=2)
        self.dropout = Dropout(model.dropout)
        self.output = nn.Linear(self.rnn.size, tokens)

    def forward(self, features: paddle.Tensor, lengths: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """As every Network's."""
        x, lengths = self.conv(features, lengths)
        x = self.rnn(x, lengths)
        x = self.norm(x, time_mask(lengths, x.shape[1]).unsqueeze(2))
        return self.output(self.dropout(x)), lengths


build = DeepSpeech2
