"""A scoring from the pipeline's files to the pipeline's files."""

from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from ds2 import device, layout, params
from ds2.data import parallel
from ds2.data.loader import Assembler, Loader
from ds2.data.manifest import Manifest
from ds2.data.vocabulary import Vocabulary
from ds2.evaluation import report
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
    count = settings.evaluate.average_checkpoints
    if count > 1:
        trained = checkpoint.load_mean(layout.MODELS, count)
        model = f"the mean of {count} epochs up to {trained.state.epoch}"
    else:
        trained = checkpoint.load(_folder(settings.evaluate.checkpoint))
        model = f"{settings.evaluate.checkpoint} (epoch {trained.state.epoch})"
    search = _search(settings.evaluate, trained.vocabulary)
    manifest = Manifest(layout.manifest_path("test"))
    workers = device.loader_workers(settings.runtime, on, parallel.processes("auto"))
    logger.info(f"{model} on {len(manifest)} utterances of {manifest.path}")
    with Loader(manifest, Assembler(trained.params.features, trained.statistics), workers) as loader:
        evaluation = run(trained.model, manifest, loader, trained.vocabulary, settings.evaluate.batch_size, search)
    metric = settings.evaluate.metrics_type
    report.write_predictions(layout.PREDICTIONS, evaluation, metric)
    report.write_errors(layout.ERRORS, evaluation, metric)
    metrics = evaluation.metrics(metric)
    write_json(layout.EVALUATE_METRICS, metrics)
    rates = f"{settings.evaluate.decoder} {evaluation.errors(metric).rate:.5f}"
    if evaluation.greedy is not None:
        rates += f", ctc_greedy {metrics[f'{metric}_greedy']:.5f}"
    logger.info(f"{metric.upper()}: {rates}")


def _search(settings: params.Evaluate, vocabulary: Vocabulary) -> "BeamSearch | None":
    if settings.decoder == "ctc_greedy":
        return None
    from ds2.decoding import beam  # compiles or loads compiled code, which takes seconds

    return beam.search(settings, vocabulary)


def _folder(name: str) -> Path:
    """A checkpoint by its name below models/, or by its path."""
    return Path(name) if "/" in name else layout.MODELS / name
