"""Free ST Chinese Mandarin Corpus (ST-CMDS, OpenSLR 38): 110 hours of short sentences by 855 speakers, recorded on
phones. It has no dev and test parts of its own: manifest.dev_fraction and manifest.test_fraction hold speakers out.
"""

from pathlib import Path

from ds2 import layout, params
from ds2.corpora import annotations
from ds2.corpora.annotations import Spoken
from ds2.corpora.archive import openslr
from ds2.corpora.obtain import Part, below, obtain

_FOLDER = layout.AUDIO / "free_st"
_INNER = "ST-CMDS-20170001_1-OS"
ARCHIVE = openslr(
    38, f"{_INNER}.tar.gz", 8_231_662_593, "md5:c28ddfc8e4ebe48949bc79a0c23c5545", unpacked=14_500_000_000
)


def build(name: str, annotation: Path, runtime: params.RuntimeSettings) -> None:
    """Makes the corpus; the arguments are those of `corpora.build`."""
    obtain([Part(ARCHIVE, _FOLDER, below(_INNER))], runtime.download_dir)
    train = []
    for path in sorted((layout.repository_root() / _FOLDER).glob("*.wav")):
        if (transcript := path.with_suffix(".txt")).exists():
            # 20170001P00001A0001: session, speaker, a letter, utterance.
            speaker, audio = f"free_st-{path.stem[8:14]}", (_FOLDER / path.name).as_posix()
            train.append(Spoken(audio, annotations.text(transcript), speaker))
    annotations.write(annotation, name, {"train": train})
