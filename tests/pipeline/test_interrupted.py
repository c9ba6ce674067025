"""A training that is stopped in every way there is goes on, and ends as if nothing had been: real dvc, same bits."""

import os
import signal

import pytest

from tests.pipeline.running import epochs_trained, kill, until

pytestmark = pytest.mark.slow

# Far more than can pass between a line of the log and the signal that follows it.
EPOCHS = 20
MORE = ("-S", f"train.num_epoch={EPOCHS}")


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    """The training that all others must equal."""
    repository = prepared.copy(tmp_path_factory.mktemp("undisturbed") / "repository")
    repository.change_params(train={"num_epoch": EPOCHS})
    repository.run("dvc", "repro", "train")
    return repository


@pytest.fixture
def first(prepared, a_copy):
    """Before a first training."""
    repository = a_copy(prepared)
    repository.change_params(train={"num_epoch": EPOCHS})
    repository.commit("many epochs")
    return repository


@pytest.fixture
def recorded(trained, a_copy):
    """After a training of two epochs, recorded and committed."""
    return a_copy(trained)


def ctrl_c(repository, running) -> str:
    printed = running.ctrl_c()
    assert "stopped by SIGINT" in printed
    assert "Traceback" not in printed
    return printed


def kill_stage(repository, running) -> str:
    kill(repository.training())
    return running.end()


def interrupt(repository, how, *command) -> None:
    """Runs a command until the third epoch is done, and ends it."""
    running = repository.start(*command)
    running.wait_for(f"Epoch: [3/{EPOCHS}]")
    done = epochs_trained(how(repository, running))
    assert done[-1] < EPOCHS


def check_goes_on(printed: str) -> None:
    assert "going on from" in printed
    # Epoch 3 is logged before it is saved.
    done = epochs_trained(printed)
    assert done == list(range(done[0], EPOCHS + 1))
    assert done[0] >= 3


@pytest.mark.parametrize(
    ("command", "how"), [(("dvc", "repro", "train"), ctrl_c), (("dvc", "exp", "run", "train"), kill_stage)]
)
def test_a_first_training(first, undisturbed, command, how):
    interrupt(first, how, *command)
    check_goes_on(first.run(*command))
    assert first.products() == undisturbed.products()


@pytest.mark.parametrize(("places", "how"), [((), kill_stage), (("--temp",), ctrl_c)])
def test_more_epochs_as_an_experiment(recorded, undisturbed, places, how):
    command = ("dvc", "exp", "run", "-n", "more", *places, *MORE)
    interrupt(recorded, how, *command)
    check_goes_on(recorded.run(*command))
    recorded.run("dvc", "exp", "apply", "more")
    assert recorded.products() == undisturbed.products()


def test_a_queued_experiment(recorded, undisturbed):
    def queue(name: str) -> None:
        recorded.run("dvc", "exp", "run", "--queue", "-n", name, *MORE)
        recorded.start_queue()

    try:
        queue("broken")
        until(lambda: list((recorded.folder / ".ds2/autosave").glob("*/epoch_3")))
        stage = recorded.training()
        os.kill(stage, signal.SIGSTOP)  # dvc takes seconds to start
        recorded.run("dvc", "queue", "kill", "broken")
        os.kill(stage, signal.SIGCONT)
        until(lambda: recorded.queue() == ["Failed"])
        queue("whole")
        until(lambda: "whole" in recorded.experiments(), lambda: recorded.run("dvc", "queue", "status"))
    finally:
        recorded.run("dvc", "queue", "stop", "--kill")
    check_goes_on(recorded.run("dvc", "queue", "logs", "whole"))
    recorded.run("dvc", "exp", "apply", "whole")
    assert recorded.products() == undisturbed.products()


def test_a_stage_whose_dvc_is_told_to_end_saves_and_ends(first, undisturbed):
    running = first.start("dvc", "repro", "train")
    running.wait_for(f"Epoch: [3/{EPOCHS}]")
    stage = first.training()
    os.kill(running.process.pid, signal.SIGTERM)
    running.end()
    until(lambda: not os.path.exists(f"/proc/{stage}"))
    assert "stopped by SIGTERM" in running.printed()
    assert "batches is saved, and the same command resumes from it" in running.printed()
    check_goes_on(first.run("dvc", "repro", "train"))
    assert first.products() == undisturbed.products()


def test_what_was_interrupted_and_then_damaged_goes_on_from_the_epoch_before(first, undisturbed):
    interrupt(first, kill_stage, "dvc", "repro", "train")
    newest = first.epochs()[-1]
    first.damage(f"models/{newest}/model.safetensors")
    [folder] = (first.folder / ".ds2/autosave").glob(f"*/{newest}")
    first.damage(str(folder.relative_to(first.folder) / "model.safetensors"))
    printed = first.run("dvc", "repro", "train")
    assert f"{newest} is damaged and not used" in printed
    assert "going on from" in printed
    assert first.products() == undisturbed.products()


def test_half_a_training_is_hard_to_commit_and_completed_by_force(recorded, undisturbed):
    recorded.change_params(train={"num_epoch": EPOCHS})
    interrupt(recorded, ctrl_c, "dvc", "repro", "train")
    # Written at the very end, and deleted by DVC at the beginning.
    assert "results/training.json' does not exist" in recorded.run("dvc", "commit", "-f", "train", expect=1)
    recorded.run("git", "checkout", "-q", "results")
    recorded.run("dvc", "commit", "-f", "train")
    assert "Running stage" not in recorded.run("dvc", "repro", "train")
    check_goes_on(recorded.run("dvc", "repro", "-f", "-s", "train"))
    assert recorded.products() == undisturbed.products()
    assert "Running stage 'evaluate'" in recorded.run("dvc", "repro")
