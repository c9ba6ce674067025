"""Kills real trainings again and again and compares what they end with, bit for bit, with one never disturbed.

python -m tests.pipeline.kills --kills 20 --workers 0 --seed 7
"""

import argparse
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ds2.checkpoint import disk
from tests import products as lasting
from tests.pipeline.conftest import Repository
from tests.process import Stage
from tests.training.visual import read_back

EPOCHS = 3
FUSE = Path(__file__).with_name("fuse.py")
# How a kill is aimed. What it hits in the end is read from what it leaves.
AIMS = (
    "saving",
    "evaluating",
    "between renames",
    "any file",
    "first batch",
    "renaming",
    "publishing",
    "anywhere",
    "starting",
)
# Those that are aimed at an operation on a file: its kind and the last number that is tried.
FUSES = {"any file": ("any", 120), "renaming": ("rename", 14), "between renames": ("between", 2)}
_BEGUN = re.compile(r"going on from .*: epoch (\d+) done, (\d+) batches|the training starts from the beginning")
_BATCH = re.compile(r"Train epoch: \[(\d+)/\d+\], batch: \[(\d+)/(\d+)\]")
_ENDED = re.compile(r"Epoch: \[(\d+)/\d+\]")


def prepare(folder: Path, workers: int) -> Repository:
    """A repository ready for the train stage."""
    repository = Repository(folder)
    make_training_hard(repository, workers)
    for stage in ("manifest", "mean_istd", "vocabulary"):
        repository.run(sys.executable, "-m", f"stages.{stage}")
    return repository


def make_training_hard(repository: Repository, workers: int) -> None:
    """Everything random is on (noise, echoes, dropout), and states are saved and removed all the time."""
    record_noise_and_echoes(repository.folder)
    repository.change_params(
        model={"dropout": 0.2},
        train={"augment": True, "num_epoch": EPOCHS, "save_interval": 2, "batch_size": 6, "keep_checkpoints": 2},
        augment={"noise": {"prob": 0.7}, "reverb": {"prob": 0.7}},
        runtime={"num_workers": workers, "log_interval": 1},
    )


def record_noise_and_echoes(folder: Path) -> None:
    """Files for augment.noise and augment.reverb."""
    numbers = np.random.default_rng(0)
    for name, length, decay in (("noise", 16000, 0.0), ("reverb", 2000, 400.0)):
        (folder / "dataset" / name).mkdir(parents=True, exist_ok=True)
        for i in range(3):
            samples = 0.1 * numbers.normal(0, 1, length) * np.exp(-np.arange(length) * (decay > 0) / max(decay, 1.0))
            soundfile.write(folder / "dataset" / name / f"{i}.wav", samples, 16000)


@dataclass
class Times:
    """How long the parts of an undisturbed training take, in seconds, and how often it works on its files."""

    start: float
    batch: float
    evaluate: float
    rest: float


def times(training: Stage) -> Times:
    """Measured in the log of a whole training."""
    begun = training.first(_BEGUN)
    batches = [line for line in training.lines if _BATCH.search(line.text)]
    evaluated = training.first(_ENDED)
    last = [line for line in batches if line.seconds <= evaluated.seconds][-1]
    return Times(
        start=begun.seconds,
        batch=max(batches[0].seconds - training.first("batches, ").seconds, 0.02),
        evaluate=max(evaluated.seconds - last.seconds, 0.02),
        rest=training.lines[-1].seconds - begun.seconds,
    )


