"""The network: convolutions, bidirectional GRUs, a linear layer to the tokens."""
