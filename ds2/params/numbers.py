"""Numbers on the command line, within bounds."""

import argparse
import re
from collections.abc import Callable

# As YAML has them; int() and float() also take full-width and Arabic digits, underscores and spaces.
_INTEGER = re.compile(r"[-+]?\d{1,18}", re.ASCII)
REAL = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?"
_REAL = re.compile(REAL, re.ASCII | re.IGNORECASE)


def integer(low: int, high: int) -> Callable[[str], int]:
    """A `type` of argparse: an integer from `low` to `high`."""

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text[:40]!r}: it must be an integer from {low} to {high}")
        return int(text)

    return parse


def real(low: float, high: float) -> Callable[[str], float]:
    """A `type` of argparse: a number from `low` to `high`."""

    def parse(text: str) -> float:
        if not _REAL.fullmatch(text) or not low <= float(text) <= high:
            raise argparse.ArgumentTypeError(f"{text[:40]!r}: it must be a number from {low:g} to {high:g}")
        return float(text)

    return parse
