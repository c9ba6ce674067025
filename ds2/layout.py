"""The fixed places of the pipeline's files, relative to the repository root."""

import os
from pathlib import Path

from ds2.errors import UserError

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")
ANNOTATION = Path("dataset/annotation")
SPLITS_FILE = Path("dataset/annotation/splits.tsv")
AUDIO = Path("dataset/audio")
NOISE = Path("dataset/noise")
REVERB = Path("dataset/reverb")
REJECTED = Path("dataset/rejected.jsonl")
MEAN_ISTD = Path("dataset/mean_istd.json")
VOCABULARY = Path("dataset/vocabulary.txt")
TEXT = Path("dataset/text")
LANGUAGE_MODEL = Path("dataset/lm.arpa")
MODELS = Path("models")
EXPORTED = Path("exported")
PRETRAINED = Path("pretrained")
LOG = Path("log")
CURVES = Path("results/curves")
# All numbers of a stage, and the few that `dvc metrics show` compares.
DATA_NUMBERS = Path("results/data.json")
LANGUAGE_MODEL_NUMBERS = Path("results/lm.json")
TRAIN_NUMBERS = Path("results/training.json")
TRAIN_METRICS = Path("results/train.json")
EVALUATE_NUMBERS = Path("results/evaluation.json")
EVALUATE_METRICS = Path("results/evaluate.json")
PREDICTIONS = Path("results/predictions.jsonl")
ERRORS = Path("results/errors.txt")
REPORT = Path("results/report.html")
TUNING = Path("results/tune.tsv")
TUNING_PICTURE = Path("results/tune.png")

SPLITS = ("train", "dev", "test")


def manifest_path(split: str) -> Path:
    """Where the manifest of "train", "dev" or "test" lies."""
    return Path(f"dataset/manifest.{split}")


def checkpoint(name: str) -> Path:
    """The folder that `evaluate.checkpoint` names: one below models/, or a path."""
    return Path(name) if "/" in name else MODELS / name


def repository_root() -> Path:
    """The repository that holds audio, logs and autosaves.

    DVC names it in DVC_ROOT, also in a `--temp` or `--queue` run, whose working directory is a copy without the
    git-ignored files. Without DVC it is the working directory.
    """
    return Path(_root())


def _root() -> str:
    return os.environ.get("DVC_ROOT") or os.getcwd()


def user_folder(path: str, parameter: str) -> Path:
    """The folder of a parameter, which may begin with ~ or ~user, made absolute as `audio_file` does.

    Raises:
        UserError: there is no such user, or one without a home.
    """
    try:
        return repository_root() / Path(path).expanduser()
    except RuntimeError:
        user = path.split("/")[0]
        raise UserError(f"{parameter}: {path}: there is no home for {user}: write the whole path instead") from None


def text_file(path: str) -> Path:
    """A file of lm.extra_text or lm.path, relative to the working directory, else to the repository."""
    return Path(path) if Path(path).exists() else repository_root() / path


def audio_file(path: str) -> str:
    """An audio path of an annotation or a manifest, made absolute (absolute paths stay as they are).

    No Path: to make one and to ask for its text takes a tenth of the time of a look at a file.
    """
    return os.path.join(_root(), path)
