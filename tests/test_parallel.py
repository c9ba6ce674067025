import os
import signal
from multiprocessing.connection import Connection

import pytest

from ds2 import parallel
from tests.process import Stage

# The worker is still starting when its parent dies: nothing has been set up yet that would tell it.
DIES_AT_ONCE = """
import os
import signal

from ds2 import parallel

if __name__ == "__main__":
    parallel.Workers(2).submit(len, "ab")
    os.kill(os.getpid(), signal.SIGKILL)
"""

# The first worker is killed while the second is being started, and the pool has time to notice.
DIES_AMONG_STARTS = """
import multiprocessing
import sys
import time

from ds2 import parallel


class Sent:
    def __reduce__(self):
        for worker in multiprocessing.active_children():
            worker.kill()
            worker.join()
            time.sleep(1)
        return Sent, ()


if __name__ == "__main__":
    with parallel.Workers(3, print, Sent()) as workers:
        try:
            list(parallel.prefetch(workers, len, ["a"] * 20, ahead=6))
        except parallel.WorkerKilledError as error:
            sys.exit(str(error))
"""


# The pool is never closed, and the traceback keeps it alive.
NEVER_CLOSED = """
from ds2 import parallel

if __name__ == "__main__":
    for _ in parallel.prefetch(parallel.Workers(2), len, ["ab"] * 9, ahead=4):
        raise SystemError
"""


def half_sent(size):
    """In a worker: it is killed when it has written half of its result."""

    def send(link, data):
        if len(data) > size:
            os.write(link.fileno(), data[: size // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(link.fileno(), data)

    Connection._send = send
    return bytes(size)


@pytest.mark.parametrize("size", [100, 1000, 100_000])
@pytest.mark.parametrize("count", [1, 3])
def test_a_worker_that_is_killed_in_the_middle_of_a_result_holds_up_nothing(size, count):
    with parallel.Workers(count) as workers:
        others = [workers.submit(abs, -number) for number in range(3 * count)]
        lost = workers.submit(half_sent, size)
        later = [workers.submit(abs, -number) for number in range(20)]
        assert [other.result(60) for other in others] == list(range(3 * count))
        with pytest.raises(parallel.WorkerKilledError):
            lost.result(60)
        assert all(isinstance(one.exception(60), parallel.WorkerKilledError | None) for one in later)
        with pytest.raises(parallel.WorkerKilledError):
            list(parallel.prefetch(workers, abs, range(20), ahead=4))


def test_what_goes_wrong_in_a_worker_is_raised_here_with_its_traceback_and_the_worker_goes_on():
    with parallel.Workers(1) as workers:
        with pytest.raises(ZeroDivisionError) as error:
            workers.submit(divmod, 1, 0).result(60)
        assert "in _work" in str(error.value.__cause__)
        with pytest.raises(Exception, match=r"[Pp]ickle"):
            workers.submit(eval, "lambda: 0").result(60)
        assert workers.submit(divmod, 7, 2).result(60) == (3, 1)


def test_a_pool_that_nobody_closes_does_not_keep_a_process_from_ending(tmp_path):
    (tmp_path / "open.py").write_text(NEVER_CLOSED)
    process = Stage(tmp_path, "open.py")
    assert process.end(60) == 1
    assert process.lines[-1].text == "SystemError"
    assert process.orphans() == []


def test_a_worker_that_is_killed_while_others_start_ends_all_on_its_sentence(tmp_path):
    (tmp_path / "dies.py").write_text(DIES_AMONG_STARTS)
    process = Stage(tmp_path, "dies.py")
    assert process.end(60) == 1
    assert [line.text for line in process.lines] == [str(parallel.WorkerKilledError())]
    assert process.orphans() == []


def test_workers_that_start_when_their_parent_is_killed_end_too(tmp_path):
    (tmp_path / "dies.py").write_text(DIES_AT_ONCE)
    process = Stage(tmp_path, "dies.py")
    assert process.process.wait(60) == -signal.SIGKILL
    left = process.orphans(patience=20)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    process.end()
    assert left == []


def test_a_number_of_processes_is_what_it_says_and_auto_one_a_core():
    assert [parallel.processes(count) for count in (0, 1, 5)] == [0, 1, 5]
    assert parallel.processes("auto") == len(os.sched_getaffinity(0))
