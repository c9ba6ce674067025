"""Work on many items in several processes, in order, with a progress bar on a terminal."""

import atexit
import ctypes
import itertools
import math
import multiprocessing
import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
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


class Workers(Executor):
    """Worker processes that start clean: no forked threads, no copy of the parent's memory.

    Each has a pipe and a thread of its own here, and shares no lock and no queue with another: one that is killed,
    even in the middle of a result, is noticed at once and holds up no other. They start at the first task.
    """

    def __init__(self, count: int, prepare: Callable[..., None] | None = None, *arguments: Any) -> None:
        """
        Args:
            count: of processes.
            prepare: called with the arguments once in every worker.
            arguments: sent to every worker once.
        """
        self._threads = ThreadPoolExecutor(count)
        self._count = count
        self._preparation = (prepare, arguments)
        self._processes: list[BaseProcess] = []
        self._idle: SimpleQueue[Connection] = SimpleQueue()

    def submit(self, function: Callable[..., Result], /, *arguments: Any) -> Future[Result]:
        """Has a worker call the function.

        Raises:
            UserError: a process cannot be started. In the future: WorkerKilledError, or what the function raised.
        """
        if not self._processes:
            self._start()
        return self._threads.submit(self._call, function, arguments)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the processes, after the tasks that they are at; always waits for that."""
        self._threads.shutdown(cancel_futures=cancel_futures)
        while not self._idle.empty():
            self._idle.get().close()
        for process in self._processes:
            process.join()
        atexit.unregister(self.shutdown)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        for _ in range(self._count):
            try:
                ours, theirs = context.Pipe()
                self._idle.put(ours)
                process = context.Process(target=_work, args=(theirs, *self._preparation))
                with theirs:
                    process.start()
            except BrokenPipeError:
                raise WorkerKilledError from None
            except OSError as error:
                raise UserError(
                    f"worker processes cannot be started ({error.strerror}): lower runtime.num_workers"
                ) from None
            self._processes.append(process)
        # Registered after multiprocessing's own, thus called before it, which waits for the processes.
        atexit.register(self.shutdown)

    def _call(self, function: Callable[..., Result], arguments: tuple) -> Result:
        link = self._idle.get()
        try:
            link.send((function, arguments))
            result, error, trace = link.recv()
        except (EOFError, OSError):
            raise WorkerKilledError from None
        finally:
            self._idle.put(link)
        if error is not None:
            raise error from _InWorkerError(trace)
        return result


class _InWorkerError(Exception):
    """The traceback of a worker process."""


def _work(link: Connection, prepare: Callable[..., None] | None, arguments: tuple) -> None:
    """A worker process: it answers until the pipe is closed, ends with its parent, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    if sys.platform == "linux":
        parent = multiprocessing.parent_process()
        if parent is not None and os.getppid() != parent.pid:
            os._exit(1)  # it died before that: nobody would tell this process
    if prepare is not None:
        prepare(*arguments)
    while True:
        try:
            function, arguments = link.recv()
        except (EOFError, OSError):
            return
        try:
            link.send((function(*arguments), None, ""))
        except Exception as error:
            link.send((None, error, f"\n{traceback.format_exc()}"))


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
            results = prefetch(stack.enter_context(Workers(workers)), function, counted(), 4 * workers)
        for result in results:
            bar.update(sizes.popleft())
            yield result
