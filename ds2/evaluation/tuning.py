"""The weights of a beam search that make the fewest errors on held-out data, from one pass of the network."""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ds2 import parallel
from ds2.data.manifest import Manifest
from ds2.data.vocabulary import Vocabulary
from ds2.decoding.beam import BeamSearch
from ds2.decoding.candidates import Candidates
from ds2.decoding.greedy import Greedy
from ds2.evaluation import error_rate
from ds2.evaluation.error_rate import Errors
from ds2.files import replacing
from ds2.metrics import TOKENS
from ds2.recognition.manifest_pass import ManifestPass

# In steps that the error rate hardly sees; around the best the steps are then halved, twice.
_ALPHAS = tuple(np.arange(0.0, 4.01, 0.5).tolist())
_BETAS = tuple(np.arange(-2.0, 8.01, 1.0).tolist())
_HALVINGS = 2
# Utterances, spread over the manifest: more would cost hours and move the best weights little.
_MOST = 1000


@dataclass(frozen=True)
class Point:
    """What a pair of weights came to."""

    alpha: float
    beta: float
    errors: Errors


@dataclass(frozen=True)
class Utterances:
    """What is decoded again and again."""

    kept: Sequence[Candidates]  # the candidates of each
    references: Sequence[str]  # their transcripts


def collect(network: ManifestPass, manifest: Manifest, search: BeamSearch) -> Utterances:
    """Runs the network over a manifest, once, and keeps of no more than a thousand utterances what a search needs."""
    wanted = np.unique(np.linspace(0, len(manifest) - 1, min(_MOST, len(manifest))).round().astype(np.int64)).tolist()
    kept = dict.fromkeys(wanted)
    for position, logs in itertools.chain.from_iterable(network):
        if position in kept:
            kept[position] = search.prune(logs)
    return Utterances(list(kept.values()), [utterance.text for utterance in manifest.pick(wanted)])


def tune(utterances: Utterances, search: BeamSearch, vocabulary: Vocabulary, metric: str) -> list[Point]:
    """Decodes with a grid of weights, then with finer steps around the best; returns all points in their order."""
    points: dict[tuple[float, float], Point] = {}
    cores = parallel.processes("auto")
    with (
        ThreadPoolExecutor(cores) as threads,
        tqdm(total=len(_ALPHAS) * len(_BETAS), desc="weights", disable=None, leave=False) as bar,
    ):

        def decode(weights: tuple[float, float], kept: Candidates, reference: str) -> Errors:
            one = replace(search, alpha=weights[0], beta=weights[1])
            tokens = TOKENS[metric]
            return error_rate.compare(tokens(reference), tokens(vocabulary.decode(one(kept)[0].ids)))

        def measure(pairs: Sequence[tuple[float, float]]) -> None:
            for weights in pairs:
                each = threads.map(decode, itertools.repeat(weights), utterances.kept, utterances.references)
                points[weights] = Point(*weights, sum(each, Errors()))
                bar.update()

        measure(list(itertools.product(_ALPHAS, _BETAS)))
        for halving in range(1, _HALVINGS + 1):
            pairs = [pair for pair in _around(best(list(points.values())), 0.5**halving) if pair not in points]
            bar.total += len(pairs)
            measure(pairs)
    return [points[weights] for weights in sorted(points)]


def greedy(utterances: Utterances, vocabulary: Vocabulary, metric: str) -> Errors:
    """The errors of ctc_greedy on the same utterances, of whose candidates the first of each step is the likeliest."""
    tokens, decoder = TOKENS[metric], Greedy()
    paths = (one.tokens[one.bounds[:-1]] for one in utterances.kept)
    texts = (vocabulary.decode(decoder.decode((path, 0.0)).ids) for path in paths)
    pairs = zip(utterances.references, texts, strict=True)
    return sum((error_rate.compare(tokens(reference), tokens(text)) for reference, text in pairs), Errors())


def best(points: Sequence[Point]) -> Point:
    """The point with the fewest errors; of several the one nearest to their middle, the safest on other data."""
    fewest = min(point.errors.total for point in points)
    equal = [point for point in points if point.errors.total == fewest]
    middle = np.mean([(point.alpha, point.beta) for point in equal], axis=0)
    return min(equal, key=lambda p: ((p.alpha - middle[0]) ** 2 + (p.beta - middle[1]) ** 2, p.alpha, p.beta))


def _around(point: Point, factor: float) -> Iterator[tuple[float, float]]:
    alphas, betas = factor * (_ALPHAS[1] - _ALPHAS[0]), factor * (_BETAS[1] - _BETAS[0])
    for i, j in itertools.product((-1, 0, 1), repeat=2):
        if point.alpha + i * alphas >= 0:
            yield point.alpha + i * alphas, point.beta + j * betas


def write_table(path: Path, points: Sequence[Point], metric: str) -> None:
    """One line a point: the weights, the rate, the counts of errors."""
    with replacing(path) as file:
        file.write(f"alpha\tbeta\t{metric}\tsubstitutions\tdeletions\tinsertions\n")
        for alpha, beta, e in ((point.alpha, point.beta, point.errors) for point in points):
            file.write(f"{alpha:g}\t{beta:g}\t{e.rate:.6f}\t{e.substitutions}\t{e.deletions}\t{e.insertions}\n")


def write_picture(path: Path, points: Sequence[Point], metric: str) -> None:
    """A heat map of the grid, the finer points as dots, the best as a star."""
    from matplotlib.figure import Figure

    rates = {(point.alpha, point.beta): 100 * point.errors.rate for point in points}
    grid = np.array([[rates[alpha, beta] for alpha in _ALPHAS] for beta in _BETAS])
    chosen = best(points)
    low = 100 * chosen.errors.rate
    # Bad corners must not take all the colours.
    high = max(float(np.median(grid)), low + 1e-6)
    figure = Figure(figsize=(8, 6), layout="constrained")  # drawn by Agg, which needs no screen
    axes = figure.add_subplot()
    image = axes.pcolormesh(_ALPHAS, _BETAS, grid, vmin=low, vmax=high, cmap="viridis_r", shading="nearest")
    for (column, alpha), (row, beta) in itertools.product(enumerate(_ALPHAS), enumerate(_BETAS)):
        value = grid[row, column]
        color = "white" if value > low + 0.6 * (high - low) else "black"
        axes.text(alpha, beta, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    axes.plot(*zip(*((p.alpha, p.beta) for p in points), strict=True), ".", color="black", markersize=1.5)
    axes.plot(chosen.alpha, chosen.beta, "*", color="red", markersize=14)
    axes.set(xlabel="evaluate.alpha", ylabel="evaluate.beta", title=f"{metric.upper()} on the dev set, %")
    figure.colorbar(image, extend="max")
    with replacing(path, "wb") as file:
        figure.savefig(file, format="png", dpi=120)
