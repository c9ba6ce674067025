"""Common Voice: a folder of a language with clips/ and tables of them, tab-separated and with quotes as they are."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ds2 import layout
from ds2.converting import spreadsheet
from ds2.converting.rows import Account, Row
from ds2.errors import UserError


def find(source: Path) -> dict[str, Path]:
    """The tables of a language's folder for training, dev and test, or validated.tsv without them; or one table."""
    folder = Path(os.path.abspath(source if source.is_dir() else source.parent))
    if not source.is_dir():
        return {f"{folder.name}.{source.stem}": source}
    for names in (layout.SPLITS, ("validated",)):
        found = {f"{folder.name}.{name}": source / f"{name}.tsv" for name in names}
        found = {name: path for name, path in found.items() if path.exists()}
        if found:
            return found
    raise UserError(f"{source} holds no train.tsv and no validated.tsv: name the folder of a language, or a .tsv in it")


def read(path: Path, account: Account) -> Iterator[Row]:
    """The utterances of a table; old releases leave out that the clips are .mp3."""
    for row in spreadsheet.read(path, account):
        yield replace(row, audio=f"clips/{row.audio}" if Path(row.audio).suffix else f"clips/{row.audio}.mp3")
