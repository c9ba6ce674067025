"""A data set and a model so small that they are learned in seconds: every character is a tone of its own."""

import json
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import soundfile

from ds2 import layout, params
from ds2.checkpoint import disk
from ds2.data import manifest, mean_istd
from ds2.data.augment import Augmenter
from ds2.data.loader import Batch
from ds2.data.manifest import Manifest, Utterance
from ds2.data.vocabulary import Vocabulary
from ds2.distributed.process_group import Group
from ds2.model.network import Network
from ds2.recognition.paddle_model import PaddleModel
from ds2.reporting import progress
from ds2.reporting.reporter import Moment, Reporter, Tables
from ds2.reporting.visual import Visual
from ds2.training import start, transfer
from ds2.training.fingerprint import fingerprint, ingredients
from ds2.training.state import Training, TrainingData
from ds2.training.store import Store
from ds2.training.trainer import Trainer

RATE = 8000
TEXTS = (
    "你好",
    "好你",
    "你a",
    "a你",
    "a 好",
    "好 a",
    "好好",
    "aa",
    "你好a",
    "a好你",
    "好a 你",
    "你 你",
    "aa你",
    "好你好",
)
_TONES = {"你": 500.0, "好": 1200.0, "a": 2600.0, " ": 0.0, "呢": 1900.0}

MODEL = {"num_conv_layers": 1, "conv_channels": 4, "num_rnn_layers": 1, "rnn_layer_size": 24, "dropout": 0.1}
TRAIN = {
    "num_epoch": 2,
    "batch_size": 4,  # four batches an epoch; the last has two utterances
    "learning_rate": 1e-2,
    "warmup_steps": 10,
    "seed": 3,
    "augment": False,
    "average_share": 0.2,
}


def settings(model: dict | None = None, kinds: dict | None = None, **train) -> params.Params:
    """Parameters of the tiny model; `train`, `model` and `kinds` (of augmentation) change some."""
    return params.from_dict(
        {
            "features": {"sample_rate": RATE, "num_mel_bins": 20},
            "model": MODEL | (model or {}),
            "augment": {"spec_aug": {"prob": 1.0, "time_mask_ratio": 0.1}} | (kinds or {}),
            "train": TRAIN | train,
            "runtime": {"use_gpu": False, "num_workers": 0, "log_interval": 1},
        }
    )


def choosing_by(metric: str, chosen: params.Params) -> params.Params:
    """The same with another metric that chooses the best epoch."""
    return chosen.model_copy(update={"evaluate": chosen.evaluate.model_copy(update={"metrics_type": metric})})


def bearing(fraction: float, chosen: params.Params) -> params.Params:
    """The same with another share of recordings that may be unreadable."""
    manifest = chosen.manifest.model_copy(update={"max_rejected_fraction": fraction})
    return chosen.model_copy(update={"manifest": manifest})


def speak(text: str, seed: int) -> np.ndarray:
    """The tones of a text, a little noise, a little silence between them."""
    random = np.random.default_rng(seed)
    parts = [np.zeros(400)]
    for character in text:
        time = np.arange(int(RATE * random.uniform(0.16, 0.22))) / RATE
        parts += [0.2 * np.sin(2 * np.pi * _TONES[character] * time), np.zeros(320)]
    samples = np.concatenate(parts)
    return (samples + random.normal(0, 0.002, len(samples))).astype(np.float32)


def write_data(root: Path, texts=TEXTS) -> None:
    """Writes audio, manifests, statistics and vocabulary where the pipeline has them, below `root`."""
    utterances = []
    for i, text in enumerate(texts):
        path = root / "audio" / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = speak(text, i)
        soundfile.write(path, samples, RATE)
        utterances.append(Utterance(str(path), len(samples) / RATE, text))
    for split in layout.SPLITS:
        manifest.write(root / layout.manifest_path(split), utterances)
    read = Manifest(root / layout.manifest_path("train"))
    mean_istd.compute(read, settings(), 1)[0].write(root / layout.MEAN_ISTD)
    Vocabulary.of(texts).write(root / layout.VOCABULARY)


def write_params(root: Path, **train) -> params.Params:
    """Writes params.yaml as `settings` gives it."""
    chosen = settings(**train)
    (root / layout.PARAMS).write_text(json.dumps(chosen.model_dump(mode="json"), ensure_ascii=False))
    return chosen


