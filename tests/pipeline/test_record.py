import os

import pytest

from ds2.errors import UserError
from ds2.pipeline import record
from tests.pipeline.running import until

DVC_YAML = """
stages:
  corpus:
    foreach: ${corpora}
    do:
      deps: [code]
      params: [corpora]
      outs: ["data.txt": {persist: true}, "annotation/${item}.txt"]
  manifest:
    deps: [annotation]
  train:
    deps: [data.txt, code, models]
    params: [train, evaluate.hot_words, augment, corpora]
"""
PARAMS = """
corpora: [demo]
train: {learning_rate: 0.001, seed: 1}
evaluate: {hot_words: null, beam_size: 5}
text: {simplify: true}
lm: {order: 3}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A stage `train` that DVC runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "train")
    for name, content in (
        ("dvc.yaml", DVC_YAML),
        ("params.yaml", PARAMS),
        ("data.txt", "1"),
        ("code/a.py", "a"),
        ("code/below/b.py", "b"),
        ("beside.py", "c"),
        ("annotation/mine.txt", "d"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def edit_params(place, old, new):
    text = (place / "params.yaml").read_text()
    assert old in text
    (place / "params.yaml").write_text(text.replace(old, new))


CHANGES = {
    "params.yaml: train.learning_rate was 0.001 when the stage began and is 0.009 now": lambda place: edit_params(
        place, "0.001", "9e-3"
    ),
    "params.yaml: train.seed was 1 when the stage began and is null now": lambda place: edit_params(
        place, ", seed: 1", ""
    ),
    'params.yaml: evaluate.hot_words was null when the stage began and is {"3.14 你": 2} now': lambda place: (
        edit_params(place, "hot_words: null", "hot_words: {3.14 你: 2}")
    ),
    "params.yaml: augment.noise.prob was null when the stage began and is 0.3 now": lambda place: edit_params(
        place, "lm:", "augment: {noise: {prob: 0.3}}\nlm:"
    ),
    'params.yaml: corpora was ["demo"] when the stage began and is ["demo", "aishell"] now': lambda place: edit_params(
        place, "[demo]", "[demo, aishell]"
    ),
    "data.txt was changed while the stage ran": lambda place: (place / "data.txt").write_text("2"),
    "data.txt was removed while the stage ran": lambda place: (place / "data.txt").unlink(),
    "code/below/b.py was changed while the stage ran": lambda place: (place / "code/below/b.py").write_text("c"),
    "code/c.py was added while the stage ran": lambda place: (place / "code/c.py").write_text("c"),
    "models/epoch_1 was added while the stage ran": lambda place: [
        (place / "models").mkdir(),
        (place / "models/epoch_1").touch(),
    ],
}


@pytest.mark.parametrize("told", CHANGES)
def test_what_dvc_would_record_and_the_stage_did_not_use_is_an_error(told, place):
    with pytest.raises(UserError) as caught, record.kept_true():
        CHANGES[told](place)
    assert str(caught.value).startswith(told + ": DVC would record the stage train with what it did not use")


def test_an_edit_that_was_taken_back_by_name_but_not_by_time_is_one(place):
    """What was there in between may have been read."""
    with pytest.raises(UserError, match=r"data\.txt was changed"), record.kept_true():
        (place / "data.txt").write_text("2")
        (place / "data.txt").write_text("1")
        os.utime(place / "data.txt", ns=(1, 1))


def test_what_the_stage_does_not_depend_on_may_change(place):
    with record.kept_true():
        edit_params(place, "beam_size: 5", "beam_size: 6")
        edit_params(place, "simplify: true", "simplify: false")
        edit_params(place, "order: 3", "order: 4")
        edit_params(place, "0.001", "1e-3")
        (place / "beside.py").write_text("d")
        (place / "code/__pycache__").mkdir()
        (place / "code/__pycache__/a.pyc").write_text("compiled")


def test_a_parameter_that_was_put_back_is_no_change(place):
    with record.kept_true():
        edit_params(place, "0.001", "0.009")
        edit_params(place, "0.009", "0.001")


def test_without_dvc_nothing_is_compared(place, monkeypatch):
    monkeypatch.delenv("DVC_STAGE")
    with record.kept_true():
        (place / "data.txt").write_text("2")


@pytest.mark.parametrize("stage", ["corpus@demo", "dvc.yaml:corpus@demo"])
def test_a_stage_of_a_list_has_its_dependencies_from_there(stage, place, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", stage)
    with record.kept_true():
        (place / "data.txt").write_text("2")
    told = r"code/a\.py was changed while the stage ran: .* the stage corpus@demo"
    with pytest.raises(UserError, match=told), record.kept_true():
        (place / "code/a.py").write_text("2")


def test_an_error_of_the_stage_is_the_one_that_is_told(place):
    with pytest.raises(UserError, match="its own"), record.kept_true():
        (place / "data.txt").write_text("2")
        raise UserError("its own")


def test_a_change_is_logged_at_once_and_can_be_put_back(place, log, monkeypatch):
    monkeypatch.setattr(record, "_LOOK_EVERY_S", 0.01)
    with record.kept_true():
        edit_params(place, "0.001", "0.009")
        until(
            lambda: any(
                "train.learning_rate was 0.001" in line and "put it back before the stage ends" in line for line in log
            )
        )
        edit_params(place, "0.009", "0.001")


def test_in_an_experiment_what_earlier_stages_used_may_not_change_either(place, monkeypatch):
    """DVC commits params.yaml and the code when it ends, whatever the stages were made of."""
    monkeypatch.setenv("DVC_EXP_NAME", "one")
    monkeypatch.setenv("DVC_STAGE", "corpus@demo")
    with record.kept_true():
        pass
    edit_params(place, "0.001", "0.009")  # between two stages
    with pytest.raises(UserError, match=r"train\.learning_rate was 0\.001 .*the stage corpus@demo"), record.kept_true():
        pass
    monkeypatch.setenv("DVC_EXP_NAME", "two")
    with record.kept_true():
        (place / "data.txt").write_text("stages write it")
        (place / "dvc.lock").write_text("stages: {}")
        (place / "annotation/demo.txt").write_text("the stage corpus writes it")
    with pytest.raises(UserError, match=r"annotation/mine\.txt was changed"), record.kept_true():
        (place / "annotation/mine.txt").write_text("a user does")
    monkeypatch.delenv("DVC_EXP_NAME")
    with record.kept_true():
        edit_params(place, "0.009", "0.001")
