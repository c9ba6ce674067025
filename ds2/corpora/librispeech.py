"""LibriSpeech (OpenSLR 12): read English of audiobooks; 100, 460 or 960 hours to train on, dev-clean and test-clean.

Panayotov et al., LibriSpeech: an ASR corpus based on public domain audio books, ICASSP 2015.
"""

from collections.abc import Iterator
from pathlib import Path

from ds2 import layout, params
from ds2.corpora import annotations
from ds2.corpora.annotations import Spoken
from ds2.corpora.archive import openslr
from ds2.corpora.obtain import Part, below, obtain

_FOLDER = layout.AUDIO / "librispeech"
_TRAIN = {
    "librispeech_100": ("train-clean-100",),
    "librispeech_460": ("train-clean-100", "train-clean-360"),
    "librispeech": ("train-clean-100", "train-clean-360", "train-other-500"),
}


ARCHIVES = {
    # FLAC does not get smaller in a .tar.gz; each file fills its last disk block in part.
    subset: openslr(12, f"{subset}.tar.gz", size, f"sha256:{checksum}", unpacked=size + size // 20)
    for subset, size, checksum in (
        ("train-clean-100", 6_387_309_499, "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2"),
        ("train-clean-360", 23_049_477_885, "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf"),
        ("train-other-500", 30_593_501_606, "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2"),
        ("dev-clean", 337_926_286, "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3"),
        ("test-clean", 346_663_984, "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23"),
    )
}


def build(name: str, annotation: Path, runtime: params.RuntimeSettings) -> None:
    """Makes the corpus; the arguments are those of `corpora.build`. The three names share their folders."""
    subsets = {"train": _TRAIN[name], "dev": ("dev-clean",), "test": ("test-clean",)}
    wanted = [subset for found in subsets.values() for subset in found]
    needed = [Part(ARCHIVES[subset], _FOLDER / subset, below("LibriSpeech", subset)) for subset in wanted]
    obtain(needed, runtime.download_dir)
    parts = {split: [s for subset in found for s in _utterances(subset)] for split, found in subsets.items()}
    annotations.write(annotation, name, parts)


def _utterances(subset: str) -> Iterator[Spoken]:
    # 19/198/19-198.trans.txt has a line for every 19/198/19-198-0000.flac: speaker, chapter, utterance.
    for path in sorted((layout.repository_root() / _FOLDER / subset).glob("*/*/*.trans.txt")):
        chapter = path.parent
        for utterance, text in annotations.transcripts(path).items():
            audio = _FOLDER / subset / chapter.parent.name / chapter.name / f"{utterance}.flac"
            yield Spoken(audio.as_posix(), text, f"librispeech-{chapter.parent.name}")
