"""Makes a bundle of a trained model: a folder to give away, which runs without Paddle and without the training's data.

    python -m ds2 export
    python -m ds2 export models/epoch_7 /srv/asr --fp16
    python -m ds2 transcribe --model exported a.wav

Writes model.onnx, config.json, vocabulary.txt, MODEL_CARD.md and, where evaluate.decoder is ctc_beam_search, the
language model. The decoder and its numbers are those of params.yaml's section evaluate, without a params.yaml it is
ctc_greedy. Before anything is written the network is compared with the checkpoint: on random features, and on ten
minutes of the dev data where these can be read. Confidences and times are calibrated on the dev data.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from loguru import logger

from ds2 import layout, log, params
from ds2.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """From where to where."""
    model = layout.MODELS / "best_model"
    parser.add_argument(
        "checkpoint",
        nargs="?",
        type=Path,
        default=model,
        metavar="CHECKPOINT",
        help="the checkpoint; default: %(default)s",
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=layout.EXPORTED, metavar="DIR", help="the bundle; default: %(default)s"
    )
    parser.add_argument(
        "--fp16",
        action="store_true",
        help="store weights in half precision: half the size; the arithmetic stays in 32 bits",
    )


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring."""
    log.to_terminal()
    import numpy as np

    from ds2.export import exporting

    export = exporting.prepare(arguments.checkpoint, arguments.folder, np.float16 if arguments.fp16 else np.float32)
    logger.info(exporting.told(export.agreed))
    scores = [*_on_dev(export), *_on_test(arguments.checkpoint, export.settings.evaluate)]
    exporting.write(export, arguments.folder, scores, _calibration(export))
    size = sum(path.stat().st_size for path in arguments.folder.iterdir())
    print(f"{arguments.folder}: {export.model.origin} of {arguments.checkpoint}, {size / 1e6:.1f} MB")


def _calibration(export: Any) -> Any:
    """That of network and decoder on the dev data; None where these cannot be read."""
    from ds2.evaluation import session

    if not export.agreed.heard:
        return None
    try:
        return session.calibrate(export.settings, export.model, layout.manifest_path("dev"))
    except UserError as error:
        logger.warning(f"confidences and times are the network's own, not calibrated: {error}")
        return None


def _on_dev(export: Any) -> Iterator[Any]:
    """The score that the weights were chosen by, and that of the recordings that the networks were compared on."""
    from ds2.evaluation import bootstrap, error_rate
    from ds2.export.card import Score
    from ds2.metrics import TOKENS

    metric, heard = export.settings.evaluate.metrics_type, export.agreed.heard
    if export.chosen_by:
        yield export.chosen_by
    if heard:
        errors = [error_rate.compare(*map(TOKENS[metric], (one.reference, one.found))) for one in heard]
        low, high = bootstrap.interval(errors, [one.speaker for one in heard])
        rate = sum(errors, error_rate.Errors()).rate
        data = f"dev data, {len(heard)} of {export.agreed.of} utterances"
        yield Score(metric, data, f"{export.settings.evaluate.decoder}, by this bundle", rate, low, high)


def _on_test(checkpoint: Path, chosen: params.EvaluateSettings) -> Sequence[Any]:
    """What results/evaluation.json has, if it is of this checkpoint and no older."""
    from ds2.export.card import Score

    state = checkpoint / "state.json"
    try:
        newer = layout.EVALUATE_NUMBERS.stat().st_mtime >= state.stat().st_mtime
        values = json.loads(layout.EVALUATE_NUMBERS.read_bytes())
        metric = chosen.metrics_type
        rates = [float(values[metric + end]) for end in ("", "_low", "_high")]
        data = f"test data, {int(values['utterances'])} utterances"
    except (OSError, ValueError, KeyError, TypeError):
        newer = False
    if not newer or checkpoint.resolve() != layout.checkpoint(chosen.checkpoint).resolve():
        logger.warning(
            f"{layout.EVALUATE_NUMBERS} is not there, older than {checkpoint} or of another model: the model card has "
            "no error rate of the test data"
        )
        return []
    return [Score(metric, data, f"{chosen.decoder}, by the checkpoint", *rates)]
