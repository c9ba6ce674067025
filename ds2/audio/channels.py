"""From several channels to one: their mean, or the loudest where they cancel each other."""

import numpy as np

# The mean of n channels has 1/n of the amplitude of one that speaks alone. Where it has less than this share of that,
# the channels are in opposite phase: with two, the mean is more than 12 dB below the louder.
_SHARE = 0.5
# Of a channel's mean square: there is nothing to be heard.
_SILENCE = 1e-10


class Levels:
    """The levels of the channels and of their mean, constant parts left out, summed over blocks in float64."""

    def __init__(self) -> None:
        """Of nothing."""
        self.frames = 0
        self.channels = 0
        self._sums = self._squares = np.zeros(1)

    def add(self, block: np.ndarray) -> None:
        """Adds a block, float32 [n, channels]."""
        self.frames += len(block)
        self.channels = block.shape[1]
        if self.channels > 1:
            wide = np.column_stack([block, mix(block, None)]).astype(np.float64)
            self._sums = self._sums + wide.sum(axis=0)
            self._squares = self._squares + np.square(wide).sum(axis=0)

    def instead(self) -> int | None:
        """The loudest channel, if the channels cancel each other in their mean; None: the mean is to be taken."""
        if self.channels < 2:
            return None
        power = self._squares / self.frames - np.square(self._sums / self.frames)
        loudest = int(np.argmax(power[:-1]))
        least = power[loudest] * (_SHARE / self.channels) ** 2
        return loudest if power[loudest] > _SILENCE and power[-1] < least else None


def mix(block: np.ndarray, channel: int | None) -> np.ndarray:
    """A channel of a block, float32 [n, channels], or the mean of all: float32 [n]."""
    if block.shape[1] == 1:
        return block[:, 0]
    return block.mean(axis=1) if channel is None else block[:, channel]
