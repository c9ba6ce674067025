"""Transcribes recordings with a trained model, which needs nothing else of its training.

    python -m ds2 transcribe --model models/best_model a.wav b.mp3 folder/ list.txt
    find /data -name '*.wav' | python -m ds2 transcribe --json -

Prints a line for every recording, in the order given: its path, a tab, the text. A folder stands for all audio files
below it, a file called *.txt for the paths in it, one a line, - for such lines on the standard input, a file called
*.jsonl for the pieces of recordings in it (audio_filepath, offset, duration, channel). A recording that cannot be read
is named on the standard error, the others are transcribed, and the exit code is 1.
"""

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from loguru import logger

from ds2 import layout, log
from ds2.audio.piece import Piece
from ds2.decoding.greedy import Greedy
from ds2.errors import enough_memory
from ds2.files import as_json
from ds2.params import numbers
from ds2.transcribing import cutting, inputs
from ds2.transcribing.transcriber import Transcriber, Transcript


def _fields(transcript: Transcript) -> dict[str, Any]:
    piece = {"offset": transcript.piece.offset, "channel": transcript.piece.channel}
    piece = {key: value for key, value in piece.items() if value is not None}
    if transcript.error is not None:
        return {"path": transcript.name} | piece | {"error": transcript.error}
    fields = {"path": transcript.name} | piece
    fields |= {
        "text": transcript.text,
        "duration": round(transcript.duration, 3),
        "sample_rate": transcript.sample_rate,
        "confidence": None if transcript.confidence is None else round(transcript.confidence, 4),
    }
    if transcript.segments is not None:
        fields["segments"] = [
            {"start": round(segment.start, 2), "end": round(segment.end, 2), "text": segment.text}
            for segment in transcript.segments
        ]
    return fields


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recordings, the model, the output, and what memory allows."""
    model = layout.MODELS / "best_model"
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="an audio file, a folder, a list (*.txt, *.jsonl) or -"
    )
    parser.add_argument(
        "--model", type=Path, default=model, metavar="FOLDER", help="the checkpoint; default: %(default)s"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object a line: path, offset and channel where they were named, text, duration in seconds, "
        "sample_rate of the recording, confidence (the mean probability of a character, geometric), segments (start, "
        "end and text, where the recording was cut); for a recording that cannot be read, path and error",
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


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring."""
    log.to_terminal()
    from ds2.recognition import opening  # paddle takes seconds to load: mistakes and --help do not wait for it

    model = opening.load(arguments.model, "auto")
    # Whoever reads the output may stop: end then as other tools do, without a traceback.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    failed = False
    transcriber = Transcriber(model, Greedy(), arguments.batch_size, arguments.max_duration)
    with enough_memory(
        f"there is not enough memory for {arguments.batch_size} pieces of up to {arguments.max_duration:g} s at once: "
        "lower --batch-size or --max-duration"
    ):
        for transcript in transcriber.transcribe(inputs.expand(arguments.inputs, arguments.channel)):
            piece, name = transcript.piece, transcript.name
            if piece != Piece(channel=arguments.channel):  # as a list has it
                name = piece.of(name)
            if arguments.json:
                print(as_json(_fields(transcript)), end="", flush=True)
            elif transcript.error is None:
                print(f"{name}\t{transcript.text}", flush=True)
            if transcript.error is not None:
                failed = True
                print(f"error: {name}: {transcript.error}", file=sys.stderr)
    for sentence in transcriber.doubts.sentences():
        logger.warning(sentence)
    if failed:
        sys.exit(1)
