"""Manifests, statistics and training samples on one core, without workers, beside the usual way (`peers`).

- manifest: lines of an annotation file checked, their audio looked at, their text normalised, the manifest written.
- statistics: utterances of a manifest decoded, levelled, turned into features and summed up.
- samples plain: the same, normalised, with labels, in padded batches of 16.
- samples augmented: with params.yaml's section augment; then the same with resampling in half of the utterances,
  which the defaults leave out.

Both sides do the same work and their results are compared before anything is measured: manifests to the letter,
statistics to a thousandth, plain features to a hundredth of a deviation (where ours are not clipped).
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks import peers
from benchmarks.corpus import Corpus
from benchmarks.table import Row, interleaved
from ds2.annotation import screening
from ds2.annotation.files import Source
from ds2.data import manifest, mean_istd
from ds2.data.augment import Augmenter
from ds2.data.loader import Assembler
from ds2.data.manifest import Manifest
from ds2.data.vocabulary import Vocabulary
from ds2.params.networks import frames_a_step

_UTTERANCES = 128
_BATCH = 16


def rows(corpus: Corpus) -> list[Row]:
    """All of them."""
    few = corpus.first(_UTTERANCES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [_manifest(few, folder), _statistics(few, folder), *_samples(few, folder)]


def _manifest(corpus: Corpus, folder: Path) -> Row:
    annotation, ours, peer = folder / "train.txt", folder / "ours", folder / "peer"
    annotation.write_text("".join(f"{audio}\t{text}\n" for audio, text in corpus.lines), encoding="utf-8")

    def work() -> None:
        screened = screening.screen([Source(annotation, "dev")], corpus.settings, workers=1)
        manifest.write(ours, screened.accepted["dev"])

    def peers_work() -> None:
        peers.write_manifest(annotation, peer, corpus.settings)

    seconds = interleaved(work, peers_work)
    _agree("manifests", ours.read_text(encoding="utf-8") == peer.read_text(encoding="utf-8"))
    return _row("manifest, one core", "lines/s", corpus, seconds)


def _statistics(corpus: Corpus, folder: Path) -> Row:
    utterances = corpus.manifest(folder / "manifest.train")
    ours, _ = mean_istd.compute(utterances, corpus.settings, workers=1)
    mean, istd = peers.statistics(utterances.path, corpus.settings.features)
    _agree("statistics", np.allclose(ours.mean, mean, atol=1e-3) and np.allclose(ours.istd, istd, rtol=1e-3))
    seconds = interleaved(
        lambda: mean_istd.compute(Manifest(utterances.path), corpus.settings, workers=1),
        lambda: peers.statistics(utterances.path, corpus.settings.features),
    )
    return _row("statistics, one core", "utterances/s", corpus, seconds)


def _samples(corpus: Corpus, folder: Path) -> list[Row]:
    settings = corpus.settings
    utterances = corpus.manifest(folder / "manifest.train")
    lines = utterances.path.read_text(encoding="utf-8").splitlines()
    statistics, _ = mean_istd.compute(utterances, settings, workers=1)
    vocabulary = Vocabulary.of(utterance.text for utterance in utterances)
    stride = frames_a_step(settings.model)
    resampling = settings.augment.resample.model_copy(update={"prob": 0.5})
    found = []
    for what, augment in (
        ("samples plain", None),
        ("samples augmented", settings.augment),
        ("samples augmented, resampled too", settings.augment.model_copy(update={"resample": resampling})),
    ):
        augmenter = None if augment is None else Augmenter(augment, settings.features)
        assembler = Assembler(settings.features, statistics, vocabulary, stride, augmenter, seed=1)
        peer = peers.Samples(settings.features, statistics, vocabulary, augment)
        if augment is None:
            _compare(assembler, peer, utterances, lines)

        def work(assembler=assembler) -> None:
            for start in range(0, len(utterances), _BATCH):
                positions = range(start, min(start + _BATCH, len(utterances)))
                assembler(list(utterances.pick(positions)), positions, 1)

        def peers_work(peer=peer) -> None:
            for start in range(0, len(lines), _BATCH):
                peer(lines[start : start + _BATCH])

        found.append(_row(f"{what}, one core", "utterances/s", corpus, interleaved(work, peers_work)))
    return found


def _compare(assembler: Assembler, peer: peers.Samples, utterances: Manifest, lines: list[str]) -> None:
    batch = assembler(list(utterances.pick(range(_BATCH))), range(_BATCH))
    features, frames, labels, _ = peer(lines[:_BATCH])
    clipped = batch.features == batch.features.min()
    same = np.abs(batch.features - features) < 1e-2
    _agree("labels", np.array_equal(batch.labels, labels) and np.array_equal(batch.frames, frames))
    # A frame that is all but silent is made of rounding errors, on both sides.
    _agree("features", (same | clipped).mean() > 0.999)


def _agree(what: str, agree: bool) -> None:
    if not agree:
        raise RuntimeError(f"ours and the peer's {what} differ: nothing to compare")


def _row(what: str, unit: str, corpus: Corpus, seconds: tuple[float, float]) -> Row:
    return Row(what, unit, *(len(corpus.lines) / each for each in seconds))
