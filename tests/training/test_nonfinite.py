"""Trainings whose arithmetic fails, and trainings whose steps have several batches."""

import json

import numpy as np
import paddle
import pytest

from ds2 import layout
from ds2.checkpoint import disk
from ds2.data.loader import Loader
from ds2.errors import UserError
from ds2.recognition.paddle_model import PaddleModel
from ds2.training import session
from tests.training import tiny

pytestmark = pytest.mark.wheel

BATCHES = 4  # in an epoch of the tiny data


@pytest.fixture
def inject(monkeypatch):
    """inject(3, 4): the third and fourth batch that is trained on has an infinity in its features."""

    def at(*places):
        real, count = Loader.load, iter(range(1, 10**6))

        def load(self, batches, epoch=0):
            for batch in real(self, batches, epoch):
                if epoch and next(count) in places:
                    batch.features[0, 3, 1] = np.inf
                yield batch

        monkeypatch.setattr(Loader, "load", load)

    return at


def settings(**train):
    """Without the probe, which would take the first batch."""
    chosen = tiny.settings(**train)
    return chosen.model_copy(update={"runtime": chosen.runtime.model_copy(update={"probe_longest": False})})


def test_a_batch_that_is_not_finite_is_skipped_and_the_training_ends_well(root, tmp_path, inject, log):
    inject(3, 9)
    trainer = tiny.train(root, tmp_path, settings(num_epoch=3))
    assert (trainer.epoch, trainer.step) == (3, 3 * BATCHES)
    assert trainer.history.nonfinite == 2
    assert len(trainer.history.steps) == 3 * BATCHES - 2
    rows = trainer.history.steps + trainer.history.epochs
    assert np.isfinite([value for row in rows for value in row.values()]).all()
    assert all(np.isfinite(value).all() for value in tiny.saved(tmp_path / "models" / "epoch_3").values())
    skipped = [line for line in log if " skipped: " in line]
    assert [line.split(" skipped: ")[0] for line in skipped] == ["step 3", "step 9"]
    assert [line.count(".wav") for line in skipped] == [1, 1]  # of a batch of four only the one to blame


def test_an_epoch_of_which_all_was_skipped_shows_no_loss(root, tmp_path, inject, log):
    inject(*range(1, BATCHES + 1))
    trainer = tiny.train(root, tmp_path, settings(num_epoch=2))
    assert ["loss" in row for row in trainer.history.epochs] == [False, True]
    told = [line for line in log if line.startswith("Epoch: [")]
    assert told[0].startswith("Epoch: [1/2], loss: none, all steps were skipped, dev CER: ")
    header, first, second = (line.split("\t") for line in (tmp_path / "curves" / "epochs.tsv").read_text().splitlines())
    assert header[1] == "loss"
    assert (first[1], float(second[1]) > 0) == ("", True)
    assert len(first) == len(second) == len(header)


def test_the_metrics_of_a_training_that_ends_so_have_no_loss(workspace, inject):
    tiny.write_data(workspace)
    inject(*range(1, BATCHES + 1))
    session.train(settings(num_epoch=1))
    metrics = json.loads((workspace / layout.TRAIN_NUMBERS).read_text())
    assert "loss" not in metrics
    assert metrics["nonfinite_steps"] == BATCHES


@pytest.mark.parametrize(
    ("first", "most", "folder", "in_a_row"),
    [
        pytest.param(6, 2, "step_5", 0, id="within an epoch"),
        pytest.param(3, 3, "epoch_1", 2, id="over the end of one"),
    ],
)
def test_too_many_in_a_row_stop_the_training_with_a_state_from_before(
    first, most, folder, in_a_row, root, tmp_path, inject
):
    inject(*range(first, 100))
    with pytest.raises(UserError, match=rf"{most} steps in a row \(train\.max_nonfinite\) were not finite"):
        tiny.train(root, tmp_path, settings(num_epoch=5, max_nonfinite=most))
    own = next((tmp_path / "autosave").iterdir())
    state = disk.read_state(own / folder)
    assert state.position == (1, first % BATCHES - 1 if folder.startswith("step") else 0)
    assert state.history["nonfinite_in_a_row"] == in_a_row
    # And no state says that a skipped batch was learned from.
    assert [path.name for path in own.glob("step_*")] == [folder] * folder.startswith("step")


