"""Prints how a model bears what a microphone adds: silence and noise before and after speech, and without any speech.

    python -m benchmarks.microphone models/best_model

Test recordings (dataset/manifest.test), silence and noise go as whole files through python -m ds2 transcribe.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile

from ds2 import layout
from ds2.audio import reading
from ds2.corpora import demo
from ds2.data.manifest import Manifest
from ds2.errors import ends_with_a_sentence
from ds2.evaluation import error_rate

_RATE = 16000
_EDGES = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds
_BELOW = (40, 20, 0)  # dB below the recording
_ALONE = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds
_LEVELS = (-80, -60, -40, -20, -10)  # dB of full scale
_DRAWS = 3
_COLOURS = {"white": 0.0, "pink": 1.0}


def _edges() -> dict[tuple[str, float, str], tuple[float, float, float | None, float]]:
    """Seconds before and after, dB below the recording (None: zeros) and colour of the noise, by a name."""
    found = {("none", 0.0, "both"): (0.0, 0.0, None, 0.0)}
    for seconds in _EDGES:
        for side, lengths in (("both", (1, 1)), ("before", (1, 0)), ("after", (0, 1))):
            before, after = (seconds * length for length in lengths)
            found["zeros", seconds, side] = (before, after, None, 0.0)
        for below, (name, colour) in itertools.product(_BELOW, _COLOURS.items()):
            found[f"{name} noise {below} dB below", seconds, "both"] = (seconds, seconds, below, colour)
    return found


def _alone(random: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    for seconds in _ALONE:
        count = round(seconds * _RATE)
        yield f"zeros, {seconds:g} s", np.zeros(count)
        for (name, colour), level, _ in itertools.product(_COLOURS.items(), _LEVELS, range(_DRAWS)):
            yield (
                f"{name} noise at {level} dB, {seconds:g} s",
                10 ** (level / 20) * demo.coloured_noise(colour, count, random),
            )


def _transcribe(model: Path, recordings: Mapping[object, np.ndarray]) -> dict[object, str]:
    """The texts of recordings, float [n] each, by their names."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:06}.wav" for number in range(len(recordings))]
        for path, samples in zip(paths, recordings.values(), strict=True):
            soundfile.write(path, np.clip(samples, -1.0, 1.0), _RATE, subtype="PCM_16")
        command = (sys.executable, "-m", "ds2", "transcribe", "--json", "--model", str(model), folder)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    texts = [json.loads(line)["text"] for line in done.stdout.splitlines()]
    return dict(zip(recordings, texts, strict=True))


@ends_with_a_sentence
def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.microphone", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a checkpoint's folder")
    model = parser.parse_args().model
    random = np.random.default_rng(1)

    utterances = list(Manifest(layout.manifest_path("test")))
    speech = [reading.load(layout.audio_file(u.audio_filepath), _RATE, u.piece).astype(np.float64) for u in utterances]
    recordings = {}
    for name, (before, after, below, colour) in _edges().items():
        for number, samples in enumerate(speech):
            rms = np.sqrt(np.mean(samples**2))
            gain = 0.0 if below is None else rms * 10 ** (-below / 20)
            ends = [gain * demo.coloured_noise(colour, round(seconds * _RATE), random) for seconds in (before, after)]
            recordings[name, number] = np.concatenate([ends[0], samples, ends[1]])
    texts = _transcribe(model, recordings)
    rates = {}
    for name in _edges():
        compared = [error_rate.compare(u.text, texts[name, number]) for number, u in enumerate(utterances)]
        rates[name] = sum(compared, error_rate.Errors()).rate
    plain = rates["none", 0.0, "both"]
    for (what, seconds, side), rate in rates.items():
        print(f"{what:26} {side:6} {seconds:4} s  CER {rate:.4f} {rate - plain:+.4f}")

    alone = {(what, number): samples for number, (what, samples) in enumerate(_alone(random))}
    heard = {name: text for name, text in _transcribe(model, alone).items() if text}
    for (what, _), text in heard.items():
        print(f"{what}: {text}")
    print(f"{len(heard)} of {len(alone)} recordings without speech have a text")


if __name__ == "__main__":
    main()
