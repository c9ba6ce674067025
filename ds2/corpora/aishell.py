"""AISHELL-1 (OpenSLR 33): 178 hours of read Mandarin, 400 speakers, with its own train, dev and test parts.

Bu et al., AISHELL-1: An Open-Source Mandarin Speech Corpus and A Speech Recognition Baseline, arXiv 1709.05522.
"""

from pathlib import Path

from loguru import logger

from ds2 import layout, params
from ds2.corpora import annotations
from ds2.corpora.annotations import Spoken
from ds2.corpora.archive import openslr
from ds2.corpora.obtain import Part, below, obtain

_FOLDER = layout.AUDIO / "aishell"
ARCHIVE = openslr(
    33, "data_aishell.tgz", 15_582_913_665, "md5:2f494334227864a8a8fec932999db9d8", unpacked=21_500_000_000
)


def build(name: str, annotation: Path, runtime: params.RuntimeSettings) -> None:
    """Makes the corpus; the arguments are those of `corpora.build`."""
    # data_aishell/wav/S0002.tar.gz holds train/S0002/*.wav
    obtain([Part(ARCHIVE, _FOLDER, below("data_aishell"))], runtime.download_dir)
    folder = layout.repository_root() / _FOLDER
    texts = annotations.transcripts(folder / "transcript" / "aishell_transcript_v0.8.txt")
    parts, without = {}, 0
    for split in layout.SPLITS:
        paths = sorted((folder / "wav" / split).glob("*/*.wav"))
        parts[split] = [_spoken(path, folder, texts[path.stem]) for path in paths if path.stem in texts]
        without += len(paths) - len(parts[split])
    if without:
        logger.info(f"{name}: {without} recordings have no transcript and are left out")
    annotations.write(annotation, name, parts)


def _spoken(path: Path, folder: Path, text: str) -> Spoken:
    audio = (_FOLDER / path.relative_to(folder)).as_posix()
    # The spaces are between words, where Chinese writes none.
    return Spoken(audio, "".join(text.split()), f"aishell-{path.parent.name}")
