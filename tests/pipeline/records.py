"""What DVC has recorded of a pipeline, held against what the stages have read and left, and against a fresh training.

A record is a dvc.lock: of an experiment, of a commit on a branch, or of the workspace. Its stages are compared with the
traces that trace/sitecustomize.py has written; its model is read out of DVC's cache, and trained anew from the record.
"""

import hashlib
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from ds2.checkpoint import disk
from ds2.errors import UserError
from ds2.files import sha256
from tests.pipeline.conftest import Repository
from tests.pipeline.kills import record_noise_and_echoes

# Of the section train: what a training that is continued or found complete may have been begun without.
UNDECIDED = {"num_epoch", "save_interval", "keep_checkpoints", "max_nonfinite"}
# A stage compares what it has read with what is there before it ends; what is changed later only DVC could see.
GRACE = 0.3


@dataclass(frozen=True)
class Record:
    """A dvc.lock, and the project that it lies in."""

    where: str
    repository: Repository
    commit: str
    text: str
    whole: bool  # all that it names must be what lies beside it: an experiment's

    @cached_property
    def stages(self) -> dict[str, Any]:
        """What it tells of each stage."""
        return YAML(typ="safe").load(self.text)["stages"]


@dataclass
class Edit:
    """A file or folder that the trial has changed while a command ran; seconds of time.time()."""

    path: str
    command_began: float
    at: float
    command_ended: float = math.inf

    def late_for(self, path: str, runs: Iterable["Trace"]) -> bool:
        """Whether it has changed a path after these runs of stages, all of its command, had ended."""
        met = f"{self.path}/".startswith(f"{path}/") or f"{path}/".startswith(f"{self.path}/")
        ends = [run.known["end"] for run in runs if self.command_began <= run.known["end"] <= self.command_ended]
        return met and bool(ends) and max(ends) <= self.at + GRACE


@dataclass
class Trace:
    """What trace/sitecustomize.py has written of one run of a stage."""

    known: dict[str, Any]

    @cached_property
    def params(self) -> list[dict[str, Any]]:
        """The parameters that it has read."""
        return [YAML(typ="safe").load(text) for text in self.known["params"]]

    def left(self, outs: Mapping[str, str]) -> bool:
        """Whether it has ended well and left these paths with these hashes."""
        return self.known["code"] == 0 and all(dvc_hash(self.known["left"], path) == outs[path] for path in outs)

    def untrue(self, entry: Mapping[str, Any]) -> dict[str, str]:
        """What a record of this run says wrongly: paths, parameters with params.yaml before them, and how."""
        wrong = dict.fromkeys(self.known["stale"], "__pycache__ has other code")
        read = self.known["read"]
        for dep in entry.get("deps", []):
            path, recorded = dep["path"], dep["md5"]
            below = [name for name in read if name == path or name.startswith(f"{path}/")]
            twice = [name for name in below if len(read[name]) > 1]
            if twice or dvc_hash({name: read[name][-1] for name in below}, path) != recorded:
                wrong[path] = "it changed while it was read" if twice else "another content was read"
        for name, recorded in entry.get("params", {}).get("params.yaml", {}).items():
            for params in self.params:
                if (value := _value(params, name)) != recorded:
                    wrong[f"params.yaml {name}"] = _apart(value, recorded)
        return wrong


def dvc_hash(files: Mapping[str, str], path: str) -> str:
    """DVC's hash of a file or of the folder that these files with their MD5 lie in."""
    if path in files:
        return files[path]
    inside = sorted((name[len(path) + 1 :], value) for name, value in files.items() if name.startswith(f"{path}/"))
    listed = json.dumps([{"md5": value, "relpath": name} for name, value in inside])
    return hashlib.md5(listed.encode()).hexdigest() + ".dir"


def _value(params: Any, name: str) -> Any:
    for part in name.split("."):
        params = params.get(part) if isinstance(params, dict) else None
    return params


def _apart(read: Any, recorded: Any) -> str:
    if isinstance(read, dict) and isinstance(recorded, dict):
        names = sorted(name for name in read.keys() | recorded.keys() if read.get(name) != recorded.get(name))
        return "; ".join(f"{name}: {_apart(read.get(name), recorded.get(name))}" for name in names)
    return f"read {read!r}, recorded {recorded!r}"


