"""Room impulse responses (OpenSLR 28): the 60,000 simulated ones, for the augmentation `reverb`.

The measured ones are left out, since they have up to eight channels, whose mean is no room's response; the noises in
the archive, since MUSAN has more. Ko et al., A Study on Data Augmentation of Reverberant Speech, ICASSP 2017.
"""

from pathlib import Path

from ds2 import layout, params
from ds2.corpora import annotations
from ds2.corpora.archive import openslr
from ds2.corpora.obtain import Part, below, obtain

ARCHIVE = openslr(28, "rirs_noises.zip", 1_311_166_223, "md5:e6f48e257286e05de56413b4779d8ffb", unpacked=4_000_000_000)


def build(name: str, annotation: Path, runtime: params.RuntimeSettings) -> None:
    """Makes the corpus, which has no utterances; the arguments are those of `corpora.build`."""
    obtain([Part(ARCHIVE, layout.REVERB / name, below("RIRS_NOISES", "simulated_rirs"))], runtime.download_dir)
    annotations.write(annotation, name, {})
