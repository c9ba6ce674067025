"""THCHS-30 (OpenSLR 18): 33 hours of read Mandarin news, with its own train, dev and test parts.

Wang and Zhang, THCHS-30: A Free Chinese Speech Corpus, arXiv 1512.01882.
"""

from pathlib import Path, PurePosixPath

from ds2 import layout, params
from ds2.corpora import annotations
from ds2.corpora.annotations import Spoken
from ds2.corpora.archive import openslr
from ds2.corpora.obtain import Part, below, obtain

_FOLDER = layout.AUDIO / "thchs30"
_TRANSCRIPT = ".wav.trn"
ARCHIVE = openslr(18, "data_thchs30.tgz", 6_453_425_169, "md5:2d2252bde5c8429929e1841d4cb95e90", unpacked=4_200_000_000)


def _place(name: PurePosixPath) -> PurePosixPath | None:
    """All of data/; of train/, dev/ and test/, which hold the same again, only the names of the transcripts."""
    inner = below("data_thchs30")(name)
    if inner is None or len(inner.parts) != 2:
        return None
    folder, file = inner.parts
    if folder == "data" and file.endswith((".wav", _TRANSCRIPT)):
        return inner
    return inner if folder in layout.SPLITS and file.endswith(_TRANSCRIPT) else None


def build(name: str, annotation: Path, runtime: params.RuntimeSettings) -> None:
    """Makes the corpus; the arguments are those of `corpora.build`."""
    # The transcripts in train/, dev/ and test/ are pointers, ../data/A11_0.wav.trn: text files or symbolic links.
    obtain([Part(ARCHIVE, _FOLDER, _place, links_as_text=True)], runtime.download_dir)
    folder = layout.repository_root() / _FOLDER
    parts = {}
    for split in layout.SPLITS:
        names = sorted(path.name.removesuffix(_TRANSCRIPT) for path in (folder / split).glob(f"*{_TRANSCRIPT}"))
        parts[split] = [_spoken(folder, utterance) for utterance in names]
    annotations.write(annotation, name, parts)


def _spoken(folder: Path, utterance: str) -> Spoken:
    # The words, then pinyin, then phones. The spaces are between words, where Chinese writes none.
    words = annotations.text(folder / "data" / f"{utterance}{_TRANSCRIPT}").partition("\n")[0]
    speaker = utterance.partition("_")[0]
    return Spoken((_FOLDER / "data" / f"{utterance}.wav").as_posix(), "".join(words.split()), f"thchs30-{speaker}")
