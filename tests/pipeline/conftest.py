import copy
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ruamel.yaml import YAML

from tests import products
from tests.pipeline.running import PATIENCE, Running, kill, processes

ROOT = Path(__file__).parents[2]
TONES = {"东": 500, "南": 1000, "西": 2000, "北": 3500}


class Repository:
    """A fresh git and DVC repository with the project in it, and small recordings of one's own.

    Attributes:
        environment: of the commands that are run in it, beside the usual one.
    """

    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in _project_files():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)
        self.record("train", 40)
        self.record("dev", 8)
        self.record("test", 8)
        self.change_params(
            corpora=[],
            model={"conv_channels": 2, "rnn_layer_size": 16, "num_rnn_layers": 1},
            train={"num_epoch": 2, "warmup_steps": 20, "learning_rate": 0.003},
            runtime={"num_workers": 0},
        )
        self.run("git", "init", "-q")
        self.run("git", "config", "user.email", "test@example.invalid")
        self.run("git", "config", "user.name", "test")
        self.commit("a project")

    def copy(self, folder: Path) -> "Repository":
        """The same repository elsewhere; files that are one file under two names stay so."""
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        return self.at(folder)

    def at(self, folder: Path) -> "Repository":
        """What lies in a folder that git or cp has made of this one."""
        twin = copy.copy(self)
        twin.folder = folder
        return twin

    def run(self, *command: str, expect: int = 0) -> str:
        """Runs a command as a user would; returns what it printed, on both streams."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=_environment() | self.environment,
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )
        printed = done.stdout + done.stderr
        assert done.returncode == expect, printed
        return printed

    def start(self, *command: str) -> Running:
        """Starts a command in the background."""
        output = self.folder.parent / f"{self.folder.name}.log"
        return Running(command, self.folder, _environment() | self.environment, output)

    def training(self) -> int:
        """The process of the stage train, which runs in the repository or in DVC's copy of it."""
        [number] = processes(self.folder, "-m", "stages.train")
        return number

    def start_queue(self, *options: str) -> None:
        """Starts the queue's workers, which keep the streams of the command that starts them."""
        starting = self.start("dvc", "queue", "start", *options)
        assert starting.process.wait(PATIENCE) == 0, starting.printed()

    def experiments(self) -> set[str]:
        """The names of those that can be applied; a queued one's result is fetched a moment after its Success."""
        return set(self.run("dvc", "exp", "list", "--name-only").split())

    def queue(self) -> list[str]:
        """The states of the queued experiments."""
        lines = self.run("dvc", "queue", "status").splitlines()
        return [line.split()[-1] for line in lines if "Worker status" not in line and line.strip()][1:]

    def epochs(self) -> list[str]:
        """The epochs that are published."""
        return sorted(folder.name for folder in (self.folder / "models").glob("epoch_*"))

    def curves(self, epochs: int | None = None) -> dict[str, list[str]]:
        """The lines of the curve files; of so many epochs (this data makes five batches of each)."""
        folder = self.folder / "results/curves"
        rows = {"epochs.tsv": 1, "steps.tsv": 5}
        lines = {name: (folder / name).read_text().splitlines() for name in rows}
        return {name: lines[name][: None if epochs is None else 1 + epochs * rows[name]] for name in rows}

    def products(self) -> dict[str, str]:
        """A hash of every file that the training has made, without the time and memory that it took."""
        files = [path for name in ("models", "results/curves") for path in (self.folder / name).rglob("*")]
        numbers = [self.folder / "results" / name for name in ("train.json", "training.json")]
        files = [*(path for path in files if path.is_file()), *numbers]
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(_lasting(path)).hexdigest() for path in sorted(files)
        }

    def damage(self, name: str) -> None:
        """Changes a file in place."""
        with open(self.folder / name, "r+b") as file:
            file.write(b"damage")

    def end_processes(self) -> None:
        """Ends what a test that failed has left running."""
        for number in processes(self.folder):
            kill(number)

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)

    def record(self, split: str, count: int) -> None:
        """Words of tones, as audio files and an annotation."""
        random = np.random.default_rng([count, *split.encode()])  # no recording is in two parts
        lines = []
        for i in range(count):
            word = "".join(random.choice(list(TONES), size=int(random.integers(2, 4))))
            time = np.arange(4000) / 16000
            parts = [np.concatenate([np.sin(2 * np.pi * TONES[c] * time), np.zeros(1600)]) for c in word]
            samples = 0.1 * np.concatenate(parts) + random.normal(0, 0.002, 5600 * len(word))
            path = Path(f"recordings/{split}{i}.wav")
            (self.folder / path).parent.mkdir(exist_ok=True)
            soundfile.write(self.folder / path, samples, 16000)
            lines.append(f"{path}\t{word}\n")
        annotation = self.folder / f"dataset/annotation/mine.{split}.txt"
        annotation.parent.mkdir(parents=True, exist_ok=True)
        annotation.write_text("".join(lines), encoding="utf-8")

    def change_params(self, **sections) -> None:
        yaml = YAML()
        path = self.folder / "params.yaml"
        values = yaml.load(path.read_text(encoding="utf-8"))
        for name, section in sections.items():
            if isinstance(section, dict):
                values[name].update(section)
            else:
                values[name] = section
        with open(path, "w", encoding="utf-8") as file:
            yaml.dump(values, file)


def _environment() -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["DVC_NO_ANALYTICS"] = "1"
    environment.pop("PYTHONPATH", None)
    return environment


def _lasting(path: Path) -> bytes:
    reader = {"state.json": products.state, "training.json": products.numbers}.get(path.name)
    return path.read_bytes() if reader is None else json.dumps(reader(path)).encode()


def _project_files() -> list[str]:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = (
        "ds2/",
        "stages/",
        "recipes/",
        ".dvc/",
        "Makefile",
        "dvc.yaml",
        "params.yaml",
        ".gitignore",
        ".dvcignore",
        "dataset/",
    )
    return [name for name in tracked.split("\0") if name.startswith(wanted)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A repository after its first dvc repro, committed. Tests leave it as they found it."""
    repository = Repository(tmp_path_factory.mktemp("repository"))
    repository.first_output = repository.run("dvc", "repro")
    repository.commit("first results")
    return repository


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """A repository with everything before its first training, committed. Tests work on copies of it."""
    repository = Repository(tmp_path_factory.mktemp("prepared") / "repository")
    repository.run("dvc", "repro", "mean_istd", "vocabulary")
    repository.commit("data")
    return repository


@pytest.fixture
def a_copy(tmp_path):
    """a_copy(repository) is one to change. Nothing runs in it when the test is over."""
    copies = []

    def make(repository: Repository) -> Repository:
        copies.append(repository.copy(tmp_path / f"copy{len(copies)}"))
        return copies[-1]

    yield make
    for repository in copies:
        repository.end_processes()


@pytest.fixture
def untrained(tmp_path):
    return Repository(tmp_path)
