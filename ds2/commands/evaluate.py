"""Scores a trained model on a manifest; results/ stays as it is.

Decoder and numbers, metric and batch size are those of params.yaml's section evaluate. Prints the error rate with its
counts and its 95 % interval. With --out it also writes there what the stage evaluate writes into results/:
predictions.jsonl, errors.txt, evaluate.json and report.html.

    python -m ds2 evaluate --model models/best_model --manifest dataset/manifest.dev --out scored
"""

import argparse
from pathlib import Path

from ds2 import layout, log, params
from ds2.errors import UserError
from ds2.evaluation import report, session
from ds2.recognition import paddle_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is scored, on what, and where the results go."""
    model, manifest = layout.MODELS / "best_model", layout.manifest_path("test")
    parser.add_argument(
        "--model", type=Path, default=model, metavar="FOLDER", help="the checkpoint; default: %(default)s"
    )
    parser.add_argument(
        "--manifest", type=Path, default=manifest, metavar="FILE", help="the utterances; default: %(default)s"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write the results there")


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring."""
    log.to_terminal()
    settings = params.load()
    if not arguments.manifest.is_file():
        raise UserError(f"--manifest {arguments.manifest}: there is no such file; it should be a manifest")
    if arguments.out is not None:  # before the work, which takes longer
        arguments.out.mkdir(parents=True, exist_ok=True)
    model = paddle_model.load(arguments.model, settings.runtime.use_gpu)
    name = f"{arguments.model} ({model.origin})"
    evaluation = session.score(settings, model, name, arguments.manifest)
    if arguments.out is not None:
        chosen_on_it = session.chosen_on_it(model, arguments.manifest)
        session.write(arguments.out, evaluation, settings.evaluate, name, chosen_on_it)
    metric = settings.evaluate.metrics_type
    low, high = (evaluation.metrics(metric)[f"{metric}_{end}"] for end in ("low", "high"))
    print(f"{report.headline(evaluation, metric)}; 95 % interval {low:.2%} to {high:.2%}")
    session.warn_of_size(evaluation)
