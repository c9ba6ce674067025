import pytest

from tests.pipeline.running import epochs_trained
from tests.pipeline.trial import Trial

pytestmark = pytest.mark.slow

REPRO = ("dvc", "repro", "train")


@pytest.fixture
def trial(tmp_path):
    trial = Trial(tmp_path / "trial")
    yield trial
    trial.close()


def test_what_is_recorded_of_a_training_is_what_was_trained_whatever_happens_meanwhile(trial):
    trial.do("run", REPRO)
    trial.do("commit")
    trial.do("edit", "train.num_epoch", 4)
    trial.do("run", REPRO, (("edit", "train.learning_rate", 0.002), " Epoch: [3/", 0.0))
    trial.do("edit", "train.learning_rate", 0.003)
    printed = trial.do("run", REPRO, (("code", "ds2/training/store.py", "# an edit\n"), "going on from", 0.0))
    assert epochs_trained(printed) == []  # it was trained, though not recorded
    trial.do("revert", "ds2")
    more = ("dvc", "exp", "run", "-n", "more", "-S", "train.num_epoch=9", "train")
    trial.do("run", more, (("signal", "KILL", "dvc"), " Epoch: [6/", 0.0))
    trial.do("noise", False)
    trial.do("run", ("dvc", "exp", "run", "-n", "other", "-S", "train.seed=2", "train"))
    assert trial.faults == []
    assert trial.checker.fresh >= 3
