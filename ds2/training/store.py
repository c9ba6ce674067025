"""Where a training's checkpoints lie: the autosave folder, and its published image in models/.

DVC restores or deletes models/ when an experiment was interrupted (dvc exp run, --temp, --queue), so every state is
first written to a folder that neither git nor DVC looks at, below the repository DVC was started in, one for each
fingerprint. When an epoch completes, models/ becomes its image. At the start the furthest intact state of the two
places counts.
"""

import fcntl
import filecmp
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from loguru import logger

from ds2.checkpoint import disk
from ds2.checkpoint.disk import EPOCH, DamagedError, State, numbered
from ds2.errors import UserError
from ds2.files import claimed
from ds2.pipeline import cache
from ds2.reporting.history import Choice

BEST = "best_model"
# Keeps the best model of a longer training, by its epoch, while train.num_epoch is lowered.
_LATER = re.compile(r"later_(\d+)")
_STEP = re.compile(r"step_(\d+)")
# States that keep their optimiser in the autosave folder: the newest, and one to fall back on.
_RESUMABLE = 2
# Trainings whose autosaves are kept whole, this one included.
_TRAININGS = 3


class Store:
    """The checkpoints of one training."""

    def __init__(self, autosave: Path, models: Path, fingerprint: str, keep: int) -> None:
        """
        Args:
            autosave: the folder of all trainings' autosaves.
            models: the published checkpoints.
            fingerprint: of this training.
            keep: the epochs that stay, train.keep_checkpoints.
        """
        self._autosave = autosave
        self._own = autosave / fingerprint[:16]
        self._models = models
        self._fingerprint = fingerprint
        self._keep = keep
        self._lost: set[Choice] = set()  # best weights that are not kept any more, and logged

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes other runs of the same training wait; they resume from what this one leaves.

        Raises:
            UserError: another training runs here and publishes to the same folder.
        """
        waiting = "another run trains the same model: waiting for it, to go on from where it ends"
        with claimed(self._own / "lock", waiting), self._sole_publisher():
            os.utime(self._own)
            disk.remove_unfinished(self._own)
            self._trim_old_trainings()
            logger.info(
                f"{self._autosave} has {_size(self._autosave)}: states of this and {len(self._others())} other "
                "trainings; removing it makes room, but what was stopped, or is not recorded by DVC, then starts over"
            )
            yield

    @contextmanager
    def _sole_publisher(self) -> Iterator[None]:
        """Keeps other trainings out of the folder that models/ lies in, while the block runs."""
        folder = self._models.resolve().parent
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise UserError(
                f"another training runs in {folder} and writes to {self._models.name}/: wait until it has ended, or "
                "start this one with dvc exp run --temp"
            ) from None
        finally:
            os.close(descriptor)

    def furthest(self, num_epoch: int) -> tuple[Path, State] | None:
        """The intact, resumable state of this training that is furthest, not beyond `num_epoch` epochs."""
        states, end, models = self._states(), (num_epoch, 0), self._kept_models()
        for model in models:
            if states.get(model) is None:
                shutil.rmtree(model)  # publish takes it from its epoch, or says that it cannot
        intact = [(folder, state) for folder, state in states.items() if folder not in models and state is not None]
        beyond = [state.epoch for _, state in intact if state.position > end]
        # A training that is complete needs no optimiser.
        found = [
            (folder, state)
            for folder, state in intact
            if state.position == end or (state.position < end and disk.resumable(folder))
        ]
        if beyond and not found:
            logger.warning(
                f"train.num_epoch is {num_epoch}, and of this training only states from epoch {min(beyond)} to "
                f"{max(beyond)} are kept: those stay, and the epochs up to {num_epoch} are trained anew"
            )
        return max(found, key=lambda one: one[1].position, default=None)

    def another_published(self) -> tuple[Path, State] | None:
        """The newest state in models/, if it is of another training."""
        found = _newest(self._models, EPOCH)
        return found if found is not None and found[1].fingerprint != self._fingerprint else None

    def another(self) -> tuple[Path, State] | None:
        """The newest state of another training: that of models/, else the one autosaved last."""
        return next(filter(None, (_newest(place, EPOCH) for place in (self._models, *self._others()))), None)

    def refuse_losses(self) -> None:
        """Refuses to publish where that would remove another training's only states.

        Raises:
            UserError: states in models/ are neither in the autosave folder nor in DVC's cache; it names them.
        """
        lost = []
        for folder in [*numbered(self._models, EPOCH), self._models / BEST]:
            state = disk.glance(folder)
            if state is None or state.fingerprint == self._fingerprint:
                continue
            saved = disk.glance(self._autosave / state.fingerprint[:16] / folder.name)
            if saved != state and not cache.holds(folder.iterdir()):
                lost.append(str(folder))
        if lost:
            raise UserError(
                f"{', '.join(lost)} would be removed, and neither DVC's cache nor {self._autosave} has a copy: move "
                "what you want to keep out of the folder, and remove the rest"
            )

    def step_folder(self, step: int) -> Path:
        """Where the state in the middle of an epoch goes."""
        return self._own / f"step_{step}"

    def epoch_folder(self, epoch: int) -> Path:
        """Where the state after an epoch goes."""
        return self._own / f"epoch_{epoch}"

    def tidy(self, current: Path) -> None:
        """Removes the states within epochs that the state just written makes superfluous."""
        steps = numbered(self._own, _STEP)
        if EPOCH.fullmatch(current.name) is None:
            steps = [folder for folder in steps if _number(folder) <= _number(current)][:-_RESUMABLE]
        for folder in steps:
            disk.remove_folder(folder)

    def refuse_unkept(self, epoch: int, num_epoch: int, ranked: Sequence[Choice]) -> None:
        """Refuses to resume where a fresh run would choose weights that are not kept any more.

        Args:
            epoch: that is done.
            num_epoch: to be done.
            ranked: all weights up to `epoch`, from the best on.

        Raises:
            UserError: the best of them are gone, and what would take their place is not what best_model has.
        """
        state = disk.glance(self._own / BEST)  # damaged: publish says so
        kept = next((one for one in ranked if self._source(one) is not None), None)
        if state is None or kept is None or kept == ranked[0]:
            return
        again = epoch < state.epoch <= num_epoch  # a state was damaged: its epochs come again, and with them the best
        lost_before = (kept.epoch, kept.averaged) == (state.epoch, state.is_average)  # and that has its place
        if (again or lost_before) and state.made_of.get("metric", kept.metric) == kept.metric:
            return
        scored = f" ({ranked[0].metric.upper()} {ranked[0].rate:.5f})" if ranked[0].metric else ""
        raise UserError(
            f"the best model of the first {epoch} epochs, {ranked[0]}{scored}, is not kept any more ({BEST} now: "
            f"{state.origin}): put evaluate.metrics_type and train.num_epoch back, or set "
            "train.start_over to a new word to train anew"
        )

    def publish(self, epoch: int, ranked: Sequence[Choice]) -> Choice:
        """Makes models/ the image of the training after `epoch`: the last epochs and the model to use.

        Epochs that are not kept any more go; those beyond `epoch`, of a longer training, stay in the autosave folder.
        Doing it again changes nothing, so that an interrupted call is made good by the next one.

        Args:
            epoch: the last one.
            ranked: all weights up to it, from the best on: the first of them that are kept are published.

        Returns:
            those.
        """
        best = self._own / BEST
        found = next(((one, source) for one in ranked if (source := self._source(one)) is not None), None)
        if found is None:  # all are damaged but a state within the next epoch
            logger.warning(f"no weights of an epoch are kept: {self._models} stays as it is until the next epoch ends")
            return ranked[0]
        chosen, source = found
        if chosen != ranked[0] and ranked[0] not in self._lost:
            self._lost.add(ranked[0])
            logger.warning(f"the best model, {ranked[0]}, is not kept any more: {chosen} takes its place")
        kept = disk.glance(best)
        if kept is None or kept.made_of != asdict(chosen):
            if kept is not None and kept.epoch > epoch:  # num_epoch was lowered, and may be raised again
                disk.duplicate(best, self._own / f"later_{kept.epoch}", to_resume=False)
            averaged = chosen.averaged and source == self.epoch_folder(chosen.epoch)
            disk.take_model(source, best, asdict(chosen), averaged)
        for later in numbered(self._own, _LATER):
            if _number(later) <= epoch:
                disk.remove_folder(later)
        done = [folder for folder in numbered(self._own, EPOCH) if _number(folder) <= epoch]
        epochs = done[-self._keep :]
        for folder in [*epochs, best]:
            newest = folder in epochs[-1:]
            image = self._models / folder.name
            if not _same(folder, image, newest):
                disk.duplicate(folder, image, newest)
        wanted = {folder.name for folder in epochs}
        for folder in numbered(self._models, EPOCH):
            if folder.is_dir() and folder.name not in wanted:
                disk.remove_folder(folder)
        disk.remove_unfinished(self._models)
        for folder in done[: -max(self._keep, _RESUMABLE)]:
            disk.remove_folder(folder)
        for folder in done[-max(self._keep, _RESUMABLE) : -_RESUMABLE]:
            disk.make_smaller(folder)
        return chosen

    def _states(self) -> dict[Path, State | None]:
        """All states of this training, each looked at once; None: damaged.

        What models/ has and the autosave folder lacks is taken over: after dvc pull, or on another machine.
        """
        states = {folder: self._intact(folder) for folder in self._folders()}
        for image in [*numbered(self._models, EPOCH), self._models / BEST]:
            folder = self._own / image.name
            if not image.exists():
                continue
            if states.get(folder) is not None and (disk.resumable(folder) or not disk.resumable(image)):
                continue
            state = self._intact(image)
            if state is not None and state.fingerprint == self._fingerprint:
                disk.duplicate(image, folder, to_resume=True)
                if folder in states:
                    logger.info(f"{folder} is whole again: {image} has a copy")
                states[folder] = state
        return states

    def _source(self, wanted: Choice) -> Path | None:
        """The folder that has these weights."""
        # The last is another where dvc checkout has brought the model of an earlier run back.
        for model in (*self._kept_models(), self._models / BEST):
            state = disk.glance(model)
            if state is None or (state.epoch, state.is_average) != (wanted.epoch, wanted.averaged):
                continue
            if model.parent == self._own or (state.fingerprint == self._fingerprint and self._intact(model)):
                return model
        folder = self.epoch_folder(wanted.epoch)
        if not folder.exists() or (wanted.averaged and not disk.has_average(folder)):
            return None
        state = self._intact(folder)
        return folder if state is not None and state.epoch == wanted.epoch else None

    def _intact(self, folder: Path) -> State | None:
        try:
            return disk.read_state(folder)
        except DamagedError as error:
            logger.warning(f"{folder} is damaged and not used: {error}")
            return None

    def _folders(self) -> list[Path]:
        """All states of this training."""
        return [*numbered(self._own, EPOCH), *numbered(self._own, _STEP), *self._kept_models()]

    def _kept_models(self) -> list[Path]:
        """The models to use that the autosave folder has: of the epochs so far, and of more."""
        best = self._own / BEST
        return [*([best] if best.exists() else []), *numbered(self._own, _LATER)]

    def _others(self) -> list[Path]:
        """The autosave folders of other trainings, the latest first."""
        others = [folder for folder in self._autosave.iterdir() if folder.is_dir() and folder != self._own]
        return sorted(others, key=lambda folder: folder.stat().st_mtime, reverse=True)

    def _trim_old_trainings(self) -> None:
        """Leaves of each old training its furthest state and the best, and nothing where DVC's cache has the former."""
        for folder in self._others()[_TRAININGS - 1 :]:
            with open(folder / "lock", "w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # it is running
                furthest = _newest(folder, EPOCH, _STEP)
                if furthest is None or cache.holds(furthest[0].iterdir()):
                    # A run that begins just now may put its lock there again: then the folder stays for it.
                    shutil.rmtree(folder, ignore_errors=True)
                    continue
                for other in [*numbered(folder, EPOCH), *numbered(folder, _STEP)]:
                    if other != furthest[0]:
                        disk.remove_folder(other)


def _newest(place: Path, *names: re.Pattern[str]) -> tuple[Path, State] | None:
    """The state in a folder that is furthest, of those whose names match."""
    folders = [folder for name in names for folder in numbered(place, name)]
    states = [(folder, state) for folder in folders if (state := disk.glance(folder)) is not None]
    return max(states, key=lambda one: one[1].position, default=None)


def _size(folder: Path) -> str:
    """Of the files below a folder, each once however many names it has."""
    found = [path.stat() for path in folder.rglob("*")]
    total = sum({(status.st_dev, status.st_ino): status.st_size for status in found}.values())
    return f"{total / 1e9:.1f} GB" if total >= 1e9 else f"{total / 1e6:.0f} MB"


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("_")[2])


def _same(folder: Path, image: Path, to_resume: bool) -> bool:
    if not image.is_dir():
        return False
    names = {file.name for file in folder.iterdir() if to_resume or file.name not in disk.RESUMING}
    if names != {file.name for file in image.iterdir()}:
        return False
    pairs = [(folder / name, image / name) for name in names]
    return all(filecmp.cmp(*pair) for pair in pairs)  # a copy has the time of what it is of
