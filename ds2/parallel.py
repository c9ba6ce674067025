"""Work on many items in several processes, in order, with a progress bar on a terminal."""

import ctypes
import itertools
import math
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


class WorkerKilledError(UserError):
    """A worker process was killed from outside, most likely by the kernel for want of memory."""

    def __init__(self) -> None:
        super().__init__("a worker process was killed, perhaps for want of memory: lower runtime.num_workers")


def processes(num_workers: int | str) -> int:
    """The number that `runtime.num_workers` stands for when a stage works through files."""
    return len(os.sched_getaffinity(0)) if num_workers == "auto" else int(num_workers)


def end_with_parent() -> None:
    """Has this process killed when its parent ends, be it by kill -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _start_worker(prepare: Callable[..., None] | None, arguments: tuple) -> None:
    """Runs first in every worker process: it ends with its parent, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    if sys.platform == "linux":
        parent = multiprocessing.parent_process()
        if parent is not None and os.getppid() != parent.pid:
            os._exit(1)  # it died before that: nobody would tell this process
    if prepare is not None:
        prepare(*arguments)


class _Pool(ProcessPoolExecutor):
    """Starts all of its workers at the first task, before its thread begins to watch over them.

    Started one by one, as Python does it, a worker may come while that thread ends the others because one was killed:
    it is then never ended, or its start fails on a closed pipe.
    """

    def _adjust_process_count(self) -> None:
        if self._executor_manager_thread is None:
            while len(self._processes) < self._max_workers:
                super()._adjust_process_count()
            # Else the thread would wait for ever for the rest of a result whose worker was killed while it sent it.
            self._result_queue._writer.close()


def pool(workers: int, prepare: Callable[..., None] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """Worker processes that start clean: no forked threads, no copy of the parent's memory.

    What they make comes back through pipes, so that a container's small /dev/shm is no limit; only the locks of the
    queues lie there, a page each.

    Args:
        workers: how many.
        prepare: called with the arguments once in every worker.
        arguments: sent to every worker once.

    Raises:
        UserError: there is no room for the locks either.
    """
    try:
        return _Pool(
            workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(prepare, arguments)
        )
    except OSError as error:
        raise UserError(
            f"worker processes cannot be started ({error.strerror}): make /dev/shm writable, if only 1 MB of it, or "
            "set runtime.num_workers to 0"
        ) from None


def chunks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """The items in runs of `size`; the last may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def prefetch(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yields function(item) for every item, in order, with up to `ahead` of them in work or waiting.

    Raises:
        WorkerKilledError: the sentence of a killed worker process.
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
        if sys.version_info < (3, 11, 5) and executor._call_queue is not None:
            # Python's own thread may be writing to a pipe that no worker reads any more, and the pool's end waits for
            # that thread: https://github.com/python/cpython/issues/94777
            executor._call_queue._reader.close()
        raise WorkerKilledError from None
    finally:
        for future in waiting:
            future.cancel()


def ordered_map(
    function: Callable[[Sequence[Item]], Result],
    batches: Iterable[Sequence[Item]],
    total: int,
    workers: int,
    title: str,
) -> Iterator[Result]:
    """Yields function(batch) for every batch, in order, from worker processes; a single batch: from this one.

    Batches are taken as they are needed. A bar with the title shows how many of the `total` items in them are done.

    Raises:
        UserError: as `prefetch`.
    """
    batches = iter(batches)
    first = list(itertools.islice(batches, 2))
    sizes: deque[int] = deque()

    def counted() -> Iterator[Sequence[Item]]:
        for batch in itertools.chain(first, batches):
            sizes.append(len(batch))
            yield batch

    with tqdm(total=total, desc=title, unit=" utt", disable=None, leave=False) as bar, ExitStack() as stack:
        if workers <= 1 or len(first) <= 1:
            results = map(function, counted())
        else:
            workers = min(workers, math.ceil(total / len(first[0])))
            results = prefetch(stack.enter_context(pool(workers)), function, counted(), 4 * workers)
        for result in results:
            bar.update(sizes.popleft())
            yield result
