import os
import signal

from ds2 import parallel
from tests.process import Stage

# The worker is still starting when its parent dies: nothing has been set up yet that would tell it.
DIES_AT_ONCE = """
import os
import signal

from ds2 import parallel

if __name__ == "__main__":
    parallel.pool(2).submit(len, "ab")
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
    with parallel.pool(3, print, Sent()) as pool:
        try:
            list(parallel.prefetch(pool, len, ["a"] * 20, ahead=6))
        except parallel.WorkerKilledError as error:
            sys.exit(str(error))
"""


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
