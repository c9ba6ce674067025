"""One pass of a network over a manifest, whatever decodes its log-probabilities."""

import time
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from ds2.data import batches
from ds2.data.loader import Loader
from ds2.data.manifest import Manifest
from ds2.errors import UserError
from ds2.recognition.acoustic import AcousticModel


class ManifestPass:
    """Log-probabilities of the utterances of a manifest, or of one process's share of them.

    Attributes:
        seconds: spent in the network so far.
        snr: estimated signal-to-noise ratios so far, in dB, by position in the manifest.
    """

    def __init__(
        self,
        model: AcousticModel,
        manifest: Manifest,
        loader: Loader,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """
        Args:
            model: the network.
            manifest: the utterances; UserError where there are none.
            loader: of the same manifest, without augmentation.
            batch_size: utterances of a forward pass; it does not change the result.
            rank: of this process.
            world_size: the processes that share the work.
        """
        if len(manifest) == 0:
            raise UserError(f"{manifest.path} is empty: there is nothing to score")
        self._model = model
        self._loader = loader
        plan = batches.by_length(manifest.durations, batch_size)
        self._share = [plan[i] for i in range(rank, len(plan), world_size)]
        self._title = f"scoring {manifest.path.name}"
        self._hidden = None if rank == 0 else True  # None: where there is no terminal
        self.seconds = 0.0
        self.snr: dict[int, float] = {}

    def __iter__(self) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Yields, batch by batch, each utterance's position in the manifest and ln P, float32 [steps, tokens].

        Raises:
            UserError: a file cannot be read: leaving it out would flatter the score.
        """
        total = sum(map(len, self._share))
        with tqdm(total=total, desc=self._title, unit=" utt", disable=self._hidden, leave=False) as bar:
            for batch in self._loader.load(self._share):
                if batch.unreadable:
                    raise UserError(f"{batch.unreadable[0]}: it stands in the data to score; run dvc repro -f manifest")
                start = time.perf_counter()
                found = self._model.log_probabilities(batch)
                self.seconds += time.perf_counter() - start
                self.snr.update(zip(batch.positions.tolist(), batch.snr.tolist(), strict=True))
                yield list(zip(batch.positions.tolist(), found, strict=True))
                bar.update(len(batch))
