import functools
import json
import re
import signal
from dataclasses import asdict, replace

import numpy as np
import paddle
import pytest
import soundfile
from loguru import logger

from ds2 import layout, params
from ds2.checkpoint import disk, trained
from ds2.data.mean_istd import MeanIstd
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError
from ds2.model.ctc import ctc_losses
from ds2.reporting.reporter import Reporter
from ds2.training import session
from ds2.training.state import Training
from ds2.training.step import clip_gradients, global_norm
from tests.training import tiny

pytestmark = pytest.mark.wheel

BATCHES = 4  # in an epoch of the tiny data


@pytest.fixture
def own_root(workspace):
    """The tiny data in the working directory, to be spoilt."""
    tiny.write_data(workspace)
    return workspace


def products(place, epoch):
    """All that a training leaves: weights, optimiser and curves."""
    tables = {name: (place / "curves" / name).read_bytes() for name in ("steps.tsv", "epochs.tsv")}
    state = disk.read_state(place / "models" / f"epoch_{epoch}")
    return tiny.saved(place / "models" / f"epoch_{epoch}"), tables, vars(state) | {"params": None, "cost": None}


def assert_same(left, right):
    assert tiny.same_bits(left[0], right[0])
    assert left[1:] == right[1:]


@pytest.fixture(scope="module")
def undisturbed(root, tmp_path_factory):
    """Four epochs with and without augmentation, never stopped."""

    @functools.cache
    def make(augment):
        place = tmp_path_factory.mktemp("undisturbed")
        tiny.train(root, place, tiny.settings(num_epoch=4, augment=augment))
        return products(place, 4)

    return make


def train_without_scores(root, place, workers=0):
    """An epoch on the data below `root`."""
    return tiny.train(root, place, tiny.settings(num_epoch=1, evaluate_on=None), workers)


def test_a_small_training_set_is_learned(root, tmp_path):
    trainer = tiny.train(root, tmp_path, tiny.settings(num_epoch=22))
    rows = trainer.history.epochs
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]
    assert trainer.history.best("cer").rate <= 0.05
    assert [row["epoch"] for row in rows] == list(range(1, 23))
    assert [row["step"] for row in trainer.history.steps] == list(range(1, 22 * BATCHES + 1))
    best = trained.load(tmp_path / "models" / "best_model")
    assert best.state.made_of == asdict(trainer.history.best("cer"))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(root, tmp_path):
    first, second, third = (
        tiny.weights(tiny.train(root, tmp_path / str(i), tiny.settings(num_epoch=1, seed=seed)).model)
        for i, seed in enumerate((5, 5, 6))
    )
    assert tiny.same_bits(first, second)
    assert not tiny.same_bits(first, third)


def test_augmentation_changes_what_is_learned(undisturbed):
    assert not tiny.same_bits(undisturbed(True)[0], undisturbed(False)[0])


@pytest.mark.parametrize("augment", [True, False])
def test_two_epochs_and_two_more_equal_four_to_the_last_bit(augment, root, tmp_path, undisturbed):
    tiny.train(root, tmp_path, tiny.settings(num_epoch=2, augment=augment))
    trainer = tiny.train(root, tmp_path, tiny.settings(num_epoch=4, augment=augment))
    assert (trainer.epoch, trainer.step) == (4, 4 * BATCHES)
    assert_same(products(tmp_path, 4), undisturbed(augment))


def test_worker_processes_do_not_change_a_bit(root, tmp_path, undisturbed):
    tiny.train(root, tmp_path, tiny.settings(num_epoch=2, augment=True), workers=2)
    tiny.train(root, tmp_path, tiny.settings(num_epoch=4, augment=True), workers=2)
    assert_same(products(tmp_path, 4), undisturbed(True))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [1, 6, 7])
def test_a_training_stopped_within_an_epoch_goes_on_to_the_same_bits(step, number, root, tmp_path, undisturbed):
    chosen = tiny.settings(num_epoch=4, augment=True)
    epochs, batches = divmod(step, BATCHES)
    with pytest.raises(UserError, match=rf"{number.name}; the state after {epochs} epochs and {batches} batches"):
        tiny.train(root, tmp_path, chosen, watcher=tiny.stopping_at(step, number))
    assert_same_after_going_on(root, tmp_path, chosen, undisturbed)


