"""The average of a training's weights, a model beside the one that is trained: Karras et al. 2024, section 3.1.

"Analyzing and Improving the Training Dynamics of Diffusion Models": the weights after step t count in proportion to
t^gamma, so that at any time the average covers the same share of the steps so far, however many are to come.
"""

from collections.abc import Iterable

import numpy as np
import paddle

from ds2.data.loader import Batch
from ds2.model.network import Network

# Batches that the normalisation's statistics are measured on, at most.
BATCHES = 20


class Average:
    """A network whose parameters are averages; its running statistics are void until they are measured."""

    def __init__(self, network: Network, share: float) -> None:
        """Averages into `network`; `share` is the mean age of the averaged weights, as a share of the steps so far."""
        self.network = network
        self._exponent = 1.0 / share - 1.0  # gamma + 1

    @paddle.no_grad()
    def add(self, model: Network, step: int, good: paddle.Tensor | None = None) -> None:
        """Takes in the weights that a model has after a step, from 1, if `good` (bool [1]; None: yes) holds."""
        new = 1.0 - (1.0 - 1.0 / step) ** self._exponent
        if good is not None:
            new = good.astype("float32") * new
        for average, now in zip(self.network.parameters(), model.parameters(), strict=True):
            average.lerp_(now, new)

    @paddle.no_grad()
    def measure_statistics(self, batches: Iterable[Batch]) -> None:
        """Makes the running statistics the means of those of batches.

        Leaves out batches that are empty, or whose recordings are so loud that nothing computed from them is finite.
        """
        self.network.train()
        means, count = [np.zeros(value.shape) for value in self.network.running_statistics()], 0
        for batch in filter(len, batches):
            self.network.forget_statistics()
            self.network(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
            values = [value.numpy() for value in self.network.running_statistics()]
            if all(np.isfinite(value).all() for value in values):
                count += 1
                for mean, value in zip(means, values, strict=True):
                    mean += (value - mean) / count
        for value, mean in zip(self.network.running_statistics(), means, strict=True):
            value.set_value(mean.astype(np.float32))
        self.network.eval()