def records(repository: Repository) -> Iterator[Record]:
    """All of a repository."""
    name = repository.folder.name
    for line in repository.run("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines():
        commit, ref = line.split()
        if len(ref.split("/")) == 5:  # refs/exps/exec, stash, celery are DVC's own
            yield from _of_commit(repository, commit, f"experiment {ref.split('/')[-1]} of {name}", True)
    for commit in repository.run("git", "rev-list", "--branches").split():
        yield from _of_commit(repository, commit, f"commit {commit[:8]} of {name}", False)
    lock = repository.folder / "dvc.lock"
    if lock.exists():
        yield Record(f"workspace of {name}", repository, "HEAD", lock.read_text(encoding="utf-8"), False)


def _of_commit(repository: Repository, commit: str, where: str, whole: bool) -> Iterator[Record]:
    if text := _lock(repository.folder, commit):
        yield Record(where, repository, commit, text, whole)


@cache
def _lock(folder: Path, commit: str) -> str:
    """The dvc.lock of a commit, which never changes; "": there is none."""
    done = subprocess.run(["git", "show", f"{commit}:dvc.lock"], cwd=folder, capture_output=True, text=True)
    return done.stdout


@dataclass
class Checker:
    """Checks records, each once.

    Attributes:
        folder: to work in; below it traces/, which the stages write, and noises/, as dataset/noise once was.
        edits: made by the trial while commands ran.
        caches: where DVC keeps files by their MD5.
        collected: hashes that a user's dvc gc has removed.
        noises_known: a training in the repository that is worked in had noises.
        late: edits that came after a stage had ended and before DVC had looked: recorded wrongly, and not by ds2.
        fresh: how many trainings were done anew.
        checked: how many different records there were.
    """

    folder: Path
    edits: list[Edit] = field(default_factory=list)
    caches: list[Path] = field(default_factory=list)
    collected: set[str] = field(default_factory=set)
    noises_known: bool = False
    late: list[str] = field(default_factory=list)
    fresh: int = 0
    _positions: dict[str, tuple[str, tuple[int, int]]] = field(default_factory=dict)  # by the hash of models/
    _done: set[tuple[str, bool]] = field(default_factory=set)
    _traces: dict[Path, Trace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "traces").mkdir(parents=True)
        record_noise_and_echoes(self.folder / "noises")

    @property
    def checked(self) -> int:
        return len(self._done)

    def check(self, record: Record) -> list[str]:
        """What is wrong with a record."""
        faults = [f"{out} is not in DVC's cache any more" for out in self.missing(record)]
        if faults or (record.text, record.whole) in self._done:
            return [f"{record.where}: {fault}" for fault in faults]
        self._done.add((record.text, record.whole))
        for path in (self.folder / "traces").glob("*.json"):
            if path not in self._traces:
                self._traces[path] = Trace(json.loads(path.read_bytes()))
        late = {name: self._against_traces(name, entry, faults) for name, entry in record.stages.items()}
        if record.whole:
            faults += self._against_tree(record)
        train = record.stages.get("train")
        if train and not late["train"] and all(map(self._whole, _training_data(train))):
            try:
                faults += [f"stage train: {fault}" for fault in self._trained(record)]
            except (disk.DamagedError, UserError) as error:
                faults.append(f"stage train: {error}")
        return [f"{record.where}: {fault}" for fault in faults]

    def furthest(self) -> dict[str, tuple[int, int]]:
        """The furthest positions that are recorded and not collected, by the fingerprints of their trainings."""
        found: dict[str, tuple[int, int]] = {}
        for value, (fingerprint, position) in self._positions.items():
            if value not in self.collected:
                found[fingerprint] = max(position, found.get(fingerprint, (0, 0)))
        return found

    def missing(self, record: Record) -> list[str]:
        """Recorded outputs that no cache holds, without those that were collected."""
        return [value for value in _hashes(record) if value not in self.collected and not self._whole(value)]

    def _whole(self, value: str) -> bool:
        path = self._cached(value)
        if path is None or not value.endswith(".dir"):
            return path is not None
        return all(self._cached(entry["md5"]) for entry in json.loads(path.read_bytes()))

    def _cached(self, value: str) -> Path | None:
        return next((path for cache in self.caches if (path := cache / value[:2] / value[2:]).exists()), None)

    def _against_traces(self, name: str, entry: Mapping[str, Any], faults: list[str]) -> bool:
        """Adds what is wrong with a stage; returns whether an edit came too late for it."""
        outs = {out["path"]: out["md5"] for out in entry["outs"]}
        makers = [trace for trace in self._traces.values() if trace.known["stage"] == name and trace.left(outs)]
        if not makers:
            faults.append(f"stage {name}: no run of it has left what is recorded")
            return False
        maker, wrong = min(((maker, maker.untrue(entry)) for maker in makers), key=lambda found: len(found[1]))
        late = {what for what in wrong for edit in self.edits if edit.late_for(what.split()[0], [maker])}
        for what, how in wrong.items():
            (self.late if what in late else faults).append(f"stage {name}: {what}: {how}")
        return bool(late)

    def _against_tree(self, record: Record) -> list[str]:
        """An experiment's code, annotation and parameters are those that its dvc.lock names."""
        tree = self._archive(record, self.folder / "tree")
        files = {
            str(path.relative_to(tree)): hashlib.md5(path.read_bytes()).hexdigest()
            for path in tree.rglob("*")
            if path.is_file()
        }
        params = YAML(typ="safe").load(tree / "params.yaml")
        outs = {out["path"] for entry in record.stages.values() for out in entry["outs"]}
        wrong = {}
        for stage, entry in record.stages.items():
            for dep in entry.get("deps", []):
                if dep["path"] not in outs and dvc_hash(files, dep["path"]) != dep["md5"]:
                    wrong[dep["path"]] = f"stage {stage}: dvc.lock has another {dep['path']} than the experiment"
            for name, recorded in entry.get("params", {}).get("params.yaml", {}).items():
                if _value(params, name) != recorded:
                    wrong[f"params.yaml {name}"] = f"stage {stage}: dvc.lock has another {name} than the experiment"
        runs = self._traces.values()
        late = {name for name in wrong for edit in self.edits if edit.late_for(name.split()[0], runs)}
        self.late += [wrong[name] for name in late]
        return [wrong[name] for name in wrong.keys() - late]

    def _archive(self, record: Record, target: Path) -> Path:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        folder = record.repository.folder
        packed = subprocess.run(["git", "archive", record.commit], cwd=folder, capture_output=True, check=True).stdout
        subprocess.run(["tar", "x"], cwd=target, input=packed, check=True)
        return target

    def _trained(self, record: Record) -> list[str]:
        """What is wrong with the recorded model: its own words of itself, and what a fresh training gives."""
        entry = record.stages["train"]
        params = entry["params"]["params.yaml"]
        models = self._restore(_out(entry, "models"), self.folder / "recorded")
        epochs = disk.numbered(models, disk.EPOCH)
        if not epochs or epochs[-1].name != f"epoch_{params['train']['num_epoch']}":
            return [f"{[path.name for path in epochs]} are recorded with num_epoch {params['train']['num_epoch']}"]
        faults = []
        if len(epochs) > (keep := params["train"]["keep_checkpoints"]):
            faults.append(f"{len(epochs)} epochs are recorded with keep_checkpoints {keep}")
        for folder in [*epochs, models / "best_model"]:
            state = disk.read_state(folder)
            faults += [fault for fault in self._own_words(state, entry) if fault not in faults]
            if folder.name != "best_model" and folder.name != f"epoch_{state.epoch}":
                faults.append(f"{folder.name} is of epoch {state.epoch}")
        newest = disk.read_state(epochs[-1])
        asked = params["train"]["augment"] and params["augment"]["noise"]["prob"] and not params["train"]["start_over"]
        if asked and not newest.augmentation_files["dataset/noise"] and self.noises_known:
            faults.append("trained without the noises that are asked for and that a training here had")
        self._positions[_out(entry, "models")] = newest.fingerprint, newest.position
        rows = [row["epoch"] for row in newest.history["epochs"]]
        if rows != list(range(newest.epoch + 1 - len(rows), newest.epoch + 1)):
            faults.append(f"its history has the epochs {rows}")
        if faults or not _reproducible(params["train"]):
            return faults
        fresh = self._fresh(record, entry, newest.augmentation_files)
        return [fresh] if isinstance(fresh, str) else _differences(models, fresh, epochs[-1].name, entry)

    def _own_words(self, state: disk.State, entry: Mapping[str, Any]) -> Iterator[str]:
        params = entry["params"]["params.yaml"]
        for section in {"features", "model", "train"} | ({"augment"} if params["train"]["augment"] else set()):
            for name, value in params[section].items():
                was = state.params[section].get(name)
                if name == "pretrained_model":  # under whatever path its content was
                    was, value = was is not None, value is not None
                if name not in UNDECIDED and was != value:
                    yield f"trained with {section}.{name} {was!r}, recorded {value!r}"
        deps = {dep["path"]: dep["md5"] for dep in entry["deps"]}
        for path, value in state.ingredients["files"].items():
            if path in deps and sha256(self._cached(deps[path])) != value:
                yield f"trained on another {path} than is recorded"

    def _restore(self, value: str, target: Path) -> Path:
        """An output folder as it is recorded, out of the cache."""
        shutil.rmtree(target, ignore_errors=True)
        for file in json.loads(self._cached(value).read_bytes()):
            (target / file["relpath"]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._cached(file["md5"]), target / file["relpath"])
        return target

    def _fresh(self, record: Record, entry: Mapping[str, Any], noises: Mapping[str, int]) -> Path | str:
        """A folder where the recorded parameters and data were trained, without models/ and autosave, or why not."""
        params = entry["params"]["params.yaml"]
        data = {dep["path"]: dep["md5"] for dep in entry["deps"] if dep["path"].startswith("dataset/")}
        key = hashlib.sha256(json.dumps([params, data, noises], sort_keys=True).encode()).hexdigest()[:16]
        folder = self.folder / "fresh" / key
        if not folder.exists():
            self.fresh += 1
            self._archive(record, folder)
            for path, value in data.items():
                shutil.copy(self._cached(value), folder / path)
            alone = record.repository.at(folder)
            sections = {name: value for name, value in params.items() if "." not in name}
            for name in params.keys() - sections.keys():
                section, _, key = name.partition(".")
                sections[section] = {key: params[name]}
            alone.change_params(**sections)
            for place in (place for place, count in noises.items() if count):
                shutil.copytree(self.folder / "noises" / place, folder / place)
            if (self.folder / "pretrained").exists():
                shutil.copytree(self.folder / "pretrained", folder / "pretrained")
            alone.environment = {}
            (folder / "said").write_text(_said(alone, sys.executable, "-m", "stages.train"), encoding="utf-8")
        said = (folder / "said").read_text(encoding="utf-8")
        return f"from the record alone: {said}" if said else folder


def _said(repository: Repository, *command: str) -> str:
    """Runs a command that should end well; "" if it does, else its last line."""
    try:
        repository.run(*command)
    except AssertionError as error:
        return (str(error).strip().splitlines() or ["it fails silently"])[-1]
    return ""


def _hashes(record: Record) -> list[str]:
    outs = [out for entry in record.stages.values() for out in entry["outs"]]
    return [out["md5"] for out in outs if not out["path"].startswith("results/")]  # those are in git


def _out(entry: Mapping[str, Any], path: str) -> str:
    """The recorded hash of an output."""
    return next(out["md5"] for out in entry["outs"] if out["path"] == path)


def _training_data(entry: Mapping[str, Any]) -> list[str]:
    """The hashes of what a training has read and left; those of an earlier one may be collected."""
    return [_out(entry, "models"), *(dep["md5"] for dep in entry["deps"] if dep["path"].startswith("dataset/"))]


def _reproducible(train: Mapping[str, Any]) -> bool:
    """A training that began with a folder is reproducible where that folder is kept beside the record.

    The trial never changes a folder below pretrained/. What lay in models/ when a training took it from there is known
    to nobody later: of such a record all but the bits is checked.
    """
    return not train["resume_model"].startswith("models/")


def _differences(recorded: Path, fresh: Path, newest: str, entry: Mapping[str, Any]) -> list[str]:
    """What a fresh training has otherwise than the recorded one."""
    found = []
    for name in (newest, "best_model"):
        # With num_epoch lowered the last epoch may be one that was not the newest, and kept no optimiser.
        for file in disk.MODEL, *(disk.RESUMING if disk.resumable(recorded / name) else []):
            left, right = (disk.read_arrays(place / name / file) for place in (recorded, fresh / "models"))
            if left.keys() != right.keys() or any(not np.array_equal(left[key], right[key]) for key in left):
                found.append(f"{name}/{file} has other bits than the training of the record")
    left, right = (disk.read_state(place / newest) for place in (recorded, fresh / "models"))
    if left.history != right.history:
        found.append(f"{newest}: other history than the training of the record")
    if left.fingerprint != right.fingerprint:
        found.append(f"{newest}: other fingerprint than the training of the record")
    curves = {
        str(path.relative_to(fresh)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in (fresh / "results/curves").iterdir()
    }
    if dvc_hash(curves, "results/curves") != _out(entry, "results/curves"):
        found.append("results/curves are not those of the training of the record")
    return found
