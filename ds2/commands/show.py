"""Shows what augmentation does to a recording, to see and to hear.

Every kind of params.yaml's section augment is applied alone, surely, then all together, as configured. Writes an audio
file of each and the picture augment.png.

    python -m ds2 show a.wav --out heard --seed 7
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.figure import Figure

from ds2 import files, params
from ds2.audio import reading
from ds2.data import augment, features
from ds2.errors import UserError
from ds2.params import numbers

_ORIGINAL, _ALL = "original", "all as configured"
_INK, _FAINT = "#3b6ea5", "#c9ced4"
# Of so many draws of a kind the one that changes most is shown: one of three speeds, say, is none to see.
_DRAWS = 6
_RANGE = -2.5, 2.5  # of the features' mean and deviation: brighter is not shown brighter


@dataclass(frozen=True)
class Shown:
    """A recording after a kind of augmentation."""

    kind: str  # of params.yaml's section augment, "original", or "all as configured"
    samples: np.ndarray  # float32 [n]
    values: np.ndarray  # its features, float32 [frames, num_mel_bins], normalised by those of the original
    off: str = ""  # why the kind changes nothing, if it does not


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The recording, the folder, the seed."""
    parser.add_argument("recording", type=Path, metavar="FILE", help="a recording")
    parser.add_argument("--out", type=Path, metavar="FOLDER", default="augment", help="default: %(default)s")
    parser.add_argument(
        "--seed",
        type=numbers.integer(0, 2**31 - 1),
        metavar="N",
        default=1,
        help="of the random numbers; default: %(default)s",
    )


def run(arguments: argparse.Namespace) -> None:
    """See the module's docstring."""
    if arguments.seed < 0:
        raise UserError(f"--seed: {arguments.seed} is negative: it must be at least 0")
    settings = params.load()
    try:
        samples = reading.load(arguments.recording, settings.features.sample_rate)
    except reading.AudioError as error:
        raise UserError(f"{arguments.recording}: {error}") from None
    if not len(features.extract(samples, settings.features)):
        raise UserError(f"{arguments.recording} is shorter than a frame of features (25 ms)")
    shown = every_kind(samples, settings, arguments.seed)
    files.make_folder(arguments.out)
    for one in shown:
        path = arguments.out / f"{one.kind.split()[0]}.wav"
        soundfile.write(path, one.samples, settings.features.sample_rate, subtype="FLOAT")
        print(f"{path}{f': off, {one.off}' if one.off else ''}")
    path = arguments.out / "augment.png"
    draw(shown, settings.features.sample_rate, path)
    print(path)


def every_kind(samples: np.ndarray, settings: params.Params, seed: int) -> list[Shown]:
    """The original, every kind alone with probability 1 (a telling draw of it), and all as the parameters say."""
    plain = features.extract(samples, settings.features)
    mean, deviation = plain.mean(), plain.std() or 1.0

    original = Shown(_ORIGINAL, samples, (plain - mean) / deviation)

    def changed(kind: str, augmenter: augment.Augmenter, utterance: int) -> Shown:
        random = augment.generator(seed, 1, utterance)
        (speed,) = augmenter.speeds(seed, 1, np.array([utterance]))
        new = augmenter.change_waveform(samples, speed, random)
        values = (features.extract(new, settings.features) - mean) / deviation
        values = augmenter.change_features(values.astype(np.float32), random)
        return Shown(kind, new, values, augmenter.lacking().get(kind, ""))

    def change(one: Shown) -> tuple[int, float]:
        if len(one.samples) != len(samples):
            return abs(len(one.samples) - len(samples)), 0.0
        features_changed, samples_changed = one.values - original.values, one.samples - samples
        return 0, float(np.abs(features_changed).mean() + np.abs(samples_changed).mean())

    shown = [original]
    for kind in params.AugmentSettings.model_fields:
        augmenter = augment.Augmenter(_only(kind, settings.augment), settings.features)
        shown.append(max((changed(kind, augmenter, utterance) for utterance in range(_DRAWS)), key=change))
    return [*shown, changed(_ALL, augment.Augmenter(settings.augment, settings.features), 0)]


def _only(kind: str, section: params.AugmentSettings) -> params.AugmentSettings:
    probs = {name: float(name == kind) for name in params.AugmentSettings.model_fields}
    return section.model_copy(
        update={name: getattr(section, name).model_copy(update={"prob": prob}) for name, prob in probs.items()}
    )


def draw(shown: list[Shown], sample_rate: int, path: Path) -> None:
    """A row for each: the waveform over the original's, and the features."""
    longest = max(len(one.samples) for one in shown) / sample_rate
    original = shown[0].samples
    loudest = float(np.abs(original).max()) * 1.6 or 1.0
    figure = Figure(figsize=(13, 1.25 * len(shown)), layout="constrained")  # drawn by Agg, which needs no screen
    axes = figure.subplots(len(shown), 2, sharex=True, width_ratios=(1, 1.4))
    for (left, right), one in zip(axes, shown, strict=True):
        _wave(left, original, sample_rate, _FAINT)
        if not one.off:
            _wave(left, one.samples, sample_rate, _INK)
        left.set_ylim(-loudest, loudest)
        left.set_ylabel(one.kind.replace(" as ", "\nas "), rotation=0, ha="right", va="center", fontsize=11)
        image = right.imshow(one.values.T, "magma", origin="lower", aspect="auto", interpolation="nearest")
        image.set(clim=_RANGE, extent=(0, len(one.samples) / sample_rate, 0, one.values.shape[1]))
        image.set_alpha(0.25 if one.off else 1.0)
        if one.off:
            right.text(0.5, 0.5, f"off: {one.off}", transform=right.transAxes, ha="center", va="center", fontsize=11)
        left.set(yticks=[], xlim=(0, longest))
        right.set(yticks=[])
        for side in (left, right):
            side.spines[["top", "right", "left"]].set_visible(False)
    axes[0, 0].set_title("waveform (grey: original)", fontsize=12)
    axes[0, 1].set_title("log-mel features, low frequencies below", fontsize=12)
    for side in axes[-1]:
        side.set_xlabel("seconds")
    figure.savefig(path, dpi=110)


def _wave(axes, samples: np.ndarray, sample_rate: int, color: str) -> None:
    """The range of every stretch of a thousandth of the whole: what a line through all samples would cover."""
    size = max(1, len(samples) // 1000)
    parts = samples[: len(samples) // size * size].reshape(-1, size)
    seconds = np.arange(len(parts)) * size / sample_rate
    axes.fill_between(seconds, parts.min(axis=1), parts.max(axis=1), color=color, linewidth=0.5, alpha=0.85)
