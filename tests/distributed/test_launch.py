import os

import paddle
import pytest

from ds2.distributed import launch
from ds2.errors import UserError
from tests.training import tiny


@pytest.fixture
def environment(monkeypatch):
    """environment(NAME=value): what the training is started in, nothing else of that kind."""
    for name in [name for name in os.environ if name.startswith(("PADDLE_", "CUDA_"))]:
        monkeypatch.delenv(name)

    def change(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return change


def settings(num_processes="auto", use_gpu="auto", batch_size=8, **train):
    chosen = tiny.settings(batch_size=batch_size, **train)
    runtime = chosen.runtime.model_copy(update={"num_processes": num_processes, "use_gpu": use_gpu})
    return chosen.model_copy(update={"runtime": runtime})


@pytest.fixture
def gpus(monkeypatch):
    """Sets what paddle reports: gpus(2) makes it find two GPUs, gpus(None) makes it a build for the CPU only."""

    def change(count):
        monkeypatch.setattr(launch, "_usable_gpus", lambda: count)

    return change


def test_by_default_one_process_trains(environment):
    assert launch.plan(settings()) == launch.Plan(1)


def test_a_number_of_processes_is_what_it_says(environment):
    assert launch.plan(settings(3, use_gpu=False)) == launch.Plan(3)


def test_every_gpu_that_is_named_gets_a_process(environment, gpus):
    environment(CUDA_VISIBLE_DEVICES="4,6")
    gpus(2)
    assert launch.plan(settings()) == launch.Plan(2, gpus=True)
    assert launch.plan(settings(1)) == launch.Plan(1, gpus=True)
    assert launch.plan(settings(use_gpu=False)) == launch.Plan(1)


def test_more_processes_than_gpus_are_refused(environment, gpus):
    environment(CUDA_VISIBLE_DEVICES="0,1")
    gpus(2)
    with pytest.raises(UserError, match=r"runtime\.num_processes is 3, but 2 GPUs"):
        launch.plan(settings(3))


@pytest.mark.parametrize("num_processes", ["auto", 1, 2])
@pytest.mark.parametrize(
    ("usable", "told"),
    [
        (None, "0 of them, since this paddle is built for the CPU only: unset it, "),
        (0, "0 of them: unset it, "),
        (1, "1 of them: name only those, "),
    ],
)
def test_gpus_that_are_named_but_not_there_are_one_sentence(usable, told, num_processes, environment, gpus):
    gpus(usable)
    for variables, count in (("0,1", 2), ("0, 2,GPU-8932f937", 3)):
        environment(CUDA_VISIBLE_DEVICES=variables)
        with pytest.raises(UserError) as error:
            launch.plan(settings(num_processes))
        said = str(error.value)
        assert said.startswith(f"CUDA_VISIBLE_DEVICES names {count} GPUs, but paddle can use {told}")
        assert "install the wheel for your GPU (see README), or set runtime.use_gpu to false" in said


def test_gpus_that_are_named_do_not_matter_where_none_shall_be_used(environment, gpus):
    gpus(None)
    environment(CUDA_VISIBLE_DEVICES="0,1")
    assert launch.plan(settings(use_gpu=False)) == launch.Plan(1)


def test_as_to_cuda_what_stands_behind_minus_one_is_not_named(environment, gpus):
    gpus(2)
    for variables, processes in (("0,1,-1", 2), ("0, -1,1", 1), ("-1,0,1", 1)):
        environment(CUDA_VISIBLE_DEVICES=variables)
        assert launch.plan(settings()).here == processes


@pytest.mark.parametrize("name", ["", "0", "-1", "3,"])
def test_one_gpu_that_is_named_or_none_is_no_promise(name, environment, gpus):
    gpus(None)
    environment(CUDA_VISIBLE_DEVICES=name)
    assert launch.plan(settings()) == launch.Plan(1)


@pytest.mark.wheel
def test_paddle_is_asked_what_it_can_use(environment):
    if launch._usable_gpus():
        pytest.skip("this machine has GPUs")
    environment(CUDA_VISIBLE_DEVICES="0,1")
    known = "paddle can use 0 of them" + (
        "" if paddle.is_compiled_with_cuda() else ", since this paddle is built for the CPU"
    )
    with pytest.raises(UserError, match=known):
        launch.plan(settings())


def test_machines_are_told_apart_by_their_rank(environment):
    environment(PADDLE_NNODES="3", PADDLE_MASTER="10.0.0.1:6170", PADDLE_RANK="2")
    found = launch.plan(settings(2, use_gpu=False))
    assert found == launch.Plan(2, 3, 2, "10.0.0.1:6170")
    assert found.size == 6
    ranks = [one["PADDLE_TRAINER_ID"] for one in launch.environments(found)]
    assert ranks == ["4", "5"]
    assert {one["PADDLE_TRAINERS_NUM"] for one in launch.environments(found)} == {"6"}


@pytest.mark.parametrize(
    "variables",
    [
        {"PADDLE_NNODES": "2"},
        {"PADDLE_NNODES": "2", "PADDLE_MASTER": "10.0.0.1:6170"},
        {"PADDLE_NNODES": "2", "PADDLE_RANK": "1"},
        {"PADDLE_NNODES": "2", "PADDLE_MASTER": "10.0.0.1:6170", "PADDLE_RANK": "2"},
    ],
)
def test_machines_that_could_not_find_each_other_are_refused(variables, environment):
    environment(**variables)
    with pytest.raises(UserError, match=r"PADDLE_NNODES is 2: set PADDLE_MASTER .* and PADDLE_RANK \(0 to 1"):
        launch.plan(settings(use_gpu=False))


def test_a_number_in_the_environment_that_is_none_is_named(environment):
    environment(PADDLE_NNODES="two")
    with pytest.raises(UserError, match="PADDLE_NNODES is 'two'"):
        launch.plan(settings())


def test_more_processes_than_utterances_in_a_batch_are_refused(environment):
    with pytest.raises(UserError, match=r"train\.batch_size is 2, to be spread over 3 processes"):
        launch.plan(settings(3, use_gpu=False, batch_size=2))
    assert launch.plan(settings(3, use_gpu=False, batch_size=3)).size == 3


def test_where_batches_are_cut_by_seconds_their_size_refuses_nothing(environment):
    assert launch.plan(settings(3, use_gpu=False, batch_size=1, max_batch_seconds=60)).size == 3


def test_gpus_are_given_out_one_each(environment):
    given = list(launch.environments(launch.Plan(2, gpus=True)))
    assert [one["FLAGS_selected_gpus"] for one in given] == ["0", "1"]
    assert {one["PADDLE_DISTRI_BACKEND"] for one in given} == {"nccl"}


@pytest.mark.parametrize(
    ("cores", "processes", "expected"),
    [
        (4, 2, [[0, 1], [2, 3]]),
        (5, 2, [[0, 1], [2, 3, 4]]),
        (3, 1, [[0, 1, 2]]),
        (2, 3, [[0, 1]] * 3),
    ],
)
def test_processes_on_a_cpu_keep_to_cores_of_their_own(cores, processes, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    assert launch.cores_of_each(launch.Plan(processes)) == expected
    assert launch.cores_of_each(launch.Plan(processes, gpus=True)) == [list(range(cores))] * processes