def test_skips_with_a_good_step_between_them_are_none_in_a_row(root, tmp_path, inject):
    inject(2, 4, 6, 8)
    trainer = tiny.train(root, tmp_path, settings(num_epoch=3, max_nonfinite=2))
    assert (trainer.epoch, trainer.history.nonfinite, trainer.history.nonfinite_in_a_row) == (3, 4, 0)


def test_after_it_the_training_goes_on_from_there(root, tmp_path, inject, monkeypatch):
    chosen = settings(num_epoch=3, max_nonfinite=2, augment=True)
    whole = tiny.train(root, tmp_path / "whole", chosen)
    with monkeypatch.context() as mended:
        real = Loader.load

        def load(self, batches, epoch=0):
            for batch in real(self, batches, epoch):
                if epoch == 2:
                    batch.features[:] = np.nan
                yield batch

        mended.setattr(Loader, "load", load)
        with pytest.raises(UserError):
            tiny.train(root, tmp_path / "stopped", chosen)
    again = tiny.train(root, tmp_path / "stopped", chosen)
    assert tiny.same_bits(tiny.weights(again.model), tiny.weights(whole.model))
    assert again.history == whole.history


def test_the_count_of_skips_survives_an_interruption(root, tmp_path, inject):
    inject(2)
    chosen = settings(num_epoch=2, save_interval=1)
    with pytest.raises(RuntimeError):
        tiny.train(root, tmp_path, chosen, watcher=tiny.dying_at(6))
    assert tiny.train(root, tmp_path, chosen).history.nonfinite == 1


def test_accumulated_batches_are_planned_as_one_and_the_last_group_may_be_smaller(root, tmp_path):
    # 14 utterances, 4 x 2 a step: two steps an epoch, the second of six utterances.
    trainer = tiny.train(root, tmp_path / "four", tiny.settings(num_epoch=3, batch_size=2, accumulate_grad=4))
    assert trainer.step == 3 * 2
    one = tiny.train(root, tmp_path / "one", tiny.settings(num_epoch=3, batch_size=8))
    assert one.step == trainer.step
    # The same utterances in the same steps; each batch of two is normalised by itself.
    assert [row["loss"] for row in trainer.history.steps] != [row["loss"] for row in one.history.steps]
    assert trainer.history.steps[0]["loss"] == pytest.approx(one.history.steps[0]["loss"], rel=0.2)


def test_accumulated_steps_stopped_and_continued_end_with_the_same_bits(root, tmp_path):
    def chosen(num_epoch):
        return tiny.settings(num_epoch=num_epoch, batch_size=2, accumulate_grad=3, augment=True)

    whole = tiny.train(root, tmp_path / "whole", chosen(3))
    tiny.train(root, tmp_path / "parts", chosen(1))
    parts = tiny.train(root, tmp_path / "parts", chosen(3))
    assert tiny.same_bits(tiny.weights(parts.model), tiny.weights(whole.model))


def test_an_epoch_whose_network_answers_no_numbers_is_neither_scored_nor_saved(root, tmp_path, monkeypatch):
    def spoilt():
        model = PaddleModel.log_probabilities

        def log_probabilities(self, batch):
            with paddle.no_grad():
                for weight in self.network.parameters():
                    weight.set_value(paddle.full_like(weight, 3e38))
            return model(self, batch)

        monkeypatch.setattr(PaddleModel, "log_probabilities", log_probabilities)

    with pytest.raises(UserError, match="after epoch 2 the network's output is not a number"):
        tiny.train(root, tmp_path, settings(num_epoch=3), watcher=tiny.acting_at(BATCHES + 1, spoilt))
    assert [path.name for path in (tmp_path / "models").glob("epoch_*")] == ["epoch_1"]
    assert all(np.isfinite(value).all() for value in tiny.saved(tmp_path / "models/epoch_1").values())
