"""The annotation files of built-in corpora."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from loguru import logger

from ds2 import layout
from ds2.errors import UserError
from ds2.files import replacing


class Spoken(NamedTuple):
    """An utterance: its audio, relative to the repository's root, its transcript, its speaker."""

    audio: str
    text: str
    speaker: str


def write(folder: Path, corpus: str, parts: Mapping[str, Sequence[Spoken]]) -> None:
    """Writes CORPUS.train.txt, CORPUS.dev.txt and CORPUS.test.txt, and says in the log how much there is.

    The file of a split that is not among the `parts` is empty.
    """
    for split in layout.SPLITS:
        with replacing(folder / f"{corpus}.{split}.txt") as file:
            for spoken in parts.get(split, ()):
                file.write("\t".join(" ".join(field.split()) for field in spoken) + "\n")
    if parts:
        counts = ", ".join(f"{len(parts.get(split, ()))} {split}" for split in layout.SPLITS)
        logger.info(f"{corpus}: {counts} utterances")


def transcripts(path: Path) -> dict[str, str]:
    """Reads a file with lines of an utterance's name, a space and its transcript."""
    lines = (line.strip().partition(" ") for line in text(path).split("\n"))
    return {name: transcript for name, _, transcript in lines if name}


def text(path: Path) -> str:
    """Reads a text file of a corpus; raises UserError when it is not UTF-8, or somebody has removed it."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 (byte {error.start})"
    except FileNotFoundError:
        reason = "is not there"
    folder = layout.AUDIO / path.relative_to(layout.repository_root() / layout.AUDIO).parts[0]
    raise UserError(f"{path} {reason}: remove {folder} and run the stage again")
