"""The curves of a training, drawn small."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

# A curve of a long training has thousands; a picture this wide shows no more.
_POINTS = 240
# Where the values differ by more than this factor, only a logarithmic axis shows the end of the curve.
_LINEAR = 10.0
# What is this many times smaller than the greatest value lies on the axis below, as zero does.
_MOST = 1e6

WIDTH, HEIGHT = 480, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 14, 28


@dataclass(frozen=True, slots=True)
class Picture:
    """A line and its axes, in a picture of WIDTH x HEIGHT."""

    line: str  # its points as SVG's polyline has them
    across: list[tuple[float, str]]  # ticks of the axis below: position, label
    up: list[tuple[float, str]]  # ticks of the axis at the left
    logarithmic: bool  # the axis at the left is
    lowest: tuple[float, float]  # x and y of the least point
    last: tuple[float, float]  # x and y of the last point


def read(path: Path, x: str, y: str) -> list[tuple[float, float]]:
    """Points of two columns of a file in results/curves; none where there is no such file or column.

    What is no finite number, of a training that diverged, is left out.
    """
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row.get(x) and row.get(y)]
    points = [(float(row[x]), float(row[y])) for row in rows]
    return [point for point in points if all(map(math.isfinite, point))]


def draw(points: list[tuple[float, float]], percent: bool = False) -> Picture | None:
    """A picture of points x, y in the order of x, `percent` where y is a rate; None of fewer than two."""
    if len(points) < 2:
        return None
    lowest, last = min(points, key=lambda point: point[1]), points[-1]
    points = _thin(points)
    positive = [y for _, y in points if y > 0]
    logarithmic = bool(positive) and max(positive) > _LINEAR * min(positive)
    high = max(y for _, y in points)
    low = max(min(positive), high / _MOST) if logarithmic else min(0.0, *(y for _, y in points))
    high = max(high, low + 1e-9)
    start, end = points[0][0], max(points[-1][0], points[0][0] + 1e-9)

    def across(x: float) -> float:
        return round(_LEFT + (x - start) / (end - start) * (WIDTH - _LEFT - _RIGHT), 1)

    def up(y: float) -> float:
        share = math.log(max(y, low) / low) / math.log(high / low) if logarithmic else (y - low) / (high - low)
        return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)

    ticks = _powers(low, high) if logarithmic else _even(low, high)
    form = (lambda y: f"{100 * y:.3g} %") if percent else (lambda y: f"{y:.3g}")
    return Picture(
        line=" ".join(f"{across(x):g},{up(y):g}" for x, y in points),
        across=[(across(x), f"{x:g}") for x in _even(start, end) if x == int(x)],
        up=[(up(y), form(y)) for y in ticks],
        logarithmic=logarithmic,
        lowest=lowest,
        last=last,
    )


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of equally many neighbours."""
    size = -(-len(points) // _POINTS)
    if size == 1:
        return points
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def _even(low: float, high: float) -> list[float]:
    """Three to seven round numbers between the two."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; the powers alone where these would be too many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**exponent for exponent in exponents for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 7:
            break
    return ticks[:: -(-len(ticks) // 7)]