def test_a_training_stopped_again_and_again_ends_with_the_same_bits(root, tmp_path, undisturbed):
    chosen = tiny.settings(num_epoch=4, augment=True)
    for step in (2, 3, 8, 9, 13):
        with pytest.raises(UserError, match="stopped by SIGTERM"):
            tiny.train(root, tmp_path, chosen, watcher=tiny.stopping_at(step))
    assert_same_after_going_on(root, tmp_path, chosen, undisturbed)


def assert_same_after_going_on(root, place, chosen, undisturbed):
    trainer = tiny.train(root, place, chosen)
    assert (trainer.epoch, trainer.batch, trainer.step) == (4, 0, 4 * BATCHES)
    assert_same(products(place, 4), undisturbed(True))


@pytest.mark.parametrize("step", [BATCHES, 2 * BATCHES])
def test_a_signal_in_the_last_batch_of_an_epoch_lets_the_epoch_end(step, root, tmp_path):
    with pytest.raises(UserError, match=f"after {step // BATCHES} epochs and 0 batches"):
        tiny.train(root, tmp_path, tiny.settings(num_epoch=4), watcher=tiny.stopping_at(step))
    assert trained.load(tmp_path / "models" / f"epoch_{step // BATCHES}").state.batch == 0


def test_a_signal_in_the_very_last_batch_is_not_a_failure(root, tmp_path):
    trainer = tiny.train(root, tmp_path, tiny.settings(num_epoch=1), watcher=tiny.stopping_at(BATCHES))
    assert trainer.epoch == 1


