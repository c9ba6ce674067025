import shutil

import numpy as np
import pytest
import soundfile

from ds2.checkpoint import disk, weights
from ds2.data.vocabulary import Vocabulary
from ds2.errors import UserError
from ds2.training import start, transfer
from ds2.training.state import Training
from ds2.training.store import Store
from tests.training import tiny

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A training of two epochs on the tiny data."""
    place = tmp_path_factory.mktemp("base")
    tiny.write_data(place)
    tiny.train(place, place, tiny.settings(num_epoch=2))
    return place


@pytest.fixture
def other(tmp_path):
    """Data with a new character, without one of the old ones, and in another order of counts."""
    tiny.write_data(tmp_path, ("你你", "你a", "a你你", "a呢", "你呢a", "呢呢你你", "a你"))
    return tmp_path


def _continued(base, **train):
    return tiny.settings(resume_model=str(base / "models/epoch_2"), **train)


def _columns(folder, name, tokens):
    """Of an output array: token -> its column."""
    file = disk.OPTIMIZER if "/" in name else disk.MODEL
    value = np.asarray(disk.read_arrays(folder / file)[name])
    return {token: value[..., i] for i, token in enumerate(tokens)}


def test_known_tokens_keep_their_rows_and_moments_and_new_ones_start_afresh(base, other):
    # At a rate of almost nothing the first step leaves the weights where the mapping has put them.
    settings = _continued(base, num_epoch=3, learning_rate=1e-9, min_learning_rate=1e-9, warmup_steps=1)
    tiny.train(other, other, settings)
    old, new = base / "models/epoch_2", other / "models/epoch_3"
    tokens = [Vocabulary.read(folder / "vocabulary.txt").tokens for folder in (old, new)]
    assert "呢" in tokens[1]
    assert "好" not in tokens[1]
    shared = set(tokens[0]) & set(tokens[1])
    assert len(shared) >= 4
    before, after = (_columns(f, "output.weight", t) for f, t in zip((old, new), tokens, strict=True))
    assert all(np.allclose(before[token], after[token], atol=1e-6) for token in shared)
    moment = next(name for name in disk.read_arrays(old / disk.OPTIMIZER) if name.startswith("output.weight/moment2"))
    before, after = (_columns(f, moment, t) for f, t in zip((old, new), tokens, strict=True))
    steps = disk.read_state(new).step - disk.read_state(old).step
    assert all((after[token] >= before[token] * 0.999**steps * 0.99).all() for token in shared)


def columns_by_token(values, tokens):
    return {token: np.asarray(values)[..., i] for i, token in enumerate(tokens)}


def begun(root, place, chosen):
    """A training on the data below `root` that has just begun."""
    training, store = Training(chosen, tiny.data(root), {}), Store(place / "autosave", place / "models", "a" * 64, 3)
    with store.locked():
        start.begin(training, store)
    return training


@pytest.mark.parametrize("parameter", ["resume_model", "pretrained_model"])
def test_every_row_of_the_output_goes_to_its_token_and_new_ones_are_as_in_a_new_model(base, other, parameter):
    origin, tokens = base / "models/epoch_2", tiny.data(other).vocabulary.tokens
    fresh = tiny.weights(Training(tiny.settings(), tiny.data(other), {}).model)
    new = begun(other, other, tiny.settings(num_epoch=3, **{parameter: str(origin)}))
    old, found = disk.read_arrays(origin / disk.MODEL), tiny.weights(new.model)
    old_tokens = Vocabulary.read(origin / disk.VOCABULARY).tokens
    for name in ("output.weight", "output.bias"):
        before, after, unused = (
            columns_by_token(values[name], named)
            for values, named in ((old, old_tokens), (found, tokens), (fresh, tokens))
        )
        assert after.keys() - before.keys() == {"呢"}
        for token, column in after.items():
            assert np.array_equal(column, before.get(token, unused[token])), token
    if parameter == "resume_model":
        moments = weights.moments(new.optimizer, new.model)
        old = disk.read_arrays(origin / disk.OPTIMIZER)
        mapped = [name for name in old if name.startswith("output.") and "moment" in name]
        assert len(mapped) >= 4
        for name in mapped:
            before = columns_by_token(old[name], old_tokens)
            for token, column in columns_by_token(moments[name], tokens).items():
                assert np.array_equal(column, before.get(token, np.zeros_like(column))), (name, token)


def test_a_continued_checkpoint_keeps_its_statistics_epochs_and_steps(base, other):
    trainer = tiny.train(other, other, _continued(base, num_epoch=3))
    old, new = base / "models/epoch_2", other / "models/epoch_3"
    assert (new / "mean_istd.json").read_text() == (old / "mean_istd.json").read_text()
    assert (new / "mean_istd.json").read_text() != (other / "dataset/mean_istd.json").read_text()
    assert trainer.epoch == 3
    assert trainer.step > disk.read_state(old).step
    assert [row["epoch"] for row in trainer.history.epochs] == [3]


def test_a_continued_training_itself_goes_on_with_the_same_bits(base, other, tmp_path_factory):
    whole = tmp_path_factory.mktemp("whole")
    tiny.train(other, whole, _continued(base, num_epoch=4))
    tiny.train(other, other, _continued(base, num_epoch=3))
    tiny.train(other, other, _continued(base, num_epoch=4))
    assert tiny.same_bits(tiny.saved(whole / "models/epoch_4"), tiny.saved(other / "models/epoch_4"))


@pytest.mark.parametrize("parameter", ["resume_model", "pretrained_model"])
def test_another_architecture_is_refused_with_both_numbers(parameter, base, other):
    settings = tiny.settings(model={"rnn_layer_size": 32}, num_epoch=3, **{parameter: str(base / "models/epoch_2")})
    with pytest.raises(UserError, match=r"epoch_2 was trained with model\.rnn_layer_size: 24 \(not 32\): set"):
        tiny.train(other, other, settings)


@pytest.mark.parametrize("parameter", ["resume_model", "pretrained_model"])
def test_other_features_are_refused_with_both_values(parameter, base, other):
    settings = tiny.settings(num_epoch=3, **{parameter: str(base / "models/epoch_2")})
    changed = settings.model_copy(update={"features": settings.features.model_copy(update={"target_db": -30.0})})
    with pytest.raises(UserError, match=r"epoch_2 was trained with features\.target_db: -20\.0 \(not -30\.0\): set"):
        tiny.train(other, other, changed)


def test_other_rules_of_the_transcripts_are_warned_about(base, other, warnings):
    settings = tiny.settings(num_epoch=1, pretrained_model=str(base / "models/epoch_2"))
    text = settings.text.model_copy(update={"lower_case": False})
    tiny.train(other, other, settings.model_copy(update={"text": text}))
    (told,) = [line for line in warnings if "pretrained_model" in line]
    assert "was trained with text.lower_case: true (not false): its transcripts were normalised by other" in told


def test_another_dropout_is_no_other_architecture(base, other):
    settings = tiny.settings(model={"dropout": 0.3}, resume_model=str(base / "models/epoch_2"), num_epoch=3)
    assert tiny.train(other, other, settings).epoch == 3


def test_a_checkpoint_of_the_repository_is_found_from_a_temporary_copy_of_it(base, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(base))
    monkeypatch.chdir(tmp_path)
    assert begun(base, tmp_path, tiny.settings(num_epoch=3, resume_model="models/epoch_2")).epoch == 2


def test_tokens_are_counted_that_are_known_new_and_not_needed(base, other, log):
    tiny.train(other, other, _continued(base, num_epoch=3))
    # <blank>, <unk>, 你 and a stay, 呢 is new, 好 and the space are gone.
    assert f"tokens: 4 known to {base}/models/epoch_2, 1 new, 2 of it not needed any more" in log


def test_no_epochs_left_is_said(base, other):
    with pytest.raises(UserError, match=r"train\.num_epoch is 2, but the checkpoint has 2 epochs"):
        tiny.train(other, other, _continued(base, num_epoch=2))


def test_a_checkpoint_without_its_optimiser_is_refused(base, other):
    with pytest.raises(UserError, match=r"epoch_1 has no optimizer\.safetensors"):
        tiny.train(other, other, tiny.settings(resume_model=str(base / "models/epoch_1"), num_epoch=3))


@pytest.mark.parametrize(
    ("parameter", "remedy"),
    [
        ("resume_model", "copy the folder of a training's newest epoch"),
        ("pretrained_model", "python -m ds2 recipe fine"),
    ],
)
def test_a_missing_or_damaged_checkpoint_is_one_sentence(base, other, parameter, remedy):
    with pytest.raises(UserError, match=rf"train\.{parameter}: there is no folder nowhere; .*: {remedy}"):
        tiny.train(other, other, tiny.settings(**{parameter: "nowhere", "num_epoch": 3}))
    (other / "broken").mkdir()
    with pytest.raises(UserError, match=rf"train\.{parameter}: .*broken is not an intact checkpoint"):
        tiny.train(other, other, tiny.settings(**{parameter: str(other / "broken"), "num_epoch": 3}))


def test_pretrained_weights_begin_at_epoch_one(base, other):
    settings = tiny.settings(
        model={"dropout": 0.3},
        pretrained_model=str(base / "models/best_model"),
        num_epoch=1,
        learning_rate=1e-9,
        min_learning_rate=1e-9,
        warmup_steps=1,
    )
    trainer = tiny.train(other, other, settings)
    old, new = disk.read_arrays(base / "models/best_model/model.safetensors"), tiny.weights(trainer.model)
    assert trainer.epoch == 1
    assert np.allclose(np.asarray(old["conv.layers.0.conv.weight"]), new["conv.layers.0.conv.weight"], atol=1e-6)


@pytest.mark.parametrize(("parameter", "back"), [("resume_model", "auto"), ("pretrained_model", "null")])
def test_a_training_that_began_with_a_checkpoint_is_not_replaced_when_none_is_named(parameter, back, base, other):
    origin = str(base / "models/epoch_2")
    tiny.train(other, other, tiny.settings(num_epoch=3, **{parameter: origin}))
    before = tiny.saved(other / "models/epoch_3")
    with pytest.raises(
        UserError, match=rf"began with train\.{parameter}: {origin}, which is {back} now: put it back.*st"
    ):
        tiny.train(other, other, tiny.settings(num_epoch=4))
    assert tiny.same_bits(tiny.saved(other / "models/epoch_3"), before)
    assert tiny.train(other, other, tiny.settings(num_epoch=4, **{parameter: origin})).epoch == 4
    # The word is for one new start.
    assert len(tiny.train(other, other, tiny.settings(num_epoch=1, start_over="again")).history.epochs) == 1
    tiny.train(other, other, tiny.settings(num_epoch=3, start_over="again", **{parameter: origin}))
    with pytest.raises(UserError, match=r"set train\.start_over to a new word"):
        tiny.train(other, other, tiny.settings(num_epoch=4, start_over="again"))


def test_a_word_starts_over_once(base, tmp_path):
    place = tmp_path / "place"
    shutil.copytree(base, place)
    first = tiny.train(place, place, tiny.settings(num_epoch=1, start_over="a"))
    assert tiny.train(place, place, tiny.settings(num_epoch=2, start_over="a")).epoch == 2
    assert first.ingredients != tiny.identity(place, tiny.settings(start_over="b"))
    assert tiny.same_bits(tiny.saved(place / "models/epoch_2"), tiny.saved(base / "models/epoch_2"))


def test_another_content_of_the_pretrained_model_is_another_training_and_another_path_is_not(base, other, log):
    shutil.copytree(base / "models/epoch_2", other / "given")
    settings = tiny.settings(num_epoch=1, pretrained_model=str(other / "given"))
    tiny.train(other, other, settings)
    shutil.rmtree(other / "given")
    log.clear()
    tiny.train(other, other, settings)  # it can do without
    assert any(line.startswith("going on from") for line in log)
    shutil.copytree(base / "models/epoch_2", other / "elsewhere")
    log.clear()
    tiny.train(other, other, tiny.settings(num_epoch=1, pretrained_model=str(other / "elsewhere")))
    assert any(line.startswith("going on from") for line in log)
    shutil.copytree(base / "models/epoch_1", other / "given")
    log.clear()
    tiny.train(other, other, settings)
    assert not any(line.startswith("going on from") for line in log)


@pytest.mark.parametrize("name", ["models", "models/best_model"])
def test_pretrained_weights_do_not_lie_where_the_training_puts_its_own(name, base, tmp_path, monkeypatch):
    shutil.copytree(base, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    with pytest.raises(UserError, match=rf"pretrained_model: {name} lies in models, .*cp -rL {name} pretrained"):
        transfer.pretrained_content(name, tmp_path)


def with_noises(root, count):
    """Writes `count` files of noise; returns the section augment that uses them."""
    folder = root / "noises"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for i in range(count):
        soundfile.write(folder / f"{i}.wav", np.random.default_rng(i).normal(0, 0.1, 1600), 16000)
    return {"noise": {"prob": 0.5, "noise_dir": str(folder)}, "reverb": {"prob": 0.0}}


@pytest.mark.parametrize("left", [0, 2])
def test_a_training_with_noises_is_not_replaced_where_noises_are_missing(left, other):
    kinds = with_noises(other, 3)
    tiny.train(other, other, tiny.settings(augment=True, num_epoch=1, kinds=kinds))
    before = tiny.saved(other / "models/epoch_1")
    with_noises(other, left)
    told = rf"noises has {left} audio files, but .*epoch_1 was trained with 3 of them: put them back"
    with pytest.raises(UserError, match=told):
        tiny.train(other, other, tiny.settings(augment=True, num_epoch=2, kinds=kinds))
    assert tiny.same_bits(tiny.saved(other / "models/epoch_1"), before)
    with_noises(other, 3)
    assert tiny.train(other, other, tiny.settings(augment=True, num_epoch=2, kinds=kinds)).epoch == 2
    with_noises(other, left)
    silent = kinds | {"noise": kinds["noise"] | {"prob": 0.0}}
    tiny.train(other, other, tiny.settings(augment=True, num_epoch=1, kinds=silent))  # not asked for: nothing lacks
    tiny.train(other, other, tiny.settings(augment=True, num_epoch=1, kinds=kinds, start_over="without"))


def test_noises_that_are_not_used_do_not_make_another_training(other):
    kinds = {"noise": {"prob": 0.0, "noise_dir": str(other / "noises")}, "reverb": {"prob": 0.0}}
    settings = tiny.settings(augment=True, kinds=kinds)
    before = tiny.identity(other, settings)
    with_noises(other, 2)
    assert tiny.identity(other, settings) == before
    with_noises(other, 2)
    used = tiny.settings(augment=True, kinds={"noise": kinds["noise"] | {"prob": 0.5}})
    assert tiny.identity(other, used)["augmentation"] != before["augmentation"]
