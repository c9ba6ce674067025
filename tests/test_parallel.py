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
