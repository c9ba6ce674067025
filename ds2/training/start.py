"""Where a training starts: at its own furthest state, at another training's checkpoint, or at the beginning."""

from pathlib import Path

from loguru import logger

from ds2 import layout
from ds2.checkpoint.disk import State
from ds2.errors import UserError
from ds2.pipeline import cache
from ds2.training import transfer
from ds2.training.fingerprint import differences
from ds2.training.state import Training
from ds2.training.store import Store


def begin(training: Training, store: Store) -> None:
    """Takes a new training to its furthest state; where there is none, to its start.

    Raises:
        UserError: the checkpoint to start from does not exist, is damaged or does not fit; or another training in
            models/ would be lost, or replaced by mistake.
    """
    train = training.settings.train
    if published := store.another_published():
        _refuse_forgotten_checkpoint(training, *published)
    another = store.another()
    if another:
        _refuse_missing_recordings(training, *another)
    store.refuse_losses()
    if found := store.furthest(train.num_epoch):
        folder, state = found
        training.restore(folder, state)
        ranked = training.history.ranked(training.settings.evaluate.metrics_type)
        store.refuse_unkept(state.epoch, train.num_epoch, ranked)
        logger.info(f"going on from {folder}: epoch {state.epoch} done, {state.batch} batches of the next")
    elif train.resume_model != "auto":
        transfer.resume(training, train.resume_model)
    elif train.pretrained_model is not None:
        transfer.take_weights(training, train.pretrained_model)
    else:
        if not layout.MODELS.exists() and cache.holds_output(layout.MODELS):
            logger.warning("dvc.lock records a trained model, but models/ is gone: dvc checkout models restores it")
        logger.info(f"the training starts from the beginning{_reason(training, another)}")


def _refuse_forgotten_checkpoint(training: Training, folder: Path, state: State) -> None:
    """Raises UserError where a published training began with a checkpoint, and none is named any more."""
    train = training.settings.train
    if train.resume_model != "auto" or train.pretrained_model is not None or _starts_over(training, state):
        return
    for name, none in (("resume_model", "auto"), ("pretrained_model", None)):
        if (value := state.param(name)) not in (none, None):
            raise UserError(
                f"{folder} is of a training that began with train.{name}: {value}, which is {none or 'null'} now: put "
                "it back to keep that training, or set train.start_over to a new word to train anew in its place"
            )


def _refuse_missing_recordings(training: Training, folder: Path, state: State) -> None:
    """Raises UserError where another training had noises or impulse responses that are asked for and gone."""
    for source, count in training.data.augmentation_files().items():
        if count < (had := state.augmentation_files.get(source, 0)) and not _starts_over(training, state):
            raise UserError(
                f"{source} has {count} audio files, but {folder} was trained with {had} of them: put them back "
                "(python -m stages.corpus NAME makes those of a built-in corpus), or set train.start_over to a new "
                "word to train without them"
            )


def _starts_over(training: Training, state: State) -> bool:
    return training.settings.train.start_over not in (None, state.param("start_over"))


def _reason(training: Training, another: tuple[Path, State] | None) -> str:
    """Why the model that is there, if one is, is not continued."""
    if another is None:
        return ""
    folder, state = another
    different = differences(state.ingredients, training.ingredients) if state.ingredients else []
    return f", since {folder} is of another training: {'; '.join(different)}" if different else ""
