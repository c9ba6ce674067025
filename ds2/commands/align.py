"""Finds when each word of a known text is said in a recording (forced alignment).

    python -m ds2 align a.wav 今天天气怎么样
    python -m ds2 align --format ctm dataset/annotation/my.txt

A list (*.txt with lines of audio path, tab and transcript, *.jsonl as in dataset/annotation) stands for all of its
lines; its paths are relative to the working directory, or to the list's folder where they are not there. Texts are
normalised as the transcripts of the training were. Prints one JSON object per recording, or one line of CTM per word:
file, channel (from 1), start, duration, word, confidence. Times are seconds; in JSON they count from the beginning of
the piece where a list names one, in CTM from that of the file. What cannot be aligned is named on the standard error,
the rest is aligned, and the exit code is 1. A text of which the model hears less than half is warned about.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from loguru import logger

from ds2 import layout, log
from ds2.annotation import files
from ds2.annotation.files import Rejection, Source
from ds2.audio.reading import AudioError
from ds2.errors import UserError, enough_memory
from ds2.files import as_json
from ds2.params import numbers
from ds2.transcribing import cutting, formats
from ds2.transcribing.aligning import Aligned, Aligner
from ds2.transcribing.inputs import Input

_LISTS = (".txt", ".jsonl")
# Of 168 recordings of zh-dsp20-strings's test, with a model after 15 epochs of the recipe small, 4 have more than half
# of their words below this confidence with their own texts, and 150 with the texts of others.
_HARDLY = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is aligned, the model, the output."""
    model = layout.MODELS / "best_model"
    parser.add_argument("audio", metavar="AUDIO", help="an audio file, or a list (*.txt, *.jsonl) without TEXT")
    parser.add_argument("text", nargs="?", metavar="TEXT", help="what is said in it")
    parser.add_argument(
        "--model", type=Path, default=model, metavar="FOLDER", help="a checkpoint or a bundle; default: %(default)s"
    )
    parser.add_argument("--format", choices=("json", "ctm"), default="json", help="default: %(default)s")
    parser.add_argument(
        "--max-duration",
        type=numbers.real(cutting.LEAST_SECONDS, 86_400),
        default=20.0,
        metavar="SECONDS",
        help="longer recordings go through the network in pieces, cut at silence, that are not longer; default: "
        "%(default)g",
    )


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring.

    Raises:
        UserError: there is no such model, or text and list do not go together.
    """
    log.to_terminal()
    path = Path(arguments.audio)
    is_list = path.suffix.lower() in _LISTS
    if is_list and arguments.text is not None:
        raise UserError(f"{arguments.audio} is a list, which has its texts in it: leave TEXT out")
    if not is_list and arguments.text is None:
        raise UserError(f"{arguments.audio} needs the text that is said in it, as a second argument")
    work = _listed(path) if is_list else [(Input(arguments.audio, path), arguments.text)]
    from ds2.recognition import opening  # paddle takes seconds to load: mistakes and --help do not wait for it

    aligner = Aligner(opening.load(arguments.model, "auto"), arguments.max_duration)
    write, failed = {"json": _json, "ctm": _ctm}[arguments.format], False
    with enough_memory("there is not enough memory for the text and the recording: lower --max-duration"):
        for given, transcript in work:
            try:
                if given.error is not None:
                    raise AudioError(given.error)
                aligned = aligner.align(given, transcript)
                print(write(given, aligned), end="", flush=True)
                _warn_of_another_text(given, aligned)
            except (AudioError, UserError) as error:
                failed = True
                print(f"error: {given.piece.of(given.name)}: {error}", file=sys.stderr)
    if failed:
        sys.exit(1)


def _warn_of_another_text(given: Input, aligned: Aligned) -> None:
    """Any text can be aligned with any recording: the confidences tell when it is not what is said in it."""
    words = aligned.found.words
    hardly = sum(word.confidence < _HARDLY for word in words)
    if 2 * hardly > len(words):
        logger.warning(
            f"{given.piece.of(given.name)}: the model does not hear {hardly} of the {len(words)} words of the text: is "
            "it the text of this recording?"
        )


def _listed(path: Path) -> Iterator[tuple[Input, str]]:
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    for line in files.read(Source(path, "train")):
        if isinstance(line, Rejection):
            yield Input(f"{path} line {line.number}", path, line.detail), ""
            continue
        beside = path.parent / line.audio
        there = os.path.exists(line.audio) or not os.path.exists(beside)
        yield Input(line.audio, Path(line.audio) if there else beside, piece=line.piece.placed()), line.transcript


def _json(given: Input, aligned: Aligned) -> str:
    found = aligned.found
    return as_json(
        formats.place(given)
        | {
            "text": found.text,
            "duration": round(aligned.duration, 3),
            "confidence": round(found.confidence, 4),
            "words": formats.words(found.words),
        }
    )


def _ctm(given: Input, aligned: Aligned) -> str:
    name = "_".join(given.name.split())  # white space separates the columns
    channel, offset = 1 + (given.piece.channel or 0), given.piece.offset or 0.0
    return "".join(
        f"{name} {channel} {offset + word.start:.3f} {word.end - word.start:.3f} {word.text} {word.confidence:.4f}\n"
        for word in aligned.found.words
    )
