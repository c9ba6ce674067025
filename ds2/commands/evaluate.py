"""Scores a checkpoint or a bundle on a manifest or an annotation; results/ stays as it is.

Prints the error rate with its counts and its 95 % interval. With --out it also writes there what the stage evaluate
writes into results/: predictions.jsonl, errors.txt, report.html, evaluate.json (the error rate) and evaluation.json
(all numbers).

    python -m ds2 evaluate --model models/best_model --manifest dataset/manifest.dev --out scored
    python -m ds2 evaluate --model models/best_model --list my.txt

A manifest is scored with decoder, numbers, metric and batch size of params.yaml's section evaluate. An annotation needs
no params.yaml: its lines are read, normalised and rejected as the stage manifest does, by the model's own rules for
texts, and decoded by the bundle's own decoder, by a checkpoint greedily, or as the options say.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from loguru import logger

from ds2 import layout, log, parallel, params
from ds2.annotation import screening
from ds2.annotation.files import Rejection, Source
from ds2.commands import options
from ds2.commands.options import Decoding
from ds2.data import manifest, parts
from ds2.errors import UserError
from ds2.evaluation import report, session
from ds2.evaluation.evaluator import Evaluation
from ds2.files import as_json, make_folder, replacing
from ds2.metrics import TOKENS
from ds2.recognition import opening
from ds2.recognition.acoustic import AcousticModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is scored, on what, how it decodes, and where the results go."""
    model = layout.MODELS / "best_model"
    parser.add_argument(
        "--model", type=Path, default=model, metavar="FOLDER", help="the checkpoint or bundle; default: %(default)s"
    )
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--manifest",
        type=Path,
        default=layout.manifest_path("test"),
        metavar="FILE",
        help="the utterances; default: %(default)s",
    )
    data.add_argument(
        "--list",
        type=Path,
        metavar="FILE",
        help="an annotation instead: path, tab, transcript; or JSON lines (*.jsonl)",
    )
    parser.add_argument(
        "--metric", choices=tuple(TOKENS), help="the rate to report; default: that of the section evaluate, or cer"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the results there")
    options.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring."""
    log.to_terminal()
    if arguments.list is None and arguments.params is None:
        arguments.params = layout.PARAMS
    said = options.read(arguments)
    option, path = ("--list", arguments.list) if arguments.list else ("--manifest", arguments.manifest)
    if not path.is_file():
        raise UserError(f"{option} {path}: there is no such file; it should be {_KINDS[option]}")
    if arguments.out is not None:  # before the work, which takes longer
        make_folder(arguments.out)
    settings = said.params or params.Params()
    model = opening.load(arguments.model, settings.runtime.use_gpu)
    decoding = said.over(model, arguments.model)
    chosen = decoding.settings.model_copy(update={"metrics_type": arguments.metric} if arguments.metric else {})
    settings = settings.model_copy(update={"evaluate": chosen})
    name = f"{arguments.model} ({model.origin})"
    if arguments.list is None:
        evaluation = session.score(settings, model, name, path, decoding.language_model)
    else:
        evaluation = _score_list(settings, model, name, arguments, decoding)
    if arguments.out is not None:
        session.write(arguments.out, evaluation, chosen, name, session.chosen_on_it(model, path))
    metric = chosen.metrics_type
    low, high = (evaluation.numbers(metric)[f"{metric}_{end}"] for end in ("low", "high"))
    print(f"{report.headline(evaluation, metric)}; 95 % interval {low:.2%} to {high:.2%}")
    session.warn_of_size(evaluation)


_KINDS = {"--manifest": "a manifest", "--list": "an annotation, with lines of audio path, tab and transcript"}


def _score_list(
    settings: params.Params, model: AcousticModel, name: str, arguments: argparse.Namespace, decoding: Decoding
) -> Evaluation:
    """Scores the lines of an annotation that the stage manifest would accept."""
    path = arguments.list
    asked = settings.model_copy(update={"features": model.features, "text": model.rules})
    workers = parallel.processes(asked.runtime.num_workers)
    screened = screening.screen([Source(path, "test")], asked, workers)
    told = _rejected(screened.rejected, screened.lines) if screened.rejected else "it is empty"
    if not screened.accepted["test"]:
        raise UserError(f"--list {path}: there is nothing to score: {told}")
    if screened.rejected:
        logger.warning(told)
    if arguments.out is not None:
        with replacing(arguments.out / layout.REJECTED.name) as file:
            file.writelines(as_json(one.as_json()) for one in screened.rejected)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        manifest.write(made, screened.accepted["test"])
        return session.score(asked, model, name, made, decoding.language_model, path)


def _rejected(rejected: list[Rejection], lines: int) -> str:
    reasons = Counter(one.reason for one in rejected).most_common()
    first = rejected[0]
    return (
        f"{len(rejected)} of {parts.count(lines, 'line')} rejected and not scored "
        f"({', '.join(f'{count} {reason}' for reason, count in reasons)}); the first is {first.source.path} line "
        f"{first.number}: {first.detail}"
    )
