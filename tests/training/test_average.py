"""The average of the weights: what enters it, its statistics, and that what is published is what was scored."""

import dataclasses
import itertools

import numpy as np
import paddle
import pytest
from hypothesis import given
from hypothesis import strategies as some

from ds2 import layout
from ds2.checkpoint import disk, trained, weights
from ds2.data.loader import Assembler, Loader
from ds2.data.manifest import Manifest
from ds2.errors import UserError
from ds2.evaluation.evaluator import evaluate
from ds2.metrics import TOKENS
from ds2.model import build
from ds2.training.average import Average
from tests.training import tiny

pytestmark = pytest.mark.wheel


def untrained(seed=1):
    paddle.seed(seed)
    return build(tiny.settings(), 5)


def batches(root, sizes):
    """Batches of the tiny data, as a training has them."""
    known, chosen = tiny.data(root), tiny.settings()
    loader = Loader(known.train, Assembler(chosen.features, known.statistics, known.vocabulary), 0)
    bounds = np.cumsum([0, *sizes])
    return list(loader.load([np.arange(*pair) for pair in itertools.pairwise(bounds)]))


@given(some.integers(1, 60), some.sampled_from([0.05, 0.1, 0.3, 0.5]))
def test_the_weights_after_step_t_count_as_the_definition_says(steps, share):
    exponent = 1 / share - 1
    values = np.random.default_rng(steps).normal(size=steps)
    layer, model = paddle.nn.Linear(1, 1), paddle.nn.Linear(1, 1)
    average = Average(layer, share)
    for step, value in enumerate(values, start=1):
        model.weight.set_value(paddle.to_tensor([[value]], dtype="float32"))
        average.add(model, step)
    # By induction from the definition: 1 - (1 - 1/t)^exponent of what is there is exchanged at step t.
    kept = np.array([(1 - 1 / t) ** exponent for t in range(1, steps + 1)])
    counts = [(1 - kept[t]) * kept[t + 1 :].prod() for t in range(steps)]
    assert sum(counts) == pytest.approx(1)
    assert layer.weight.item() == pytest.approx(float(np.dot(counts, values)), abs=1e-5)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_the_weights_are_as_old_on_average_as_the_share_of_the_steps_says(share):
    layer, model = paddle.nn.Linear(1, 1), paddle.nn.Linear(1, 1)
    average = Average(layer, share)
    for step in range(1, 1001):
        model.weight.set_value(paddle.to_tensor([[float(step)]]))
        average.add(model, step)
    assert (1000 - layer.weight.item()) / 1000 == pytest.approx(share, rel=0.15)


