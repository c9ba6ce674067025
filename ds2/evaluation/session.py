"""A scoring from the pipeline's files to the pipeline's files."""

from contextlib import AbstractContextManager
from pathlib import Path

from loguru import logger

from ds2 import layout, parallel, params
from ds2.data.loader import Assembler, Loader, worker_count
from ds2.data.manifest import Manifest
from ds2.errors import enough_memory
from ds2.evaluation import page, report
from ds2.evaluation.evaluator import evaluate as run
from ds2.files import write_json
from ds2.recognition import choice, opening
from ds2.recognition.acoustic import AcousticModel
from ds2.recognition.manifest_pass import ManifestPass


def evaluate(settings: params.Params) -> None:
    """Scores the checkpoint that params.yaml names on the test set.

    Raises:
        UserError: there is no such checkpoint, or the test set is empty or unreadable.
    """
    model, name = _model(settings)
    decoder = choice.decoder(settings.evaluate, model.vocabulary)
    manifest = Manifest(layout.manifest_path("test"))
    logger.info(f"{name} on {len(manifest)} utterances of {manifest.path}")
    with _loader(settings, model, manifest) as loader, _memory(settings.evaluate):
        evaluation = run(model, manifest, loader, settings.evaluate.batch_size, decoder)
    metric = settings.evaluate.metrics_type
    report.write_predictions(layout.PREDICTIONS, evaluation, metric)
    report.write_errors(layout.ERRORS, evaluation, metric)
    metrics = evaluation.metrics(metric)
    write_json(layout.EVALUATE_METRICS, metrics)
    page.write(layout.REPORT, evaluation, metric, metrics, {"decoder": settings.evaluate.decoder, "checkpoint": name})
    rates = f"{settings.evaluate.decoder} {evaluation.errors(metric).rate:.5f}"
    if evaluation.greedy is not None:
        rates += f", ctc_greedy {metrics[f'{metric}_greedy']:.5f}"
    logger.info(f"{metric.upper()}: {rates}")


def tune(settings: params.Params) -> str:
    """Looks for the best alpha and beta of ctc_beam_search on the dev set; returns the options that adopt them.

    Raises:
        UserError: as `evaluate`, or the language model is missing.
    """
    from ds2.decoding import beam
    from ds2.evaluation import tuning

    chosen = settings.evaluate.model_copy(update={"decoder": "ctc_beam_search"})
    model, name = _model(settings)
    search = beam.search(chosen, model.vocabulary)
    manifest = Manifest(layout.manifest_path("dev"))
    with _loader(settings, model, manifest) as loader, _memory(chosen):
        utterances = tuning.collect(ManifestPass(model, manifest, loader, chosen.batch_size), manifest, search)
    logger.info(f"{name} on {len(utterances.references)} utterances of {manifest.path}: now the weights")
    metric = chosen.metrics_type
    points = tuning.tune(utterances, search, model.vocabulary, metric)
    tuning.write_table(layout.TUNING, points, metric)
    tuning.write_picture(layout.TUNING_PICTURE, points, metric)
    best = tuning.best(points)
    logger.info(f"{metric.upper()} {best.errors.rate:.5f} with alpha {best.alpha:g} and beta {best.beta:g}")
    return f"-S evaluate.decoder=ctc_beam_search -S evaluate.alpha={best.alpha:g} -S evaluate.beta={best.beta:g}"


def _model(settings: params.Params) -> tuple[AcousticModel, str]:
    """What is scored, and how to call it."""
    chosen, use_gpu = settings.evaluate, settings.runtime.use_gpu
    if chosen.average_checkpoints > 1:
        model = opening.mean(layout.MODELS, chosen.average_checkpoints, use_gpu)
        return model, f"the mean of {chosen.average_checkpoints} epochs up to {model.epoch}"
    name = chosen.checkpoint
    model = opening.model(Path(name) if "/" in name else layout.MODELS / name, use_gpu)
    return model, f"{name} (epoch {model.epoch})"


def _loader(settings: params.Params, model: AcousticModel, manifest: Manifest) -> Loader:
    workers = worker_count(settings.runtime, model.device, parallel.processes("auto"))
    return Loader(manifest, Assembler(model.features, model.statistics), workers)


def _memory(settings: params.EvaluateSettings) -> AbstractContextManager[None]:
    return enough_memory(
        f"there is not enough memory to score {settings.batch_size} utterances at once: lower evaluate.batch_size"
    )
