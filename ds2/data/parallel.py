"""Work on many items in several processes, in order, with a progress bar on a terminal."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from typing import Any, TypeVar

from tqdm import tqdm

from ds2.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def processes(num_workers: int | str) -> int:
    """The number that `runtime.num_workers` stands for when a stage works through files."""
    return len(os.sched_getaffinity(0)) if num_workers == "auto" else int(num_workers)


def _start_worker(prepare: Callable[..., None] | None, arguments: tuple) -> None:
    """Runs first in every worker process: it ends with its parent, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: also after a kill -9 of the parent
        parent = multiprocessing.parent_process()
        if parent is not None and os.getppid() != parent.pid:
            os._exit(1)  # it died before that: nobody would tell this process
    if prepare is not None:
        prepare(*arguments)


def pool(workers: int, prepare: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """Worker processes that start clean: no forked threads, no copy of the parent's memory.

    Args:
        workers: how many.
        prepare: called with the arguments once in every worker.
        arguments: sent to every worker once.
    """
    return ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(prepare, arguments)
    )


def chunks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """The items in runs of `size`; the last may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def prefetch(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yields function(item) for every item, in order, with up to `ahead` of them in work or waiting.

    Raises:
        UserError: a worker process was killed from outside.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise UserError("a worker process was killed, perhaps for want of memory: lower runtime.num_workers") from None
    finally:
        for future in waiting:
            future.cancel()


def ordered_map(
    function: Callable[[Sequence[Item]], Result], batches: Sequence[Sequence[Item]], workers: int, title: str
) -> Iterator[Result]:
    """Yields function(batch) for every batch, in order, from worker processes; few batches: from this one.

    Args:
        function: a picklable function.
        batches: what it is called with; the progress bar counts the items in them.
        workers: processes.
        title: the bar's label.

    Raises:
        UserError: as `prefetch`.
    """
    with (
        tqdm(total=sum(map(len, batches)), desc=title, unit=" utt", disable=None, leave=False) as bar,
        ExitStack() as stack,
    ):
        if workers <= 1 or len(batches) <= 1:
            results = map(function, batches)
        else:
            executor = stack.enter_context(pool(min(workers, len(batches))))
            results = prefetch(executor, function, batches, 4 * workers)
        for batch, result in zip(batches, results, strict=True):
            bar.update(len(batch))
            yield result
