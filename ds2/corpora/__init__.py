"""Builders of named corpora: annotations dataset/annotation/<name>.<split>.txt, audio in dataset/audio/<name>/."""

import importlib
from collections.abc import Iterable
from pathlib import Path

from ds2 import layout
from ds2.errors import UserError

# A corpus's builder is the module of its name here. The names alone reserve annotation files.
NAMES = ("demo",)


def check_names(names: Iterable[str]) -> None:
    """Raises UserError when one of the names is not a built-in corpus's."""
    for name in names:
        if name not in NAMES:
            raise UserError(
                f"corpora: {name!r} is not a built-in corpus; there are: {', '.join(NAMES)}. Your own data needs no "
                f"name there: put its annotation into {layout.ANNOTATION}"
            )


def build(name: str, annotation: Path, num_workers: int | str) -> None:
    """Makes a corpus, or what is missing of it.

    Args:
        name: one of NAMES.
        annotation: the folder for its annotation files.
        num_workers: runtime.num_workers.

    Raises:
        UserError: there is no such corpus, or it cannot be made.
    """
    check_names([name])
    importlib.import_module(f"ds2.corpora.{name}").build(annotation, num_workers)
