"""A checkpoint on disk: one folder that holds all that decides the future of a training, and detects its own damage.

Weights and optimiser state are safetensors files: data only. Nothing that is read from a file is ever unpickled.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import Field, JsonValue, TypeAdapter
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ds2 import files, params
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError, harmless

# The folder of an epoch's checkpoint.
EPOCH = re.compile(r"epoch_(\d+)")
MODEL, OPTIMIZER, AVERAGE, STATE = "model.safetensors", "optimizer.safetensors", "average.safetensors", "state.json"
VOCABULARY, MEAN_ISTD = "vocabulary.txt", "mean_istd.json"
_FORMAT = 2
_UNFINISHED = re.compile(r"\.(epoch_\d+|step_\d+|best_model|later_\d+)\.(tmp|old)")
# Files that only resuming needs. The optimiser is deleted first: `resumable` asks for it alone.
RESUMING = (OPTIMIZER, AVERAGE)
# Weights as a pickle, of the format before, and the last commit that reads it.
_PICKLED, _LAST_TO_READ_IT = "model.pdparams", "ece99fa83a"
# Bytes, at most, of a file that is read as text: state.json grows by 8 kB an epoch.
_LONGEST_TEXT = 1 << 26

_Count = Annotated[int, Field(strict=True, ge=0, lt=1 << 53)]
_Values = dict[str, JsonValue]
_Part = TypeVar("_Part")


class DamagedError(Exception):
    """A checkpoint's files are not what was written. The message says which and how."""


@dataclass(frozen=True)
class State:
    """What a checkpoint knows besides weights and optimiser."""

    epoch: _Count  # completed epochs
    batch: _Count  # batches done of the epoch that follows; 0 at its start
    step: _Count  # optimiser steps since the beginning; the schedule is a function of it
    fingerprint: str  # of everything that decides what the training computes
    params: _Values  # the parameters that it was trained with
    history: _Values  # as History.as_json gives it; holds the best score
    ingredients: _Values = field(default_factory=dict)  # what the fingerprint was made of
    loss_scale: _Values = field(default_factory=dict)  # the state of fp16's LossScaler; empty without
    # How many files of noise and impulse responses there were, by their folder.
    augmentation_files: dict[str, _Count] = field(default_factory=dict)
    # Of a model to use: which weights of its training these are, and the score that they were chosen by.
    made_of: _Values = field(default_factory=dict)
    # Time and memory, measured: they differ from run to run and decide nothing.
    cost: _Values = field(default_factory=dict)

    @property
    def position(self) -> tuple[int, int]:
        """Orders the states of a training."""
        return self.epoch, self.batch

    @property
    def origin(self) -> str:
        """Which weights of its training these are."""
        return f"average of the weights up to epoch {self.epoch}" if self.is_average else f"epoch {self.epoch}"

    @property
    def is_average(self) -> bool:
        """Whether the weights are the average's."""
        return self.made_of.get("averaged") is True

    @property
    def chosen_on(self) -> JsonValue:
        """The data whose score the weights were chosen by: dev or test; None where no score chose them."""
        return self.param("evaluate_on") if self.made_of.get("metric") else None

    def param(self, name: str) -> JsonValue:
        """The value of a parameter of train by its name in that section; None where it did not exist."""
        train = self.params.get("train")
        return train.get(name) if isinstance(train, dict) else None


_STATE = TypeAdapter(State)


@dataclass(frozen=True)
class Checkpoint:
    """All of an intact checkpoint but its arrays."""

    folder: Path
    state: State  # of its training
    params: params.Params  # those of its state, checked
    vocabulary: Vocabulary  # the tokens of the network
    statistics: MeanIstd  # normalise features; made with the parameters' features


