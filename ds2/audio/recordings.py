"""Folders of noises and impulse responses, decoded once and kept in memory, within a bound."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
from loguru import logger

from ds2 import layout
from ds2.audio import reading

# Of decoded audio that a process keeps of one folder: an hour at 16 kHz.
_KEPT_BYTES = 240_000_000


class Recordings:
    """The audio files below a folder, at one sample rate; hidden ones are none, such as a corpus's half unpacked."""

    def __init__(self, folder: str, sample_rate: int) -> None:
        """Finds the files; none is read yet. A folder that does not exist has none."""
        root = layout.repository_root() / Path(folder).expanduser()
        found = [path for path in reading.below(root) if path.is_file()]  # a link may lead nowhere
        self._names = [path.relative_to(root).as_posix() for path in found]
        self._sizes = [path.stat().st_size for path in found]
        self._root = root
        self._rate = sample_rate
        self._decoded: OrderedDict[int, np.ndarray | None] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._names)

    def identity(self) -> list[tuple[str, int]]:
        """Names and sizes of the files: what a training's fingerprint covers."""
        return list(zip(self._names, self._sizes, strict=True))

    def draw(self, random: np.random.Generator) -> np.ndarray | None:
        """One of the recordings, float32 [n]; None if it is one that cannot be read or is silent."""
        index = int(random.integers(len(self._names)))
        if index in self._decoded:
            self._decoded.move_to_end(index)
        else:
            self._keep(index, self._read(index))
        return self._decoded[index]

    def _read(self, index: int) -> np.ndarray | None:
        path = self._root / self._names[index]
        try:
            samples = reading.load(path, self._rate)
        except reading.AudioError as error:
            logger.warning(f"augment: {path} is not used: {error}")
            return None
        return samples if np.any(samples) else None

    def _keep(self, index: int, samples: np.ndarray | None) -> None:
        self._decoded[index] = samples
        self._bytes += 0 if samples is None else samples.nbytes
        while self._bytes > _KEPT_BYTES and len(self._decoded) > 1:
            _, old = self._decoded.popitem(last=False)
            self._bytes -= 0 if old is None else old.nbytes
