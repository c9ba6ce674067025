"""The parts of the benchmarks, each in a process of its own."""

import importlib
import os

from benchmarks.corpus import Corpus
from benchmarks.table import Row
from ds2 import parallel

# One thread where single cores are compared; training step and recognition have all of them.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_ENVIRONMENTS = {"data": _ONE_THREAD, "step": {}, "bundle": {}, "scale": {}}
NAMES = tuple(_ENVIRONMENTS)


def measure(name: str, corpus: Corpus) -> list[Row]:
    """Runs the part of this name in a new process."""
    before = dict(os.environ)
    # Math libraries, and the log, read it when they are loaded.
    os.environ.update(_ENVIRONMENTS[name], LOGURU_LEVEL="WARNING")
    try:
        with parallel.pool(1) as executor:
            return executor.submit(_rows, name, corpus).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _rows(name: str, corpus: Corpus) -> list[Row]:
    return importlib.import_module(f"benchmarks.{name}").rows(corpus)
