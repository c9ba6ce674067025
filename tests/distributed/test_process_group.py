"""Real processes, started as the stage starts them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from ds2 import layout
from ds2.checkpoint import trained
from ds2.data.manifest import Manifest
from tests.process import free_port
from tests.training import tiny

REPOSITORY = Path(__file__).parents[2]
BATCHES = 4  # in an epoch of the tiny data


@pytest.fixture
def place(root, tmp_path):
    """A working directory with the tiny data, to be spoilt."""
    return copy(root, tmp_path / "place")


def copy(root, folder):
    shutil.copytree(root / "dataset", folder / "dataset")
    return folder


def write_params(folder, processes, model=None, bearable=0.05, **train):
    values = tiny.bearing(bearable, tiny.settings(model, **train)).model_dump(mode="json")
    values["runtime"] |= {"num_processes": processes}
    (folder / "params.yaml").write_text(json.dumps(values, ensure_ascii=False))


def start(folder, **environment):
    """The stage, with a log that can be read while it runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "PADDLE_", "CUDA_"))}
    environment = kept | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"} | environment
    with open(folder / "stage.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "stages.train"], cwd=folder, env=environment, stdout=log, stderr=log
        )


def start_machines(folders, num_epoch=500):
    """The stage as on two machines, with a process each."""
    master = f"127.0.0.1:{free_port()}"
    running = []
    for number, folder in enumerate(folders):
        write_params(folder, 1, num_epoch=num_epoch)
        running.append(start(folder, PADDLE_NNODES="2", PADDLE_MASTER=master, PADDLE_RANK=str(number)))
    return running


def log(folder):
    return (folder / "stage.log").read_text(encoding="utf-8")


def until(process, folder, text):
    """Waits for a line in the stage's log."""
    while text not in log(folder):
        assert process.poll() is None, log(folder)
        time.sleep(0.02)


def train(folder, processes, **parameters):
    """Trains to the end and returns the log."""
    write_params(folder, processes, **parameters)
    process = start(folder)
    assert process.wait(timeout=500) == 0, log(folder)
    return log(folder)


def workers(process):
    """The processes below the supervisor, by rank."""
    found = {}
    for child in psutil.Process(process.pid).children():
        found[int(child.environ()["PADDLE_TRAINER_ID"])] = child
    return found


def rows(folder, name):
    return np.loadtxt(folder / layout.CURVES / name, skiprows=1)


def products(folder, epoch):
    """All that a training leaves, but for what was measured."""
    found = tiny.saved(folder / "models" / f"epoch_{epoch}")
    for name in ("steps.tsv", "epochs.tsv"):
        found[name] = np.frombuffer((folder / layout.CURVES / name).read_bytes(), np.uint8)
    return found


@pytest.mark.wheel
@pytest.mark.slow
def test_one_two_and_three_processes_compute_the_same(root, tmp_path):
    # 14 utterances in batches of 4: of the last batch, of two, a third process has none.
    losses, weights, scores = [], [], []
    for processes in (1, 2, 3):
        folder = copy(root, tmp_path / str(processes))
        train(folder, processes, model={"dropout": 0.0}, num_epoch=8)
        losses.append(rows(folder, "steps.tsv")[:30, 1])
        scores.append(rows(folder, "epochs.tsv"))
        weights.append(tiny.weights(trained.load(folder / "models" / "epoch_8").model))
    assert len(losses[0]) == 30
    for loss, weight, score in zip(losses[1:], weights[1:], scores[1:], strict=True):
        np.testing.assert_allclose(loss, losses[0], rtol=1e-4)
        np.testing.assert_allclose(score, scores[0], rtol=1e-4)
        for name, value in weights[0].items():
            np.testing.assert_allclose(weight[name], value, atol=1e-4 * max(1.0, np.abs(value).max()), err_msg=name)


@pytest.mark.wheel
@pytest.mark.slow
def test_all_processes_killed_and_started_again_end_with_the_same_bits(root, tmp_path):
    whole, killed = (copy(root, tmp_path / name) for name in ("whole", "killed"))
    train(whole, 2, num_epoch=3, augment=True)
    write_params(killed, 2, num_epoch=3, augment=True, save_interval=1)
    process = start(killed)
    until(process, killed, "Train epoch: [2/3], batch: [3/4]")
    running = [process, *workers(process).values()]
    for one in running:
        one.kill()
    process.wait()
    process = start(killed)
    assert process.wait(timeout=500) == 0, log(killed)
    assert "going on from" in log(killed)
    assert tiny.same_bits(products(killed, 3), products(whole, 3))


@pytest.mark.wheel
def test_a_killed_process_ends_the_stage_and_all_others(place):
    write_params(place, 2, num_epoch=500)
    process = start(place)
    until(process, place, "batch: [2/4]")
    running = workers(process)
    running[1].kill()
    assert process.wait(timeout=30) == 1
    assert "error: process 1 was killed by SIGKILL" in log(place).splitlines()[-1]
    assert "Traceback" not in log(place)
    assert not any(worker.is_running() for worker in running.values())
    assert not (place / "results" / "train.json").exists()


