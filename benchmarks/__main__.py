"""Prints a table of how fast ds2 is, beside the usual way of doing the same work.

Every part runs in a process of its own. Numbers of different machines, or of a machine that does something else too,
do not compare: the ratios do.
"""

import argparse
import os
from pathlib import Path

from benchmarks import parts, table
from benchmarks.corpus import Corpus
from ds2.errors import UserError, ends_with_a_sentence


@ends_with_a_sentence
def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"parts: {', '.join(parts.NAMES)}; none: all")
    parser.add_argument("--data", type=Path, help="folder with a train.txt (audio path relative to it, tab, text)")
    parser.add_argument("--noise", type=Path, help="folder of noises; else params.yaml's")
    parser.add_argument("--reverb", type=Path, help="folder of impulse responses; else params.yaml's")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in parts.NAMES:
            raise UserError(f"{name} is no part of the benchmarks: there are {', '.join(parts.NAMES)}")
    corpus = Corpus.find(arguments.data, arguments.noise, arguments.reverb)
    rows = [row for name in arguments.names or parts.NAMES for row in parts.measure(name, corpus)]
    print(f"{len(corpus.lines)} utterances, {len(os.sched_getaffinity(0))} cores, medians of {table.RUNS} runs")
    print(table.show(rows))


if __name__ == "__main__":
    main()
