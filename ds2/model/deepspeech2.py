"""DeepSpeech2 (Amodei et al. 2016, "Deep Speech 2: End-to-End Speech Recognition in English and Mandarin")."""

import paddle
from paddle import nn

from ds2 import params
from ds2.model.conv import ConvStack
from ds2.model.masking import MaskedBatchNorm, time_mask
from ds2.model.rnn import RnnStack


class DeepSpeech2(nn.Layer):
    """Convolutions, bidirectional GRUs, BatchNorm, dropout and a linear layer to the tokens' logits.

    An utterance's logits are the same alone and in any batch (evaluation mode).
    """

    def __init__(self, model: params.Model, num_mel_bins: int, num_tokens: int) -> None:
        """
        Args:
            model: the section of params.yaml.
            num_mel_bins: of the features.
            num_tokens: of the vocabulary, the blank included.
        """
        super().__init__()
        self.conv = ConvStack(model, num_mel_bins)
        self.rnn = RnnStack(self.conv.size, model.rnn_layer_size, model.num_rnn_layers)
        self.norm = MaskedBatchNorm(self.rnn.size, channel_axis=2)
        self.dropout = nn.Dropout(model.dropout)
        self.output = nn.Linear(self.rnn.size, num_tokens)

    def forward(self, features: paddle.Tensor, lengths: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """
        Args:
            features: float32 [B, T, mel], normalised, zero in the padding.
            lengths: int64 [B], real frames, all at least 1.

        Returns:
            logits, float32 [B, T', tokens], not normalised by a softmax; int64 [B], real output steps.
        """
        x, lengths = self.conv(features, lengths)
        x = self.rnn(x, lengths)
        x = self.norm(x, time_mask(lengths, x.shape[1]).unsqueeze(2))
        return self.output(self.dropout(x)), lengths
