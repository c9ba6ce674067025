"""MUSAN (OpenSLR 17): of its noise, music and speech the six hours of noise, for the augmentation `noise`.

Snyder et al., MUSAN: A Music, Speech, and Noise Corpus, arXiv 1510.08484.
"""

from pathlib import Path

from ds2 import layout, params
from ds2.corpora import annotations
from ds2.corpora.archive import openslr
from ds2.corpora.obtain import Part, below, obtain

ARCHIVE = openslr(17, "musan.tar.gz", 11_086_114_085, "md5:0c472d4fc0c5141eca47ad1ffeb2a7df", unpacked=1_000_000_000)


def build(name: str, annotation: Path, runtime: params.RuntimeSettings) -> None:
    """Makes the corpus, which has no utterances; the arguments are those of `corpora.build`."""
    obtain([Part(ARCHIVE, layout.NOISE / name, below("musan", "noise"))], runtime.download_dir)
    annotations.write(annotation, name, {})
