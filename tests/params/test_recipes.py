from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ds2 import params
from ds2.errors import UserError
from ds2.params import recipes
from ds2.params.types import added
from tests.params import later

MINE = """\
# Mine: a test.
# More of it.

corpora: [aishell, musan]  # noises # too

augment:
  noise:
    prob: 1.0   # loud
train:
  # not behind a value
  num_epoch: 5
  min_learning_rate: 1.0e-6  # low
evaluate: {beta: 1}  # in one line
"""


@pytest.fixture
def write(workspace):
    """write(text) makes the recipe mine of it."""
    (workspace / "recipes").mkdir()
    return lambda text: (workspace / "recipes/mine.yaml").write_text(text, encoding="utf-8")


@pytest.fixture
def mine(write):
    write(MINE)
    return recipes.read("mine")


def test_a_recipe_is_laid_over_the_full_size(mine):
    values = {"augment": {"noise": {"prob": 1.0}}, "train": {"num_epoch": 5, "min_learning_rate": 1e-6}}
    assert mine.settings == recipes.loading.over_defaults(
        values | {"corpora": ["aishell", "musan"], "evaluate": {"beta": 1.0}}
    )
    assert mine.settings.train.batch_size == params.Params().train.batch_size


def test_a_parameter_added_later_has_its_default_in_a_recipe_which_is_of_today(mine, monkeypatch):
    later.begin(monkeypatch)
    assert recipes.read("mine").settings.train.label_smoothing == 0.1


def test_its_head_and_the_reasons_behind_its_values_are_read(mine):
    assert mine.head == "# Mine: a test.\n# More of it.\n"
    assert mine.reasons == {
        "corpora": "noises # too",
        "augment.noise.prob": "loud",
        "train.num_epoch": "",
        "train.min_learning_rate": "low",
        "evaluate.beta": "in one line",
    }


def test_written_out_it_has_head_reasons_and_every_parameter_with_its_description(mine, workspace):
    text = recipes.written_out(mine)
    assert text.startswith("# Mine: a test.\n# More of it.\n#\n# Written by python -m ds2 recipe mine, ")
    assert "\n    # loud\n    prob: 1.0  # share of utterances it is applied to\n" in text
    assert text.count("# not behind a value") == 0
    described = [line.partition("  # ")[2] for line in text.splitlines() if line.lstrip()[:1].isalpha()]
    assert "" not in described
    assert len(described) > len(params.names())
    (workspace / "params.yaml").write_text(text, encoding="utf-8")
    assert params.load() == mine.settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("evaluate.hot_words", {"北京": 5.0, "no": 1.0, "a: b #": 2.0}),
        ("augment.noise.noise_dir", "true"),
        ("augment.noise.noise_dir", "12"),
        ("augment.noise.noise_dir", "null"),
        ("augment.noise.noise_dir", "a # b: [c], 'd' \"e\" \\ 录音"),
        ("augment.noise.noise_dir", "../录音/a-b"),
        ("lm.extra_text", ["dataset/text/a.txt", "a, b", "~"]),
        ("train.learning_rate", 1.25e-7),
        ("train.amp", "off"),
        ("features.target_db", None),
    ],
)
def test_every_value_is_read_as_it_was_written_out(name, value, write, workspace):
    values = value
    for part in reversed(name.split(".")):
        values = {part: values}
    values |= {"train": {"min_learning_rate": 0.0} | values.get("train", {})}
    with open(workspace / "recipes/mine.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)
    recipe = recipes.read("mine")
    assert params.values(recipe.settings)[name] == value
    (workspace / "params.yaml").write_text(recipes.written_out(recipe), encoding="utf-8")
    assert params.load() == recipe.settings


def test_a_value_that_is_wrong_is_refused_with_the_recipes_file(write):
    write("train: {num_epoch: 0}\n")
    with pytest.raises(UserError, match=r"^recipes/mine\.yaml: train\.num_epoch: 0 is out of range"):
        recipes.read("mine")


@pytest.mark.parametrize("name", ["none", "../params", "mine.yaml", ""])
def test_a_recipe_that_does_not_exist_is_refused_with_those_that_do(name, mine):
    with pytest.raises(UserError, match=r"there is no recipe .*: recipes/ has mine$"):
        recipes.read(name)


def test_outside_the_repositorys_root_recipes_are_said_to_be_missing(workspace):
    with pytest.raises(UserError, match=r"recipes/ does not exist here or is empty: run in the repository's root"):
        recipes.names()


def test_params_yaml_is_edited_where_no_recipe_has_its_values(mine, workspace):
    path = workspace / "params.yaml"
    assert recipes.edited() == []
    path.write_text(recipes.written_out(mine), encoding="utf-8")
    assert recipes.edited() == []
    path.write_text("# a comment more\n" + recipes.written_out(mine), encoding="utf-8")
    assert recipes.edited() == []
    path.write_text(recipes.written_out(mine).replace("num_epoch: 5", "num_epoch: 6"), encoding="utf-8")
    assert recipes.edited() == ["train.num_epoch"]
    path.write_text("train: {num_epoch: 0}", encoding="utf-8")
    assert recipes.edited() == ["train.num_epoch: 0 is out of range: it must be at least 1"]


def test_it_is_compared_with_the_nearest_recipe(mine, write, workspace):
    (workspace / "recipes/other.yaml").write_text("corpora: []\ntrain: {seed: 2}\n", encoding="utf-8")
    (workspace / "params.yaml").write_text("train: {seed: 2, batch_size: 4}\n", encoding="utf-8")
    assert recipes.edited() == ["train.batch_size"]


class _Model(params.ModelSettings):
    lookahead: int = added(20, before=0)


class _Later(params.Params):
    model: _Model = _Model()


def test_what_a_checkpoint_lacks_is_as_it_was_before_the_parameter_existed(write, workspace, monkeypatch):
    for module in (recipes, recipes.loading):
        monkeypatch.setattr(module, "Params", _Later)
    write("train: {pretrained_model: a}  # the copy\n")
    recipe, trained = recipes.read("mine"), recipes.loading.from_dict({"model": {"rnn_layer_size": 7}})
    assert recipe.settings.model.lookahead == 20
    text = recipes.written_out(recipes.continuing(recipe, trained, "models/x", Path("pretrained/y")))
    assert "\n  # as the checkpoint has it\n  lookahead: 0" in text
    assert "\n  rnn_layer_size: 7" in text
    assert "\n  pretrained_model: pretrained/y" in text
