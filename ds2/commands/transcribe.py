"""Transcribes recordings with a trained model; its folder is all that is needed of the training.

    python -m ds2 transcribe --model models/best_model a.wav b.mp3 folder/ list.txt
    find /data -name '*.wav' | python -m ds2 transcribe --json -
    python -m ds2 transcribe --output subtitles --format srt folder/

Prints a line for every recording, in the order given: its path, a tab, the text. A folder stands for all audio files
below it, a file called *.txt for the paths in it, one a line, - for such lines on the standard input, a file called
*.jsonl for the pieces of recordings in it (audio_filepath, offset, duration, channel). A recording that cannot be read
is named on the standard error, the others are transcribed, and the exit code is 1. A bundle decodes as its config.json
says, a checkpoint greedily.

With --output every recording gets a file of its own. Stopped anywhere and started again, the command skips what is
complete and was made by the same model and options.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from loguru import logger
from tqdm import tqdm

from ds2 import layout, log
from ds2.audio.piece import Piece
from ds2.commands import options
from ds2.commands.options import Decoding
from ds2.errors import UserError, enough_memory
from ds2.params import numbers
from ds2.recognition import opening
from ds2.transcribing import cutting, formats, inputs
from ds2.transcribing.outputs import OutputFolder, model_identity
from ds2.transcribing.progress import Progress
from ds2.transcribing.transcriber import Transcriber
from ds2.transcribing.transcript import Transcript


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recordings, the model, the output, and what memory allows."""
    model = layout.MODELS / "best_model"
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="an audio file, a folder, a list (*.txt, *.jsonl) or -"
    )
    parser.add_argument(
        "--model", type=Path, default=model, metavar="FOLDER", help="the checkpoint or bundle; default: %(default)s"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object a line: path, offset and channel where they were named, text, duration in seconds, "
        "sample_rate of the recording, confidence (0 to 1), segments (start, end and text, where the recording was "
        "cut); for a recording that cannot be read, path and error; times of words: --format json",
    )
    parser.add_argument(
        "--format",
        choices=formats.FORMATS,
        help="txt (long recordings in paragraphs), json (as OpenAI's verbose_json, with times of words), subtitles as "
        "srt or vtt, or tsv; for several recordings add --output, where txt is the default",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="write a file for each recording there, under the recording's path: DIR/calls/a.wav.srt for calls/a.wav",
    )
    parser.add_argument(
        "--channel",
        type=numbers.integer(0, 1023),
        metavar="N",
        help="the channel to transcribe, from 0, where a list names none; default: the mean of all channels, or the "
        "loudest where they cancel each other",
    )
    parser.add_argument(
        "--max-duration",
        type=numbers.real(cutting.LEAST_SECONDS, 86_400),
        default=20.0,
        metavar="SECONDS",
        help="longer recordings are cut at silence into pieces that are not longer; default: %(default)g",
    )
    parser.add_argument(
        "--batch-size",
        type=numbers.integer(1, 100_000),
        default=8,
        metavar="N",
        help="pieces that the network reads at once, which does not change the texts; default: %(default)s; with 1 "
        "every line is printed before the next recording is read",
    )
    options.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring."""
    log.to_terminal()
    _check(arguments)
    said = options.read(arguments)
    model = opening.load(arguments.model, "auto")
    decoding = said.over(model, arguments.model)
    transcriber = Transcriber(model, decoding.decoder(model), arguments.batch_size, arguments.max_duration)
    failed = False
    with enough_memory(
        f"there is not enough memory for {arguments.batch_size} pieces of up to {arguments.max_duration:g} s at once: "
        "lower --batch-size or --max-duration"
    ):
        for transcript in _transcripts(arguments, transcriber, decoding):
            if transcript.error is not None:
                failed = True
                tqdm.write(f"error: {_name(arguments, transcript)}: {transcript.error}", file=sys.stderr)
    for sentence in transcriber.doubts.sentences():
        logger.warning(sentence)
    if failed:
        sys.exit(1)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.json and (arguments.format or arguments.output):
        raise UserError("--json prints lines on the standard output: without it, --format json writes JSON to --output")
    if arguments.format and not arguments.output and not inputs.is_one(arguments.inputs):
        raise UserError(f"--format {arguments.format} prints one recording: name --output DIR for several")


def _name(arguments: argparse.Namespace, transcript: Transcript) -> str:
    piece = transcript.piece
    as_listed = piece != Piece(channel=arguments.channel)
    return piece.of(transcript.name) if as_listed else transcript.name


def _transcripts(arguments: argparse.Namespace, transcriber: Transcriber, decoding: Decoding) -> Iterator[Transcript]:
    """Yields what became of each recording, printed or written."""
    given = inputs.expand(arguments.inputs, arguments.channel)
    shown = sys.stderr.isatty() and (arguments.output is not None or not sys.stdout.isatty())
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(inputs.total(arguments.inputs) if shown else None, shown))
        if arguments.output is None:
            for transcript in transcriber.transcribe(given):
                _print(arguments, transcript)
                progress.add(transcript)
                yield transcript
            return
        made_by = [model_identity(arguments.model), decoding.identity(), arguments.max_duration]
        form = arguments.format or "txt"
        folder = stack.enter_context(OutputFolder(arguments.output, form, json.dumps(made_by)))
        for transcript in transcriber.transcribe(folder.missing(given, progress.skip)):
            written = folder.write(transcript)
            progress.add(written)
            yield written
        for sentence in folder.sentences():
            logger.info(sentence)
        logger.info(f"{arguments.output}: {progress.sentence()}")


def _print(arguments: argparse.Namespace, transcript: Transcript) -> None:
    if arguments.json:
        print(formats.line(transcript), end="", flush=True)
    elif transcript.error is None and arguments.format:
        print(formats.FORMATS[arguments.format](transcript), end="", flush=True)
    elif transcript.error is None:
        print(f"{_name(arguments, transcript)}\t{transcript.text}", flush=True)