def test_the_statistics_are_the_means_over_the_batches_and_no_others(root):
    three = batches(root, (4, 3, 5))
    average = Average(untrained(), 0.1)
    average.measure_statistics(three)
    found = {name: value for name, value in weights.of(average.network).items() if "running" in name}
    alone = []
    for batch in three:
        other = Average(average.network, 0.1)
        other.measure_statistics([batch])
        alone.append(weights.of(other.network))
    for name, value in found.items():
        np.testing.assert_allclose(value, np.mean([one[name] for one in alone], axis=0), rtol=1e-5, atol=1e-6)
    # One whole batch after its own statistics is normalised: mean 0 and deviation 1 where it is normalised.
    average.measure_statistics(three[:1])
    seen = []
    average.network.norm.register_forward_post_hook(lambda layer, inputs, output: seen.append(output.numpy()))
    average.network(paddle.to_tensor(three[0].features), paddle.to_tensor(three[0].frames))
    steps = -(-three[0].frames // 3)
    real = np.concatenate([rows[:count] for rows, count in zip(seen[0], steps, strict=True)])
    assert np.abs(real.mean(axis=0)).max() < 1e-4
    assert np.abs(real.std(axis=0) - 1).max() < 0.01


def test_measuring_passes_over_batches_without_a_readable_recording_and_too_loud_ones(root):
    one = batches(root, (4,))
    nothing = dataclasses.replace(one[0], frames=np.zeros(0, np.int64))
    loud = dataclasses.replace(one[0], features=np.full_like(one[0].features, 3e38))
    first, second = Average(untrained(), 0.1), Average(untrained(), 0.1)
    first.measure_statistics(one)
    second.measure_statistics([nothing, loud, *one, loud, nothing])
    assert tiny.same_bits(weights.of(first.network), weights.of(second.network))


def test_the_best_model_has_on_the_dev_set_the_score_that_it_was_chosen_by(root, tmp_path):
    chosen = set()
    for seed in range(6):
        place = tmp_path / str(seed)
        trainer = tiny.train(root, place, tiny.settings(num_epoch=6, seed=seed))
        best = trained.load(place / "models/best_model")
        assert best.state.made_of == dataclasses.asdict(trainer.history.best("cer"))
        dev = Manifest(root / layout.manifest_path("dev"))
        with Loader(dev, Assembler(best.params.features, best.statistics), 0) as loader:
            result = evaluate(tiny.acoustic(best.model, root), dev, loader, 4)
        assert result.errors("cer").rate == best.state.made_of["rate"]
        chosen.add(best.state.is_average)
    assert chosen == {True, False}  # both kinds were tried


def test_the_scores_of_the_average_stand_in_the_curves(root, tmp_path):
    tiny.train(root, tmp_path, tiny.settings(num_epoch=2))
    header, *rows = (tmp_path / "curves/epochs.tsv").read_text().splitlines()
    assert header.split("\t") == ["epoch", "loss", *TOKENS, *(f"average_{metric}" for metric in TOKENS)]
    assert len(rows) == 2


def test_without_the_average_the_weights_are_the_same_to_the_last_bit(root, tmp_path):
    with_it = tiny.train(root, tmp_path / "with", tiny.settings(num_epoch=3))
    without = tiny.train(root, tmp_path / "without", tiny.settings(num_epoch=3, average_share=None))
    assert tiny.same_bits(tiny.weights(with_it.model), tiny.weights(without.model))
    assert not list((tmp_path / "without").rglob(disk.AVERAGE))


@pytest.mark.parametrize("on", ["test", None])
def test_only_the_dev_set_chooses_an_average(on, root, tmp_path):
    trainer = tiny.train(root, tmp_path, tiny.settings(num_epoch=2, evaluate_on=on))
    best = disk.read_state(tmp_path / "models/best_model")
    assert (best.epoch, best.is_average, best.chosen_on) == (trainer.history.best("cer").epoch, False, on)
    assert best.epoch == 2 or on
    assert not list(tmp_path.rglob(disk.AVERAGE))


def test_a_training_that_lost_its_average_is_resumed_from_the_state_before(root, tmp_path):
    chosen = tiny.settings(num_epoch=3)
    alone = tiny.train(root, tmp_path / "alone", chosen)
    place = tmp_path / "damaged"
    tiny.train(root, place, tiny.settings(num_epoch=2))
    for folder in place.rglob("epoch_2"):
        (folder / disk.AVERAGE).unlink()
    again = tiny.train(root, place, chosen)
    assert again.history.epochs == alone.history.epochs
    name = "models/epoch_3"
    assert tiny.same_bits(tiny.saved(place / name), tiny.saved(tmp_path / "alone" / name))


def test_an_average_that_a_kill_has_left_without_the_optimiser_is_not_taken(root, tmp_path):
    """Nobody has compared it with its hash; the kill came within disk.make_smaller."""
    tiny.train(root, tmp_path, tiny.settings(num_epoch=2))
    folder = next(tmp_path.glob("autosave/*/epoch_2"))
    (folder / disk.AVERAGE).write_bytes(b"damaged")
    (folder / disk.OPTIMIZER).unlink()
    disk.read_state(folder)
    assert not disk.has_average(folder)


def test_a_checkpoint_from_before_the_average_is_resumed_with_one(root, tmp_path):
    tiny.train(root, tmp_path / "old", tiny.settings(num_epoch=2, average_share=None))
    old = tmp_path / "old/models/epoch_2"
    trainer = tiny.train(root, tmp_path / "new", tiny.settings(num_epoch=3, resume_model=str(old)))
    best, start = weights.of(trainer.average.network), weights.of(trained.load(old).model)
    now = tiny.weights(trainer.model)
    for name in ("output.weight", "output.bias"):  # between what it began with and what came of it
        between = np.abs(best[name] - start[name]) <= np.abs(now[name] - start[name]).max() * 1.5
        assert between.all()
    assert not tiny.same_bits(best, start)


def test_a_metric_whose_best_weights_are_gone_is_refused_and_the_epoch_named(root, tmp_path):
    chosen = tiny.settings(num_epoch=6, keep_checkpoints=1)
    trainer = tiny.train(root, tmp_path, chosen)
    rows = trainer.history.epochs
    # By WER the first epoch was the best, whose weights nobody has kept.
    for folder in tmp_path.rglob("epoch_*"):
        state = disk.read_state(folder)
        history = state.history | {"epochs": [row | {"wer": 0.0 if row["epoch"] == 1 else 1.0} for row in rows]}
        disk._write_json(folder, dataclasses.replace(state, history=history), disk._read_json(folder)[1])
    before = sorted((path, path.read_bytes()) for path in (tmp_path / "models").rglob("*") if path.is_file())
    with pytest.raises(UserError, match=r"the best model of the first 6 epochs, epoch 1 \(WER 0.00000\), is not kept"):
        tiny.train(root, tmp_path, tiny.choosing_by("wer", chosen))
    assert before == sorted((path, path.read_bytes()) for path in (tmp_path / "models").rglob("*") if path.is_file())
    tiny.train(root, tmp_path, chosen)  # put back: nothing is trained and nothing refused


def test_fewer_epochs_whose_best_weights_are_gone_are_refused_unless_they_are_trained_anew(root, tmp_path):
    chosen = tiny.settings(num_epoch=8, keep_checkpoints=4)
    best = tiny.train(root, tmp_path, chosen).history.best("cer")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "models/best_model").iterdir()}
    fewer = chosen.model_copy(update={"train": chosen.train.model_copy(update={"num_epoch": best.epoch - 1})})
    assert best.epoch > 1
    if best.epoch - 1 > 4:  # its state is kept, the best of the epochs before perhaps not
        with pytest.raises(UserError, match=rf"of the first {best.epoch - 1} epochs the best model is the "):
            tiny.train(root, tmp_path, fewer)
    else:
        tiny.train(root, tmp_path, fewer)
    tiny.train(root, tmp_path, chosen)
    assert whole == {path.name: path.read_bytes() for path in (tmp_path / "models/best_model").iterdir()}