def test_a_second_signal_stops_at_once(root, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tiny.train(
            root, tmp_path, tiny.settings(num_epoch=2), watcher=tiny.stopping_at(2, signal.SIGINT, signal.SIGINT)
        )


def test_a_signal_that_comes_while_a_line_is_logged_does_no_harm(root, tmp_path):
    # The log is not reentrant: a handler that logs meets the lock that its own thread holds.
    def interrupt(message):
        if "batch: [2/4]" in message:
            signal.raise_signal(signal.SIGTERM)

    sink = logger.add(interrupt, level="INFO", format="{message}", catch=False)
    try:
        with pytest.raises(UserError, match="SIGTERM; the state after 0 epochs and 2 batches"):
            tiny.train(root, tmp_path, tiny.settings(num_epoch=1))
    finally:
        logger.remove(sink)


def test_the_signals_handlers_are_as_before_after_a_training(root, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    tiny.train(root, tmp_path / "whole", tiny.settings(num_epoch=1))
    with pytest.raises(UserError):
        tiny.train(root, tmp_path / "stopped", tiny.settings(num_epoch=1), watcher=tiny.stopping_at(1))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_training_that_dies_goes_on_from_the_last_interval(root, tmp_path, undisturbed):
    chosen = tiny.settings(num_epoch=4, augment=True, save_interval=2)
    with pytest.raises(RuntimeError):
        tiny.train(root, tmp_path, chosen, watcher=tiny.dying_at(8))
    own = next((tmp_path / "autosave").iterdir())
    assert (own / "step_6").is_dir()
    tiny.train(root, tmp_path, chosen)
    assert_same(products(tmp_path, 4), undisturbed(True))


def test_a_state_is_saved_every_so_many_batches(root, tmp_path, log):
    seen = []

    class Watching(Reporter):
        def step(self, now):
            own = next((tmp_path / "autosave").iterdir())
            seen.append(sorted(path.name for path in own.iterdir() if path.name.startswith("step_")))

        def epoch(self):
            self.step(None)

    tiny.train(root, tmp_path, tiny.settings(num_epoch=1, save_interval=1), watcher=Watching())
    # Before a batch is saved itself, the two before it are there.
    assert seen == [[], ["step_1"], ["step_1", "step_2"], ["step_2", "step_3"], []]
    told = [line for line in log if line.startswith("saved after")]
    assert told == [f"saved after batch {batch} of epoch 1" for batch in (1, 2, 3)]


def test_a_finished_training_trains_nothing(root, tmp_path):
    chosen = tiny.settings(num_epoch=2)
    tiny.train(root, tmp_path, chosen)
    before = products(tmp_path, 2)
    trainer = tiny.train(root, tmp_path, chosen)
    assert (trainer.epoch, trainer.step) == (2, 2 * BATCHES)
    assert_same(products(tmp_path, 2), before)


def test_another_metric_chooses_another_best_epoch_and_trains_nothing(root, tmp_path):
    chosen = tiny.settings(num_epoch=4, seed=5, keep_checkpoints=4)  # the lowest CER is the last epoch's, WER not
    for metric in ("cer", "wer", "cer"):
        trainer = tiny.train(root, tmp_path, tiny.choosing_by(metric, chosen), watcher=tiny.dying_at(4 * BATCHES + 1))
        assert trainer.step == 4 * BATCHES
        best = trained.load(tmp_path / "models" / "best_model").state
        assert best.made_of == asdict(trainer.history.best(metric))


def test_another_learning_rate_is_another_training(root, tmp_path):
    tiny.train(root, tmp_path, tiny.settings(num_epoch=2))
    trainer = tiny.train(root, tmp_path, tiny.settings(num_epoch=1, learning_rate=0.005))
    assert trainer.step == BATCHES


@pytest.mark.parametrize("keep", [1, 3])
def test_a_number_of_epochs_lower_than_all_that_is_kept_trains_them_anew(keep, root, tmp_path):
    tiny.train(root, tmp_path, tiny.settings(num_epoch=5, keep_checkpoints=keep))
    tiny.train(root, tmp_path, tiny.settings(num_epoch=1, keep_checkpoints=keep))
    loaded = trained.load(tmp_path / "models" / "epoch_1")
    alone = tiny.train(root, tmp_path / "alone", tiny.settings(num_epoch=1))
    assert tiny.same_bits(tiny.weights(loaded.model), tiny.weights(alone.model))


def test_a_damaged_state_costs_its_epoch_and_nothing_else(root, tmp_path, undisturbed):
    chosen = tiny.settings(num_epoch=4, augment=True)
    tiny.train(root, tmp_path, chosen)
    own = next((tmp_path / "autosave").iterdir())
    with open(own / "epoch_4" / "optimizer.safetensors", "r+b") as file:
        file.truncate(100)
    tiny.train(root, tmp_path, chosen)
    assert_same(products(tmp_path, 4), undisturbed(True))


def test_without_a_scored_set_the_last_epoch_is_the_best(root, tmp_path):
    train_without_scores(root, tmp_path)
    assert (tmp_path / "curves" / "epochs.tsv").read_text().splitlines()[0] == "epoch\tloss"
    assert trained.load(tmp_path / "models" / "best_model").state.epoch == 1


def test_the_rate_of_every_step_is_that_of_the_schedule(root, tmp_path):
    trainer = tiny.train(root, tmp_path, tiny.settings(num_epoch=3, warmup_steps=6))
    expected = [1e-2 * min(step / 6, (6 / step) ** 0.5) for step in range(1, 3 * BATCHES + 1)]
    assert [row["learning_rate"] for row in trainer.history.steps] == pytest.approx(expected, rel=1e-6)


def test_a_step_goes_as_far_as_its_rate_says(root, tmp_path):
    # Adam's first step moves every weight that has a gradient by just the rate: a tenth of the top here.
    chosen = tiny.settings(num_epoch=1, batch_size=100)
    start = Training(chosen, tiny.data(root, chosen), {})
    trainer = tiny.train(root, tmp_path, chosen)
    assert trainer.step == 1
    before = {name: value.numpy() for name, value in start.model.named_parameters()}
    moved = [np.abs(value.numpy() - before[name]).max() for name, value in trainer.model.named_parameters()]
    assert max(moved) == pytest.approx(1e-3, rel=0.01)


def loss_of(model, root):
    batch = tiny.random_batch([60, 45, 30], 20, len(Vocabulary.read(root / layout.VOCABULARY)))
    logits, steps = model(paddle.to_tensor(batch.features), paddle.to_tensor(batch.frames))
    return ctc_losses(logits, steps, batch).mean()


def gradients(model):
    return [parameter.grad for parameter in model.parameters()]


def flat(values):
    return np.concatenate([value.numpy().ravel() for value in values])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999, 1.01])
def test_gradients_longer_than_the_norm_are_scaled_to_it(share, known, root):
    model = Training(tiny.settings(), tiny.data(root), {}).model
    loss_of(model, root).backward()
    before = flat(gradients(model))
    norm = float(np.linalg.norm(before.astype(np.float64)))
    measured = global_norm(gradients(model))
    assert measured.item() == pytest.approx(norm, rel=1e-4)
    clip_gradients(gradients(model), share * norm, measured.item() if known else measured)
    after = flat(gradients(model))
    if share > 1:
        assert np.array_equal(after, before)
    assert np.linalg.norm(after) == pytest.approx(min(1, share) * norm, rel=1e-4)
    np.testing.assert_allclose(after, before * min(1, share), rtol=1e-3, atol=1e-8)


