"""A training step of two processes that share a batch, beside that of one process on one core.

- steps: a second, of batches of 16 for 32 channels, 2 x 192; beside it those of one process on one core.
- of the cores: the ratio of these two over that of products of two matrices on two cores and on one. In turns.
- waiting: the share of a step in which a process waits for the other one.
- messages, sent: of each process, in a step.

Each process keeps to a core of its own, so that there must be two.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle

from benchmarks import step
from benchmarks.corpus import Corpus
from benchmarks.table import RUNS, Row
from ds2 import params
from ds2.data.batches import shares
from ds2.data.loader import Loader
from ds2.data.manifest import Manifest
from ds2.distributed import launch, process_group

_STEPS = 4  # in a turn
_UTTERANCES = 128
_TITLE = "two processes, 32 channels, 2 x 192"
_STEP, _PRODUCT = "step", "product"


def rows(corpus: Corpus) -> list[Row]:
    """All of them."""
    with tempfile.TemporaryDirectory() as name:
        corpus.first(_UTTERANCES).manifest(Path(name) / "manifest")
        (Path(name) / "settings").write_text(corpus.settings.model_dump_json())
        plan = launch.Plan(2)
        places = list(zip(launch.environments(plan), launch.cores_of_each(plan), strict=True))
        two = [_start(name, environment, cores[0]) for environment, cores in places]
        one = [_start(name, {"OMP_NUM_THREADS": "1"}, places[0][1][0])]
        turns = [(one, _STEP), (two, _STEP), (one, _PRODUCT), (two, _PRODUCT)]
        found = [[_turn(*turn) for turn in turns] for _ in range(RUNS + 1)][1:]
        for process in (*two, *one):
            process.stdin.close()
        for process in (*two, *one):
            process.wait()
    slowest = [[max(said["seconds"] for said in turn) for turn in run] for run in found]
    alone, together = (statistics.median(_STEPS / run[i] for run in slowest) for i in range(2))
    of_cores = [alone / together / (2 * product / products) for alone, together, product, products in slowest]
    said = [one for run in found for one in run[1]]
    return [
        Row(f"{_TITLE}: steps", "1/s", together, alone),
        Row(f"{_TITLE}: of the cores", "share", statistics.median(of_cores)),
        Row(f"{_TITLE}: waiting", "share", statistics.median(one["waited"] / one["seconds"] for one in said)),
        Row(f"{_TITLE}: messages", "a step", said[0]["messages"] / _STEPS),
        Row(f"{_TITLE}: sent", "MB a step", said[0]["bytes"] / _STEPS / 1e6),
    ]


def _start(folder: str, environment: dict[str, str], core: int) -> subprocess.Popen:
    # ds2 comes before paddle.
    code = f"import ds2; from benchmarks import processes; processes.serve({folder!r}, {core})"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _turn(processes: list[subprocess.Popen], what: str) -> list[dict[str, float]]:
    """Has processes do something at the same time; what they say of it."""
    for process in processes:
        process.stdin.write(f"{what}\n")
        process.stdin.flush()
    return [json.loads(process.stdout.readline()) for process in processes]


class _Counts:
    """What a process sends to the others, and the seconds for which it waits."""

    def __init__(self, group: process_group.Group) -> None:
        self.clear()
        start = group.start_all_reduce
        group.barrier = self._waiting(group.barrier)
        group.all_reduce = self._waiting(self._sending(group.all_reduce))
        group.start_all_reduce = self._sending(lambda values: self._waiting(start(values)))

    def clear(self) -> None:
        self.waited, self.messages, self.bytes = 0.0, 0, 0

    def _waiting(self, function: Callable) -> Callable:
        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                self.waited += time.perf_counter() - start

        return timed

    def _sending(self, function: Callable) -> Callable:
        def counted(values: paddle.Tensor) -> Any:
            self.messages, self.bytes = self.messages + 1, self.bytes + 4 * values.size
            return function(values)

        return counted


def serve(name: str, core: int) -> None:
    """Does on a core what is asked for on the standard input, and says how long it took."""
    os.sched_setaffinity(0, [core])
    folder = Path(name)
    paddle.set_device("cpu")
    group = process_group.join()
    counts = _Counts(group) if group.world_size > 1 else None
    manifest, settings = Manifest(folder / "manifest"), params.from_dict(json.loads((folder / "settings").read_text()))
    made = step.Made.of(step.CHANNELS_32, manifest, settings, group)
    share = [shares(made.plan[i], made.settings.train, group.rank, group.world_size)[0] for i in range(_STEPS)]
    with Loader(manifest, made.assembler, workers=0) as loader:
        batches = list(loader.load(share, step.EPOCH))
    for line in map(str.strip, sys.stdin):
        if counts is not None:
            counts.clear()
        start = time.perf_counter()
        if line == _PRODUCT:
            step.product_rate(1)
        else:
            for number, batch in enumerate(batches, start=1):
                made.step([batch], number, settings.train.learning_rate)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, **(vars(counts) if counts is not None else {})}), flush=True)
    group.shutdown()
