"""Gradients sent while others are computed, between two real processes."""

import os
import subprocess
import sys

import pytest

from ds2.distributed.launch import LOST, Plan, environments
from tests.distributed import test_process_group as stage

pytestmark = pytest.mark.wheel

# Four layers, each a bucket, of which one, `spare`, has no gradient unless it is used.
START = """
import os, signal, sys
import ds2
import numpy as np
import paddle
from paddle import nn
from ds2.distributed import buckets, launch, process_group

paddle.set_device("cpu")
group = process_group.join()
buckets._LEAST_BYTES = 1000
paddle.seed(1)
layers = [nn.Linear(16, 16) for _ in range(3)]
spare = nn.Linear(16, 16)
parameters = [one for layer in (layers[0], spare, *layers[1:]) for one in layer.parameters()]
made = buckets.Buckets(parameters, group)

def backward(seed, last=True, uses_spare=False):
    random = np.random.default_rng((seed, group.rank))
    x = paddle.to_tensor(random.normal(0, 1, (4, 16)).astype("f"))
    for layer in layers:
        x = paddle.tanh(layer(x))
    made.backward(((spare(x) if uses_spare else x) ** 2).sum(), last)
"""

SAME_BITS = """
backward(1, last=False)
backward(2, last=False)
used = [one for one in parameters if one.grad is not None]
assert len(used) == 6
together = group.all_reduce(paddle.concat([one.grad.flatten() for one in used])).numpy()
assert np.any(together != np.concatenate([one.grad.numpy().ravel() for one in used]))
for one in used:
    one.clear_grad()

messages, order = [], []
start = group.start_all_reduce
group.start_all_reduce = lambda values: (messages.append(values.size), start(values))[1]
layers[0].weight._register_backward_hook(lambda: order.append(len(messages)))
backward(1, last=False)
backward(2)
others = [paddle.full([3, 2], group.rank + 1.0), paddle.ones([])]
found = made.sums(others)
assert order == [0, 2], order  # of the last backward pass alone; what comes behind an unused one waits for the end
assert len(messages) == 4
assert found[0].tolist() == [[3.0, 3.0]] * 3 and found[1].shape == [] and float(found[1]) == 2.0
assert np.array_equal(np.concatenate([one.grad.numpy().ravel() for one in used]), together)
assert not any(one.grad.numpy().any() for one in spare.parameters())  # none in any process: zero
group.shutdown()
"""

WITHOUT = """
backward(1, last=False, uses_spare=group.rank == 1)
own = [np.zeros(one.shape, "f") if one.grad is None else one.grad.numpy() for one in parameters]
expected = [group.all_reduce(paddle.to_tensor(one)).numpy() for one in own]
for one in parameters:
    one.clear_gradient(False)
backward(1, uses_spare=group.rank == 1)
made.sums([])
assert (spare.weight.grad.numpy() != 0).any()
assert all(np.array_equal(one.grad.numpy(), total) for one, total in zip(parameters, expected))
group.shutdown()
"""

KILLED = """
try:
    if group.rank == 1:
        layers[1].weight._register_backward_hook(lambda: os.kill(os.getpid(), signal.SIGKILL))
    backward(1)
    made.sums([])
except process_group.LostError:
    os._exit(launch.LOST)
"""

# The stage, whose second process is killed while it computes its first gradients.
STAGE = """
import os
import signal
from ds2 import params, stage
from ds2.distributed import launch
from stages import train

def main(settings):
    if launch.needed():
        launch.supervise(launch.plan(settings), "killed")
    else:
        from ds2.distributed import buckets
        buckets._LEAST_BYTES = 1000
        start = buckets.Buckets._start

        def dying(self):
            start(self)
            if len(self._started) == int(os.environ["KILLED_AT"]) and os.environ["PADDLE_TRAINER_ID"] == "1":
                os.kill(os.getpid(), signal.SIGKILL)

        buckets.Buckets._start = dying
        train.main(settings)

if __name__ == "__main__":
    stage.run(main, __doc__)
"""


def run_two(code, folder):
    """The exit codes of two processes that run a code, and what they have said."""
    running = []
    for rank, environment in enumerate(environments(Plan(2))):
        with open(folder / f"said.{rank}", "wb") as said:
            path = {"PYTHONPATH": str(stage.REPOSITORY)}
            command = [sys.executable, "-c", START + code]
            running.append(subprocess.Popen(command, env=os.environ | environment | path, stdout=said, stderr=said))
    try:
        codes = [process.wait(timeout=200) for process in running]
    finally:
        for process in running:
            process.kill()
    return codes, "".join((folder / f"said.{rank}").read_text(errors="replace") for rank in (0, 1))


def test_sums_in_buckets_have_the_bits_of_one_sum_of_everything_and_begin_in_the_backward_pass(tmp_path):
    codes, said = run_two(SAME_BITS, tmp_path)
    assert codes == [0, 0], said


def test_a_gradient_that_only_one_process_has_is_all_processes_gradient(tmp_path):
    codes, said = run_two(WITHOUT, tmp_path)
    assert codes == [0, 0], said


def test_a_process_that_is_killed_in_the_backward_pass_is_lost_to_one_that_waits_for_its_sums(tmp_path):
    codes, said = run_two(KILLED, tmp_path)
    assert codes == [LOST, -9], said


place = stage.place


@pytest.mark.parametrize("killed_at", [1, 3])
def test_a_process_killed_in_the_backward_pass_ends_the_stage_with_one_sentence(killed_at, place):
    (place / "killed.py").write_text(STAGE)
    stage.write_params(place, 2, num_epoch=500)
    path = f"{stage.REPOSITORY}{os.pathsep}{place}"
    with open(place / "stage.log", "wb") as log:
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "KILLED_AT": str(killed_at)}
        process = subprocess.Popen([sys.executable, "-m", "killed"], cwd=place, env=environment, stdout=log, stderr=log)
    assert process.wait(timeout=100) == 1
    said = stage.log(place)
    assert "another process of the training is gone: " in said
    assert "error: process 1 was killed by SIGKILL" in said.splitlines()[-1]
    assert "Traceback" not in said
