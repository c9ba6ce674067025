"""A scoring from the pipeline's files to the pipeline's files."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from ds2 import device, layout, params
from ds2.data import parallel
from ds2.data.loader import Assembler, Loader
from ds2.data.manifest import Manifest
from ds2.data.vocabulary import Vocabulary
from ds2.evaluation import page, report
from ds2.evaluation.evaluator import Network
from ds2.evaluation.evaluator import evaluate as run
from ds2.files import write_json
from ds2.training import checkpoint

if TYPE_CHECKING:
    from ds2.decoding.beam import BeamSearch


def evaluate(settings: params.Params) -> None:
    """Scores the checkpoint that params.yaml names on the test set.

    Raises:
        UserError: there is no such checkpoint, or the test set is empty or unreadable.
    """
    on = device.choose(settings.runtime.use_gpu)
    trained, name = _checkpoint(settings.evaluate)
    search = _search(settings.evaluate, trained.vocabulary)
    manifest = Manifest(layout.manifest_path("test"))
    logger.info(f"{name} on {len(manifest)} utterances of {manifest.path}")
    with _loader(settings, on, trained, manifest) as loader, _memory(settings.evaluate):
        evaluation = run(trained.model, manifest, loader, trained.vocabulary, settings.evaluate.batch_size, search)
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
    on = device.choose(settings.runtime.use_gpu)
    trained, name = _checkpoint(chosen)
    search = beam.search(chosen, trained.vocabulary)
    manifest = Manifest(layout.manifest_path("dev"))
    with _loader(settings, on, trained, manifest) as loader, _memory(chosen):
        network = Network(trained.model, manifest, loader, chosen.batch_size)
        utterances = tuning.collect(network, manifest, search)
    logger.info(f"{name} on {len(utterances.references)} utterances of {manifest.path}: now the weights")
    metric = chosen.metrics_type
    points = tuning.tune(utterances, search, trained.vocabulary, metric)
    tuning.write_table(layout.TUNING, points, metric)
    tuning.write_picture(layout.TUNING_PICTURE, points, metric)
    best = tuning.best(points)
    logger.info(f"{metric.upper()} {best.errors.rate:.5f} with alpha {best.alpha:g} and beta {best.beta:g}")
    return f"-S evaluate.decoder=ctc_beam_search -S evaluate.alpha={best.alpha:g} -S evaluate.beta={best.beta:g}"


def _checkpoint(settings: params.Evaluate) -> tuple[checkpoint.Trained, str]:
    """What is scored, and how to call it."""
    count = settings.average_checkpoints
    if count > 1:
        trained = checkpoint.load_mean(layout.MODELS, count)
        return trained, f"the mean of {count} epochs up to {trained.state.epoch}"
    trained = checkpoint.load(_folder(settings.checkpoint))
    return trained, f"{settings.checkpoint} (epoch {trained.state.epoch})"


def _loader(settings: params.Params, on: str, trained: checkpoint.Trained, manifest: Manifest) -> Loader:
    workers = device.loader_workers(settings.runtime, on, parallel.processes("auto"))
    return Loader(manifest, Assembler(trained.params.features, trained.statistics), workers)


def _memory(settings: params.Evaluate) -> AbstractContextManager[None]:
    return device.enough_memory(
        f"there is not enough memory to score {settings.batch_size} utterances at once: lower evaluate.batch_size"
    )


def _search(settings: params.Evaluate, vocabulary: Vocabulary) -> "BeamSearch | None":
    if settings.decoder == "ctc_greedy":
        return None
    from ds2.decoding import beam  # compiles or loads compiled code, which takes seconds

    return beam.search(settings, vocabulary)


def _folder(name: str) -> Path:
    """A checkpoint by its name below models/, or by its path."""
    return Path(name) if "/" in name else layout.MODELS / name