def test_the_supervisors_end_is_its_processes_end(place):
    write_params(place, 2, num_epoch=500)
    process = start(place)
    until(process, place, "batch: [2/4]")
    running = list(workers(process).values())
    assert len(running) == 2
    if len(cores := os.sched_getaffinity(0)) > 1:
        first, second = (set(one.cpu_affinity()) for one in running)
        assert first | second == cores
        assert not first & second
    process.kill()
    process.wait()
    assert psutil.wait_procs(running, timeout=10)[1] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_processes_after_the_same_batch(number, place):
    write_params(place, 2, num_epoch=500)
    process = start(place)
    until(process, place, "batch: [2/4]")
    running = list(workers(process).values())
    process.send_signal(number)
    assert process.wait(timeout=30) == 1
    assert f"stopped by {number.name}" in log(place).splitlines()[-1], log(place)
    assert "Traceback" not in log(place)
    assert "Traceback" not in (place / "log" / "workerlog.1").read_text()
    assert not any(worker.is_running() for worker in running)
    stopped = [text.rpartition(" after ")[2] for text in (log(place), (place / "log" / "workerlog.1").read_text())]
    assert stopped[0] == stopped[1]


def test_the_error_of_a_process_other_than_the_first_is_shown(place):
    # Of the second batch of the dev set, which the second process scores.
    manifest = Manifest(place / layout.manifest_path("dev"))
    path = manifest[int(np.argsort(manifest.durations, kind="stable")[5])].audio_filepath
    file = place / layout.manifest_path("dev")
    file.write_text(file.read_text().replace(path, str(place / "gone.wav")))
    write_params(place, 2, num_epoch=500)
    process = start(place)
    assert process.wait(timeout=500) == 1
    said = log(place)
    assert "Traceback" not in said
    assert "gone.wav" in said
    assert said.splitlines()[-1].startswith("error: process 1 failed; the lines above are the last of")


def lose_what_the_second_process_has_first(folder):
    """Takes recordings away: of the first batch in order of length all that the second of two processes would have."""
    file = folder / layout.manifest_path("train")
    manifest = Manifest(file)
    for place in (1, 3):
        path = manifest[int(np.argsort(manifest.durations, kind="stable")[place])].audio_filepath
        file.write_text(file.read_text().replace(path, f"gone{place}.wav"))


def test_files_that_only_one_process_cannot_read_are_left_out_of_the_others_count_too(root, tmp_path):
    results = []
    for processes in (1, 2):
        folder = copy(root, tmp_path / str(processes))
        lose_what_the_second_process_has_first(folder)
        train(folder, processes, model={"dropout": 0.0}, bearable=0.15, num_epoch=1)
        results.append(rows(folder, "steps.tsv")[:, 1])
        [file] = folder.glob("log/*.log")
        assert file.read_text().count("Train epoch: ") == BATCHES
        assert json.loads((folder / layout.TRAIN_NUMBERS).read_text())["unreadable_recordings"] == 2
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_too_many_files_that_only_one_process_cannot_read_end_all_with_one_sentence(place):
    lose_what_the_second_process_has_first(place)
    write_params(place, 2, bearable=0.1)
    process = start(place)
    assert process.wait(timeout=100) == 1
    said = log(place)
    assert said.count("error: ") == 1
    assert "2 of 14 training recordings could not be read so far" in said.splitlines()[-1]
    assert "the first is gone1.wav: there is no such file" in said.splitlines()[-1]
    assert "Traceback" not in said + (place / "log" / "workerlog.1").read_text()
    assert not (place / "models").exists()


@pytest.mark.slow
def test_two_machines_train_as_one_and_only_the_first_writes(root, tmp_path):
    together = copy(root, tmp_path / "together")
    train(together, 2, num_epoch=2)
    machines = [copy(root, tmp_path / f"machine{number}") for number in (0, 1)]
    for epochs in (1, 2):  # in the second round only the first machine has a checkpoint to go on from
        running = start_machines(machines, epochs)
        for process, folder in zip(running, machines, strict=True):
            assert process.wait(timeout=500) == 0, log(folder)
    assert tiny.same_bits(products(machines[0], 2), products(together, 2))
    assert not (machines[1] / "models").exists()
    assert not (machines[1] / "results").exists()


@pytest.mark.slow
def test_a_machine_that_fails_ends_the_other(root, tmp_path):
    machines = [copy(root, tmp_path / f"machine{number}") for number in (0, 1)]
    running = start_machines(machines)
    until(running[0], machines[0], "batch: [2/4]")
    running[1].kill()
    assert running[0].wait(timeout=30) == 1
    assert "other machines" in log(machines[0]).splitlines()[-1]
    running[1].wait()


@pytest.mark.slow
def test_a_machine_that_fails_ends_processes_that_notice_nothing(root, tmp_path):
    machines = [copy(root, tmp_path / f"machine{number}") for number in (0, 1)]
    running = start_machines(machines)
    until(running[0], machines[0], "batch: [2/4]")
    worker = workers(running[0])[0]
    worker.suspend()  # as one that waits for NCCL
    running[1].kill()
    assert running[0].wait(timeout=30) == 1
    assert "other machines" in log(machines[0]).splitlines()[-1]
    assert not worker.is_running()
    running[1].wait()


def test_other_data_on_another_machine_is_refused(root, tmp_path):
    machines = [copy(root, tmp_path / f"machine{number}") for number in (0, 1)]
    file = machines[1] / layout.manifest_path("train")
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")
    running = start_machines(machines)
    for process, folder in zip(running, machines, strict=True):
        assert process.wait(timeout=500) == 1
        assert "other parameters or data" in log(folder) + "".join(
            path.read_text() for path in folder.glob("log/workerlog.*")
        )