def data(root: Path, chosen: params.Params | None = None) -> TrainingData:
    """What `write_data` has written."""
    chosen = chosen or settings()
    return TrainingData(
        Manifest(root / layout.manifest_path("train")),
        Manifest(root / layout.manifest_path("dev")) if chosen.train.evaluate_on else None,
        Vocabulary.read(root / layout.VOCABULARY),
        mean_istd.MeanIstd.read(root / layout.MEAN_ISTD),
        Augmenter(chosen.augment, chosen.features) if chosen.train.augment else None,
    )


def identity(root: Path, chosen: params.Params) -> dict[str, Any]:
    """What decides a training on what `write_data` has written."""
    paths = (layout.manifest_path("train"), layout.MEAN_ISTD, layout.VOCABULARY, layout.manifest_path("dev"))
    pretrained = transfer.pretrained_content(chosen.train.pretrained_model, root / "autosave")
    noises = Augmenter(chosen.augment, chosen.features).identity() if chosen.train.augment else ()
    return ingredients(chosen, {str(path): root / path for path in paths}, noises, pretrained)


def train(
    root: Path, place: Path, chosen: params.Params, workers: int = 0, watcher: Reporter | None = None
) -> Training:
    """Trains as the stage does, on the data below `root`, with all that is written below `place`.

    Args:
        root: of the data.
        place: for the products.
        chosen: the parameters.
        workers: that prepare batches.
        watcher: is told after the reporters that every training has.
    """
    made_of = identity(root, chosen)
    store = Store(place / "autosave", place / "models", fingerprint(made_of), chosen.train.keep_checkpoints)
    with store.locked():
        training = Training(chosen, data(root, chosen), made_of)
        start.begin(training, store)
        history = training.history
        parts = [progress.shown(history, chosen), Visual(history, place / "log", chosen)]
        parts += [Tables(history, place / "curves"), *([watcher] if watcher else [])]
        with closing(Reporter(*parts)) as reporter:
            Trainer(training, store, reporter, Group(), workers).run()
    return training


def acting_at(step: int, act: Callable[[], None]) -> Reporter:
    """Does something after a step was shown."""

    class Acting(Reporter):
        def step(self, now: Moment) -> None:
            if now.step == step:
                act()

    return Acting()


def stopping_at(step: int, *numbers: int) -> Reporter:
    """Sends this process signals after a step; no number: SIGTERM."""
    return acting_at(step, lambda: [signal.raise_signal(number) for number in numbers or (signal.SIGTERM,)])


def dying_at(step: int) -> Reporter:
    """Raises a RuntimeError after a step."""

    def die() -> None:
        raise RuntimeError("the power is gone")

    return acting_at(step, die)


def acoustic(model: Network, root: Path) -> PaddleModel:
    """A model that was trained on what `write_data` has written, to recognise with."""
    known = data(root)
    return PaddleModel(model, known.vocabulary, known.statistics, settings(), "cpu")


def weights(model: paddle.nn.Layer) -> dict[str, np.ndarray]:
    """Weights and running statistics."""
    return {name: value.numpy() for name, value in model.state_dict().items()}


def saved(folder: Path) -> dict[str, np.ndarray]:
    """All arrays that a checkpoint with its optimiser holds."""
    found = {}
    for file in (disk.MODEL, disk.OPTIMIZER, *([disk.AVERAGE] if disk.has_average(folder) else [])):
        for name, value in disk.read_arrays(folder / file).items():
            found[f"{file}/{name}"] = np.asarray(value)
    return found


def same_bits(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """Whether two sets of arrays are equal to the last bit, and there is something to compare."""
    return bool(left) and left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def random_batch(lengths, mels: int, tokens: int, extra: int = 0, seed: int = 0) -> Batch:
    """Random features and labels, `extra` frames more padding than needed."""
    random = np.random.default_rng(seed)
    features = np.zeros((len(lengths), max(lengths) + extra, mels), np.float32)
    label_lengths = np.array([max(1, length // 12) for length in lengths], np.int64)
    labels = np.zeros((len(lengths), label_lengths.max()), np.int32)
    for i, length in enumerate(lengths):
        features[i, :length] = random.normal(0, 1, (length, mels))
        labels[i, : label_lengths[i]] = random.integers(1, tokens, label_lengths[i])
    positions = np.arange(len(lengths), dtype=np.int64)
    return Batch(features, np.array(lengths, np.int64), labels, label_lengths, positions, 1.0)
