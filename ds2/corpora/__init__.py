"""Builders of named corpora: annotations dataset/annotation/<name>.<split>.txt, audio in dataset/audio/<name>/.

Noises and rooms are corpora without utterances: their annotations are empty, their audio goes to dataset/noise and
dataset/reverb.
"""

import importlib
from collections.abc import Iterable
from pathlib import Path

from ds2 import layout, params
from ds2.errors import UserError

# The module here that makes a corpus. The names alone reserve annotation files.
_BUILDERS = {
    "demo": "demo",
    "aishell": "aishell",
    "thchs30": "thchs30",
    "free_st": "free_st",
    "librispeech_100": "librispeech",
    "librispeech_460": "librispeech",
    "librispeech": "librispeech",
    "musan": "musan",
    "rirs_noises": "rirs_noises",
}
NAMES = tuple(_BUILDERS)


def check_names(names: Iterable[str]) -> None:
    """Raises UserError when one of the names is not a built-in corpus's, or two have the same recordings."""
    makers: dict[str, str] = {}
    for name in names:
        if name not in NAMES:
            raise UserError(
                f"corpora: {name!r} is not a built-in corpus; there are: {', '.join(NAMES)}. Your own data needs no "
                f"name there: put its annotation into {layout.ANNOTATION}"
            )
        other = makers.setdefault(_BUILDERS[name], name)
        if other != name:
            raise UserError(f"corpora: {other} and {name} have recordings in common: name one of them")


def build(name: str, annotation: Path, runtime: params.RuntimeSettings) -> None:
    """Makes a corpus, or what is missing of it.

    Args:
        name: one of NAMES.
        annotation: the folder for its annotation files.
        runtime: how many processes work, and where downloads go.

    Raises:
        UserError: there is no such corpus, or it cannot be made.
    """
    check_names([name])
    importlib.import_module(f"ds2.corpora.{_BUILDERS[name]}").build(name, annotation, runtime)
