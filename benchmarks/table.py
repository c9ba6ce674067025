"""Measuring and showing."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RUNS = 5


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        what: is measured.
        unit: of the two numbers.
        ours: ds2's.
        peer: that of the usual way, where there is one.
    """

    what: str
    unit: str
    ours: float
    peer: float | None = None


def interleaved(ours: Callable[[], object], peer: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of processor time of two pieces of work, run in turns so that the machine's moods hit both.

    The first turn, in which tables are made and files come into memory, does not count.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS + 1):
        for work, seconds in zip((ours, peer), found, strict=True):
            start = time.process_time()
            work()
            seconds.append(time.process_time() - start)
    return statistics.median(found[0][1:]), statistics.median(found[1][1:])


def show(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    cells = [("", "unit", "ds2", "peer", "ratio")]
    for row in rows:
        peer, ratio = ("", "") if row.peer is None else (_number(row.peer), f"{row.ours / row.peer:.1f}")
        cells.append((row.what, row.unit, _number(row.ours), peer, ratio))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        left = [cell.ljust(width) for cell, width in zip(line[:2], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
        lines.append(f"| {' | '.join(left + right)} |")
    rule = [("-" * (width + 1) + ":" if i > 1 else "-" * (width + 2)) for i, width in enumerate(widths)]
    return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