def test_a_training_steps_with_clipped_gradients_and_shows_their_norm_before(root, tmp_path):
    # Adam forgets the gradients' scale, except where it falls below its epsilon of 1e-8: then nothing moves.
    start = Training(tiny.settings(), tiny.data(root), {})
    trainer = tiny.train(root, tmp_path, tiny.settings(num_epoch=1, grad_clip=1e-12))
    before = {name: value.numpy() for name, value in start.model.named_parameters()}
    moved = [np.abs(value.numpy() - before[name]).max() for name, value in trainer.model.named_parameters()]
    assert max(moved) < 1e-4
    assert all(row["grad_norm"] > 0.1 for row in trainer.history.steps)


def test_the_loss_is_that_of_the_definition_of_ctc():
    """The probability of a label is the sum over all paths that collapse to it."""
    logits = np.random.default_rng(0).normal(0, 1, (1, 4, 3)).astype(np.float32)
    probabilities = np.exp(logits[0]) / np.exp(logits[0]).sum(1, keepdims=True)
    total = 0.0
    for path in np.ndindex(3, 3, 3, 3):
        collapsed = [token for i, token in enumerate(path) if token != 0 and (i == 0 or path[i - 1] != token)]
        if collapsed == [1, 2]:
            total += np.prod([probabilities[i, token] for i, token in enumerate(path)])
    batch = tiny.random_batch([12], 20, 3)
    batch = type(batch)(batch.features, batch.frames, np.array([[1, 2]], np.int32), np.array([2]), batch.positions, 1.0)
    loss = ctc_losses(paddle.to_tensor(logits), paddle.to_tensor([4], dtype="int64"), batch)
    assert loss.tolist() == [pytest.approx(-np.log(total), rel=1e-5)]


def test_the_session_refuses_statistics_of_other_features(own_root):
    path = own_root / layout.MEAN_ISTD
    values = json.loads(path.read_text())
    values["features"]["target_db"] = -30.0
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="mean_istd"):
        session.train(tiny.settings(num_epoch=1))
    assert not (own_root / "models").exists()


