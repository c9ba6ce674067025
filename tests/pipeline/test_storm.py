import pytest

from tests.pipeline.running import epochs_trained
from tests.pipeline.trial import Trial

pytestmark = pytest.mark.slow

REPRO = ("dvc", "repro", "train")
EXPERIMENT = ("dvc", "exp", "run", "train")


@pytest.fixture
def trial(tmp_path):
    trial = Trial(tmp_path / "trial")
    yield trial
    trial.close()


def test_what_is_recorded_of_a_training_is_what_was_trained_whatever_happens_meanwhile(trial):
    trial.do("run", REPRO)
    trial.do("commit")
    trial.do("edit", "train.num_epoch", 5)
    trial.do("run", REPRO, (("edit", "train.learning_rate", 0.002), " Epoch: [3/", 0.0))
    assert trial.refusals.total() == 1
    trial.do("edit", "train.learning_rate", 0.003)
    assert epochs_trained(trial.do("run", REPRO)) == []  # it was trained, though not recorded
    more = (*EXPERIMENT, "-n", "more", "-S", "train.num_epoch=8")
    trial.do("run", more, (("signal", "KILL", "dvc"), " Epoch: [6/", 0.0))
    other = (*EXPERIMENT, "-n", "other", "-S", "train.seed=2")
    trial.do("run", other, (("code", "ds2/training/store.py", "# an edit\n"), " Epoch: [1/", 0.0))
    assert trial.refusals.total() == 2
    trial.do("noise", False)
    trial.do("run", other)
    assert trial.refusals.total() == 3
    assert trial.faults == []
    assert trial.checker.fresh == 3
