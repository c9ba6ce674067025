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

    def __init__(self, folder: str, sample_rate: int, parameter: str = "augment") -> None:
        """Finds the files; none is read yet. A folder that does not exist has none.

        Raises:
            UserError: it begins with the home of nobody; the parameter that names the folder is told.
        """
        root = layout.user_folder(folder, parameter)
        found = [path for path in reading.below(root) if path.is_file()]  # a link may lead nowhere
        self._files = [(path.relative_to(root).as_posix(), path.stat().st_size) for path in found]
        self._root = root
        self._rate = sample_rate
        self._decoded: OrderedDict[int, np.ndarray] = OrderedDict()  # empty: not to be used
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._files)

    def identity(self) -> list[tuple[str, int]]:
        """Names and sizes of the files: what a training's fingerprint covers."""
        return self._files

    def draw(self, random: np.random.Generator) -> np.ndarray | None:
        """One of the recordings, float32 [n]; None if it is one that cannot be read or is silent."""
        index = int(random.integers(len(self._files)))
        if index not in self._decoded:
            self._decoded[index] = self._read(self._root / self._files[index][0])
            self._bytes += self._decoded[index].nbytes
            while self._bytes > _KEPT_BYTES and len(self._decoded) > 1:
                self._bytes -= self._decoded.popitem(last=False)[1].nbytes
        self._decoded.move_to_end(index)
        samples = self._decoded[index]
        return samples if len(samples) else None

    def _read(self, path: Path) -> np.ndarray:
        try:
            samples = reading.load(path, self._rate)
        except reading.AudioError as error:
            logger.warning(f"augment: {path} is not used: {error}")
            return np.zeros(0, np.float32)
        return samples if np.any(samples) else np.zeros(0, np.float32)