def kill(repository: Path, aim: str, known: Times, chance: random.Random) -> Stage:
    """Starts the training and kills it where `aim` says; it may end before. Returns it when it has ended."""
    if aim in FUSES:
        number = chance.randint(1, FUSES[aim][1])
        training = Stage(repository, str(FUSE), FUSES[aim][0], str(number), "SIGKILL")
        training.end()
        return training
    training = Stage(repository)
    if aim == "starting":
        time.sleep(chance.uniform(0, known.start))
    elif begun := training.wait_for(lambda: training.first(_BEGUN)):
        delay = 0.0
        if aim == "anywhere":
            done = int(_BEGUN.search(begun.text).group(1) or 0) / EPOCHS
            delay = chance.uniform(0, known.rest * max(1 - done, 0.2))
        elif aim == "first batch":
            training.wait_for(lambda: training.first("batches, "))
            delay = chance.uniform(0, known.batch)
        elif aim == "evaluating":
            training.wait_for(lambda: _after_the_last_batch(training))
            delay = chance.uniform(0, known.evaluate)
        elif aim == "saving":
            kind = chance.choice(("step", "epoch"))
            training.wait_for(lambda: _any(repository / ".ds2/autosave", rf"/\.{kind}_\d+\.tmp$"))
            delay = chance.choice((0, chance.uniform(0, 0.02)))
        elif aim == "publishing":
            training.wait_for(lambda: _any(repository / "models", r"\.tmp$|\.old$"))
            delay = chance.choice((0, chance.uniform(0, 0.01)))
        if delay:
            time.sleep(delay)
    training.kill()
    training.end()
    return training


def _after_the_last_batch(training: Stage) -> bool:
    found = [match for line in training.lines if (match := _BATCH.search(line.text))]
    return bool(found) and found[-1].group(2) == found[-1].group(3)


def _any(folder: Path, pattern: str) -> bool:
    """Whether a folder at most two levels below matches."""
    for parent in [folder, *_folders(folder)]:
        if any(re.search(pattern, str(path)) for path in _folders(parent)):
            return True
    return False


def _folders(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]
    except OSError:
        return []


def hidden(repository: Path) -> dict[Path, int]:
    """The unfinished folders below the autosave and models/, with their inodes."""
    parents = [*_folders(repository / ".ds2/autosave"), repository / "models"]
    found = [path for parent in parents for path in _folders(parent) if path.name.startswith(".")]
    return {path: path.stat().st_ino for path in found}


def hit(training: Stage, repository: Path, before: dict[Path, int]) -> str:
    """Where a killed training was, from what it has said last and left that was not hidden there before."""
    left = [path for path, inode in hidden(repository).items() if before.get(path) != inode]
    for path in left:
        place = "publishing" if path.parent.name == "models" else "saving"
        name = path.name[1:].rpartition(".")[0]
        if path.with_name(f".{name}.old") in left and not path.with_name(name).exists():
            return f"{place}, between two renames"
        if path.name.endswith(".tmp"):
            return place
    if left:
        return "removing what is superfluous"
    said = [line.text for line in training.lines]
    if not said or not training.first(_BEGUN):
        return "starting"
    last = next((text for text in reversed(said) if _BATCH.search(text) or _ENDED.search(text)), None)
    if last is None:
        return "first batch"
    if _ENDED.search(last):
        return "between saving and the next epoch"
    _, batch, batches = _BATCH.search(last).groups()
    return "evaluating" if batch == batches else "in an epoch"


def products(repository: Path, epochs: int = EPOCHS) -> dict[str, Any]:
    """All that a training of so many epochs leaves, each with its name, to be compared for equality."""

    found: dict[str, Any] = {}
    models = repository / "models"
    newest = models / f"epoch_{epochs}"
    for folder in sorted(models.iterdir()):
        for file in ("model.safetensors", "optimizer.safetensors", "average.safetensors"):
            if (folder / file).exists():
                for name, value in disk.read_arrays(folder / file).items():
                    array = np.asarray(value)
                    found[f"{folder.name}/{file}/{name}"] = (array.dtype.str, array.shape, array.tobytes())
        state = lasting.state(folder / "state.json")
        for key in state.keys() - {"files"}:
            found[f"{folder.name}/state.json/{key}"] = state[key]
    assert any(name.startswith(f"{newest.name}/optimizer.safetensors") for name in found)
    for name in ("results/curves/steps.tsv", "results/curves/epochs.tsv"):
        found[name] = (repository / name).read_text()
    found["results/training.json"] = lasting.numbers(repository / "results/training.json")
    for folder in sorted(path for path in (repository / "log").iterdir() if path.is_dir()):
        for tag, points in read_back(folder, "scalar").items():
            if not tag.startswith("speed/"):  # how fast this process was
                found[f"{folder.name}/{tag}"] = points
    found["files"] = sorted(
        re.sub(r"vdlrecords\.\d+", "vdlrecords", str(path.relative_to(repository)))
        for top in (".ds2", "models", "results", "log")
        for path in (repository / top).rglob("*")
    )
    return found


