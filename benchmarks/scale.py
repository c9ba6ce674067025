"""A training of five million utterances, up to its first batch.

The manifest's lines name the corpus's recordings over and over. Measured is all that python -m stages.train does, from
the start of its process to the first batch in the hands of the training step: reading and checking the manifest,
its hash for the fingerprint, the model, the order of the epoch, the workers. Memory is the greatest that this process
and its workers took, together. On a machine that does something else too, processor time tells more.
"""

import json
import os
import re
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.corpus import Corpus
from benchmarks.table import Row
from ds2 import layout, parallel, params
from ds2.data import batches, mean_istd
from ds2.data.loader import Batch
from ds2.data.vocabulary import Vocabulary

_LINES = 5_000_000


class _FirstBatch(BaseException):
    """Has arrived. No error, and nothing that anything on the way would catch as one."""


def rows(corpus: Corpus) -> list[Row]:
    """All of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(corpus, folder)
        with parallel.Workers(1) as executor:
            seconds, processor, gigabytes = executor.submit(_first_batch, folder, corpus.settings, time.time()).result()
    durations = np.random.default_rng(1).uniform(0.5, 20.0, _LINES)
    start = time.perf_counter()
    batches.of_epoch(durations, corpus.settings.train.batch_size, 1, 2)
    shuffled = time.perf_counter() - start
    return [
        Row(f"{_LINES:,} lines: start to first batch", "s", seconds),
        Row(f"{_LINES:,} lines: of that, processor time", "s", processor),
        Row(f"{_LINES:,} lines: memory", "GB", gigabytes),
        Row(f"{_LINES:,} lines: order of a shuffled epoch", "s", shuffled),
    ]


def _write(corpus: Corpus, folder: Path) -> None:
    """What the stages before the training make."""
    few = corpus.first(64)
    manifest = few.manifest(folder / layout.manifest_path("dev"))
    mean_istd.compute(manifest, corpus.settings, workers=1)[0].write(folder / layout.MEAN_ISTD)
    Vocabulary.of(utterance.text for utterance in manifest).write(folder / layout.VOCABULARY)
    lines = [json.dumps(utterance.as_json(), ensure_ascii=False)[:-1] for utterance in few.utterances]
    with open(folder / layout.manifest_path("train"), "w", encoding="utf-8") as file:
        # A name of its own for every line, so that none is like another.
        file.writelines(f'{lines[i % len(lines)]}, "speaker": "speaker-{i}"}}\n' for i in range(_LINES))


def _first_batch(folder: Path, settings: params.Params, started: float) -> tuple[float, float, float]:
    """Seconds, seconds of processor time, gigabytes."""
    from ds2.training import session
    from ds2.training.step import Step

    def stop(step: Step, arrived: Iterable[Batch], *place: object) -> None:
        next(iter(arrived))
        raise _FirstBatch(time.time() - started, time.process_time(), _peak("self") + sum(map(_peak, _children())))

    os.environ.pop("DVC_ROOT", None)
    os.chdir(folder)
    Step.__call__ = Step.probe = stop
    try:
        session.train(settings)
    except _FirstBatch as first:
        return first.args
    raise RuntimeError("the training ended without a batch")


def _peak(process: str) -> float:
    """The most memory that a process took, in GB."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())[1]) / 1e6


def _children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
