"""What the parameters of a training bring about: the batches that it sees, and what it makes of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import paddle
import pytest

from ds2 import layout, params
from ds2.checkpoint import disk, trained
from ds2.data.loader import Assembler, Loader
from ds2.data.manifest import Manifest
from ds2.errors import UserError
from ds2.evaluation import session as evaluation
from ds2.evaluation.evaluator import evaluate
from ds2.model import device
from ds2.recognition import paddle_model
from ds2.reporting.reporter import Reporter
from ds2.training import session
from ds2.training.state import Training
from ds2.training.step import Step
from tests.training import tiny

pytestmark = pytest.mark.wheel

ALL = 14  # utterances of the tiny data


def seen(root, place, chosen):
    """The batches that a training saw, in order, by epoch."""
    found = {}

    class Watching(Reporter):
        def batch(self, batch, epoch):
            found.setdefault(epoch, []).append(batch)

    trainer = tiny.train(root, place, chosen, watcher=Watching())
    return trainer, found


def by_position(batches):
    """The features of each utterance."""
    return {
        position: batch.features[i, : batch.frames[i]]
        for batch in batches
        for i, position in enumerate(batch.positions.tolist())
    }


def evaluated(root, split, folder):
    """The evaluation of a checkpoint on a set."""
    manifest, model = Manifest(root / layout.manifest_path(split)), paddle_model.load(folder, False)
    with Loader(manifest, Assembler(model.features, model.statistics), 0) as loader:
        return evaluate(model, manifest, loader, 4)


def test_weights_order_and_augmentation_follow_from_the_seed(root, tmp_path):
    found = []
    for i, seed in enumerate((3, 3, 4)):
        chosen = tiny.settings(num_epoch=1, augment=True, seed=seed)
        start = tiny.weights(Training(chosen, tiny.data(root, chosen), {}).model)
        _, changed = seen(root, tmp_path / f"changed{i}", chosen)
        _, plain = seen(root, tmp_path / f"plain{i}", tiny.settings(num_epoch=2, seed=seed))
        order = [position for batch in plain[2] for position in batch.positions.tolist()]
        found.append((start, order, by_position(changed[1])))
    one, again, other = found
    assert tiny.same_bits(one[0], again[0])
    assert not np.array_equal(one[0]["output.weight"], other[0]["output.weight"])
    assert one[1] == again[1] != other[1]
    assert sorted(one[1]) == sorted(other[1]) == list(range(ALL))
    assert tiny.same_bits(one[2], again[2])
    assert sum(not np.array_equal(one[2][i], other[2][i]) for i in range(ALL)) > ALL / 2


def test_utterances_stand_together_by_their_length_at_the_speed_they_are_played_at(root, tmp_path):
    _, batches = seen(root, tmp_path, tiny.settings(num_epoch=1, augment=True))
    frames = np.concatenate([np.sort(batch.frames) for batch in batches[1]])
    assert (np.diff(frames) >= -1).all()  # where one length begins and the other ends there is a frame's rounding
    durations = Manifest(root / layout.manifest_path("train")).durations
    order = np.concatenate([batch.positions for batch in batches[1]])
    assert (np.diff(durations[order]) < 0).any()


def test_the_probe_takes_a_batch_as_large_as_any_and_can_be_left_out(root, tmp_path, monkeypatch):
    probed, probe = [], Step.probe

    def watch(self, batches):
        batches = list(batches)
        probed.extend(batches)
        probe(self, batches)

    monkeypatch.setattr(Step, "probe", watch)
    slow = {"speed": {"prob": 1.0}}
    _, batches = seen(root, tmp_path / "with", tiny.settings(num_epoch=3, batch_size=2, augment=True, kinds=slow))
    (one,) = probed
    assert one.features.size >= max(batch.features.size for epoch in batches.values() for batch in epoch)
    chosen = tiny.settings(num_epoch=1)
    quick = chosen.runtime.model_copy(update={"probe_longest": False})
    tiny.train(root, tmp_path / "without", chosen.model_copy(update={"runtime": quick}))
    assert len(probed) == 1


def test_batches_of_seconds_hold_what_fits_into_them(root, tmp_path):
    durations = Manifest(root / layout.manifest_path("train")).durations
    steps = []
    for accumulate in (1, 2):
        chosen = tiny.settings(num_epoch=2, max_batch_seconds=1.7, accumulate_grad=accumulate)
        trainer, batches = seen(root, tmp_path / str(accumulate), chosen)
        for found in batches.values():
            assert sorted(np.concatenate([batch.positions for batch in found])) == list(range(ALL))
            assert all(durations[batch.positions].max() * len(batch) <= 1.7 for batch in found)
            assert max(map(len, found)) > 1
        assert trainer.step * accumulate >= len(batches[1]) + len(batches[2])
        steps.append(trainer.step)
    assert steps[1] < 0.7 * steps[0]


def test_weight_decay_draws_the_weights_to_zero(root, tmp_path):
    sizes = []
    for decay in (0.0, 1.0):
        trainer = tiny.train(root, tmp_path / str(decay), tiny.settings(num_epoch=2, weight_decay=decay))
        sizes.append(sum(float((value**2).sum()) for value in trainer.model.parameters()))
    assert sizes[1] < 0.8 * sizes[0]


def test_the_scores_of_an_epoch_are_its_checkpoints_on_the_set_that_is_scored(root, tmp_path):
    trainer = tiny.train(root, tmp_path, tiny.settings(num_epoch=6))
    found = evaluated(root, "dev", tmp_path / "models" / "epoch_6")
    last = trainer.history.epochs[-1]
    assert (last["cer"], last["wer"]) == (found.errors("cer").rate, found.errors("wer").rate)
    assert last["cer"] != last["wer"]


def test_a_checkpoint_holds_the_parameters_that_it_was_trained_with(root, tmp_path):
    chosen = tiny.settings(num_epoch=1, learning_rate=0.02)
    chosen = chosen.model_copy(update={"text": params.TextSettings(lower_case=False)})
    tiny.train(root, tmp_path, chosen)
    params_kept = trained.load(tmp_path / "models" / "epoch_1").params
    for section in ("text", "features", "model", "augment", "train"):
        assert getattr(params_kept, section) == getattr(chosen, section)


@pytest.mark.parametrize(("metric", "epoch", "rate"), [("cer", 1, 0.25), ("wer", 2, 0.5)])
def test_the_metrics_of_a_training_name_the_best_epoch_and_the_last_loss(metric, epoch, rate, root):
    trainer = Training(tiny.choosing_by(metric, tiny.settings()), tiny.data(root), {})
    trainer.history.add_step(1, 1, 1, 3.0, 1e-3, 1.0)
    trainer.history.add_epoch(1, {"cer": 0.25, "wer": 0.75})
    trainer.history.add_step(2, 1, 1, 2.0, 1e-3, 1.0)
    trainer.history.add_epoch(2, {"cer": 0.5, "wer": 0.5})
    trainer.chosen = trainer.history.best(metric)
    found = session._numbers(trainer)
    assert (found["epoch_of_best"], found["loss"]) == (epoch, 2.0)
    assert {name: value for name, value in found.items() if name.endswith("er_of_best")} == {f"{metric}_of_best": rate}
    assert found["weights"] == sum(int(np.prod(value.shape)) for value in trainer.model.parameters())


@pytest.fixture
def own_root(workspace):
    """The tiny data in the working directory, to be changed."""
    tiny.write_data(workspace)
    return workspace


def test_the_stage_keeps_as_many_epochs_as_it_is_told(own_root):
    session.train(tiny.settings(num_epoch=3, keep_checkpoints=1))
    assert sorted(path.name for path in layout.MODELS.iterdir()) == ["best_model", "epoch_3"]


def drop_last_line(path):
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")


@pytest.mark.parametrize("scored", ["dev", "test"])
def test_another_input_makes_another_training_and_the_log_names_it(scored, own_root, log):
    chosen = tiny.settings(num_epoch=1, augment=True, evaluate_on=scored)

    def told():
        del log[:]
        session.train(chosen)
        lines = [line for line in log if line.startswith(("going on from", "the training starts from"))]
        assert len(lines) == 1
        return lines[0]

    assert told() == "the training starts from the beginning"
    other = {"dev": "test", "test": "dev"}[scored]
    drop_last_line(own_root / layout.manifest_path(other))
    assert told().startswith("going on from")
    drop_last_line(own_root / layout.manifest_path(scored))
    assert told().endswith(f": {layout.manifest_path(scored)} has changed")
    drop_last_line(own_root / layout.manifest_path("train"))
    assert told().endswith(f": {layout.manifest_path('train')} has changed")
    values = json.loads(layout.MEAN_ISTD.read_text())
    values["mean"][0] += 0.5
    layout.MEAN_ISTD.write_text(json.dumps(values))
    assert told().endswith(f": {layout.MEAN_ISTD} has changed")
    with open(layout.VOCABULARY, "a", encoding="utf-8") as file:
        file.write("z\n")
    assert told().endswith(f": {layout.VOCABULARY} has changed")
    (own_root / "dataset/noise").mkdir()
    shutil.copy(own_root / "audio/0.wav", own_root / "dataset/noise")
    assert told().endswith(": the files of noise or impulse responses have changed")


def test_the_stage_scores_the_set_that_it_is_told(own_root):
    drop_last_line(own_root / layout.manifest_path("dev"))
    seen = []
    for split in ("dev", "test"):
        session.train(tiny.settings(num_epoch=2, evaluate_on=split))
        checkpoint = trained.load(layout.MODELS / "epoch_2")
        found = evaluated(own_root, split, layout.MODELS / "epoch_2")
        assert checkpoint.state.history["epochs"][-1]["wer"] == found.errors("wer").rate
        seen.append(found.errors("wer").reference_length)
    assert seen[0] != seen[1]


def test_the_metrics_name_the_epoch_that_is_published_and_not_one_that_nobody_has(own_root):
    # Too fast: epoch 1 is best.
    chosen = tiny.settings(num_epoch=3, keep_checkpoints=1, learning_rate=0.1, seed=7, average_share=None)
    session.train(chosen)
    assert json.loads(layout.TRAIN_NUMBERS.read_text())["epoch_of_best"] == 1
    for folder in (layout.MODELS / "best_model", *Path(".ds2").rglob("best_model")):
        shutil.rmtree(folder)
    session.train(chosen)
    told, state = json.loads(layout.TRAIN_NUMBERS.read_text()), disk.read_state(layout.MODELS / "best_model")
    assert told["epoch_of_best"] == state.epoch > 1
    assert told["cer_of_best"] == pytest.approx(state.history["epochs"][-1]["cer"], abs=1e-6)


@pytest.mark.skipif(paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0, reason="there is a GPU")
def test_a_gpu_that_is_asked_for_and_not_there_stops_training_and_evaluation(own_root):
    chosen = tiny.settings(num_epoch=1)
    chosen = chosen.model_copy(update={"runtime": chosen.runtime.model_copy(update={"use_gpu": True})})
    for stage in (session.train, evaluation.evaluate):
        with pytest.raises(UserError, match=r"runtime\.use_gpu: true"):
            stage(chosen)
    assert not layout.MODELS.exists()


@pytest.mark.parametrize("wanted", [True, False])
def test_the_stage_asks_for_deterministic_algorithms_where_it_is_told(wanted, own_root, monkeypatch):
    asked, chosen = [], tiny.settings(num_epoch=1)
    monkeypatch.setattr(device, "be_deterministic", lambda: asked.append(True))
    runtime = chosen.runtime.model_copy(update={"deterministic": wanted})
    session.train(chosen.model_copy(update={"runtime": runtime}))
    assert asked == [True] * wanted
