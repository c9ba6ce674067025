"""A parameter added to ds2 after a training: real dvc, and the training stays what it is."""

import pytest

from tests.pipeline.running import epochs_trained

pytestmark = pytest.mark.slow

# Nothing reads it: what it would change is the fingerprint.
ADDED = '''class TrainSettings(Section):
    """The training."""

    new: Real = added(0.1, before=0.0, ge=0, description="of a later version")
'''


def test_a_parameter_added_after_a_training_ends_it_only_where_it_does_otherwise(trained, a_copy):
    repository = a_copy(trained)
    sections = repository.folder / "ds2/params/sections.py"
    code = sections.read_text(encoding="utf-8").replace("import Fraction,", "import Fraction, added,")
    sections.write_text(
        code.replace('class TrainSettings(Section):\n    """The training."""\n', ADDED), encoding="utf-8"
    )

    lacking = repository.run("dvc", "repro", "-f", "-s", "train")
    assert "params.yaml lacks parameters; used in their place: train.new: 0.0" in lacking
    assert epochs_trained(lacking) == []

    repository.change_params(train={"new": 0.0})
    as_before = repository.run("dvc", "repro")
    assert "Running stage 'train'" in as_before
    assert "train.new: 0.0" in as_before
    assert epochs_trained(as_before) == []

    repository.change_params(train={"new": 0.1})
    otherwise = repository.run("dvc", "repro", "train")
    assert "is of another training: train.new is 0.1 and was 0.0" in otherwise
    assert epochs_trained(otherwise) == [1, 2]