def missing_steps(found: dict[str, Any]) -> list[str]:
    """What is wrong with VisualDL's scalars: every step of the curves once, none twice, none missing."""
    wrong = []
    for table, kind, names in (
        ("steps", "train", ("loss", "learning_rate", "grad_norm")),
        ("epochs", "epoch", ("loss", "cer", "wer")),
    ):
        expected = [int(row.split("\t")[0]) for row in found[f"results/curves/{table}.tsv"].splitlines()[1:]]
        for name in names:
            shown = [[i for i, _ in value] for key, value in found.items() if key.endswith(f"/{kind}/{name}")]
            if shown != [expected]:
                wrong.append(f"{kind}/{name} has {shown}, the curves {expected}")
    return wrong


def first_difference(left: dict[str, Any], right: dict[str, Any]) -> str | None:
    """The name of the first thing that differs, with both sides where they are short."""
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name):
            if name == "files":
                return f"files: {sorted(set(left[name]) ^ set(right[name]))}"
            sides = f"{left.get(name)!r} against {right.get(name)!r}"
            return f"{name}: {sides}" if len(sides) < 200 else name
    return None


@dataclass
class Report:
    """What was done and found.

    Attributes:
        hits: kills by the place that they hit.
        starts: of the train stage, those that ended by themselves included.
        rounds: trainings from the beginning to the end.
        faults: one line each; none: everything was identical.
    """

    hits: Counter = field(default_factory=Counter)
    starts: int = 0
    rounds: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        where = "\n".join(f"  {count:3}  {place}" for place, count in self.hits.most_common())
        kills = f"{self.hits.total()} kills in {self.rounds} trainings, {self.starts} starts; they hit"
        return "\n".join([kills, where, *(self.faults or ["identical to the undisturbed training"])])


def run(folder: Path, kills: int, workers: int, seed: int, aims: tuple[str, ...] = AIMS) -> Report:
    """Trains undisturbed, then again with kills; a training that ends begins anew until there were enough.

    Args:
        folder: to work in.
        kills: how many.
        workers: that prepare batches.
        seed: of the places.
        aims: taken in turn.
    """
    fresh = prepare(folder / "fresh", workers).folder
    undisturbed = shutil.copytree(fresh, folder / "undisturbed")
    training = Stage(undisturbed)
    assert training.end() == 0, training.log
    known, expected = times(training), products(undisturbed)
    report, chance = Report(faults=missing_steps(expected)), random.Random(seed)
    attempts = 0
    while report.hits.total() < kills and attempts < 4 * kills:
        report.rounds += 1
        disturbed = shutil.copytree(fresh, folder / f"disturbed{report.rounds}")
        code = None
        while code != 0:
            report.starts += 1
            before = hidden(disturbed)
            if report.hits.total() < kills and attempts < 4 * kills:
                training = kill(disturbed, aims[attempts % len(aims)], known, chance)
                attempts += 1
            else:
                training = Stage(disturbed)
                training.end()
            code = training.process.returncode
            if code == -signal.SIGKILL:
                report.hits[hit(training, disturbed, before)] += 1
            elif code != 0:
                report.faults.append(f"exit code {code}:\n{training.log}")
                return report
            if left := training.orphans():
                report.faults.append(f"processes outlive a kill: {left}; the log ended with {training.log[-300:]!r}")
            if "damaged" in training.log:
                said = next(line.text for line in training.lines if "damaged" in line.text)
                report.faults.append(f"a kill damaged a state: {said}")
        if difference := first_difference(expected, products(disturbed)):
            report.faults.append(f"training {report.rounds} differs: {difference}")
        else:
            shutil.rmtree(disturbed)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = run(Path(folder), arguments.kills, arguments.workers, arguments.seed)
    print(report)
    print(f"{time.perf_counter() - start:.0f} s")
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
