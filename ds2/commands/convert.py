"""Turns another toolkit's list of utterances into an annotation, dataset/annotation/NAME.jsonl.

kaldi is a data directory (wav.scp, text and, where there are, segments, utt2spk, reco2file_and_channel), nemo a
manifest, wenet a raw list (data.list), commonvoice the folder of a language or one of its .tsv, csv a table that a
spreadsheet has saved. A folder of several becomes several annotations. NAME is the source's; what is called test or dev
becomes test or dev data. A relative path counts from the source's folder, one of the three above it or the root of this
repository: the first where the file is. No recording is opened, no command is run. What cannot be carried over is
counted, with the first example.

    python -m ds2 convert kaldi /data/kaldi/s5/data/train
    python -m ds2 convert csv calls.csv dataset/annotation/calls.jsonl
"""

import argparse
import importlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ds2 import layout
from ds2.converting import rows
from ds2.converting.rows import Account, Format
from ds2.corpora import registry
from ds2.data import parts
from ds2.errors import UserError
from ds2.files import as_json, replacing

# The module of ds2.converting that reads a format.
_FORMATS = {name: name for name in ("kaldi", "nemo", "wenet", "commonvoice")} | {"csv": "spreadsheet"}
_HELD_OUT = {"test": "test", "eval": "test", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The format, the source, the annotation."""
    parser.add_argument("format", nargs="?", metavar="FORMAT", help=", ".join(_FORMATS))
    parser.add_argument("source", nargs="?", type=Path, metavar="SOURCE", help="the list, or its folder")
    parser.add_argument(
        "output", type=Path, nargs="?", metavar="OUTPUT", help=f"default: {layout.ANNOTATION}/NAME.jsonl"
    )
    parser.add_argument("--yes", action="store_true", help="replace an annotation that is there")


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring; UserError where nothing can be carried over or an annotation would be replaced."""
    source, output = arguments.source, arguments.output
    if arguments.format not in _FORMATS or source is None:
        raise UserError(f"name a format ({', '.join(_FORMATS)}) and what to convert: python -m ds2 convert --help")
    if not source.exists():
        raise UserError(f"{source} does not exist")
    form: Format = importlib.import_module(f"ds2.converting.{_FORMATS[arguments.format]}")
    found = form.find(source)
    if output and len(found) > 1:
        raise UserError(f"{source} holds {len(found)} lists ({', '.join(found)}): name one, or leave OUTPUT out")
    outputs = {path: output or layout.ANNOTATION / _file_name(name) for name, path in found.items()}
    for path in outputs.values():
        _check(path, arguments.yes)
    written = False
    for path, target in outputs.items():
        account = Account()
        try:
            said = _write(target, rows.pieces(form.read(path, account), account))
        finally:
            for sentence in account.sentences():
                print(sentence)
        print(said or f"{target} is not written: nothing is left of {path}")
        written |= said is not None
    if not written:
        raise UserError(f"nothing of {source} can be carried over")
    print("Next: dvc repro manifest, which opens every recording and names the lines that cannot be used")


def _file_name(name: str) -> str:
    """The name of an annotation, such that what is called test or dev is that part of the data."""
    words = re.split(r"[^a-z]+", name.lower())
    part = next((_HELD_OUT[word] for word in words if word in _HELD_OUT), None)
    return f"{name}.jsonl" if part in (None, name.split(".")[-1]) else f"{name}.{part}.jsonl"


def _check(target: Path, replace: bool) -> None:
    if target.suffix != ".jsonl":
        raise UserError(f"{target}: the name of an annotation of this kind ends in .jsonl")
    if target.name.split(".")[0] in registry.NAMES:
        raise UserError(f"{target} has the name of a built-in corpus: give OUTPUT another name")
    if target.exists() and not replace:
        raise UserError(f"{target} is there already: give OUTPUT another name, or replace it with --yes")


def _write(target: Path, pieces: Iterator[dict[str, Any]]) -> str | None:
    """Writes the annotation and says what is in it; None, and nothing is written, where there are no pieces."""
    first = next(pieces, None)
    if first is None:
        return None
    count, timed, total = 0, 0, 0.0
    speakers: set[str | None] = set()
    with replacing(target) as file:
        for piece in itertools.chain([first], pieces):
            file.write(as_json(piece))
            count += 1
            speakers.add(piece.get("speaker"))
            timed += "duration" in piece
            total += piece.get("duration", 0.0)
    hours = f"{total / 3600:.4f} hours" if timed else "hours unknown"
    hours += f" in {timed} of them" if 0 < timed < count else ""
    known = parts.count(len(speakers - {None}), "speaker") + (", not all named" if None in speakers else "")
    named = target.name.split(".")[-2]
    part = named if named in layout.SPLITS else "train"
    return (
        f"{target} ({part}): {parts.count(count, 'utterance')}, {hours}, {known}; "
        f"the first is\n  {as_json(first).rstrip()}"
    )