def write(
    folder: Path,
    weights: Mapping[str, np.ndarray],
    moments: Mapping[str, np.ndarray],
    vocabulary: Vocabulary,
    statistics: MeanIstd,
    state: State,
    average: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes a checkpoint under a temporary name, flushes it to the disk and gives it its name.

    `average` has the averaged weights, where the training keeps an average.

    Raises:
        UserError: the disk is full or not writable; what was there before is still there.
    """
    with _replacing(folder) as target:
        vocabulary.write(target / VOCABULARY)
        statistics.write(target / MEAN_ISTD)
        parts = {MODEL: weights, OPTIMIZER: moments} | ({} if average is None else {AVERAGE: average})
        for name, arrays in parts.items():
            # Safetensors writes the memory of an array as if it were contiguous, into a file for its owner alone.
            save_file({key: np.asarray(value, order="C") for key, value in arrays.items()}, target / name)
            shutil.copymode(target / VOCABULARY, target / name)
        _write_json(target, state, {name: files.sha256(target / name) for name in (*parts, VOCABULARY, MEAN_ISTD)})


def _write_json(target: Path, state: State, hashes: Mapping[str, str]) -> None:
    values = {"format": _FORMAT} | vars(state) | {"files": dict(hashes)}
    files.write_json(target / STATE, values | {"checksum": _checksum(values)})


def duplicate(source: Path, folder: Path, to_resume: bool) -> None:
    """Gives a checkpoint a second place, beside the first without the room for another; raises as `write`.

    Elsewhere it is a copy: what models/ has can be one file with what DVC's cache has, and be harmed there.
    What a damaged one lacks, its second place lacks too.
    """
    put = _putting(source, folder)
    with _replacing(folder) as target:
        there = {path.name for path in source.iterdir()}
        for name in (MODEL, *RESUMING, STATE, VOCABULARY, MEAN_ISTD):
            if name in there and (name not in RESUMING or to_resume):
                put(source / name, target / name)


def take_model(source: Path, folder: Path, made_of: Mapping[str, JsonValue], averaged: bool) -> None:
    """Makes the model to use from a checkpoint: no optimiser; beside it by links, without the room for a copy.

    Args:
        source: the checkpoint.
        folder: of the model to use.
        made_of: `State.made_of` of the model to use.
        averaged: whether it takes the checkpoint's average instead of its weights.

    Raises:
        DamagedError, UserError: as `read_state` and `write`.
    """
    state, hashes = _read_json(source)
    weights = AVERAGE if averaged else MODEL
    hashes[MODEL] = hashes[weights]
    hashes.pop(AVERAGE, None)
    put = _putting(source, folder)
    with _replacing(folder) as target:
        for name, path in ((MODEL, weights), (VOCABULARY, VOCABULARY), (MEAN_ISTD, MEAN_ISTD)):
            put(source / path, target / name)
        _write_json(target, replace(state, made_of=dict(made_of)), hashes)


def _putting(source: Path, folder: Path) -> Callable[[Path, Path], object]:
    """How files of a checkpoint get a second place: beside it as a second name, elsewhere as a copy."""
    return _link if source.parent == folder.parent else shutil.copy2


def _link(file: Path, target: Path) -> None:
    """Gives a file a second name, a copy where the file system cannot do that."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    try:
        with files.replacing_folder(folder) as target:
            yield target
    except (OSError, SafetensorError) as error:
        # Safetensors tells "Error while serializing: I/O error: No space left on device (os error 28)".
        told = str(error).partition("I/O error: ")[2].partition(" (os")[0]
        reason = getattr(error, "strerror", None) or told or error
        raise UserError(
            f"{folder} cannot be written ({reason}): the state before is kept, and the same command resumes from it "
            "when there is room"
        ) from None


def remove_folder(folder: Path) -> None:
    """Removes a checkpoint; a kill in the middle leaves no half of it under its name."""
    hidden = files.beside(folder, "old")
    shutil.rmtree(hidden, ignore_errors=True)
    os.rename(folder, hidden)
    shutil.rmtree(hidden)


def remove_unfinished(parent: Path) -> None:
    """Removes what a kill while a checkpoint was written or removed has left in a folder of checkpoints."""
    for folder in parent.iterdir():
        if _UNFINISHED.fullmatch(folder.name):
            shutil.rmtree(folder)


def numbered(parent: Path, name: re.Pattern[str]) -> list[Path]:
    """What lies in a folder under names that match, of which the first group is a number, by that number."""
    found = [(int(match[1]), path) for path in parent.glob("*") if (match := name.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def refuse_pickles(*parents: Path) -> None:
    """Raises UserError where any checkpoint below folders is in the format before safetensors."""
    for old in (path for parent in parents for path in sorted(parent.rglob(_PICKLED))):
        raise UserError(_pickled(old.parent))


def _pickled(folder: Path) -> str:
    return (
        f"{folder} holds its weights as a pickle, which can run code and is not read any more: "
        f"git checkout {_LAST_TO_READ_IT} continues and uses it; to train anew, move models/ and .ds2/ away"
    )


def read_state(folder: Path) -> State:
    """Reads the state after comparing all files with their hashes (what only resuming needs may have been taken away).

    Raises:
        DamagedError: a file is missing or not what was written.
        UserError: it was written by another version.
    """
    state, hashes = _read_json(folder)
    for name, expected in hashes.items():
        path = folder / name
        if name in RESUMING and not resumable(folder):
            continue
        if files.sha256(_own_file(path)) != expected:
            raise DamagedError(f"{name} is not what was written")
    return state


def glance(folder: Path) -> State | None:
    """The state alone, without a look at the other files; None where there is no intact one."""
    try:
        return _read_json(folder)[0]
    except DamagedError:
        return None


def content(folder: Path) -> str:
    """A hash of the weights and tokens that a checkpoint was written with; raises as `read_state`."""
    hashes = _read_json(folder)[1]
    return hashlib.sha256(f"{hashes[MODEL]} {hashes[VOCABULARY]}".encode()).hexdigest()


def read(folder: Path) -> Checkpoint:
    """Reads all but the arrays and checks that the parts go together; raises as `read_state`."""
    state = read_state(folder)
    try:
        settings = params.from_dict(state.params)
    except UserError as error:
        raise UserError(f"{folder / STATE}: {harmless(error)}") from None
    vocabulary = _part(Vocabulary.read, folder / VOCABULARY)
    statistics = _part(MeanIstd.read, folder / MEAN_ISTD)
    if statistics.features != settings.features:
        raise DamagedError(f"{MEAN_ISTD} is of other features than {STATE}")
    return Checkpoint(folder, state, settings, vocabulary, statistics)


def read_named(folder: Path) -> Checkpoint:
    """Reads a checkpoint that a user has named.

    Raises:
        UserError: it does not exist, is no checkpoint or damaged, or was written by another version.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file: name the checkpoint's folder, {folder.parent}")
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: train first (dvc repro train), or name another checkpoint")
    for inner in filter(Path.is_dir, (folder / "best_model", *numbered(folder, EPOCH)[-1:])):
        raise UserError(f"{folder} is the folder of all checkpoints: name one of them, such as {inner}")
    try:
        return read(folder)
    except DamagedError as error:
        raise UserError(f"{folder} is damaged ({error}): use another checkpoint, or dvc checkout models") from None


def _part(reader: Callable[[Path], _Part], path: Path) -> _Part:
    try:
        return reader(path)
    except UserError:  # it tells how to make the pipeline's file anew
        raise DamagedError(f"{path.name} is not what it should be") from None


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of MODEL, AVERAGE or OPTIMIZER, all float32 and finite, by name.

    Raises:
        UserError: they are not, or it is no safetensors file.
    """
    try:
        arrays = load_file(path)
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{path} is not a safetensors file ({harmless(error)}): use another checkpoint") from None
    for name, value in arrays.items():
        if value.dtype != np.float32:
            raise UserError(f"{path}: {harmless(name)} is {value.dtype}, not float32: use another checkpoint")
        if not np.isfinite(value).all():
            raise UserError(f"{path}: {harmless(name)} holds infinities or no numbers: use another checkpoint")
    return arrays


def _own_file(path: Path) -> Path:
    """The path of an ordinary file, of no great length where it is read as text."""
    if reason := files.why_foreign(path):
        raise DamagedError(f"{path.name} {reason}")
    if path.name not in (MODEL, *RESUMING) and path.stat().st_size > _LONGEST_TEXT:
        raise DamagedError(f"{path.name} has more than {_LONGEST_TEXT} bytes")
    return path


def _read_json(folder: Path) -> tuple[State, dict[str, str]]:
    """The state, and the hashes of the other files by name."""
    if (folder / _PICKLED).exists():
        raise UserError(_pickled(folder))
    damaged = DamagedError(f"{STATE} is not what was written")
    try:
        values = json.loads(_own_file(folder / STATE).read_bytes(), parse_constant=_refuse_constant)
        if values.pop("checksum") != _checksum(values):
            raise damaged
        if values.pop("format") != _FORMAT:
            raise UserError(f"{folder} was written by another version of ds2 (the format is another): use that one")
        found = values["files"]
        names = (MODEL, OPTIMIZER, VOCABULARY, MEAN_ISTD, *([AVERAGE] if AVERAGE in found else []))
        hashes = {name: found[name] for name in names}
        return _STATE.validate_python({name: value for name, value in values.items() if name != "files"}), hashes
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise damaged from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")  # NaN and Infinity


def make_smaller(folder: Path) -> None:
    """Deletes the files that only resuming needs."""
    for name in RESUMING:
        (folder / name).unlink(missing_ok=True)


def resumable(folder: Path) -> bool:
    """Whether the optimiser's state is still there."""
    return (folder / OPTIMIZER).exists()


def has_average(folder: Path) -> bool:
    """Whether the average of the weights is still there; without the optimiser nobody has looked at its hash."""
    return resumable(folder) and (folder / AVERAGE).exists()


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
