"""The parts of the benchmarks, each in a process of its own."""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import TypeVar

from benchmarks.corpus import Corpus
from benchmarks.table import Row
from ds2 import parallel

# One thread where single cores are compared; training step and recognition have all of them.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_ENVIRONMENTS = {"data": _ONE_THREAD, "step": {}, "processes": {}, "bundle": {}, "scale": {}}
NAMES = tuple(_ENVIRONMENTS)

_Result = TypeVar("_Result")


def measure(name: str, corpus: Corpus) -> list[Row]:
    """Runs the part of this name in a new process."""
    return apart(_ENVIRONMENTS[name] | {"LOGURU_LEVEL": "WARNING"}, _rows, name, corpus)


def apart(environment: Mapping[str, str], function: Callable[..., _Result], *arguments: object) -> _Result:
    """Calls a function in a new process: math libraries and the log read the environment when they are loaded."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with parallel.Workers(1) as executor:
            return executor.submit(function, *arguments).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _rows(name: str, corpus: Corpus) -> list[Row]:
    return importlib.import_module(f"benchmarks.{name}").rows(corpus)