def everything(root):
    """Files with their contents, and all times."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize("place", ["models/epoch_9", "models/best_model", ".ds2/autosave/0123456789abcdef/step_7"])
def test_the_session_refuses_checkpoints_of_the_old_format_and_touches_nothing(place, own_root):
    session.train(tiny.settings(num_epoch=1))
    (own_root / place).mkdir(parents=True, exist_ok=True)
    (own_root / place / "model.pdparams").write_bytes(b"a pickle")
    before = everything(own_root)
    for chosen in (tiny.settings(num_epoch=2), tiny.settings(num_epoch=2, seed=4, resume_model=None)):
        with pytest.raises(UserError, match=rf"{place} holds its weights as a pickle"):
            session.train(chosen)
    assert everything(own_root) == before


def test_the_session_refuses_16_bits_on_a_cpu_and_touches_nothing(own_root):
    session.train(tiny.settings(num_epoch=1))
    before = everything(own_root)
    with pytest.raises(UserError, match=r"train\.amp is bf16, which needs a GPU: on a CPU set it to off"):
        session.train(tiny.settings(num_epoch=1, amp="bf16", resume_model=None))
    assert everything(own_root) == before


@pytest.mark.parametrize("split", ["train", "dev"])
def test_the_session_refuses_an_empty_manifest(split, own_root):
    (own_root / layout.manifest_path(split)).write_text("")
    with pytest.raises(UserError, match=rf"manifest\.{split} is empty"):
        session.train(tiny.settings(num_epoch=1))


@pytest.mark.parametrize("path", ["dataset/manifest.train", "dataset/mean_istd.json", "dataset/vocabulary.txt"])
def test_the_session_names_the_file_that_is_missing(path, own_root):
    (own_root / path).unlink()
    with pytest.raises(UserError, match=re.escape(path)):
        session.train(tiny.settings(num_epoch=1))


def logged(root):
    """The lines of the log file, without the time."""
    [path] = root.glob("log/*.log")
    return [line[28:] for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_log_begins_with_the_parameters_that_differ_from_the_full_size_and_its_file_with_all(own_root, log):
    chosen = tiny.settings(num_epoch=1)
    session.train(chosen)
    values, full = params.values(chosen), params.values(params.Params())
    for lines, expected in (
        (log, [name for name in values if values[name] != full[name]]),
        (logged(own_root), list(values)),
    ):
        start = next(i for i, line in enumerate(lines) if line.startswith("Train epoch"))
        named = [line.split(": ")[0] for line in lines[:start]]
        assert [name for name in named if name in values] == expected
        assert "train.learning_rate: 0.01" in lines[:start]


def test_everything_that_a_run_logs_stands_in_its_file_after_the_runs_before(own_root, log, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(own_root / "parent"))
    monkeypatch.setenv("DVC_EXP_NAME", "rate-0.5")
    chosen = tiny.settings(num_epoch=2)
    (own_root / "audio/0.wav").unlink()
    with pytest.raises(UserError, match=r"audio/0\.wav"):
        session.train(chosen)
    assert [path.name for path in (own_root / "parent/log").iterdir() if path.is_file()] == ["rate-0.5.log"]
    lines = logged(own_root / "parent")
    assert [line for line in log if line not in lines] == []
    assert any(line.startswith("left out of the training: ") for line in lines)
    assert lines[-1].startswith("error: ")
    assert "audio/0.wav" in lines[-1]
    soundfile.write(own_root / "audio/0.wav", tiny.speak(tiny.TEXTS[0], 0), tiny.RATE)
    session.train(chosen)
    again = logged(own_root / "parent")
    assert again[: len(lines)] == lines
    assert again[-1].startswith("Epoch: [2/2]")


def test_warnings_of_worker_processes_stand_in_the_file(own_root):
    (own_root / layout.NOISE).mkdir()
    (own_root / layout.NOISE / "broken.wav").write_bytes(b"no audio")
    chosen = tiny.settings(num_epoch=1, augment=True)
    session.train(chosen.model_copy(update={"runtime": chosen.runtime.model_copy(update={"num_workers": 1})}))
    assert any("broken.wav is not used" in line for line in logged(own_root))


def test_the_log_says_that_augmentation_is_off_and_how_to_turn_it_on(own_root, log):
    session.train(tiny.settings(num_epoch=1))
    off = "augmentation is off: train.augment is false; true applies what the section augment says: noise, reverb, "
    assert len([line for line in log if line.startswith(off)]) == 1
    session.train(tiny.settings(num_epoch=1, augment=True))
    assert len([line for line in log if line.startswith("augmentation is off")]) == 1


@pytest.mark.parametrize(("target_db", "prob", "warnings"), [(-20.0, 0.5, 1), (-20.0, 0.0, 0), (None, 0.5, 0)])
def test_the_log_warns_once_that_levelling_undoes_the_volume(own_root, log, target_db, prob, warnings):
    chosen = tiny.settings(num_epoch=1, augment=True)
    volume = chosen.augment.volume.model_copy(update={"prob": prob})
    features = chosen.features.model_copy(update={"target_db": target_db})
    augment = chosen.augment.model_copy(update={"volume": volume})
    statistics = MeanIstd.read(layout.MEAN_ISTD)
    replace(statistics, features=features).write(layout.MEAN_ISTD)
    session.train(chosen.model_copy(update={"augment": augment, "features": features}))
    assert len([line for line in log if "augment.volume has no effect" in line]) == warnings


def test_a_training_that_starts_over_says_which_parameter_made_it(root, tmp_path, log):
    tiny.train(root, tmp_path, tiny.settings(num_epoch=1))
    assert "the training starts from the beginning" in log
    tiny.train(root, tmp_path, tiny.settings(num_epoch=1, learning_rate=0.02, grad_clip=4))
    models = tmp_path / "models" / "epoch_1"
    assert (
        f"the training starts from the beginning, since {models} is of another training: "
        "train.learning_rate is 0.02 and was 0.01; train.grad_clip is 4.0 and was 5.0"
    ) in log


def test_fewer_epochs_than_are_kept_start_over_and_say_so(root, tmp_path, log):
    whole = tiny.train(root, tmp_path, tiny.settings(num_epoch=5, keep_checkpoints=2))
    fewer = tiny.train(root, tmp_path, tiny.settings(num_epoch=2, keep_checkpoints=2))
    assert any("of this training only states from epoch 4 to 5 are kept" in line for line in log)
    assert fewer.epoch == 2
    again = tiny.train(root, tmp_path, tiny.settings(num_epoch=5, keep_checkpoints=2))
    assert tiny.same_bits(tiny.weights(again.model), tiny.weights(whole.model))
