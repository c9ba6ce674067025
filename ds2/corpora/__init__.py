"""Builders of named corpora: annotations dataset/annotation/<name>.<split>.txt, audio in dataset/audio/<name>/.

Noises and rooms are corpora without utterances: their annotations are empty, their audio goes to dataset/noise and
dataset/reverb.
"""

import importlib
from pathlib import Path

from ds2 import params
from ds2.corpora import registry


def build(name: str, annotation: Path, runtime: params.RuntimeSettings) -> None:
    """Makes a corpus, or what is missing of it, with its annotation files in the folder `annotation`.

    The section runtime says how many processes work, and where downloads go.

    Raises:
        UserError: there is no such corpus, or it cannot be made.
    """
    registry.check([name])
    importlib.import_module(f"ds2.corpora.{registry.BUILDERS[name]}").build(name, annotation, runtime)
