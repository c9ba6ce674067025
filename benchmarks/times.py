"""Prints how far the times of words are from known borders, for each way of telling where a word ends.

    python -m benchmarks.times models/best_model

Recordings of dataset/manifest.test, without the silence around them, are put together, two to four of a speaker, half
of them without a pause. The borders are those of the recordings; the offset is fitted on dataset/manifest.dev.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein

from ds2 import layout
from ds2.data import features
from ds2.data.manifest import Manifest
from ds2.decoding.greedy import Greedy
from ds2.errors import ends_with_a_sentence
from ds2.recognition import acoustic, alignment, opening, splicing, timing
from ds2.recognition.acoustic import AcousticModel
from ds2.recognition.calibration import Calibration
from ds2.recognition.splicing import Splice

_COUNT = 250


@dataclasses.dataclass(frozen=True)
class Heard:
    """A splice after the network."""

    splice: Splice
    logs: np.ndarray  # float32 [steps, tokens]
    loud: np.ndarray
    spans: np.ndarray  # of the splice's text
    right: np.ndarray  # bool, which of its characters the best path has too


def _hear(model: AcousticModel, split: str) -> Iterator[Heard]:
    manifest = Manifest(layout.manifest_path(split))
    for splice in splicing.splices(manifest, model.features.sample_rate, _COUNT):
        values = features.extract(splice.samples, model.features)
        logs = acoustic.of_one(model, values)
        ids, found = model.vocabulary.encode(splice.text), Greedy().decode(Greedy().prune(logs)).ids
        right = np.zeros(len(ids), bool)
        for operation in Levenshtein.opcodes(ids.tolist(), found.tolist()):
            if operation.tag == "equal":
                right[operation.src_start : operation.src_end] = True
        try:
            yield Heard(splice, logs, timing.loudness(values), alignment.align(logs, ids), right)
        except alignment.TooLongError:
            continue


def _ways(step: float, offset: float) -> dict[str, Callable[[Heard], np.ndarray]]:
    """Start and end of every token, float64 [tokens, 2], by the name of the way."""
    fitted = Calibration(offset=offset)

    def spikes(heard: Heard) -> np.ndarray:
        return timing.estimate(heard.spans, len(heard.logs), step, fitted, None)

    def blanks(heard: Heard) -> np.ndarray:
        times = spikes(heard)
        times[:, 1] = np.minimum(times[:, 1], heard.spans[:, 1] * step + offset)
        return times

    def energy(heard: Heard) -> np.ndarray:
        return timing.estimate(heard.spans, len(heard.logs), step, fitted, heard.loud)

    def uncalibrated(heard: Heard) -> np.ndarray:
        return timing.estimate(heard.spans, len(heard.logs), step, None, heard.loud)

    return {
        "next token's spike": spikes,
        "until the blanks": blanks,
        "silence, no offset": uncalibrated,
        "silence (used)": energy,
    }


def _errors(heard: Heard, times: np.ndarray, of_right: bool) -> Iterator[tuple[float, bool]]:
    """Of the borders of all parts, or of those whose character was recognised; and whether there is no pause at it."""
    firsts, borders = heard.splice.firsts(), heard.splice.borders
    lasts = [first + len(one) - 1 for first, one in zip(firsts, heard.splice.texts, strict=True)]
    for i, (start, end) in enumerate(borders):
        if heard.right[firsts[i]] or not of_right:
            yield times[firsts[i], 0] - start, i > 0 and borders[i - 1][1] == start
        if heard.right[lasts[i]] or not of_right:
            yield times[lasts[i], 1] - end, i + 1 < len(borders) and borders[i + 1][0] == end


def _said(errors: list[float]) -> str:
    values = 1000 * np.abs(errors)
    return f"{np.median(values):4.0f} {np.percentile(values, 90):5.0f} {np.mean(values <= 150):6.1%}"


def _picture(heard: Heard, times: np.ndarray) -> str:
    """SVG: loudness over time, the characters as they were found, the known borders of the parts."""
    width, height, scale = 720, 150, 700 / (0.01 * len(heard.loud))
    quiet = heard.loud.max() - 70.0
    points = " ".join(
        f"{10 + scale * 0.01 * frame:.1f},{100 - 90 * (max(value, quiet) - quiet) / 70:.1f}"
        for frame, value in enumerate(heard.loud.tolist())
    )
    marks = [
        f'<path d="M{10 + scale * at:.1f} 5V140" stroke="#b4472f" stroke-dasharray="4 3"/>'
        for border in heard.splice.borders
        for at in border
    ]
    for character, (start, end) in zip(heard.splice.text, times.tolist(), strict=True):
        left, size = 10 + scale * start, scale * (end - start)
        marks.append(f'<rect x="{left:.1f}" y="108" width="{size:.1f}" height="26" fill="#a9c3dc" stroke="#3a78b5"/>')
        marks.append(f'<text x="{left + size / 2:.1f}" y="126" text-anchor="middle" font-size="15">{character}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<rect width="{width}" height="{height}" fill="#fff"/>'
        f'<polyline points="{points}" fill="none" stroke="#67707a"/>{"".join(marks)}</svg>\n'
    )


@ends_with_a_sentence
def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.times", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="the folder of a checkpoint or a bundle")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw a splice of four parts there, as SVG")
    arguments = parser.parse_args()
    model = opening.load(arguments.model, "auto")
    dev = splicing.splices(Manifest(layout.manifest_path("dev")), model.features.sample_rate, _COUNT)
    offset = splicing.offset(model, dev) or 0.0
    test = list(_hear(model, "test"))
    print(f"{len(test)} splices; offset {1000 * offset:.0f} ms, fitted on dev; errors in ms: median, 90 %, within 150")
    if arguments.picture:
        four = next(heard for heard in test if len(heard.splice.texts) == 4 and heard.right.all())
        times = timing.estimate(four.spans, len(four.logs), model.step_seconds, Calibration(offset=offset), four.loud)
        arguments.picture.write_text(_picture(four, times), encoding="utf-8")
    for of_right, whose in ((True, "characters recognised right"), (False, "all characters")):
        for name, way in _ways(model.step_seconds, offset).items():
            found = [error for heard in test for error in _errors(heard, way(heard), of_right)]
            ours = _said([error for error, _ in found])
            bare = _said([error for error, is_bare in found if is_bare])
            print(f"{whose:28} {name:20} {ours}   without a pause {bare}   {len(found)} borders")


if __name__ == "__main__":
    main()
