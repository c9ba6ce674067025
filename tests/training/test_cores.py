"""How many cores a training has changes no bit of it: it can be resumed on another machine."""

import json
import os
import subprocess
import sys

import pytest

from ds2 import layout
from ds2.checkpoint import disk
from tests.documents import ROOT
from tests.training import tiny

TRAIN = """
import os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from ds2 import cpu
from ds2.training import session
from tests.training import tiny
print(cpu.threads())
session.train(tiny.settings({"num_conv_layers": 2, "num_rnn_layers": 2}, num_epoch=int(sys.argv[2])))
"""


def train(folder, cores, epochs, threads=None):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {"PYTHONPATH": str(ROOT)} | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    command = [sys.executable, "-c", TRAIN, str(cores), str(epochs)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[0])


@pytest.mark.slow
def test_a_training_has_the_same_bits_on_any_number_of_cores_resumed_ones_too(tmp_path):
    hashes, threads = [], []
    for name, runs in {
        "one core": [(1, 3)],
        "all cores": [(1024, 3)],
        "three threads": [(1024, 3, 3)],
        "resumed on other cores": [(1, 1), (1024, 2), (1, 3)],
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        tiny.write_data(folder)
        threads.append([train(folder, *run) for run in runs])
        hashes.append(json.loads((folder / layout.MODELS / "epoch_3" / disk.STATE).read_text())["files"])
    cores = len(os.sched_getaffinity(0))
    assert threads == [[1], [cores], [3], [1, cores, 1]]
    assert all(one == hashes[0] for one in hashes)
