"""Scoring from files to files: what the stage evaluate, the command of that name and the tuning share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loguru import logger

from ds2 import layout, parallel, params
from ds2.data import parts
from ds2.data.loader import Assembler, Loader, worker_count
from ds2.data.manifest import Manifest
from ds2.data.parts import Size
from ds2.decoding.decoder import Decoder
from ds2.errors import enough_memory
from ds2.evaluation import evaluator, page, reliability, report
from ds2.evaluation.evaluator import Evaluation
from ds2.files import write_json
from ds2.recognition import calibration, choice, opening, splicing
from ds2.recognition.acoustic import AcousticModel
from ds2.recognition.calibration import Calibration

# Utterances that calibrate: their words are thousands, and two numbers are fitted.
_CALIBRATING = 1000
_SPLICES = 100


def evaluate(settings: params.Params) -> None:
    """Scores the checkpoint that params.yaml names on the test set, and writes the results.

    Raises:
        UserError: there is no such checkpoint, or the test set is empty or unreadable.
    """
    model, name = chosen_model(settings)
    evaluation = score(settings, model, name, layout.manifest_path("test"))
    write(layout.REPORT.parent, evaluation, settings.evaluate, name, chosen_on_it(model, layout.manifest_path("test")))
    logger.info(f"{settings.evaluate.decoder}: {report.headline(evaluation, settings.evaluate.metrics_type)}")
    warn_of_size(evaluation)


def chosen_model(settings: params.Params) -> tuple[AcousticModel, str]:
    """The model that the section evaluate names, and how to call it.

    Raises:
        UserError: there is none.
    """
    chosen, use_gpu = settings.evaluate, settings.runtime.use_gpu
    name = chosen.checkpoint
    model = opening.load(layout.checkpoint(name), use_gpu)
    return model, f"{name} ({model.origin})"


def score(
    settings: params.Params,
    model: AcousticModel,
    name: str,
    path: Path,
    language_model: Path | None = layout.LANGUAGE_MODEL,
    of: Path | None = None,
) -> Evaluation:
    """Recognises a manifest's utterances as the sections evaluate and runtime say.

    Confidences are calibrated by what the model brings, else on dataset/manifest.dev.

    Args:
        settings: the parameters.
        model: that is scored.
        name: how to call it.
        path: of the manifest.
        language_model: its path, for ctc_beam_search.
        of: what the manifest was made of, where it is not what the user named.

    Raises:
        UserError: the manifest is empty or unreadable, or the decoder's language model is missing.
    """
    chosen = settings.evaluate
    decoder = choice.decoder(chosen, model.vocabulary, model.rules, language_model)
    manifest = Manifest(path)
    logger.info(f"{name} on {len(manifest)} utterances of {of or path}")
    if chosen_on_it(model, path):
        logger.warning(f"the model was chosen by its score on {path}: expect a higher error rate on other data")
    fitted = model.calibration or _fitted(settings, model, decoder, layout.manifest_path("dev"))
    with loader(settings, model, manifest) as batches:
        found = evaluator.evaluate(model, manifest, batches, chosen.batch_size, decoder)
    return found if fitted is None else found.calibrated(fitted)


def calibrate(settings: params.Params, model: AcousticModel, path: Path) -> Calibration | None:
    """Fits how sure a model and the decoder of the section evaluate are to how often they are right on a manifest.

    No more than a thousand of its utterances are recognised; the times are fitted on some of these put together. None,
    and a warning, where there are none.

    Raises:
        UserError: as `score`.
    """
    decoder = choice.decoder(settings.evaluate, model.vocabulary, model.rules, layout.LANGUAGE_MODEL)
    return _fitted(settings, model, decoder, path)


def _fitted(settings: params.Params, model: AcousticModel, decoder: Decoder, path: Path) -> Calibration | None:
    manifest = Manifest(path).sample(_CALIBRATING) if path.exists() else ()
    if not len(manifest):
        logger.warning(f"there are no utterances in {path}: confidences are the network's own, not calibrated")
        return None
    with loader(settings, model, manifest) as batches:
        found = evaluator.evaluate(model, manifest, batches, settings.evaluate.batch_size, decoder).predictions
    words, utterances = reliability.of_words(found), reliability.of_utterances(found)
    offset = splicing.offset(model, splicing.splices(manifest, model.features.sample_rate, _SPLICES))
    if offset is None:
        logger.warning(
            f"{path} has too few short recordings of one speaker, or the network's spikes are not late by any one "
            "time: times are those of the spikes"
        )
    else:
        logger.info(f"the network marks a character {-offset:.2f} s after its start")
    return Calibration(calibration.fit(*words), calibration.fit(*utterances), offset or 0.0)


def chosen_on_it(model: AcousticModel, path: Path) -> bool:
    """Whether a model was chosen by its score on the data of this manifest, so that the score flatters it."""
    return model.chosen_on is not None and path.resolve() == layout.manifest_path(model.chosen_on).resolve()


def write(folder: Path, evaluation: Evaluation, chosen: params.EvaluateSettings, name: str, chosen_on_it: bool) -> None:
    """Writes what the stage evaluate writes into a folder, by the metric of the section evaluate."""
    metric = chosen.metrics_type
    numbers = evaluation.numbers(metric)
    report.write_predictions(folder / layout.PREDICTIONS.name, evaluation, metric)
    report.write_errors(folder / layout.ERRORS.name, evaluation, metric)
    write_json(folder / layout.EVALUATE_NUMBERS.name, numbers)
    # `dvc metrics show` puts the metrics of all files into one table of 80 columns.
    compared = [f"{metric}{end}" for end in ("", "_low", "_high")]
    write_json(folder / layout.EVALUATE_METRICS.name, {name: numbers[name] for name in compared})
    names = {"decoder": chosen.decoder, "checkpoint": name}
    page.write(folder / layout.REPORT.name, evaluation, metric, numbers, names, chosen_on_it)


def warn_of_size(evaluation: Evaluation) -> None:
    """Warns in the log of a test set that is too small."""
    if doubt := parts.doubt(Size.of(evaluation.predictions)):
        logger.warning(doubt)


@contextmanager
def loader(settings: params.Params, model: AcousticModel, manifest: Manifest) -> Iterator[Loader]:
    """Reads a manifest for a model; a lack of memory meanwhile becomes a sentence that names evaluate.batch_size."""
    workers = worker_count(settings.runtime, model.device, parallel.processes("auto"))
    size = settings.evaluate.batch_size
    sentence = f"there is not enough memory to score {size} utterances at once: lower evaluate.batch_size"
    with Loader(manifest, Assembler(model.features, model.statistics), workers) as found, enough_memory(sentence):
        yield found
