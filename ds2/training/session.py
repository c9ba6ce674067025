"""A training from the pipeline's files to the pipeline's files."""

import json
import os
from contextlib import closing, nullcontext
from pathlib import Path

from loguru import logger

from ds2 import layout, log, parallel, params
from ds2.checkpoint import disk
from ds2.data.augment import Augmenter
from ds2.data.loader import worker_count
from ds2.data.manifest import Manifest
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.distributed import launch, process_group
from ds2.errors import UserError
from ds2.files import write_json
from ds2.model import device, precision
from ds2.reporting import progress
from ds2.reporting.reporter import Reporter, Tables
from ds2.training import start, transfer
from ds2.training.fingerprint import fingerprint, ingredients
from ds2.training.state import Training, TrainingData
from ds2.training.store import Store
from ds2.training.trainer import Trainer

_AUTOSAVE = ".ds2/autosave"


def train(settings: params.Params) -> None:
    """Trains as params.yaml says, on what the stages before have made.

    Raises:
        UserError: an input is missing or does not go with the parameters, or the training was stopped.
    """
    autosave = layout.repository_root() / _AUTOSAVE
    disk.refuse_pickles(layout.MODELS, autosave)
    data, files = _read(settings)
    on = device.choose(settings.runtime.use_gpu)
    precision.check(settings.train.amp)
    if settings.runtime.deterministic:
        device.be_deterministic()
    group = process_group.join()
    workers = worker_count(settings.runtime, on, max(1, parallel.processes("auto") // group.world_size))
    noises = data.augmenter.identity() if data.augmenter else ()
    of = ingredients(settings, files, noises, transfer.pretrained_content(settings.train.pretrained_model, autosave))
    identity = fingerprint(of)
    if len(set(group.all_gather(identity))) > 1:
        raise UserError("the machines have other parameters or data (dataset/): copy those of the first to all")
    store = Store(autosave, layout.MODELS, identity, settings.train.keep_checkpoints)
    first = group.rank == 0  # it writes all that is written
    run = layout.repository_root() / layout.LOG / (os.environ.get("DVC_EXP_NAME") or identity[:8])
    logged = log.also_to(run.with_name(f"{run.name}.log")) if first else nullcontext()
    with logged, store.locked() if first else nullcontext():
        _log_settings(settings, data.augmenter)
        logger.info(f"training {identity[:16]} on the {on}, worker processes for the data: {workers}")
        if on == "cpu" and settings.runtime.use_gpu == "auto" and launch.named_gpus():
            logger.warning(
                "CUDA_VISIBLE_DEVICES names a GPU, but paddle can use none, so this training runs on the CPU: see "
                "README on GPU wheels, or set runtime.use_gpu to true, to have it fail instead"
            )
        training = Training(settings, data, of)
        if first:
            start.begin(training, store)
        training.broadcast(group)
        with closing(_reporter(training, run) if first else Reporter()) as reporter:
            Trainer(training, store, reporter, group, workers).run()
    if first:
        training.history.write(layout.CURVES)
        write_json(layout.TRAIN_NUMBERS, _numbers(training))
        write_json(layout.TRAIN_METRICS, _best(training))


def _reporter(training: Training, folder: Path) -> Reporter:
    history, settings = training.history, training.settings
    parts = [progress.shown(history, settings), Tables(history, layout.CURVES)]
    try:
        from ds2.reporting.visual import Visual  # VisualDL makes folders in the home
    except OSError as error:
        logger.warning(
            f"VisualDL shows nothing of this training, since it cannot make {error.filename} ({error.strerror}): set "
            "HOME or TMPDIR to a folder that can be written"
        )
    else:
        parts.append(Visual(history, folder, settings))
    return Reporter(*parts)


def _log_settings(settings: params.Params, augmenter: Augmenter | None) -> None:
    """Logs all parameters, those with the full-size default in the file only, and what there is of augmentation."""
    full = params.values(params.Params())
    for name, value in params.values(settings).items():
        level = log.FILE_ONLY if value == full[name] else "INFO"
        logger.log(level, f"{name}: {json.dumps(value, ensure_ascii=False)}")
    if augmenter is None:
        kinds = ", ".join(kind for kind, values in settings.augment if values.prob)
        logger.info(f"augmentation is off: train.augment is false; true applies what the section augment says: {kinds}")
        return
    for line in augmenter.describe():
        logger.info(line)
    if settings.augment.volume.prob and settings.features.target_db is not None:
        logger.warning(
            "augment.volume has no effect: every utterance is levelled to features.target_db afterwards; set its prob "
            "to 0 for your next training (changing it now would start this one over)"
        )


def _read(settings: params.Params) -> tuple[TrainingData, dict[str, Path]]:
    """The data, and the files that stand in the fingerprint, by name."""
    files = [layout.manifest_path("train"), layout.MEAN_ISTD, layout.VOCABULARY]
    manifest = Manifest(files[0])
    if len(manifest) == 0:
        raise UserError(f"{manifest.path} is empty: there is nothing to train on")
    statistics = MeanIstd.read(layout.MEAN_ISTD)
    if statistics.features != settings.features:
        raise UserError(f"{layout.MEAN_ISTD} was made with other features than params.yaml's: run dvc repro mean_istd")
    scored = None
    if settings.train.evaluate_on is not None:
        files.append(layout.manifest_path(settings.train.evaluate_on))
        scored = Manifest(files[-1])
        if len(scored) == 0:
            raise UserError(f"train.evaluate_on: {scored.path} is empty; set it to null to train without scores")
    augmenter = None
    if settings.train.augment:
        augmenter = Augmenter(settings.augment, settings.features)
    data = TrainingData(manifest, scored, Vocabulary.read(layout.VOCABULARY), statistics, augmenter)
    return data, {str(path): path for path in files}


def _best(training: Training) -> dict[str, float]:
    """The error rate of the model to use on the data that it was chosen on, where there are any."""
    chosen = training.chosen
    metric = training.settings.evaluate.metrics_type
    return {} if chosen.rate is None else {f"{metric}_of_best": round(chosen.rate, 6)}


def _numbers(training: Training) -> dict[str, int | float]:
    last = training.history.epochs[-1]
    found: dict[str, int | float] = {"epochs": training.epoch, "steps": training.step}
    if "loss" in last:
        found["loss"] = round(last["loss"], 6)
    if training.chosen.rate is not None:
        found |= {"epoch_of_best": training.chosen.epoch} | _best(training)
    return found | {
        "weights": int(sum(parameter.size for parameter in training.model.parameters())),
        "nonfinite_steps": training.history.nonfinite,
        "unreadable_recordings": training.history.most_unreadable,
        **training.meter.numbers(),
    }
